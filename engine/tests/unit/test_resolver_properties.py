"""Random histories of a model: whatever happens, the order of hooks keeps Juju's rules."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak_engine.model import (
    applications,
    config,
    leadership,
    relations,
    tasks,
    units,
)
from daybreak_engine.model.operation import Operation, WorkloadEvent
from daybreak_engine.model.unitstate import UnitState

if TYPE_CHECKING:
    from collections.abc import Callable

    from daybreak_engine.hooktools.context import HookContext

    from .conftest import Cloud

APPS = ("p", "q")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "config",
                "scale",
                "integrate",
                "unrelate",
                "write",
                "pod",
                "stop",
                "restart",
                "pebble",
                "notice",
                "task",
                "lease",
                "fail",
                "turns",
                "turns",
                "turns",
                "wait",
            ]
        ),
        st.integers(0, 3),
    ),
    max_size=25,
)


class History:
    """Applies random events; remembers per unit what ran in which life and pod."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.failures = 0
        self.counter = itertools.count(1)
        self.runs: dict[tuple[str, int], list[tuple[Operation, UnitState, bool, float]]] = (
            defaultdict(list)
        )

    def apply(self, event: str, number: int) -> None:
        cloud = self.cloud
        names = [unit.name for unit in units.all_(cloud.store.read())]
        unit = names[number % len(names)] if names else None
        app = APPS[number % 2]
        if event == "turns":
            for _ in range((1, 2, 6, 20)[number]):
                for name in names:
                    self.turn(name)
        elif event == "wait":
            cloud.clock[0] += (1, 6, 70, 400)[number]
        elif event == "fail":
            self.failures += 1
        elif event == "integrate":
            if len([r for r in relations.all_(cloud.store.read()) if not r.peer]) == 0:
                cloud.integrate("p", "q")
        else:
            with cloud.store.transaction() as tx:
                self.change(tx, event, number, app, unit)

    def change(self, tx: Any, event: str, number: int, app: str, unit: str | None) -> None:
        related = [r for r in relations.all_(tx) if not r.peer]
        if event == "config":
            config.put(tx, app, {"level": number})
        elif event == "scale":
            applications.set_scale(tx, app, number)
        elif event == "unrelate" and related:
            relations.destroy(tx, related[0].id)
        elif event == "write" and related:
            relations.change_databag(tx, related[0].id, app, {"n": str(next(self.counter))})
        elif event == "lease":
            running = [u.name for u in units.all_(tx) if u.ordinal >= number % 2]
            leadership.maintain(tx, running)
        elif unit is not None and units.get(tx, unit).pod_generation:
            self.disturb(tx, event, unit)

    def disturb(self, tx: Any, event: str, unit: str) -> None:
        cloud = self.cloud
        if event == "pod":
            cloud.new_pod(tx, unit)
        elif event == "stop":
            units.set_stopping(tx, unit, True)
        elif event == "restart":
            units.set_boot(tx, unit, f"boot{next(self.counter)}")
        elif event == "pebble":
            cloud.pebbles[unit] = {"c1": f"other{next(self.counter)}"}
        elif event == "notice":
            at = next(self.counter)
            cloud.notices[unit].append(
                WorkloadEvent(kind="pebble-check-failed", container="c1", at=at, check="up")
            )
        elif event == "task":
            tasks.add(tx, tasks.add_operation(tx, "t"), unit, "act", {})

    def turn(self, name: str) -> bool:
        cloud = self.cloud
        row = units.find(cloud.store.read(), name)
        if row is None or row.pod_generation == 0:
            return False
        decision = cloud.decide(name)
        failed = False

        def play(context: HookContext) -> int:
            nonlocal failed
            if self.failures and not context.operation.is_task:
                self.failures -= 1
                failed = True
            return 1 if failed else 0

        operation = cloud.turn(name, play)
        if operation is not None:
            state = decision.local
            self.runs[name, self.lives(name)].append((operation, state, failed, cloud.clock[0]))
        return operation is not None

    def lives(self, name: str) -> int:
        """How many units of this name ended before the one that ran last."""
        earlier = self.cloud.trace[:-1]
        return sum(unit == name and op.kind == "remove" for unit, op in earlier)

    def settle(self) -> None:
        cloud = self.cloud
        self.failures = 0
        with cloud.store.transaction() as tx:
            for unit in units.all_(tx):
                if unit.stopping and unit.pod_generation:
                    cloud.new_pod(tx, unit.name)
        for _ in range(600):
            cloud.run_pods()
            names = [unit.name for unit in units.all_(cloud.store.read())]
            if not any(self.turn(name) for name in names):
                rest = units.all_(cloud.store.read())
                if [unit.name for unit in rest] != names:
                    # One has gone in its turn, which those before it have not heard yet.
                    continue
                wakes = [cloud.decide(unit.name) for unit in rest]
                new = any(unit.pod_generation == 0 for unit in rest)
                if not new and not any(d.local.error or d.local.workload_errors for d in wakes):
                    return
                cloud.clock[0] += 400
        pytest.fail("the units never come to rest")


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 50), events=EVENTS)
def test_random_histories(
    make_cloud: Callable[..., Cloud], seed: int, events: list[tuple[str, int]]
) -> None:
    cloud = make_cloud(seed)
    history = History(cloud)
    for app in APPS:
        cloud.deploy(app, 2)
    if seed % 2:
        # Half of the histories begin with what takes many turns: a related pair at rest.
        cloud.integrate("p", "q")
        history.settle()
    for event, number in events:
        cloud.run_pods()
        history.apply(event, number)
    history.settle()
    for run in history.runs.values():
        check_life(run)
    check_rest(cloud)
    cloud.store.close()


def check_life(run: list[tuple[Operation, UnitState, bool, float]]) -> None:
    """Check what one unit ran from its birth on."""
    hooks = [op for op, _, failed, _ in run if not failed and not op.is_task]
    if hooks:
        assert hooks[0].kind == "install"
    kinds = [op.kind for op in hooks]
    assert kinds.count("install") <= 1
    assert kinds.count("remove") <= 1
    if "remove" in kinds:
        assert kinds[-1] == "remove"
        assert "stop" in kinds
    check_errors(run)
    check_starts(hooks)
    for relation_id in {op.relation_id for op in hooks if op.is_relation}:
        check_relation([op for op in hooks if op.relation_id == relation_id])
    times = [op.at for op in hooks if op.check]
    assert times == sorted(set(times)), "each notice once, in order"


def check_errors(run: list[tuple[Operation, UnitState, bool, float]]) -> None:
    for operation, state, _, now in run:
        if state.error is not None and not operation.is_task:
            failed = state.error.operation
            assert (operation.kind, operation.relation_id, operation.remote_unit) == (
                failed.kind,
                failed.relation_id,
                failed.remote_unit,
            ), "in error only the failed hook runs again"
            assert now >= state.error.retry_at, "not before its time"


def check_starts(hooks: list[Operation]) -> None:
    boots = [op.boot for op in hooks if op.kind == "start"]
    assert len(boots) == len(set(boots)), "one start for each start of the charm container"
    for before, after in itertools.pairwise(hooks):
        if before.kind == "upgrade-charm" and before.pod_generation == after.pod_generation:
            assert after.kind in ("config-changed", "stop")
    first = next((i for i, op in enumerate(hooks) if op.kind == "start"), None)
    if first is not None:
        assert hooks[first - 1].kind == "config-changed", "start is directly behind config-changed"
        early = {"joined", "changed", "departed"}
        for op in hooks[:first]:
            assert not (op.is_relation and op.kind.removeprefix("relation-") in early)
    generations = [op.pod_generation for op in hooks]
    assert generations == sorted(generations)


def check_relation(hooks: list[Operation]) -> None:
    kinds = [op.kind for op in hooks]
    # A relation that dies before its created hook still breaks: Juju has state for it.
    assert kinds[0] in ("relation-created", "relation-broken")
    assert kinds.count("relation-created") <= 1
    if "relation-broken" in kinds:
        assert kinds.index("relation-broken") == len(kinds) - 1
        assert hooks[0].endpoint != "mates", "peers never break"
    joined: set[str] = set()
    pending = ""
    for op in hooks:
        unit = op.remote_unit
        if pending:
            assert (op.kind, unit) == ("relation-changed", pending), "changed follows joined"
            pending = ""
        if op.kind == "relation-joined":
            assert unit not in joined
            joined.add(unit)
            pending = unit
        elif op.kind == "relation-changed" and unit:
            assert unit in joined
        elif op.kind == "relation-changed":
            assert op.version > 0
        elif op.kind == "relation-departed":
            joined.remove(unit)
        elif op.kind == "relation-broken":
            assert not joined, "broken comes after every departed"


def check_rest(cloud: Cloud) -> None:
    """At rest every unit has heard of everything."""
    tx = cloud.store.read()
    for unit in units.all_(tx):
        decision = cloud.decide(unit.name)
        local, remote = decision.local, decision.remote
        assert unit.life == "alive"
        assert local.started
        assert local.config_hash == remote.config_hash
        assert local.pebble_ready == remote.pebbles
        assert local.storage == {view.id for view in remote.storage}
        for view in remote.relations:
            state = local.relations[view.id]
            assert view.alive
            assert state.created
            assert dict(state.members) == dict(view.members)
            assert state.application_version == view.application_version
    assert {r.id for r in relations.all_(tx) if r.life == "dying"} == set()
    for app in APPS:
        names = {unit.name for unit in units.of(tx, app)}
        assert len(names) == applications.get(tx, app).scale
