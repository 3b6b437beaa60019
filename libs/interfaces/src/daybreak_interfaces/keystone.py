"""Interface `keystone` (`identity-service`): a service user and catalogue entries."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from daybreak_interfaces._common import (
    Bag,
    NotReady,
    Secrets,
    WritableBag,
    list_of,
    load_json,
    mappings_of,
    put,
)


@dataclass(frozen=True)
class Endpoint:
    """One service for the catalogue, with its URLs."""

    service_name: str
    type: str
    description: str
    internal_url: str
    public_url: str
    admin_url: str


@dataclass(frozen=True)
class Request:
    """What a service asks for.

    Attributes:
        region: Region of its endpoints.
        endpoints: Its catalogue entries; may be empty.
        extra_roles: Roles that its user needs beside the usual ones.
    """

    region: str
    endpoints: tuple[Endpoint, ...]
    extra_roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Named:
    """A thing of Keystone with its name and id."""

    name: str
    id: str


@dataclass(frozen=True)
class Address:
    """Host, port and protocol of an endpoint."""

    host: str
    port: int
    protocol: str


@dataclass(frozen=True)
class Facts:
    """What Keystone says of itself to every client.

    Attributes:
        internal: Address for clients in the cluster.
        auth: Address of a unit's own listener, `service` on the wire has the same.
        internal_auth_url: URL that ends in `/v3`.
        public_auth_url: The same for users.
        region: Keystone's own region.
    """

    internal: Address
    auth: Address
    internal_auth_url: str
    public_auth_url: str
    admin_domain: Named
    admin_project: Named
    admin_user: Named
    service_domain: Named
    service_project: Named
    region: str
    admin_role: str = "admin"
    api_version: str = "v3"


@dataclass(frozen=True)
class Answer:
    """What a service needs to use Keystone.

    Attributes:
        auth_url: Internal URL that ends in `/v3`.
        username: Name of the service user.
        password: Its password; kept out of `repr`.
    """

    auth_url: str
    public_auth_url: str
    username: str
    password: str = field(repr=False)
    user_domain: str = ""
    project: str = ""
    project_domain: str = ""
    region: str = ""
    admin_role: str = ""


def write_request(app_bag: WritableBag, request: Request) -> None:
    """Write the service's side (leader only)."""
    entries = [
        {
            "service_name": e.service_name,
            "type": e.type,
            "description": e.description,
            "internal_url": e.internal_url,
            "public_url": e.public_url,
            "admin_url": e.admin_url,
        }
        for e in request.endpoints
    ]
    put(
        app_bag,
        {
            "region": request.region,
            "service-endpoints": json.dumps(entries, sort_keys=True),
            "extra-roles": json.dumps(sorted(request.extra_roles)) if request.extra_roles else None,
        },
    )


def _endpoint(entry: Mapping[str, object]) -> Endpoint | None:
    names = ("service_name", "type", "internal_url", "public_url", "admin_url")
    texts = {name: entry.get(name) for name in names}
    if not all(isinstance(text, str) and text for text in texts.values()):
        return None
    description = entry.get("description")
    return Endpoint(
        **{name: str(text) for name, text in texts.items()},
        description=description if isinstance(description, str) else "",
    )


def read_request(app_bag: Bag) -> Request | NotReady:
    """Read the service's side."""
    region = app_bag.get("region", "")
    entries = mappings_of(load_json(app_bag, "service-endpoints"))
    if not region or entries is None:
        return NotReady("the service has not described itself")
    endpoints = [_endpoint(entry) for entry in entries]
    roles = list_of(load_json(app_bag, "extra-roles") or [], str)
    if roles is None or not all(roles):
        return NotReady("extra-roles is not a list of role names")
    if any(endpoint is None for endpoint in endpoints):
        return NotReady("a catalogue entry lacks a name, a type or a URL")
    return Request(region, tuple(e for e in endpoints if e), tuple(sorted(set(roles))))


def write_answer(
    app_bag: WritableBag,
    facts: Facts,
    *,
    service_user_id: str,
    credentials: str,
    processed_extra_roles: Iterable[str] = (),
) -> None:
    """Write Keystone's side (leader only).

    Args:
        app_bag: The databag.
        facts: What Keystone says of itself.
        service_user_id: Id of the service user.
        credentials: Id of a secret with `username` and `password`, granted before this call.
        processed_extra_roles: Roles that were granted beside the usual ones.
    """
    auth = facts.auth
    roles = sorted(processed_extra_roles)
    put(
        app_bag,
        {
            "api-version": facts.api_version,
            "auth-host": auth.host,
            "auth-port": str(auth.port),
            "auth-protocol": auth.protocol,
            "internal-host": facts.internal.host,
            "internal-port": str(facts.internal.port),
            "internal-protocol": facts.internal.protocol,
            "service-host": auth.host,
            "service-port": str(auth.port),
            "service-protocol": auth.protocol,
            "admin-domain-name": facts.admin_domain.name,
            "admin-domain-id": facts.admin_domain.id,
            "admin-project-name": facts.admin_project.name,
            "admin-project-id": facts.admin_project.id,
            "admin-user-name": facts.admin_user.name,
            "admin-user-id": facts.admin_user.id,
            "service-domain-name": facts.service_domain.name,
            "service-domain-id": facts.service_domain.id,
            "service-project-name": facts.service_project.name,
            "service-project-id": facts.service_project.id,
            "service-user-id": service_user_id,
            "internal-auth-url": facts.internal_auth_url,
            "admin-auth-url": facts.internal_auth_url,
            "public-auth-url": facts.public_auth_url,
            "service-credentials": credentials,
            "admin-role": facts.admin_role,
            "region": facts.region,
            "processed-extra-roles": json.dumps(roles) if roles else None,
        },
    )


def read_answer(app_bag: Bag, secrets: Secrets) -> Answer | NotReady:
    """Read Keystone's side."""
    secret_id = app_bag.get("service-credentials", "")
    url = app_bag.get("internal-auth-url", "")
    if not secret_id or not url:
        return NotReady("Keystone is preparing the service user")
    content = secrets(secret_id)
    if content is None or not content.get("username") or not content.get("password"):
        return NotReady("the service user's credentials cannot be read yet")
    return Answer(
        auth_url=url,
        public_auth_url=app_bag.get("public-auth-url", "") or url,
        username=content["username"],
        password=content["password"],
        user_domain=app_bag.get("service-domain-name", ""),
        project=app_bag.get("service-project-name", ""),
        project_domain=app_bag.get("service-domain-name", ""),
        region=app_bag.get("region", ""),
        admin_role=app_bag.get("admin-role", ""),
    )
