"""The order of hooks, against what was observed of Juju (contract 1.7 to 1.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from daybreak_engine import resolver
from daybreak_engine.model import (
    applications,
    config,
    leadership,
    relations,
    statuses,
    tasks,
    units,
    unitstate,
)
from daybreak_engine.model.operation import WorkloadEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from daybreak_engine.hooktools.context import HookContext

    from .conftest import Cloud


def test_a_first_unit_starts_in_order(cloud: Cloud) -> None:
    cloud.deploy("a")
    hooks = [line.partition(" ")[2] for line in cloud.settle()]
    assert hooks[:3] == ["install", "mates-relation-created", "leader-elected"]
    assert hooks.index("start") == hooks.index("config-changed") + 1
    assert sorted(hooks[3:]) == [
        "c1-pebble-ready",
        "config-changed",
        "data-storage-attached",
        "start",
    ]


def test_pebble_ready_comes_before_config_changed_or_after_start(
    make_cloud: Callable[..., Cloud],
) -> None:
    orders = set()
    for seed in range(12):
        cloud = make_cloud(seed)
        cloud.deploy("a")
        hooks = [line.partition(" ")[2] for line in cloud.settle()]
        orders.add(hooks.index("c1-pebble-ready") < hooks.index("config-changed"))
    assert orders == {True, False}


def test_a_seed_always_gives_the_same_order(make_cloud: Callable[..., Cloud]) -> None:
    def run(seed: int) -> list[str]:
        cloud = make_cloud(seed)
        cloud.deploy("p", 2)
        cloud.deploy("q", 2)
        cloud.integrate("p", "q")
        return cloud.settle()

    assert run(1) == run(1)
    assert len({tuple(run(seed)) for seed in range(5)}) > 1


def test_scale_down_runs_relations_then_stop_then_remove(cloud: Cloud) -> None:
    cloud.deploy("p", 2)
    cloud.deploy("q", 2)
    cloud.integrate("p", "q")
    cloud.settle()
    with cloud.store.transaction() as tx:
        applications.set_scale(tx, "p", 1)
    lines = cloud.settle()
    assert [entry for entry in lines if entry.startswith("p/1")] == [
        "p/1 data-storage-detaching",
        "p/1 out-relation-departed q/0 p/1",
        "p/1 out-relation-departed q/1 p/1",
        "p/1 out-relation-broken",
        "p/1 mates-relation-departed p/0 p/1",
        "p/1 stop",
        "p/1 remove",
    ]
    assert {entry for entry in lines if not entry.startswith("p/1")} == {
        "p/0 mates-relation-departed p/1 p/1",
        "q/0 inp-relation-departed p/1 p/1",
        "q/1 inp-relation-departed p/1 p/1",
    }
    assert units.find(cloud.store.read(), "p/1") is None


def test_a_unit_of_the_same_name_begins_with_an_empty_databag(cloud: Cloud) -> None:
    cloud.deploy("p", 2)
    relation = relations.of(cloud.store.read(), "p")[0]
    cloud.settle()
    with cloud.store.transaction() as tx:
        relations.change_databag(tx, relation.id, "p/1", {"old": "1"})
    cloud.settle()
    for scale in (1, 2):
        with cloud.store.transaction() as tx:
            applications.set_scale(tx, "p", scale)
        cloud.settle()
        cloud.run_pods()
    cloud.settle()
    assert "old" not in relations.databag(cloud.store.read(), relation.id, "p/1").settings
    assert [o.name for o in cloud.of("p/1")].count("install") == 2


def test_remove_relation_departs_then_breaks_and_the_relation_goes(cloud: Cloud) -> None:
    cloud.deploy("p")
    cloud.deploy("q", 2)
    relation = cloud.integrate("p", "q")
    cloud.settle()
    with cloud.store.transaction() as tx:
        relations.destroy(tx, relation.id)
    lines = cloud.settle()
    assert [entry for entry in lines if entry.startswith("p/0")] == [
        "p/0 out-relation-departed q/0 q/0",
        "p/0 out-relation-departed q/1 q/1",
        "p/0 out-relation-broken",
    ]
    assert relation.id not in {r.id for r in relations.all_(cloud.store.read())}
    assert cloud.integrate("p", "q").id > relation.id


def test_remove_application_ends_everything_of_it(cloud: Cloud) -> None:
    cloud.deploy("p", 2)
    cloud.deploy("q")
    cloud.integrate("p", "q")
    cloud.settle()
    with cloud.store.transaction() as tx:
        applications.destroy(tx, "p")
    cloud.settle()
    assert applications.find(cloud.store.read(), "p") is None
    assert [r.peer for r in relations.all_(cloud.store.read())] == [True]


def test_app_data_is_told_before_joined_and_never_at_version_zero(cloud: Cloud) -> None:
    cloud.deploy("p")
    relation = None
    cloud.settle()
    cloud.deploy("q")
    relation = cloud.integrate("p", "q")
    with cloud.store.transaction() as tx:
        relations.change_databag(tx, relation.id, "p", {"k": "v"})
    cloud.settle()
    told = [o for o in cloud.of("q/0") if o.relation_id == relation.id]
    assert [(o.kind, o.remote_unit) for o in told] == [
        ("relation-created", ""),
        ("relation-changed", ""),
        ("relation-joined", "p/0"),
        ("relation-changed", "p/0"),
    ]
    other = [o for o in cloud.of("p/0") if o.relation_id == relation.id]
    assert "" not in [o.remote_unit for o in other if o.kind == "relation-changed"]


def test_many_config_changes_collapse_and_a_value_set_back_is_no_event(cloud: Cloud) -> None:
    cloud.deploy("a")
    cloud.settle()
    for value in (4, 5):
        with cloud.store.transaction() as tx:
            config.put(tx, "a", {"level": value})
    assert cloud.settle() == ["a/0 config-changed"]
    for value in (6, 5):
        with cloud.store.transaction() as tx:
            config.put(tx, "a", {"level": value})
    assert cloud.settle() == []


def test_a_new_pod_runs_upgrade_config_start_and_pebble_ready(cloud: Cloud) -> None:
    cloud.deploy("a")
    cloud.settle()
    with cloud.store.transaction() as tx:
        units.set_stopping(tx, "a/0", True)
    assert cloud.settle() == ["a/0 stop"]
    with cloud.store.transaction() as tx:
        cloud.new_pod(tx, "a/0")
    assert cloud.settle() == [
        "a/0 upgrade-charm",
        "a/0 config-changed",
        "a/0 start",
        "a/0 c1-pebble-ready",
    ]
    shown = statuses.workload(cloud.store.read(), "a/0")
    assert shown.status == "unknown"


def test_a_restarted_charm_container_runs_start_and_every_pebble_ready(cloud: Cloud) -> None:
    cloud.deploy("a")
    cloud.settle()
    with cloud.store.transaction() as tx:
        units.set_boot(tx, "a/0", "")
    assert cloud.settle() == []
    with cloud.store.transaction() as tx:
        units.set_boot(tx, "a/0", "again")
    assert cloud.settle() == ["a/0 start", "a/0 c1-pebble-ready"]


def test_a_restarted_workload_runs_pebble_ready_alone(cloud: Cloud) -> None:
    cloud.deploy("a")
    cloud.settle()
    cloud.pebbles["a/0"] = {"c1": "other"}
    assert cloud.settle() == ["a/0 c1-pebble-ready"]


def test_hook_errors_are_retried_later_and_later(cloud: Cloud) -> None:
    cloud.deploy("a")
    cloud.settle()
    with cloud.store.transaction() as tx:
        config.put(tx, "a", {"level": 9})
    delays = []
    cloud.turn("a/0", lambda _: 1)
    for _ in range(8):
        wake = cloud.decide("a/0").wake_at
        assert wake is not None
        delays.append(wake - cloud.clock[0])
        cloud.clock[0] = wake
        cloud.turn("a/0", lambda _: 1)
    for delay, least in zip(delays, (5, 10, 20, 40, 80, 160, 300, 300), strict=True):
        assert least <= delay <= least * 1.1
    shown = statuses.workload(cloud.store.read(), "a/0")
    assert (shown.status, shown.message) == ("error", 'hook failed: "config-changed"')
    assert statuses.agent(cloud.store.read(), "a/0").status == "executing"
    cloud.turn("a/0")
    assert statuses.agent(cloud.store.read(), "a/0").status == "idle"


def test_in_error_only_tasks_run_and_resolved_answers(cloud: Cloud) -> None:
    cloud.deploy("a")
    cloud.settle()
    with cloud.store.transaction() as tx:
        config.put(tx, "a", {"level": 9})
    cloud.turn("a/0", lambda _: 3)
    cloud.pebbles["a/0"] = {"c1": "other"}
    with cloud.store.transaction() as tx:
        tasks.add(tx, tasks.add_operation(tx, "x"), "a/0", "act", {})
    assert cloud.settle() == ["a/0 action:act"]
    assert statuses.workload(cloud.store.read(), "a/0").status == "error"
    with cloud.store.transaction() as tx:
        units.set_resolved(tx, "a/0", "no-retry")
    ran = []
    assert cloud.settle(lambda c: ran.append(c.operation.name)) == [
        "a/0 config-changed",
        "a/0 c1-pebble-ready",
    ]
    assert ran == ["c1-pebble-ready"]
    assert statuses.workload(cloud.store.read(), "a/0").status == "unknown"


def test_a_failed_pebble_hook_is_sent_again_while_others_run(cloud: Cloud) -> None:
    cloud.deploy("a")
    cloud.settle()
    cloud.pebbles["a/0"] = {"c1": "other"}
    cloud.turn("a/0", lambda _: 1)
    with cloud.store.transaction() as tx:
        config.put(tx, "a", {"level": 9})
    assert cloud.settle() == ["a/0 config-changed"]
    assert statuses.workload(cloud.store.read(), "a/0").message == 'hook failed: "pebble-ready"'
    wake = cloud.decide("a/0").wake_at
    assert wake == cloud.clock[0] + 5
    cloud.clock[0] += 5
    assert cloud.settle() == ["a/0 c1-pebble-ready"]
    assert statuses.workload(cloud.store.read(), "a/0").status == "unknown"


def test_notices_come_in_order_once_each(cloud: Cloud) -> None:
    cloud.deploy("a")
    cloud.settle()
    one = WorkloadEvent(
        kind="pebble-custom-notice", container="c1", at=10, notice_id="1", notice_key="x.y/z"
    )
    two = WorkloadEvent(kind="pebble-check-failed", container="c1", at=11, check="up")
    cloud.notices["a/0"] = [one, two]
    assert cloud.settle() == ["a/0 c1-pebble-custom-notice", "a/0 c1-pebble-check-failed"]
    three = WorkloadEvent(kind="pebble-check-recovered", container="c1", at=12, check="up")
    cloud.notices["a/0"].append(three)
    assert cloud.settle() == ["a/0 c1-pebble-check-recovered"]


def test_a_failed_notice_comes_again_before_later_ones(cloud: Cloud) -> None:
    cloud.deploy("a")
    cloud.settle()
    one = WorkloadEvent(kind="pebble-check-failed", container="c1", at=10, check="up")
    two = WorkloadEvent(kind="pebble-check-recovered", container="c1", at=11, check="up")
    cloud.notices["a/0"] = [one]
    cloud.turn("a/0", lambda _: 1)
    cloud.notices["a/0"] = [two]
    assert cloud.settle() == []
    assert statuses.workload(cloud.store.read(), "a/0").status == "error"
    cloud.clock[0] += 5
    assert cloud.settle() == ["a/0 c1-pebble-check-failed", "a/0 c1-pebble-check-recovered"]
    assert statuses.workload(cloud.store.read(), "a/0").status == "unknown"


def test_leadership_follows_the_lease(cloud: Cloud) -> None:
    cloud.deploy("a", 2)
    cloud.settle()
    with cloud.store.transaction() as tx:
        assert leadership.maintain(tx, ["a/1"]) == []
    assert cloud.settle() == []
    cloud.clock[0] += 61
    with cloud.store.transaction() as tx:
        assert leadership.maintain(tx, ["a/1"]) == ["a/1"]
    assert cloud.settle() == ["a/1 leader-elected"]
    cloud.clock[0] += 61
    with cloud.store.transaction() as tx:
        assert leadership.maintain(tx, ["a/0", "a/1"]) == []
    assert leadership.leader(cloud.store.read(), "a") == "a/1"


def test_update_status_ticks_with_jitter_and_only_when_idle(cloud: Cloud) -> None:
    cloud.deploy("a")
    cloud.settle()
    times = []
    for _ in range(6):
        wake = cloud.decide("a/0").wake_at
        assert wake is not None
        times.append(wake - cloud.clock[0])
        cloud.clock[0] = wake
        with cloud.store.transaction() as tx:
            leadership.maintain(tx, ["a/0"])
        assert cloud.settle()[-1] == "a/0 update-status"
        assert statuses.agent(cloud.store.read(), "a/0").status == "idle"
    assert all(240 <= time <= 360 for time in times)
    assert len(set(times)) > 1


def test_an_interrupted_hook_runs_again(cloud: Cloud) -> None:
    from daybreak_engine.hooktools import lifecycle

    cloud.deploy("a")
    decision = cloud.decide("a/0")
    lifecycle.begin(cloud.store, decision)
    assert cloud.decide("a/0").operation == decision.operation
    cloud.settle()
    with cloud.store.transaction() as tx:
        tasks.add(tx, tasks.add_operation(tx, "x"), "a/0", "act", {})
    lifecycle.begin(cloud.store, cloud.decide("a/0"))
    lifecycle.recover(cloud.store)
    assert cloud.settle() == []
    assert tasks.get(cloud.store.read(), 2).status == "aborted"


def test_a_unit_that_never_installed_is_removed_without_hooks(cloud: Cloud) -> None:
    cloud.deploy("a")
    with cloud.store.transaction() as tx:
        units.set_boot(tx, "a/0", "")
        applications.destroy(tx, "a")
    assert cloud.settle() == []
    assert applications.find(cloud.store.read(), "a") is None


def test_state_survives_storing(cloud: Cloud) -> None:
    cloud.deploy("p")
    cloud.deploy("q")
    cloud.integrate("p", "q")
    for _ in range(9):
        cloud.turn("p/0")
        state = cloud.decide("p/0").local
        assert unitstate.load(unitstate.dump(state)) == state


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T01:00:00.123456789+01:00", 123_456_789),
    ],
)
def test_pebble_times(text: str, nanoseconds: int) -> None:
    assert resolver.pebble_time(text) == nanoseconds


def test_the_writing_leader_gets_the_peer_event_itself(cloud: Cloud) -> None:
    cloud.deploy("a", 2)
    cloud.settle()
    relation = relations.of(cloud.store.read(), "a")[0]

    def play(context: HookContext) -> None:
        if context.operation.kind == "config-changed" and context.is_leader:
            context.pending.application_settings[relation.id] = {"k": "v"}

    with cloud.store.transaction() as tx:
        config.put(tx, "a", {"level": 7})
    assert sorted(cloud.settle(play)) == [
        "a/0 config-changed",
        "a/0 mates-relation-changed",
        "a/1 config-changed",
        "a/1 mates-relation-changed",
    ]


def test_a_unit_that_waits_for_its_pod_to_end_asks_for_no_wake_up(cloud: Cloud) -> None:
    cloud.deploy("a")
    cloud.settle()
    with cloud.store.transaction() as tx:
        units.set_stopping(tx, "a/0", True)
    cloud.settle()
    cloud.clock[0] += 1000
    decision = cloud.decide("a/0")
    assert (decision.operation, decision.wake_at) == (None, None)
