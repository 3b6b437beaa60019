"""Virtual hosts and users of the related applications, as the node and the databags have them.

An application that reads secrets gets users by generations (`daybreak_charm.credentials`). Any other
one gets the user that it names, with a password in its databag, as the interface has it.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import broker
import erlang
import rabbitmq
from ops import Relation, Secret

from daybreak_charm import Context, credentials
from daybreak_charm.context import bare
from daybreak_interfaces import NotReady
from daybreak_interfaces import rabbitmq as interface

logger = logging.getLogger(__name__)

ENDPOINT = "amqp"
SECRET = "secret-user"  # noqa: S105 - the key of a secret's id in the databag, not a secret
SERVICE_ACCOUNTS = "service-accounts"


class UnreadableError(RuntimeError):
    """A secret of our own cannot be read for now."""


@dataclass(frozen=True)
class Client:
    """A relation whose application has named what it may have."""

    relation: Relation
    request: interface.Request


def _problem(request: interface.Request) -> str:
    try:
        rabbitmq.check_vhost(request.vhost)
        if not request.reads_secrets:
            known = credentials.parse(request.username) is not None
            rabbitmq.check_user(request.username, generation=known)
    except rabbitmq.InvalidError as error:
        return str(error)
    return ""


def _requests(context: Context) -> Iterator[Client]:
    for relation in sorted(context.relations(ENDPOINT), key=lambda relation: relation.id):
        request = interface.read_request(context.remote_app(relation))
        if not isinstance(request, NotReady):
            yield Client(relation, request)


def clients(context: Context) -> list[Client]:
    """Return the relations to serve, in the order of their ids."""
    return [client for client in _requests(context) if not _problem(client.request)]


def hint(context: Context) -> str:
    """Return what the operator should know of the relations; "" for nothing."""
    said = [
        f"refused to {client.relation.app.name}: {problem}"
        for client in _requests(context)
        if (problem := _problem(client.request))
    ]
    plain = sorted({c.relation.app.name for c in clients(context) if not c.request.reads_secrets})
    if plain:
        said.append(f"plain password in the databag of {', '.join(plain)}")
    return "; ".join(said)


def publish(context: Context, state: broker.State, ca: str) -> None:
    """Bring the accounts and the databags to what the relations ask for (leader only).

    Raises:
        BrokerError: the node did not answer or refused; nothing is published then.
        UnreadableError: a secret of our own cannot be read.
    """
    serving = clients(context)
    secret = {c.relation.id: _credentials(context, c) for c in serving if c.request.reads_secrets}
    plain = _plain_passwords(context, serving)
    wanted = [
        _account(secret[c.relation.id], c.request.vhost) for c in serving if c.request.reads_secrets
    ]
    vhosts: dict[str, set[str]] = {}
    for client in serving:
        if not client.request.reads_secrets:
            vhosts.setdefault(client.request.username, set()).add(client.request.vhost)
    wanted += [
        rabbitmq.Account(name, frozenset(found), rabbitmq.password_hash(plain[name]))
        for name, found in vhosts.items()
    ]
    wanted += [
        rabbitmq.Account(
            account["username"],
            frozenset(account["vhosts"]),
            rabbitmq.password_hash(account["password"]),
        )
        for account in service_accounts(context)
        if account["username"] not in vhosts
    ]
    apply(context, rabbitmq.changes(wanted, _kept(context, state, secret), state.accounts))
    _answer(context, serving, secret, plain, ca)


def _answer(
    context: Context,
    serving: list[Client],
    secret: dict[int, dict[str, str]],
    plain: dict[str, str],
    ca: str,
) -> None:
    rotating: list[str] = []
    policy = str(context.config["rotation"])
    units = tuple(context.unit_fqdn(f"{context.app}/{n}") for n in range(context.planned))
    for client in serving:
        bag = client.relation.data[context.charm.app]
        if client.request.reads_secrets:
            content = secret[client.relation.id]
            found = context.grant(client.relation, SECRET, content, rotate=policy) or ""
            rotating.append(found)
            interface.write_answer(
                bag,
                hostname=context.service_fqdn,
                hosts=units,
                tls_port=rabbitmq.TLS_PORT,
                ca=ca,
                secret_user=found,
            )
        else:
            interface.write_answer(
                bag,
                hostname=context.service_fqdn,
                hosts=units,
                tls_port=None if context.config["plaintext"] else rabbitmq.TLS_PORT,
                ca=ca,
                password=plain[client.request.username],
            )
    context.rotates(policy, *rotating)


def apply(context: Context, changes: rabbitmq.Changes) -> None:
    """Bring changes about.

    Raises:
        BrokerError: the node did not answer or refused.
    """
    if changes.nothing:
        return
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    definitions = {
        "vhosts": [
            {"name": name, "metadata": {"default_queue_type": "quorum", "tags": []}}
            for name in changes.vhosts
        ],
        "users": [
            {
                "name": account.user,
                "password_hash": account.password_hash,
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": [erlang.TAG],
            }
            for account in changes.accounts
        ],
        "permissions": [
            {"user": account.user, "vhost": vhost, **everything}
            for account in changes.accounts
            for vhost in sorted(account.vhosts)
        ],
    }
    revoke = [list(pair) for pair in changes.revoke]
    broker.tell(
        context,
        erlang.ACCOUNTS,
        {"definitions": definitions, "revoke": revoke, "drop": list(changes.drop)},
    )


def rotate(
    context: Context, application: str | None = None, secret_id: str | None = None
) -> list[str]:
    """Make the next generation of credentials, and return the applications that get it.

    Args:
        context: This dispatch.
        application: Only those of this one.
        secret_id: Only those in this secret.

    Raises:
        BrokerError: the node did not take the new users; nothing has changed then.
    """
    found: list[tuple[Client, str, dict[str, str]]] = []
    for client in clients(context):
        known = client.relation.data[context.charm.app].get(SECRET)
        if (
            not known
            or application not in (None, client.relation.app.name)
            or (secret_id and bare(secret_id) != bare(known))
        ):
            continue
        revision = context.charm.model.get_secret(id=known).get_info().revision
        content = credentials.content(client.relation.app.name, client.relation.id, revision + 1)
        found.append((client, known, content))
    if found:
        inventory = broker.ask(context).accounts
        wanted = [_account(content, client.request.vhost) for client, _, content in found]
        apply(context, rabbitmq.changes(wanted, inventory.ours, inventory))
        for _, known, content in found:
            context.set_secret(known, content)
        context.new_generation()
    return [client.relation.app.name for client, _, _ in found]


def drop_unused(context: Context, secret: Secret, revision: int) -> None:
    """Drop the users of a revision that nobody tracks any more, and of those before it.

    Raises:
        BrokerError: the node did not take it.
    """
    for relation in context.relations(ENDPOINT):
        secret_id = relation.data[context.charm.app].get(SECRET)
        if not secret_id or bare(secret_id) != bare(secret.id or ""):
            continue
        unused = [
            user
            for user in broker.ask(context).accounts.ours
            if (known := credentials.parse(user))
            and known.relation == relation.id
            and known.generation <= revision
        ]
        apply(context, rabbitmq.Changes(drop=tuple(sorted(unused))))


def service_account(context: Context, username: str, vhost: str) -> dict[str, str]:
    """Return a user for somebody outside of the model; it is made by the next run of the loop.

    Raises:
        InvalidError: the names may not be used.
        UnreadableError: the secret of such users cannot be read.
    """
    rabbitmq.check_vhost(vhost)
    rabbitmq.check_user(username, generation=credentials.parse(username) is not None)
    if any(c.request.username == username for c in clients(context) if not c.request.reads_secrets):
        raise rabbitmq.InvalidError(f"{username} is the user of a related application")
    known = {account["username"]: account for account in service_accounts(context)}
    account = known.get(
        username, {"username": username, "password": credentials.new_password(), "vhosts": []}
    )
    if vhost not in account["vhosts"]:
        account = {**account, "vhosts": sorted({*account["vhosts"], vhost})}
        content = {"accounts": json.dumps(list({**known, username: account}.values()))}
        if secret_id := context.app_secret(SERVICE_ACCOUNTS):
            context.set_secret(secret_id, content)
        else:
            context.app_secret(SERVICE_ACCOUNTS, content)
    return {"username": username, "password": account["password"], "vhost": vhost}


def service_accounts(context: Context) -> list[dict[str, Any]]:
    """Return the users that were given to somebody outside of the model.

    Raises:
        UnreadableError: their secret cannot be read.
    """
    secret_id = context.app_secret(SERVICE_ACCOUNTS)
    if not secret_id:
        return []
    content = context.secret(secret_id)
    if content is None:
        raise UnreadableError("the secret of service accounts cannot be read")
    return json.loads(content["accounts"])


def _kept(context: Context, state: broker.State, secret: dict[int, dict[str, str]]) -> set[str]:
    """Users of ours that stay although nobody asks for them now."""
    related = {relation.id for relation in context.relations(ENDPOINT)}
    newest = {relation: content["username"] for relation, content in secret.items()}
    kept = {name for name in state.accounts.ours if credentials.is_kept(name, newest, related)}
    silent = related - {client.relation.id for client in clients(context)}
    if silent:
        # Which of those with a name of their own is theirs, cannot be told.
        kept |= {name for name in state.accounts.ours if credentials.parse(name) is None}
    return kept


def _plain_passwords(context: Context, serving: list[Client]) -> dict[str, str]:
    """Password by user, for those in plain text; the databags themselves are where they are kept."""
    found: dict[str, str] = {}
    for client in serving:
        if not client.request.reads_secrets:
            known = client.relation.data[context.charm.app].get("password")
            if known or client.request.username not in found:
                found[client.request.username] = known or credentials.new_password()
    return found


def _credentials(context: Context, client: Client) -> dict[str, str]:
    secret_id = client.relation.data[context.charm.app].get(SECRET)
    if not secret_id:
        return credentials.content(client.relation.app.name, client.relation.id, 1)
    content = context.secret(secret_id)
    if content is None:
        # Making another one would lock the client out, for a fault that may pass.
        raise UnreadableError(f"the secret of relation {client.relation.id} cannot be read")
    return dict(content)


def _account(content: dict[str, str], vhost: str) -> rabbitmq.Account:
    return rabbitmq.Account(
        content["username"], frozenset({vhost}), rabbitmq.password_hash(content["password"])
    )
