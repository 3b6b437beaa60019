"""HAProxy's configuration, made from the routes alone."""

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from daybreak_charm import Drain, File, Folder, Process, drain, online, sizing, up, urls
from daybreak_interfaces import ingress

HTTPS_PORT = 443
HTTP_PORT = 80
HEALTH_PORT = 8404
CONF = "/etc/haproxy"
PEM = f"{CONF}/gateway.pem"
CA = f"{CONF}/ca.pem"
DRAIN = Drain(drain.DETECTION, drain.LIMIT, signal="SIGUSR1")
"""USR1: close the listeners, end when the last request has its answer."""

# What comes from databags and stands in the configuration: nothing that could end a word.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_PATH = re.compile(r"/[A-Za-z0-9._~%/?=&-]*\Z")


@dataclass(frozen=True)
class Route:
    """One application behind the gateway.

    Attributes:
        request: What it asked for.
        servers: Its units, sorted by their stable names.
    """

    request: ingress.Request
    servers: tuple[ingress.Server, ...]

    @property
    def name(self) -> str:
        """The route's name, which is its path without the slash."""
        return f"{self.request.model}-{self.request.name}"

    @property
    def path(self) -> str:
        """Its path."""
        return f"/{self.name}"


@dataclass(frozen=True)
class Inputs:
    """Everything that decides how the gateway runs.

    Attributes:
        program: HAProxy's path.
        version: Its version.
        user: User that the workers run as.
        pem: Private key, certificate and chain.
        ca: PEMs that the units' certificates are verified with.
        routes: What is routed, by name.
        gateways: Units of this gateway, which share what an application's unit can work on.
        ipv6: Whether the unit's address is of IPv6.
    """

    program: str
    version: str
    user: str
    pem: str = field(repr=False)
    ca: str = field(repr=False)
    routes: tuple[Route, ...] = ()
    gateways: int = 1
    ipv6: bool = False


def route(request: ingress.Request, servers: Iterable[ingress.Server]) -> Route | None:
    """A route, None when what was asked for cannot stand in a configuration."""
    check = request.healthcheck
    if not (_NAME.match(request.model) and _NAME.match(request.name)):
        return None
    if request.scheme not in ("http", "https", "h2c") or (check and not _PATH.match(check.path)):
        return None
    good = {
        host: dataclasses.replace(server, host=host)
        for server in servers
        if _NAME.match(server.host) and (host := server.host.rstrip("."))
    }
    return Route(request, tuple(good[host] for host in sorted(good)))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms"


def _share(concurrency: int | None, gateways: int) -> str:
    """Words that let requests wait here for a unit that has its hands full.

    There they would wait for a worker to greet them, and while one is not greeted, its time to connect runs out.
    Here they go to whichever unit is free first.
    """
    return f" maxconn {-(-concurrency // gateways)}" if concurrency else ""


def _backend(route: Route, gateways: int) -> list[str]:
    request = route.request
    lines = [f"backend {route.name}"]
    if request.strip_prefix:
        lines += [
            f"    http-request set-header X-Forwarded-Prefix {route.path}",
            rf"    http-request replace-path ^{re.escape(route.path)}/?(.*)$ /\1",
        ]
    check = request.healthcheck
    words = "check"
    if check:
        lines += [
            "    option httpchk",
            f"    http-check send meth GET uri {check.path} ver HTTP/1.1 hdr Host localhost",
            "    http-check expect status 200-299",
        ]
        secure = (check.scheme or request.scheme) == "https"
        if check.port:
            words += f" port {int(check.port)}"
        words += " check-ssl" if secure else " no-check-ssl"
    for server in route.servers:
        host, tls = server.host, ""
        if request.scheme == "https":
            tls = f" ssl verify required ca-file {CA} sni str({host}) verifyhost {host}"
            tls += f" check-sni {host}" if "no-check-ssl" not in words else ""
        elif request.scheme == "h2c":
            tls = " proto h2"
        where = urls.host_port(host, request.port)
        share = _share(server.concurrency, gateways)
        lines.append(f"    server {host.partition('.')[0]} {where} {words}{share}{tls}")
    return [*lines, ""]


def config(inputs: Inputs) -> str:
    """The configuration file."""
    bind = ":::" if inputs.ipv6 else ":"
    both = " v4v6" if inputs.ipv6 else ""
    choices = [
        f"    use_backend {r.name} if {{ path {r.path} }} or {{ path_beg {r.path}/ }}"
        for r in inputs.routes
    ]
    lines = [
        "global",
        f"    user {inputs.user}",
        f"    group {inputs.user}",
        "    log stdout format raw local0 notice",
        # After a reload the old workers finish what they have, this long at most. When the unit leaves, the drain
        # ends them earlier. No `grace`: they would listen beside the new ones, with the old configuration.
        f"    hard-stop-after {sizing.GATEWAY_TIMEOUT}s",
        "    ssl-default-bind-options ssl-min-ver TLSv1.2",
        "    ssl-default-server-options ssl-min-ver TLSv1.2",
        "",
        "resolvers cluster",
        "    parse-resolv-conf",
        "    accepted_payload_size 8192",
        "    resolve_retries 2",
        "    timeout resolve 1s",
        "    timeout retry 1s",
        "    hold valid 1s",
        # A unit that is being replaced has no name for a while: keep its last address meanwhile.
        "    hold nx 30s",
        "    hold other 30s",
        "    hold refused 30s",
        "    hold timeout 30s",
        "    hold obsolete 5s",
        "",
        "defaults",
        "    mode http",
        "    log global",
        "    option dontlognull",
        "    option dontlog-normal",
        "    option httplog",
        "    option forwardfor",
        f"    timeout connect {sizing.CONNECT_TIMEOUT}s",
        f"    timeout client {sizing.GATEWAY_TIMEOUT}s",
        f"    timeout server {sizing.GATEWAY_TIMEOUT}s",
        "    timeout http-request 30s",
        "    timeout http-keep-alive 30s",
        # Who leaves, or is replaced by a reload, closes a connection with the answer to its next request. Closed
        # while idle it could be in the moment in which a request is sent.
        "    option idle-close-on-response",
        f"    timeout queue {sizing.DATABASE_TIMEOUT}s",
        f"    timeout tunnel {sizing.LONG_TIMEOUT}s",
        f"    timeout check {_ms(drain.CHECK_TIMEOUT)}",
        "    balance leastconn",
        # On another unit: connections that were not accepted, and requests that a unit took down with it if they
        # only read (RFC 9110, 9.2.2). No other request runs twice.
        "    retries 3",
        "    retry-on conn-failure empty-response",
        "    option redispatch 1",
        # Who has gone does not wait any more: what little time there is goes to those who do.
        "    option abortonclose",
        # What an application asks for is not heard: that units drain in time depends on these.
        f"    default-server init-addr last,libc,none resolvers cluster inter {_ms(drain.CHECK_INTERVAL)}"
        f" fastinter {_ms(drain.CHECK_FAST)} fall {drain.CHECK_FALL} rise 1",
        "",
        "frontend health",
        f"    bind {bind}{HEALTH_PORT}{both}",
        "    monitor-uri /",
        "",
        "frontend plain",
        f"    bind {bind}{HTTP_PORT}{both}",
        "    http-request redirect scheme https code 308",
        "",
        "frontend apis",
        f"    bind {bind}{HTTPS_PORT}{both} ssl crt {PEM} alpn h2,http/1.1",
        "    http-request disable-l7-retry unless { method GET HEAD OPTIONS }",
        # Nobody but the gateway says where a request came from.
        "    http-request del-header X-Forwarded-Prefix",
        "    http-request set-header X-Forwarded-Proto https",
        "    http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        *choices,
        "    default_backend nothing",
        "",
        "backend nothing",
        '    http-request return status 404 content-type text/plain string "no such API\\n"',
        "",
    ]
    for item in inputs.routes:
        lines += _backend(item, inputs.gateways)
    return "\n".join(lines)


def render(inputs: Inputs) -> list[File | Folder]:
    """HAProxy's files; it starts as root, reads them and becomes its own user."""
    return [
        File(PEM, inputs.pem, mode=0o600, on_change="reload"),
        File(CA, inputs.ca, on_change="reload"),
        File(f"{CONF}/haproxy.cfg", config(inputs), on_change="reload"),
    ]


def processes(inputs: Inputs) -> list[Process]:
    """A master that starts new workers on SIGUSR2 and hands them the listeners."""
    health = f"http://127.0.0.1:{HEALTH_PORT}/"
    return [
        Process(
            "gateway",
            f"{inputs.program} -W -db -f {CONF}/haproxy.cfg",
            checks=(online(http=health), up(http=health)),
            reload="SIGUSR2",
            drain=DRAIN,
        )
    ]
