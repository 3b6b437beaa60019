"""What Keystone must hold for its clients: made where it is missing, by the API, from what the records say."""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from records import SERVICE_DOMAIN, SERVICE_PROJECT, Records

from daybreak_interfaces import keystone

if TYPE_CHECKING:
    from api import Api

PREFIX = "svc_"


@dataclass(frozen=True)
class Client:
    """What one relation must find in Keystone.

    Attributes:
        username: Its user in the service domain.
        password: Its password.
        roles: Its roles on the service project.
        region: Region of its endpoints.
        endpoints: Its catalogue entries.
    """

    username: str
    password: str = field(repr=False)
    roles: tuple[str, ...]
    region: str = ""
    endpoints: tuple[keystone.Endpoint, ...] = ()


@dataclass(frozen=True)
class User:
    """What the name of a service user says."""

    relation: int
    generation: int


def username(app: str, relation: int, generation: int) -> str:
    """Name of a generation of a relation's user."""
    return f"{PREFIX}{app.replace('-', '_')}_r{relation}_g{generation}"


def parse(name: str) -> User | None:
    """Read the name of a service user; None for any other."""
    found = re.fullmatch(rf"{PREFIX}.+_r(\d+)_g(\d+)", name)
    return User(int(found[1]), int(found[2])) if found else None


class Keeper:
    """Brings the records to what clients need. Ids that are made are added to the records.

    Args:
        records: What is there.
        api: Makes the client for changes; called only when there is one to make.
    """

    def __init__(self, records: Records, api: "Callable[[], Api]"):
        self.records = records
        self._make_api = api
        self._api: Api | None = None

    @property
    def api(self) -> "Api":
        """The client, logged in on its first use."""
        if self._api is None:
            self._api = self._make_api()
        return self._api

    def domain(self, name: str) -> str:
        """Id of a domain."""
        found = self.records.domains.get(name)
        if found is None:
            found = self.api.create("domain", {"name": name, "enabled": True})
            self._note(domains={**self.records.domains, name: found})
        return found

    def project(self, domain: str, name: str) -> str:
        """Id of a project."""
        found = self.records.projects.get((domain, name))
        if found is None:
            found = self.api.create("project", {"name": name, "domain_id": domain})
            self._note(projects={**self.records.projects, (domain, name): found})
        return found

    def role(self, name: str) -> str:
        """Id of a role."""
        found = self.records.roles.get(name)
        if found is None:
            found = self.api.create("role", {"name": name})
            self._note(roles={**self.records.roles, name: found})
        return found

    def client(self, client: Client) -> str:
        """Bring one client's user, roles and endpoints about; the user's id."""
        domain = self.domain(SERVICE_DOMAIN)
        project = self.project(domain, SERVICE_PROJECT)
        user = self.records.users.get((domain, client.username))
        if user is None:
            values = {
                "name": client.username,
                "password": client.password,
                "domain_id": domain,
                "default_project_id": project,
            }
            user = self.api.create("user", values)
            self._note(users={**self.records.users, (domain, client.username): user})
        for name in client.roles:
            role = self.role(name)
            if (user, project, role) not in self.records.grants:
                self.api.grant(user, project, role)
        for endpoint in client.endpoints:
            self._endpoint(endpoint, client.region)
        return user

    def _endpoint(self, wanted: keystone.Endpoint, region: str) -> None:
        service = self.records.services.get((wanted.type, wanted.service_name))
        if service is None:
            values = {
                "type": wanted.type,
                "name": wanted.service_name,
                "description": wanted.description,
            }
            service = self.api.create("service", values)
            services = {**self.records.services, (wanted.type, wanted.service_name): service}
            self._note(services=services)
        for interface, url in (
            ("internal", wanted.internal_url),
            ("public", wanted.public_url),
            ("admin", wanted.admin_url),
        ):
            found = self.records.endpoints.get((service, interface, region))
            if found is None:
                # A region that an endpoint names is made with it.
                values = {
                    "service_id": service,
                    "interface": interface,
                    "region": region,
                    "url": url,
                }
                self.api.create("endpoint", values)
            elif found[1] != url:
                self.api.update("endpoint", found[0], {"url": url})

    def forget(self, kept: Callable[[str], bool]) -> None:
        """Delete the service users that are not kept."""
        domain = self.records.domains.get(SERVICE_DOMAIN)
        for (where, name), user in self.records.users.items():
            if where == domain and name.startswith(PREFIX) and not kept(name):
                self.api.delete("user", user)

    def _note(self, **changes: Any) -> None:
        self.records = dataclasses.replace(self.records, **changes)
