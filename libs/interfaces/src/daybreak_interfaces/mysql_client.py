"""Interface `mysql_client`: a database and a user of its own for each relation.

Wire format of the data platform's `data_interfaces` library, as mysql-k8s and mysql-router-k8s
speak it.
"""

import json
from dataclasses import dataclass, field

from daybreak_interfaces._common import Bag, NotReady, Secrets, WritableBag, list_of, load_json, put

REQUESTED_SECRETS = ("username", "password", "tls", "tls-ca", "uris")


@dataclass(frozen=True)
class Request:
    """What a client asks for.

    Attributes:
        database: Name of the database.
        requested_secrets: Fields that the client takes from secrets instead of plain text.
        extra_databases: Further databases for the same user (ours: `extra-databases`, a JSON list;
            other servers ignore it).
    """

    database: str
    requested_secrets: tuple[str, ...] = REQUESTED_SECRETS
    extra_databases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A database that can be used.

    Attributes:
        database: Name of the database.
        endpoints: `host:port` of the writer, the preferred one first.
        username: Name of the user.
        password: Its password; kept out of `repr`.
        tls_ca: PEM of the CA that signed the server's certificate; None means that the server
            offers no TLS.
        version: Version text of the server, may be empty.
    """

    database: str
    endpoints: tuple[str, ...]
    username: str
    password: str = field(repr=False)
    tls_ca: str | None = None
    version: str = ""


def write_request(app_bag: WritableBag, request: Request, *, alias: str = "database") -> None:
    """Write the client's side into its application databag (leader only)."""
    put(
        app_bag,
        {
            "database": request.database,
            "requested-secrets": json.dumps(list(request.requested_secrets)),
            "alias": alias.replace("-", "_"),
            "extra-databases": json.dumps(list(request.extra_databases))
            if request.extra_databases
            else None,
        },
    )


def read_request(app_bag: Bag) -> Request | NotReady:
    """Read the client's application databag."""
    database = app_bag.get("database", "")
    if not database:
        return NotReady("the client has not named its database")
    fields = list_of(load_json(app_bag, "requested-secrets"), str)
    extra = list_of(load_json(app_bag, "extra-databases"), str)
    return Request(database, tuple(fields or ()), tuple(extra or ()))


def write_answer(
    app_bag: WritableBag,
    *,
    database: str,
    endpoints: tuple[str, ...],
    secret_user: str,
    secret_tls: str | None = None,
    read_only_endpoints: tuple[str, ...] = (),
    version: str = "",
) -> None:
    """Write the server's side into its application databag (leader only).

    Args:
        app_bag: The databag.
        database: Echo of the requested name.
        endpoints: `host:port` of the writer.
        secret_user: Id of a secret with `username` and `password`, granted to the relation before
            this call.
        secret_tls: Id of a secret with `tls` ("True") and `tls-ca` (PEM), granted before this call.
        read_only_endpoints: `host:port` of readers.
        version: Version text of the server.
    """
    put(
        app_bag,
        {
            "database": database,
            "endpoints": ",".join(endpoints),
            "read-only-endpoints": ",".join(read_only_endpoints),
            "secret-user": secret_user,
            "secret-tls": secret_tls,
            "version": version,
        },
    )


def read_answer(app_bag: Bag, secrets: Secrets) -> Answer | NotReady:
    """Read the server's application databag.

    TLS is read from `secret-tls` and, for servers without it, from the plain keys.
    """
    endpoints = tuple(e.strip() for e in app_bag.get("endpoints", "").split(",") if e.strip())
    user_id = app_bag.get("secret-user", "")
    if not endpoints or not user_id:
        return NotReady("the database is being prepared")
    user = secrets(user_id)
    if user is None or not user.get("username") or not user.get("password"):
        return NotReady("the database's credentials cannot be read yet")
    tls: Bag = app_bag
    if tls_id := app_bag.get("secret-tls"):
        content = secrets(tls_id)
        if content is None:
            return NotReady("the database's CA cannot be read yet")
        tls = content
    enabled = tls.get("tls", "").lower() in {"true", "enabled"}
    return Answer(
        database=app_bag.get("database", ""),
        endpoints=endpoints,
        username=user["username"],
        password=user["password"],
        tls_ca=tls.get("tls-ca") or None if enabled else None,
        version=app_bag.get("version", ""),
    )
