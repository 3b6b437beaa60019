"""What Keystone's database says, read with a few SELECTs: asking the API instead costs a login on each hook."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak_charm.effects import Connection

SERVICE_DOMAIN = "service_domain"
SERVICE_PROJECT = "services"


@dataclass(frozen=True)
class Records:
    """The part of the identity data that this charm keeps.

    Attributes:
        domains: Ids by name.
        projects: Ids by domain id and name.
        users: Ids by domain id and name, of the domains that this charm keeps.
        roles: Ids of global roles by name.
        grants: (user id, project id, role id).
        services: Ids by type and name.
        endpoints: (id, URL) by service id, interface and region.
    """

    domains: Mapping[str, str] = field(default_factory=dict[str, str])
    projects: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    users: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    grants: frozenset[tuple[str, str, str]] = frozenset()
    services: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    endpoints: Mapping[tuple[str, str, str], tuple[str, str]] = field(
        default_factory=dict[tuple[str, str, str], tuple[str, str]]
    )


def own_urls(connection: "Connection", region: str) -> dict[str, str]:
    """URLs of Keystone's own endpoints by interface."""
    rows = connection.query(
        "SELECT e.interface, e.url FROM endpoint e JOIN service s ON s.id = e.service_id"
        " WHERE s.type = 'identity' AND e.region_id = %s",
        region,
    )
    return {str(interface): str(url) for interface, url in rows}


def encrypted_otherwise(connection: "Connection", digest: str) -> int:
    """Number of stored credentials that another key than this one encrypted."""
    rows = connection.query("SELECT COUNT(*) FROM credential WHERE key_hash <> %s", digest)
    return int(str(rows[0][0]))


def read(connection: "Connection") -> Records:
    """Read the records."""
    domains: dict[str, str] = {}
    projects: dict[tuple[str, str], str] = {}
    # A domain is a project that is marked as one.
    rows = connection.query(
        "SELECT id, name, domain_id, is_domain FROM project WHERE is_domain = 1 OR name IN (%s, %s)",
        "admin",
        SERVICE_PROJECT,
    )
    for project_id, name, domain_id, is_domain in rows:
        if is_domain:
            domains[str(name)] = str(project_id)
        else:
            projects[str(domain_id), str(name)] = str(project_id)
    service_domain = domains.get(SERVICE_DOMAIN, "")
    service_project = projects.get((service_domain, SERVICE_PROJECT), "")
    users = connection.query(
        "SELECT user_id, domain_id, name FROM local_user WHERE domain_id = %s"
        " OR (domain_id = 'default' AND name = 'admin')",
        service_domain,
    )
    roles = connection.query("SELECT id, name FROM role WHERE domain_id = '<<null>>'")
    grants = connection.query(
        "SELECT actor_id, target_id, role_id FROM assignment"
        " WHERE type = 'UserProject' AND target_id = %s",
        service_project,
    )
    services = connection.query("SELECT id, type, extra FROM service")
    endpoints = connection.query(
        "SELECT id, service_id, interface, region_id, url FROM endpoint WHERE region_id IS NOT NULL"
    )
    return Records(
        domains=domains,
        projects=projects,
        users={(str(domain), str(name)): str(user) for user, domain, name in users},
        roles={str(name): str(role) for role, name in roles},
        grants=frozenset((str(a), str(t), str(r)) for a, t, r in grants),
        services={(str(kind), _name(extra)): str(service) for service, kind, extra in services},
        endpoints={
            (str(service), str(interface), str(region)): (str(endpoint), str(url))
            for endpoint, service, interface, region, url in endpoints
        },
    )


def _name(extra: object) -> str:
    import json

    try:
        value = json.loads(str(extra))
    except ValueError:
        return ""
    return str(value.get("name", "")) if isinstance(value, dict) else ""
