"""Interface `rabbitmq` (`amqp`): a virtual host and a user for messages.

Wire format of rabbitmq-k8s and its library, with two keys of ours for the password. A requirer that
writes `requested-secrets`, as in `mysql_client`, gets its user by a secret, whose name is the
provider's choice and changes with every generation, and no password in the databag. Any other
requirer gets the user that it named, with its password in plain text, as the interface has it.

| writer | key | bag | encoding |
|---|---|---|---|
| requirer | `username`, `vhost` | app | plain |
| requirer | `external_connectivity` | app | JSON boolean |
| requirer | `requested-secrets` (ours) | app | JSON list |
| provider | `hostname`, `ssl_port`, `ssl_ca` (PEM) | app | plain |
| provider | `password` | app | plain; not together with `secret-user` |
| provider | `secret-user` (ours) | app | secret id; content `username`, `password` |
| provider | `hosts` (ours) | app | `host[,host]`: the members, each by a name of its own |
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import quote

from daybreak_interfaces._common import Bag, NotReady, Secrets, WritableBag, list_of, load_json, put

PORT = 5672
REQUESTED_SECRETS = ("username", "password")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


@dataclass(frozen=True)
class Request:
    """What a client asks for.

    Attributes:
        username: Name it wants, by custom its service's. One that is given a secret takes the name
            in there.
        vhost: The virtual host.
        external: Whether it connects from outside of the cluster.
        reads_secrets: Whether it takes its user from a secret (and speaks TLS).
    """

    username: str
    vhost: str = "openstack"
    external: bool = False
    reads_secrets: bool = True


@dataclass(frozen=True)
class Answer:
    """A virtual host that can be used.

    Attributes:
        hosts: Names or addresses of the servers (IPv6 without brackets), in the provider's order.
        port: The same for all.
        vhost: The virtual host, as asked for.
        username: Name of the user, perhaps another one than asked for.
        password: Its password; kept out of `repr`.
        tls: Whether the port speaks TLS.
        ca: PEM of the CA that signed the servers' certificates; "" for what the machine trusts.
    """

    hosts: tuple[str, ...]
    port: int
    vhost: str
    username: str
    password: str = field(repr=False)
    tls: bool = False
    ca: str = ""


def write_request(app_bag: WritableBag, request: Request) -> None:
    """Write the client's side into its application databag (leader only)."""
    wanted = json.dumps(list(REQUESTED_SECRETS)) if request.reads_secrets else None
    put(
        app_bag,
        {
            "username": request.username,
            "vhost": request.vhost,
            "external_connectivity": json.dumps(request.external),
            "requested-secrets": wanted,
        },
    )


def read_request(app_bag: Bag) -> Request | NotReady:
    """Read the client's application databag."""
    username, vhost = app_bag.get("username", ""), app_bag.get("vhost", "")
    if not username or not vhost:
        return NotReady("the client has not named its user and virtual host")
    fields = list_of(load_json(app_bag, "requested-secrets"), str) or []
    return Request(
        username,
        vhost,
        external=load_json(app_bag, "external_connectivity") is True,
        reads_secrets=set(REQUESTED_SECRETS) <= set(fields),
    )


def write_answer(
    app_bag: WritableBag,
    *,
    hostname: str,
    hosts: tuple[str, ...] = (),
    tls_port: int | None = None,
    ca: str = "",
    secret_user: str | None = None,
    password: str | None = None,
) -> None:
    """Write the server's side into its application databag (leader only).

    Args:
        app_bag: The databag.
        hostname: A name that leads to any server.
        hosts: The servers, each by its own name.
        tls_port: Port for TLS; None for plain connections to 5672.
        ca: PEM of the CA that signed the servers' certificates.
        secret_user: Id of a secret with `username` and `password`, granted to the relation before
            this call.
        password: The password in plain text, for a client that reads no secret.

    Raises:
        ValueError: neither, or both, of a secret and a password.
    """
    if bool(secret_user) == bool(password):
        raise ValueError("a user comes by a secret or by a plain password")
    put(
        app_bag,
        {
            "hostname": hostname,
            "hosts": ",".join(hosts),
            "ssl_port": str(tls_port) if tls_port else None,
            "ssl_ca": ca if tls_port else None,
            "secret-user": secret_user,
            "password": password,
        },
    )


def clear_answer(app_bag: WritableBag) -> None:
    """Take the server's side back, for a client that must not have it (any more)."""
    keys = ("hostname", "hosts", "ssl_port", "ssl_ca", "secret-user", "password")
    put(app_bag, dict.fromkeys(keys))


def read_answer(app_bag: Bag, secrets: Secrets, request: Request) -> Answer | NotReady:
    """Read the server's application databag.

    Args:
        app_bag: The databag.
        secrets: Reads a secret.
        request: What this client has asked for; servers do not repeat it.
    """
    names = app_bag.get("hosts", "") or app_bag.get("hostname", "")
    secret_id, password = app_bag.get("secret-user", ""), app_bag.get("password", "")
    if not names or not (secret_id or password):
        return NotReady("the virtual host is being prepared")
    hosts = tuple(name.strip().strip("[]") for name in names.split(",") if name.strip())
    if not hosts or not all(_HOST.fullmatch(host) or _is_ipv6(host) for host in hosts):
        return NotReady("the message broker's host names are malformed")
    port = app_bag.get("ssl_port", "") or str(PORT)
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        return NotReady("the message broker's port is malformed")
    ca = _pem(app_bag.get("ssl_ca", ""))
    if ca is None:
        return NotReady("the message broker's CA is malformed")
    user: Mapping[str, str] | None = {"username": request.username, "password": password}
    if secret_id:
        user = secrets(secret_id)
    if user is None or not user.get("username") or not user.get("password"):
        return NotReady("the message broker's credentials cannot be read yet")
    return Answer(
        hosts=hosts,
        port=int(port),
        vhost=request.vhost,
        username=user["username"],
        password=user["password"],
        tls=bool(app_bag.get("ssl_port")),
        ca=ca,
    )


def transport_url(answer: Answer, ca_file: str = "") -> str:
    """Return the `transport_url` of oslo.messaging, which takes TLS from the URL, too.

    Options of `[oslo_messaging_rabbit]` in the query win over those in the file, and stay with the
    URL where a service stores it (Nova's cells).

    Args:
        answer: The servers and the user.
        ca_file: Where the service has the answer's CA; "" leaves the server unverified.
    """
    user = f"{quote(answer.username, safe='')}:{quote(answer.password, safe='')}"
    hosts = (f"[{host}]" if _is_ipv6(host) else host for host in answer.hosts)
    where = ",".join(f"{user}@{host}:{answer.port}" for host in hosts)
    query = ""
    if answer.tls:
        query = "?ssl=true" + (f"&ssl_ca_file={quote(ca_file)}" if ca_file else "")
    return f"rabbit://{where}/{quote(answer.vhost, safe='')}{query}"


def oslo_messaging_rabbit() -> dict[str, bool | int]:
    """Return the options of `[oslo_messaging_rabbit]` by which nothing hangs on one server.

    Every queue is replicated and fanouts are streams. Streams want a prefetch count: without it,
    services with native threads do not start. Queues for replies are named by the host and the name
    of the program, so each program on a host needs a name of its own: under uwsgi all would have
    one, and take each other's replies.
    """
    return {
        "rabbit_quorum_queue": True,
        "rabbit_transient_quorum_queue": True,
        "rabbit_stream_fanout": True,
        "rabbit_qos_prefetch_count": 1,
        "use_queue_manager": True,
    }


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except AddressValueError:
        return False
    return True


def _pem(text: str) -> str | None:
    """PEM from PEM or, as older charms of this interface write it, its base64; None for neither."""
    if not text or "-----BEGIN " in text:
        return text
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return decoded if "-----BEGIN " in decoded else None
