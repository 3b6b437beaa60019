"""Databases and users of the related applications, as the server and the databags have them.

A credential is a generation: its number is the revision of the secret that carries it, and the last
part of the user's name. The newest one is in the secret, older ones stay until nobody tracks their
revision any more.
"""

import logging
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import mariadb
import ops
import proxy
from ops import pebble

from daybreak_charm import Context
from daybreak_charm.context import bare
from daybreak_interfaces import NotReady, mysql_client

logger = logging.getLogger(__name__)

ENDPOINT = "database"
CONTAINER = "mariadb"
SECRET = "secret-user"  # noqa: S105 - the key of a secret's id in the databag, not a secret


class ServerError(RuntimeError):
    """The server did not take a statement; the text has its error number and nothing of the SQL."""


class UnreadableError(RuntimeError):
    """A secret of our own cannot be read for now."""


@dataclass(frozen=True)
class Client:
    """A relation whose application has named databases that it may have, its main one first."""

    relation: ops.Relation
    databases: tuple[str, ...]


def new_password() -> str:
    """Return a password with 256 bits of entropy, safe in a URL."""
    return secrets.token_urlsafe(32)


def refused(context: Context) -> str:
    """Return why databases are refused, for the operator; "" when none is."""
    reasons: list[str] = []
    for relation in context.relations(ENDPOINT):
        try:
            _databases(context, relation)
        except mariadb.InvalidError as error:
            reasons.append(f"refused to {relation.app.name}: {error}")
    return "; ".join(reasons)


def clients(context: Context) -> Iterator[Client]:
    """Yield the relations to serve, in the order of their ids."""
    for relation in sorted(context.relations(ENDPOINT), key=lambda relation: relation.id):
        try:
            databases = _databases(context, relation)
        except mariadb.InvalidError:
            continue
        if databases:
            yield Client(relation, databases)


def _databases(context: Context, relation: ops.Relation) -> tuple[str, ...]:
    """The databases that a relation asks for; none before it has."""
    request = mysql_client.read_request(context.remote_app(relation))
    if isinstance(request, NotReady):
        return ()
    databases = (request.database, *request.extra_databases)
    for database in databases:
        mariadb.check_database(database)
    return databases


def publish(context: Context, ca: str) -> None:
    """Bring the server's accounts and the databags to what the relations ask for (leader only).

    Raises:
        ServerError: the server did not answer or refused; nothing is published then.
        UnreadableError: a secret of our own cannot be read.
    """
    wanted: list[tuple[Client, dict[str, str]]] = [
        (client, _credentials(context, client)) for client in clients(context)
    ]
    inventory = mariadb.parse_inventory(run(context, mariadb.INVENTORY_SQL))
    newest = {client.relation.id: content["username"] for client, content in wanted}
    # A relation that says nothing for now keeps its users.
    related = {relation.id for relation in context.relations(ENDPOINT)}
    statements = mariadb.statements(
        [_account(client.databases, content) for client, content in wanted],
        [user for user in inventory.users if _is_kept(user, newest, related)],
        inventory,
    )
    if statements:
        run(context, "\n".join(statements))
    rotating: list[str] = []
    policy = str(context.config["rotation"])
    for client, content in wanted:
        secret_user = context.grant(client.relation, SECRET, content, rotate=policy) or ""
        rotating.append(secret_user)
        secret_tls = context.grant(client.relation, "secret-tls", {"tls": "True", "tls-ca": ca})
        mysql_client.write_answer(
            client.relation.data[context.charm.app],
            database=client.databases[0],
            endpoints=(f"{context.service_fqdn}:{proxy.PORT}",),
            secret_user=secret_user,
            secret_tls=secret_tls,
            version=inventory.version,
        )
    context.rotates(policy, *rotating)


def rotate(
    context: Context, application: str | None = None, secret_id: str | None = None
) -> list[str]:
    """Make the next generation of credentials, and return the applications that get it.

    Args:
        context: This dispatch.
        application: Only those of this one.
        secret_id: Only those in this secret.

    Raises:
        ServerError: the server did not take the new users; nothing has changed then.
    """
    rotated: list[tuple[str, dict[str, str]]] = []
    statements: list[str] = []
    names: list[str] = []
    inventory = mariadb.parse_inventory(run(context, mariadb.INVENTORY_SQL))
    for client in clients(context):
        found = client.relation.data[context.charm.app].get(SECRET)
        if (
            not found
            or application not in (None, client.relation.app.name)
            or (secret_id and bare(secret_id) != bare(found))
        ):
            continue
        revision = context.charm.model.get_secret(id=found).get_info().revision
        content = _content(client, revision + 1)
        rotated.append((found, content))
        names.append(client.relation.app.name)
        account = _account(client.databases, content)
        statements += mariadb.statements([account], inventory.users, inventory)
    if statements:
        run(context, "\n".join(statements))
    for found, content in rotated:
        context.set_secret(found, content)
    if rotated:
        context.new_generation()
    return names


def drop_unused(context: Context, secret: ops.Secret, revision: int) -> None:
    """Drop the users of a revision that nobody tracks any more, and of those before it.

    Raises:
        ServerError: the server did not take it.
    """
    for relation in context.relations(ENDPOINT):
        secret_id = relation.data[context.charm.app].get(SECRET)
        if not secret_id or bare(secret_id) != bare(secret.id or ""):
            continue
        inventory = mariadb.parse_inventory(run(context, mariadb.INVENTORY_SQL))
        keep = [
            user
            for user in inventory.users
            if (known := _parse(user)) is None
            or known.relation != relation.id
            or known.generation > revision
        ]
        if statements := mariadb.statements([], keep, inventory):
            run(context, "\n".join(statements))


def run(context: Context, sql: str) -> str:
    """Run SQL as root over the local socket and return the answer.

    It goes in over standard input: an argument could be seen in the list of processes.

    Raises:
        ServerError: the server did not answer or refused.
    """
    process = context.container(CONTAINER).exec(list(mariadb.CLIENT_COMMAND), stdin=sql, timeout=30)
    try:
        return process.wait_output()[0]
    except pebble.ExecError as error:
        number = re.search(r"ERROR (\d+)", str(error.stderr or ""))
        text = f"the server refused with error {number[1] if number else error.exit_code}"
        # The original holds the statement: it must not get into a log by a traceback.
        raise ServerError(text) from None
    except (pebble.ChangeError, TimeoutError):
        raise ServerError("the server did not answer in time") from None


def _credentials(context: Context, client: Client) -> dict[str, str]:
    secret_id = client.relation.data[context.charm.app].get(SECRET)
    if not secret_id:
        return _content(client, 1)
    content = context.secret(secret_id)
    if content is None:
        # Making another one would lock the client out, for a fault that may pass.
        raise UnreadableError(f"the secret of relation {client.relation.id} cannot be read")
    return dict(content)


def _content(client: Client, generation: int) -> dict[str, str]:
    user = mariadb.user_name(client.relation.app.name, client.relation.id, generation)
    return {"username": user, "password": new_password()}


def _account(databases: tuple[str, ...], content: dict[str, str]) -> mariadb.Account:
    return mariadb.Account(
        content["username"], databases, mariadb.password_hash(content["password"])
    )


def _is_kept(user: str, newest: dict[int, str], related: set[int]) -> bool:
    """Whether a user stays beside the newest ones: it is of a relation, and not from the future.

    A generation above the newest is what a rotation left that did not end well.
    """
    known = _parse(user)
    if known is None or known.relation not in related:
        return False
    current = _parse(newest.get(known.relation, ""))
    return current is None or known.generation <= current.generation


def _parse(user: str) -> mariadb.User | None:
    try:
        return mariadb.parse_user(user)
    except mariadb.InvalidError:
        return None
