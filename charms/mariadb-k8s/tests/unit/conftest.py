"""A unit that has its certificate, and a client that wants a database."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import accounts
import charm
import pytest
from fake_server import FakeServer
from ops import testing
from states import INVENTORY, NOW, certify

from daybreak_charm.testing import quiet_effects

Ctx = testing.Context[charm.MariadbCharm]
MakeState = Callable[..., testing.State]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    fake = FakeServer()
    monkeypatch.setattr(accounts, "run", fake.run)
    return fake


@pytest.fixture
def ctx(monkeypatch: pytest.MonkeyPatch) -> Ctx:
    monkeypatch.setattr(charm.MariadbCharm, "effects", quiet_effects(now=NOW.timestamp()))
    return testing.Context(charm.MariadbCharm)


def mount(location: str, source: Path) -> testing.Mount:
    source.parent.mkdir(parents=True, exist_ok=True)
    if not source.suffix:
        source.mkdir(exist_ok=True)
    return testing.Mount(location=location, source=source)


@pytest.fixture
def containers(tmp_path: Path) -> set[testing.Container]:
    layout = tmp_path / "layout.json"
    layout.write_text(json.dumps({"project": "mariadb", "version": "11.8.6", "user": "mysql"}))
    limit = tmp_path / "limit.txt"
    limit.write_text(f"{2**30}\n")
    (tmp_path / "storage" / "data").mkdir(parents=True)
    shared = {"layout": mount("/usr/share/daybreak/layout.json", layout)}
    server = testing.Container(
        "mariadb",
        can_connect=True,
        mounts={
            **shared,
            "limit": mount("/sys/fs/cgroup/memory.max", limit),
            "storage": mount("/var/lib/mysql", tmp_path / "storage"),
            "etc": mount("/etc/mysql", tmp_path / "etc"),
            "run": mount("/run", tmp_path / "run"),
        },
        execs={
            testing.Exec(["mariadb"], stdout=INVENTORY),
            testing.Exec(["chown"]),
            testing.Exec(["install"]),
            testing.Exec(["chmod"]),
        },
    )
    proxy = testing.Container(
        "proxy",
        can_connect=True,
        mounts={
            "etc": mount("/etc/haproxy", tmp_path / "proxy-etc"),
            "run": mount("/run", tmp_path / "proxy-run"),
        },
    )
    return {server, proxy}


@pytest.fixture
def make_state(containers: set[testing.Container], ctx: Ctx) -> MakeState:
    """States of a unit that has its certificate and a client that wants a database."""

    def make(database: str = "keystone", **changes: object) -> testing.State:
        state = testing.State(
            leader=True,
            planned_units=1,
            containers=containers,
            relations={
                testing.PeerRelation("peers"),
                testing.Relation("certificates", remote_app_name="certificates"),
                testing.Relation(
                    "database",
                    id=7070,
                    remote_app_name="keystone",
                    remote_app_data={"database": database},
                ),
            },
        )
        return dataclasses.replace(certify(ctx.run(ctx.on.config_changed(), state)), **changes)

    return make
