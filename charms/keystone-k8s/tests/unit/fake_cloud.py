"""Keystone with its database and API, and its clients, as the charm's tests see them."""

import json
from pathlib import Path
from typing import Any

import charm
from ops import testing

from daybreak_charm.testing import SqliteDatabase, TestCA, mounts

CA = TestCA()
HEADS = ["742c857f1dfb", "c88cdce8f248"]
LAYOUT = {
    "project": "keystone",
    "release": "2026.1",
    "version": "29.0.0",
    "user": "keystone",
    "bin": "/opt/openstack/bin",
    "heads": {"keystone": HEADS},
    "revisions": {"keystone": ["27e647c0fad4", *HEADS]},
}
TABLES = """
CREATE TABLE alembic_version (version_num TEXT);
CREATE TABLE project (id TEXT, name TEXT, domain_id TEXT, is_domain INT);
CREATE TABLE local_user (user_id TEXT, domain_id TEXT, name TEXT);
CREATE TABLE role (id TEXT, name TEXT, domain_id TEXT DEFAULT '<<null>>');
CREATE TABLE assignment (type TEXT, actor_id TEXT, target_id TEXT, role_id TEXT);
CREATE TABLE service (id TEXT, type TEXT, extra TEXT);
CREATE TABLE endpoint (id TEXT, service_id TEXT, interface TEXT, region_id TEXT, url TEXT);
"""


class Cloud:
    """Keystone as its database and its API show it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.database = SqliteDatabase()
        self.calls: list[tuple[str, str]] = []
        self.context = testing.Context(charm.KeystoneCharm, charm_root=Path(__file__).parents[2])

    def migrate(self) -> None:
        self.database.script(TABLES)
        for head in HEADS:
            self.database.execute("INSERT INTO alembic_version VALUES (%s)", head)
        once = self.folder / "run/once"
        once.mkdir(parents=True, exist_ok=True)
        (once / "migrate-keystone.code").write_text("0\n")

    def bootstrap(self, url: str = "https://keystone-k8s.openstack.svc.cluster.local:5000") -> None:
        run = self.database.execute
        run("INSERT INTO project VALUES ('default', 'Default', '<<root>>', 1)")
        run("INSERT INTO project VALUES ('p1', 'admin', 'default', 0)")
        run("INSERT INTO local_user VALUES ('u1', 'default', 'admin')")
        for role in ("admin", "service", "member"):
            run("INSERT INTO role (id, name) VALUES (%s, %s)", f"r-{role}", role)
        run("INSERT INTO service VALUES ('s1', 'identity', %s)", '{"name": "keystone"}')
        for name in ("admin", "internal", "public"):
            run(
                "INSERT INTO endpoint VALUES (%s, 's1', %s, 'RegionOne', %s)",
                f"e-{name}",
                name,
                f"{url}/v3",
            )

    # The API, as far as the charm uses it: what it makes shows in the database.
    def create(self, kind: str, values: dict[str, Any]) -> str:
        name = str(values.get("name", values.get("interface")))
        self.calls.append((kind, name))
        new = f"{kind}-{len(self.calls)}"
        run = self.database.execute
        if kind == "domain":
            run("INSERT INTO project VALUES (%s, %s, '<<root>>', 1)", new, name)
        elif kind == "project":
            run("INSERT INTO project VALUES (%s, %s, %s, 0)", new, name, values["domain_id"])
        elif kind == "user":
            run("INSERT INTO local_user VALUES (%s, %s, %s)", new, values["domain_id"], name)
        elif kind == "role":
            run("INSERT INTO role (id, name) VALUES (%s, %s)", new, name)
        elif kind == "service":
            extra = json.dumps({"name": name})
            run("INSERT INTO service VALUES (%s, %s, %s)", new, values["type"], extra)
        elif kind == "endpoint":
            row = (new, values["service_id"], name, values["region"], values["url"])
            run("INSERT INTO endpoint VALUES (%s, %s, %s, %s, %s)", *row)
        return new

    def grant(self, user: str, project: str, role: str) -> None:
        self.calls.append(("grant", role))
        run = self.database.execute
        run("INSERT INTO assignment VALUES ('UserProject', %s, %s, %s)", user, project, role)

    def update(self, kind: str, thing: str, values: dict[str, Any]) -> None:
        self.calls.append(("update", thing))
        self.database.execute("UPDATE endpoint SET url = %s WHERE id = %s", values["url"], thing)

    def delete(self, kind: str, thing: str) -> None:
        self.calls.append(("delete", thing))
        self.database.execute("DELETE FROM local_user WHERE user_id = %s", thing)

    def container(self, **changes: Any) -> testing.Container:
        where = mounts(self.folder, LAYOUT, etc="/etc")
        execs = {testing.Exec(["/opt/openstack/bin/keystone-manage"])}
        return testing.Container("keystone", can_connect=True, mounts=where, execs=execs, **changes)

    def state(self, *relations: Any, **changes: Any) -> testing.State:
        """Everything but the answers of Keystone itself is there."""
        secret = testing.Secret({"username": "k1", "password": "db-s3cret"}, owner=None)
        bag = {"database": "keystone", "endpoints": "db.example:3306", "secret-user": secret.id}
        asked = self.context.run(
            self.context.on.update_status(),
            testing.State(
                leader=True,
                model=testing.Model(name="openstack"),
                planned_units=1,
                containers={self.container()},
                relations={
                    testing.PeerRelation("peers"),
                    testing.Relation("database", remote_app_data=bag),
                    testing.Relation("certificates"),
                    *relations,
                },
                secrets={secret},
                **changes,
            ),
        )
        return CA.answer(asked)

    def run(self, state: testing.State) -> testing.State:
        return self.context.run(self.context.on.update_status(), state)


def client(**changes: str) -> testing.Relation:
    endpoint = {
        "service_name": "placement",
        "type": "placement",
        "description": "OpenStack Placement API",
        "internal_url": "https://internal/p",
        "public_url": "https://public/p",
        "admin_url": "https://internal/p",
    }
    bag = {"region": "RegionOne", "service-endpoints": json.dumps([endpoint]), **changes}
    return testing.Relation(
        "identity-service", remote_app_name="placement-k8s", remote_app_data=bag
    )
