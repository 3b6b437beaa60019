"""A cloud for the unit tests of OpenStack's charms: every relation that a service needs has answered."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak_charm.openstack.service import Service
from daybreak_charm.testing import SqliteDatabase, TestCA
from daybreak_interfaces import rabbitmq

if TYPE_CHECKING:
    from ops import testing

BIN = "/opt/openstack/bin"
PASSWORDS = ("db-s3cret", "mq-s3cret", "svc-s3cret")
"""What must never be seen in a databag, a command or a status."""


class Cloud:
    """A service's surroundings, as its charm sees them.

    Attributes:
        context: Runs events.
        database: What every connection to a database is.
        folder: Has a folder for each container, with its `etc`.
    """

    def __init__(
        self,
        charm: Any,
        root: Path,
        folder: Path,
        service: Service,
        heads: Mapping[str, Sequence[str]],
        *,
        release: str = "2026.1",
        mounts: Sequence[str] = (),
    ):
        from ops import testing

        self._service = service
        self._heads = heads
        self._release = release
        self._mounts = ("/etc", "/run/daybreak", "/usr/share/daybreak", *mounts)
        self._ca = TestCA()
        self.folder = folder
        self.database = SqliteDatabase()
        self.context = testing.Context(charm, charm_root=root)

    def migrate(self) -> None:
        """Bring the database to the image's heads."""
        self.database.script("CREATE TABLE alembic_version (version_num TEXT)")
        for head in self._heads.get(self._service.project, ()):
            self.database.execute("INSERT INTO alembic_version VALUES (%s)", head)

    def file(self, path: str, container: str | None = None) -> Path:
        """Where a file of a container is."""
        return self.folder / (container or self._service.containers[0]) / path.strip("/")

    def container(self, name: str) -> "testing.Container":
        """A container that Pebble answers for."""
        from ops import testing

        mounts: dict[str, testing.Mount] = {}
        for path in self._mounts:
            source = self.file(path, name)
            source.mkdir(parents=True, exist_ok=True)
            mounts[path.strip("/").replace("/", "-")] = testing.Mount(location=path, source=source)
        layout = {
            "project": self._service.project,
            "release": self._release,
            "version": "1.0.0",
            "user": self._service.project,
            "bin": BIN,
            "heads": self._heads,
        }
        self.file("/usr/share/daybreak/layout.json", name).write_text(json.dumps(layout))
        return testing.Container(name, can_connect=True, mounts=mounts)

    def state(self, *relations: Any, **changes: Any) -> "testing.State":
        """Everything that the service needs has answered; further relations as given."""
        from ops import testing

        secrets: list[testing.Secret] = []

        def user(name: str, password: str) -> str:
            secret = testing.Secret({"username": name, "password": password}, owner=None)
            secrets.append(secret)
            return secret.id

        found: list[Any] = [testing.PeerRelation("peers"), testing.Relation("certificates")]
        for endpoint, name in self._service.databases.items():
            bag = {
                "database": name,
                "endpoints": "db.example:3306",
                "secret-user": user("u1", PASSWORDS[0]),
            }
            found.append(testing.Relation(endpoint, remote_app_data=bag))
        if self._service.messaging:
            bag = dict[str, str]()
            rabbitmq.write_answer(
                bag,
                hostname="mq.example",
                tls_port=5671,
                ca=self._ca.ca,
                secret_user=user("q1", PASSWORDS[1]),
            )
            found.append(testing.Relation("amqp", remote_app_data=bag))
        bag = {
            "internal-auth-url": "https://internal/identity/v3",
            "public-auth-url": "https://public/identity/v3",
            "service-domain-name": "service_domain",
            "service-project-name": "services",
            "service-credentials": user("svc", PASSWORDS[2]),
            "region": "RegionOne",
        }
        found.append(testing.Relation("identity-service", remote_app_data=bag))
        asked = self.run(
            testing.State(
                leader=True,
                model=testing.Model(name="openstack"),
                planned_units=1,
                containers={self.container(name) for name in self._service.containers},
                relations={*found, *relations},
                secrets=set(secrets),
            )
        )
        return self._ca.answer(dataclasses.replace(asked, **changes))

    def run(self, state: "testing.State") -> "testing.State":
        """The state after an event."""
        return self.context.run(self.context.on.update_status(), state)

    def running(self, *relations: Any, **changes: Any) -> "testing.State":
        """A state in which the service runs."""
        state = self.state(*relations, **changes)
        self.migrate()
        return self.run(state)


def seen_secrets(state: "testing.State") -> list[str]:
    """Passwords that stand where they must not: in databags, commands, statuses."""
    bags = [(r.local_app_data, dict(getattr(r, "local_unit_data", {}))) for r in state.relations]
    commands = [service.command for c in state.containers for service in c.plan.services.values()]
    text = json.dumps([bags, commands, dataclasses.asdict(state.unit_status)], default=str)
    return [password for password in PASSWORDS if password in text]
