"""Sections that OpenStack's configuration files have in common, made from what the relations said."""

from collections.abc import Mapping
from urllib.parse import quote_plus

from daybreak_charm import ini, sizing, urls
from daybreak_interfaces import keystone, mysql_client, rabbitmq

Section = dict[str, ini.Value]


def database_url(answer: mysql_client.Answer, ca: str | None, name: str | None = None) -> str:
    """SQLAlchemy's URL of a database.

    Args:
        answer: Where it is.
        ca: Path of the file with the authorities that are trusted.
        name: Another database on the same server.
    """
    host, port = urls.split_host_port(answer.endpoints[0], 3306)
    user = f"{quote_plus(answer.username)}:{quote_plus(answer.password)}"
    tls = f"&ssl_ca={ca}" if answer.tls_ca and ca else ""
    where = urls.host_port(host, port)
    return f"mysql+pymysql://{user}@{where}/{name or answer.database}?charset=utf8mb4{tls}"


def database(answer: mysql_client.Answer, size: sizing.ApiSize, ca: str | None) -> Section:
    """Options of oslo.db."""
    return {
        "connection": database_url(answer, ca),
        "max_pool_size": size.pool_size,
        "max_overflow": size.max_overflow,
        "pool_timeout": sizing.DATABASE_TIMEOUT,
        # Shorter than what servers and proxies allow an idle connection.
        "connection_recycle_time": 280,
    }


def messaging(answer: rabbitmq.Answer, ca: str) -> dict[str, Section]:
    """Options of oslo.messaging: replicated queues, and streams in place of a queue for each listener.

    The name of a process, a part of its reply queue's, is that of its program.
    """
    return {
        "DEFAULT": {
            "transport_url": rabbitmq.transport_url(answer, ca),
            "rpc_response_timeout": sizing.RPC_TIMEOUT,
        },
        "oslo_messaging_rabbit": dict(rabbitmq.oslo_messaging_rabbit()),
        # Nobody listens to notifications unless telemetry is there.
        "oslo_messaging_notifications": {"driver": "noop"},
    }


def endpoint(region: str, ca: str) -> Section:
    """Options of keystoneauth for a service that asks others with the token of a user."""
    return {"region_name": region, "valid_interfaces": ["internal"], "cafile": ca}


def client(identity: keystone.Answer | None, region: str, ca: str) -> Section:
    """Options of keystoneauth for a service that asks others, as itself."""
    return {**login(identity, ca), **endpoint(region, ca)}


def service_user(identity: keystone.Answer | None, ca: str) -> Section:
    """Options for tokens that go along with a user's, so that long work outlives that one."""
    return {**login(identity, ca), "send_service_user_token": True}


def token_check(identity: keystone.Answer, region: str, cache: tuple[str, ...], ca: str) -> Section:
    """Options of the middleware that checks users' tokens."""
    return {
        **login(identity, ca),
        "www_authenticate_uri": identity.public_auth_url,
        "region_name": region,
        "interface": "internal",
        "memcached_servers": list(cache) or None,
        "service_token_roles": ["service"],
        "service_token_roles_required": True,
    }


def login(identity: keystone.Answer | None, ca: str) -> Section:
    """Options of keystoneauth for logging in as the service; none before there is a user."""
    if identity is None:
        return {}
    return {
        "auth_type": "password",
        "auth_url": identity.auth_url,
        "username": identity.username,
        "password": identity.password,
        "user_domain_name": identity.user_domain,
        "project_name": identity.project,
        "project_domain_name": identity.project_domain,
        "cafile": ca,
    }


def joined(*parts: Mapping[str, Mapping[str, ini.Value]]) -> dict[str, Section]:
    """Options of several sources, the later ones last."""
    result: dict[str, Section] = {}
    for part in parts:
        result = ini.merge(result, part)
    return result
