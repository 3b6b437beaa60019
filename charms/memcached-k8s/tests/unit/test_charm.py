"""The charm as a whole: state in, state out."""

import json
from collections.abc import Callable
from pathlib import Path

import charm
import pytest
from ops import testing

from daybreak_charm.testing import assert_idempotent, quiet_effects

Ctx = testing.Context[charm.MemcachedCharm]
MakeState = Callable[..., testing.State]


@pytest.fixture
def ctx(monkeypatch: pytest.MonkeyPatch) -> Ctx:
    monkeypatch.setattr(charm.MemcachedCharm, "effects", quiet_effects())
    return testing.Context(charm.MemcachedCharm)


@pytest.fixture
def make_state(tmp_path: Path) -> MakeState:
    layout = tmp_path / "layout.json"
    layout.write_text(
        json.dumps({"project": "memcached", "version": "1.6.38", "user": "cache", "bin": "/opt"})
    )
    container = testing.Container(
        "memcached",
        can_connect=True,
        mounts={"layout": testing.Mount(location="/usr/share/daybreak/layout.json", source=layout)},
    )

    def make(**changes: object) -> testing.State:
        relations = {
            testing.PeerRelation("peers"),
            testing.Relation("cache", remote_app_name="keystone"),
        }
        return testing.State(
            **{
                "containers": {container},
                "relations": relations,
                "planned_units": 1,
                **changes,
            }
        )

    return make


def test_it_runs_as_the_image_says_and_tells_its_stable_name(ctx: Ctx, make_state: MakeState):
    out = ctx.run(ctx.on.config_changed(), make_state(config={"memory": 100}, leader=True))
    service = out.get_container("memcached").plan.services["memcached"]
    assert service.command.startswith("/opt/memcached ")
    assert "-m 100" in service.command
    assert service.user == "cache"
    host = f"memcached-k8s-0.memcached-k8s-endpoints.{out.model.name}.svc.cluster.local"
    assert out.get_relations("cache")[0].local_unit_data["server"] == f"{host}:11211"
    assert out.get_relations("cache")[0].local_app_data["servers"] == f"{host}:11211"
    assert out.opened_ports == {testing.TCPPort(11211)}
    assert out.workload_version == "1.6.38"
    assert out.unit_status == testing.ActiveStatus()


def test_the_second_run_changes_nothing(ctx: Ctx, make_state: MakeState):
    assert_idempotent(ctx, ctx.on.update_status(), make_state())


def test_too_little_memory_blocks_and_says_what_to_set(ctx: Ctx, make_state: MakeState):
    out = ctx.run(ctx.on.config_changed(), make_state(config={"memory": 10}))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "64 MiB or more" in out.unit_status.message


def test_it_waits_for_its_container(ctx: Ctx, make_state: MakeState):
    out = ctx.run(ctx.on.config_changed(), make_state(containers={testing.Container("memcached")}))
    assert isinstance(out.unit_status, testing.WaitingStatus)
    assert "server" not in out.get_relations("cache")[0].local_unit_data


def test_a_unit_that_leaves_says_nothing(ctx: Ctx, make_state: MakeState):
    out = ctx.run(ctx.on.update_status(), make_state(planned_units=0))
    assert "server" not in out.get_relations("cache")[0].local_unit_data
