"""What Keystone gives its clients: a user each, entries in the catalogue, facts, certificates.

A service user is a generation, as a database user is: its number is the revision of the secret that
carries it and the last part of its name. Older ones stay until nobody tracks their revision.
"""

import dataclasses
import json
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import keystone as workload
import ops
import records
from identity import Client, Keeper, parse, username

from daybreak_charm import (
    RETRY,
    Context,
    DatabaseAddress,
    DaybreakCharm,
    Outcome,
    Ready,
    Waiting,
    urls,
)
from daybreak_charm.context import bare
from daybreak_charm.effects import DatabaseUnreachableError
from daybreak_interfaces import NotReady, certificate_transfer, keystone, keystone_credentials

ADMIN = "admin"
ENDPOINTS = {"identity-service": "service-credentials", "identity-credentials": "credentials"}
UNUSED = "unused"
"""Key in the application's peer databag: the newest generation that nobody uses, by relation id."""


class RefusedError(RuntimeError):
    """Keystone did not do what a rotation needs; the text names no secret."""


def publish(context: Context, inputs: workload.Inputs, database: DatabaseAddress) -> Outcome:
    """Give every client its user, its endpoints and the facts about Keystone (leader only)."""
    publish_certificates(context)
    from api import ApiError

    keeper = make_keeper(context, inputs, database)
    try:
        for domain in inputs.domains:
            keeper.domain(domain.domain)
        publish_clients(context, inputs, keeper)
    except ApiError as error:
        return Waiting(f"Keystone did not do what was asked ({error})", RETRY)
    return Ready()


def publish_certificates(context: Context) -> None:
    """Hand the certificates on that clients must trust."""
    relations = context.relations("send-ca-cert")
    if not relations:
        return
    certificate = context.certificate
    pems = certificate_transfer.split_pem(certificate.ca if certificate else "")
    for answer in context.needs["receive-ca-cert"]:
        pems += answer.certificates
    for relation in relations:
        certificate_transfer.write_v1(relation.data[context.charm.app], pems)
        certificate_transfer.write_v0(relation.data[context.charm.unit], pems)


def make_keeper(context: Context, inputs: workload.Inputs, database: DatabaseAddress) -> Keeper:
    """What brings Keystone's records to what is wanted; it logs in when there is something to do."""
    with context.effects.connect(database) as connection:
        found = records.read(connection)
    from api import Api

    def connect() -> Api:
        certificate = context.certificate
        assert certificate is not None  # the certificate's gate is open
        return Api(context.fqdn, workload.PORT, certificate.ca, inputs.admin_password)

    return Keeper(found, connect)


@dataclass(frozen=True)
class Wish:
    """A relation whose application has said what it needs.

    Attributes:
        relation: The relation.
        key: Key of its secret's id in our databag.
        service: What it offers; None of a client without an entry in the catalogue.
    """

    relation: ops.Relation
    key: str
    service: keystone.Request | None

    def new(self, generation: int) -> dict[str, str]:
        """Credentials of a generation, as a secret holds them."""
        app = self.relation.app.name if self.relation.app else "unknown"
        return {
            "username": username(app, self.relation.id, generation),
            "password": secrets.token_urlsafe(24),
        }

    def client(self, context: Context, content: Mapping[str, str]) -> Client:
        """What Keystone must hold for it."""
        service = self.service
        extra = service.extra_roles if service else ()
        admin_role = str(context.config["admin-role"])
        roles = tuple(dict.fromkeys((admin_role, "service", *extra)))
        client = Client(content["username"], content["password"], roles)
        if service is None:
            return client
        return dataclasses.replace(client, region=service.region, endpoints=service.endpoints)


def wishes(context: Context) -> Iterator[Wish]:
    """Both kinds of clients, those that have described themselves."""
    for relation in context.relations("identity-service"):
        service = keystone.read_request(context.remote_app(relation))
        if not isinstance(service, NotReady):
            yield Wish(relation, "service-credentials", service)
    for relation in context.relations("identity-credentials"):
        if not isinstance(
            keystone_credentials.read_request(context.remote_app(relation)), NotReady
        ):
            yield Wish(relation, "credentials", None)


def publish_clients(context: Context, inputs: workload.Inputs, keeper: Keeper) -> None:
    """Serve the clients, then delete the users that nobody needs any more."""
    newest: dict[int, int] = {}
    policy = str(context.config["user-rotation"])
    rotating: list[str] = []
    for wish in wishes(context):
        relation = wish.relation
        known_id = context.grant(relation, wish.key, None)
        content = context.secret(known_id) if known_id else wish.new(1)
        if content is None:
            # Its users stay, and it is served when its secret can be read again.
            continue
        user_id = keeper.client(wish.client(context, content))
        if user := parse(content["username"]):
            newest[relation.id] = user.generation
        # Only now: an id without its user must not be seen.
        secret_id = context.grant(relation, wish.key, content, rotate=policy) or ""
        rotating.append(secret_id)
        answer = relation.data[context.charm.app]
        known = facts(context, inputs, keeper)
        if wish.service:
            keystone.write_answer(
                answer,
                known,
                service_user_id=user_id,
                credentials=secret_id,
                processed_extra_roles=wish.service.extra_roles,
            )
        else:
            keystone_credentials.write_answer(answer, known, credentials=secret_id)
    related = {r.id for name in ENDPOINTS for r in context.relations(name)}
    keeper.forget(lambda user: kept(context, user, related, newest))
    context.rotates(policy, *rotating)


def kept(context: Context, name: str, related: Collection[int], newest: Mapping[int, int]) -> bool:
    """Whether a user stays: it is of a relation, not from the future, and somebody may use it."""
    user = parse(name)
    if user is None or user.relation not in related:
        return False
    dead: dict[str, int] = json.loads(context.peer_app.get(UNUSED, "{}"))
    last = newest.get(user.relation, user.generation)
    return dead.get(str(user.relation), 0) < user.generation <= last


def rotate(
    charm: DaybreakCharm,
    address: Callable[[workload.Inputs], DatabaseAddress],
    *,
    application: str | None = None,
    secret_id: str | None = None,
) -> list[str]:
    """Make the next generation of service users (leader only); the applications that get it.

    Args:
        charm: The charm.
        address: Where the database of some inputs is.
        application: Only those of this one.
        secret_id: Only those in this secret.

    Raises:
        RefusedError: Keystone did not make the users; nothing has changed then.
    """
    context = charm.context
    charm.ask()
    from api import ApiError

    wanted: list[tuple[Wish, str]] = []
    for wish in wishes(context):
        found = context.grant(wish.relation, wish.key, None)
        if not found or application not in (None, wish.relation.app.name):
            continue
        if secret_id is None or bare(secret_id) == bare(found):
            wanted.append((wish, found))
    if not wanted:
        return []
    if not isinstance(charm.inputs, workload.Inputs) or context.certificate is None:
        raise RefusedError("Keystone is not set up yet")
    try:
        keeper = make_keeper(context, charm.inputs, address(charm.inputs))
        for wish, found in wanted:
            revision = context.charm.model.get_secret(id=found).get_info().revision
            content = wish.new(revision + 1)
            keeper.client(wish.client(context, content))
            context.set_secret(found, content)
    except (ApiError, DatabaseUnreachableError) as error:
        raise RefusedError(str(error)) from None
    context.new_generation()
    return [wish.relation.app.name for wish, _ in wanted]


def note_unused(context: Context, secret_id: str, revision: int) -> None:
    """Remember that nobody tracks a revision, or one before it, any more (leader only).

    The users are deleted by the loop, also when Keystone does not answer just now.
    """
    dead: dict[str, int] = json.loads(context.peer_app.get(UNUSED, "{}"))
    for name, key in ENDPOINTS.items():
        for relation in context.relations(name):
            found = context.grant(relation, key, None)
            if found and bare(found) == bare(secret_id):
                dead[str(relation.id)] = max(revision, dead.get(str(relation.id), 0))
    context.put_peer_app(**{UNUSED: json.dumps(dead, sort_keys=True) if dead else None})


def facts(context: Context, inputs: workload.Inputs, keeper: Keeper) -> keystone.Facts:
    """What Keystone says of itself."""
    service_domain = keeper.domain(records.SERVICE_DOMAIN)
    default = keeper.records.domains.get("Default", "default")
    internal = urlsplit(inputs.internal_url)
    return keystone.Facts(
        internal=keystone.Address(
            internal.hostname or "",
            internal.port or urls.DEFAULT_PORTS.get(internal.scheme, 443),
            internal.scheme,
        ),
        auth=keystone.Address(context.service_fqdn, workload.PORT, "https"),
        internal_auth_url=f"{inputs.internal_url}/v3",
        public_auth_url=f"{inputs.public_url}/v3",
        admin_domain=keystone.Named("Default", default),
        admin_project=keystone.Named(ADMIN, keeper.records.projects.get((default, ADMIN), "")),
        admin_user=keystone.Named(ADMIN, keeper.records.users.get((default, ADMIN), "")),
        service_domain=keystone.Named(records.SERVICE_DOMAIN, service_domain),
        service_project=keystone.Named(
            records.SERVICE_PROJECT, keeper.project(service_domain, records.SERVICE_PROJECT)
        ),
        region=inputs.region,
        admin_role=str(context.config["admin-role"]),
    )
