"""The relations that OpenStack's services have in common, as ready-made needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import ops

from daybreak_charm import sizing, urls
from daybreak_charm.context import Context
from daybreak_charm.description import Need
from daybreak_interfaces import (
    NotReady,
    certificate_transfer,
    ingress,
    keystone,
    keystone_credentials,
    memcached,
    mysql_client,
    rabbitmq,
)

AMQP = "amqp"
CACHE = "cache"
CREDENTIALS = "identity-credentials"
IDENTITY = "identity-service"
INTERNAL = "ingress-internal"
PUBLIC = "ingress-public"
TRUSTED = "receive-ca-cert"
VHOST = "openstack"
"""Virtual host of the message queue that all services share (reference: the existing charms' default)."""


def database(name: str, endpoint: str = "database", extra: tuple[str, ...] = ()) -> Need:
    """A database of one's own, a `mysql_client.Answer`; further ones are for the same user."""
    wanted = mysql_client.Request(name, extra_databases=extra)

    def request(context: Context, relation: ops.Relation) -> None:
        if context.leader:
            bag = relation.data[context.charm.app]
            mysql_client.write_request(bag, wanted, alias=endpoint)

    def read(context: Context, relation: ops.Relation) -> mysql_client.Answer | NotReady:
        return mysql_client.read_answer(context.remote_app(relation), context.secret)

    return Need(endpoint, read, request)


def messaging(username: str, vhost: str = VHOST, endpoint: str = AMQP) -> Need:
    """A user of the message queue, a `rabbitmq.Answer`."""
    wanted = rabbitmq.Request(username, vhost)

    def request(context: Context, relation: ops.Relation) -> None:
        if context.leader:
            bag = relation.data[context.charm.app]
            rabbitmq.write_request(bag, wanted)

    def read(context: Context, relation: ops.Relation) -> rabbitmq.Answer | NotReady:
        return rabbitmq.read_answer(context.remote_app(relation), context.secret, wanted)

    return Need(endpoint, read, request)


def cache() -> Need:
    """Servers of memcached, a `memcached.Answer`; a cloud works without."""

    def read(context: Context, relation: ops.Relation) -> memcached.Answer | NotReady:
        return memcached.read_answer(context.remote_app(relation), context.remote_units(relation))

    return Need(CACHE, read, required=False)


def trusted() -> Need:
    """Certificates of other authorities that clients must trust, a tuple of answers."""

    def request(context: Context, relation: ops.Relation) -> None:
        if context.leader:
            certificate_transfer.write_request(relation.data[context.charm.app])

    def read(context: Context, relation: ops.Relation) -> certificate_transfer.Answer:
        return certificate_transfer.read_answer(
            context.remote_app(relation), context.remote_units(relation)
        )

    return Need(TRUSTED, read, request, required=False, many=True)


def health(port: int) -> ingress.HealthCheck:
    """How a gateway asks an API under uwsgi: a listener of its own, without TLS."""
    return ingress.HealthCheck("/", port=port, scheme="http")


def route(
    endpoint: str,
    port: int,
    check: ingress.HealthCheck,
    suffix: str = "",
    *,
    strip: bool = False,
    size: Callable[[Context], sizing.ApiSize] | None = None,
) -> Need:
    """A URL at the gateway, without a slash at its end.

    The gateway passes its path on: the service answers there and puts it into its links.

    Args:
        endpoint: Name of the relation's endpoint.
        port: Port of the service, by TLS.
        check: How the gateway asks for its health.
        suffix: What tells a second API of an application from its first, such as `-metadata`.
        strip: Whether the gateway takes the path off instead, for a service that cannot be told of it.
        size: Size of a service that works on so many requests at the same time, as an API under uwsgi does; others
            wait in the gateway.
    """

    def request(context: Context, relation: ops.Relation) -> None:
        concurrency = size(context).concurrency if size else None
        server = ingress.Server(context.fqdn, context.bind_address, concurrency)
        ingress.write_unit(relation.data[context.charm.unit], server)
        if context.leader:
            wanted = ingress.Request(
                context.model,
                context.app + suffix,
                port,
                scheme="https",
                strip_prefix=strip,
                healthcheck=check,
            )
            ingress.write_request(relation.data[context.charm.app], wanted)

    def read(context: Context, relation: ops.Relation) -> str | NotReady:
        return ingress.read_answer(context.remote_app(relation))

    return Need(endpoint, read, request, required=False)


@dataclass(frozen=True)
class Urls:
    """Where a service is reached, without a slash at the end.

    Attributes:
        internal: By other services.
        public: By users.
        prefix: Path that the gateway passes on, known before it answers, so that its answer restarts
            nothing.
        settled: Whether every gateway that is related has answered; the service's own address stands
            in until then.
    """

    internal: str
    public: str
    prefix: str
    settled: bool = True


def addresses(
    context: Context, port: int, routes: tuple[str, ...] = (INTERNAL, PUBLIC), suffix: str = ""
) -> Urls:
    """URLs of a service; it asks the relations themselves, so that it may be called before the gates.

    Args:
        context: This dispatch.
        port: Port of the service.
        routes: Endpoints of the relations with gateways: for services, and for users; none for what the
            cluster alone may ask.
        suffix: As in `route`.
    """
    service = urls.url("https", context.service_fqdn, port)
    answers = {
        endpoint: ingress.read_answer(context.remote_app(relation))
        for endpoint in routes
        for relation in context.relations(endpoint)
    }
    found = {key: url for key, url in answers.items() if isinstance(url, str)}
    inside = (found.get(routes[0]) if routes else None) or service
    outside = found.get(routes[-1]) if routes else None
    prefix = urls.path_of(inside) or f"/{context.model}-{context.app}{suffix}"
    return Urls(inside, outside or inside, prefix, settled=found == answers)


@dataclass(frozen=True)
class Entry:
    """What a service is called in the catalogue.

    Attributes:
        service: Name.
        type: Type, such as `image`.
        description: For people.
        path: Put behind its URLs, such as `/v2.1`.
    """

    service: str
    type: str
    description: str
    path: str = ""


def identity(
    entries: tuple[Entry, ...],
    where: Callable[[Context], Urls],
    extra_roles: tuple[str, ...] = (),
) -> Need:
    """A service user and entries in the catalogue, a `keystone.Answer`."""

    def request(context: Context, relation: ops.Relation) -> None:
        if not context.leader or not (found := where(context)).settled:
            return
        endpoints = tuple(
            keystone.Endpoint(
                entry.service,
                entry.type,
                entry.description,
                internal_url=found.internal + entry.path,
                public_url=found.public + entry.path,
                admin_url=found.internal + entry.path,
            )
            for entry in entries
        )
        region = str(context.config["region"])
        wanted = keystone.Request(region, endpoints, extra_roles)
        keystone.write_request(relation.data[context.charm.app], wanted)

    def read(context: Context, relation: ops.Relation) -> keystone.Answer | NotReady:
        return keystone.read_answer(context.remote_app(relation), context.secret)

    return Need(IDENTITY, read, request, late=True)


def credentials() -> Need:
    """A user without an entry in the catalogue, a `keystone_credentials.Answer`."""

    def request(context: Context, relation: ops.Relation) -> None:
        if context.leader:
            wanted = keystone_credentials.Request(context.app)
            keystone_credentials.write_request(relation.data[context.charm.app], wanted)

    def read(context: Context, relation: ops.Relation) -> keystone_credentials.Answer | NotReady:
        return keystone_credentials.read_answer(context.remote_app(relation), context.secret)

    return Need(CREDENTIALS, read, request)


def account() -> Need:
    """The same as a `keystone.Answer`, for those who log in with it."""
    asked = credentials()

    def read(context: Context, relation: ops.Relation) -> keystone.Answer | NotReady:
        found = asked.read(context, relation)
        if not isinstance(found, keystone_credentials.Answer):
            return found if isinstance(found, NotReady) else NotReady("there is no user yet")
        return keystone.Answer(
            found.internal_url,
            found.public_url,
            found.username,
            found.password,
            user_domain=found.user_domain,
            project=found.project,
            project_domain=found.project_domain,
            region=found.region,
        )

    return replace(asked, read=read)


def answers(needs: Mapping[str, object]) -> tuple[certificate_transfer.Answer, ...]:
    """The value of `trusted` among a context's needs."""
    found = needs.get(TRUSTED)
    return found if isinstance(found, tuple) else ()  # pyright: ignore[reportUnknownVariableType]
