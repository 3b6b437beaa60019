"""A model with units whose hooks are played by plain functions: everything but processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from daybreak_engine import charmfile
from daybreak_engine.hooktools import lifecycle, tools
from daybreak_engine.hooktools.context import HookContext, Services
from daybreak_engine.model import (
    applications,
    charms,
    leadership,
    models,
    open_store,
    relations,
    rows,
    storage,
    units,
)
from daybreak_engine.model.operation import Operation, WorkloadEvent
from daybreak_engine.model.store import Store
from daybreak_engine.resolver import Timing

Play = Callable[[HookContext], int | None]

META = charmfile.CharmMeta(
    name="sample-k8s",
    summary="A charm for tests",
    containers={"c1": charmfile.Container("c1", "image")},
    storage={"data": charmfile.Storage("data", minimum_size="1G")},
    resources={"image": charmfile.Resource("image", "oci-image")},
    endpoints={
        "out": charmfile.Endpoint("out", "provider", "sample"),
        "inp": charmfile.Endpoint("inp", "requirer", "sample"),
        "mates": charmfile.Endpoint("mates", "peer", "sample-peer"),
    },
    options={
        "level": charmfile.Option("level", "int", 3),
        "name": charmfile.Option("name", "string"),
    },
    actions={"act": charmfile.Action("act")},
)


@dataclass
class Cloud:
    """A model, its clock, and the trace of what its units ran."""

    store: Store
    clock: list[float]
    charm: rows.Charm
    seed: int = 0
    timing: Timing = field(default_factory=Timing)
    trace: list[tuple[str, Operation]] = field(default_factory=list)
    pebbles: dict[str, dict[str, str]] = field(default_factory=dict)
    notices: dict[str, list[WorkloadEvent]] = field(default_factory=dict)

    def deploy(self, name: str, scale: int = 1, **options: object) -> None:
        with self.store.transaction() as tx:
            applications.add(
                tx,
                name,
                self.charm.id,
                scale=scale,
                service_address=f"10.1.0.{len(name)}",
                **options,  # pyright: ignore[reportArgumentType]  # tests name real ones
            )
        self.run_pods()

    def integrate(self, provider: str, requirer: str) -> rows.Relation:
        with self.store.transaction() as tx:
            return relations.add(
                tx,
                rows.RelationEndpoint(provider, "out", "provider"),
                rows.RelationEndpoint(requirer, "inp", "requirer"),
                "sample",
            )

    def run_pods(self) -> None:
        """Give a pod to each unit without one, and leaders to applications without."""
        with self.store.transaction() as tx:
            for unit in units.all_(tx):
                if unit.pod_generation == 0:
                    self.new_pod(tx, unit.name)
            for instance in storage.all_(tx):
                storage.set_provisioned(tx, instance.id)
            leadership.maintain(tx, [unit.name for unit in units.all_(tx)])

    def new_pod(self, tx: object, name: str) -> None:
        assert isinstance(tx, type(self.store.read()))
        application = applications.get(tx, name.partition("/")[0])
        generation = units.set_pod(
            tx,
            name,
            charm_id=application.charm_id,
            charm_modified_version=application.charm_modified_version,
        )
        units.set_address(tx, name, f"10.0.{generation}.{name.partition('/')[2]}")
        units.set_boot(tx, name, f"pod{generation}")
        self.pebbles[name] = {"c1": f"pebble{generation}"}
        self.notices[name] = []

    def decide(self, unit: str) -> lifecycle.Decision:
        return lifecycle.decide(
            self.store,
            unit,
            pebbles=self.pebbles.get(unit, {}),
            workload=tuple(self.notices.get(unit, ())),
            seed=self.seed,
            timing=self.timing,
        )

    def turn(self, unit: str, play: Play | None = None) -> Operation | None:
        """Run the unit's next operation; `play` returns its exit code (None: 0)."""
        decision = self.decide(unit)
        operation = decision.operation
        if operation is None:
            if decision.finished:
                with self.store.transaction() as tx:
                    units.remove(tx, unit)
                    applications.finish_removals(tx)
            else:
                lifecycle.rest(self.store, unit)
            return None
        context = lifecycle.begin(self.store, decision, Services())
        code = 0
        if play is not None and not operation.skip:
            code = play(context) or 0
        lifecycle.finish(self.store, context, code, seed=self.seed, timing=self.timing)
        self.trace.append((unit, operation))
        return operation

    def settle(self, play: Play | None = None, limit: int = 400) -> list[str]:
        """Run all units until nothing is due; return `unit hook` lines."""
        before = len(self.trace)
        busy = True
        while busy:
            busy = False
            for unit in units.all_(self.store.read()):
                if units.find(self.store.read(), unit.name) is not None:
                    busy = self.turn(unit.name, play) is not None or busy
            assert len(self.trace) - before < limit, "the units never come to rest"
        return [line(unit, operation) for unit, operation in self.trace[before:]]

    def of(self, unit: str) -> list[Operation]:
        return [operation for name, operation in self.trace if name == unit]


def line(unit: str, operation: Operation) -> str:
    words = [unit, operation.name or f"{operation.kind}:{operation.action}"]
    words += [w for w in (operation.remote_unit, operation.departing_unit) if w]
    return " ".join(words)


def call(context: HookContext, *argv: str, stdin: str | None = None, **files: str) -> str:
    """Run a tool that must succeed; return its stdout without the line end."""
    code, out, err = tools.handle(context, argv[0], argv[1:], stdin, files)
    assert (code, err) == (0, ""), (argv, err)
    return out.removesuffix("\n")


@pytest.fixture
def make_cloud() -> Iterator[Callable[..., Cloud]]:
    opened: list[Store] = []

    def make(seed: int = 0) -> Cloud:
        clock = [1_800_000_000.0]
        store = open_store(None, clock=lambda: clock[0], synchronous="NORMAL")
        opened.append(store)
        with store.transaction() as tx:
            models.create(tx, "openstack", uuid_="00000000-0000-4000-8000-000000000000")
            charm = charms.add(tx, META, digest="d", path="/charms/d")
        return Cloud(store, clock, charm, seed)

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def cloud(make_cloud: Callable[..., Cloud]) -> Cloud:
    return make_cloud()


@pytest.fixture
def in_hook(cloud: Cloud) -> Callable[[Callable[[HookContext], None]], None]:
    """Run a function in an action of `p/0`, of the settled pair p (1 unit) and q (2 units)."""
    cloud.deploy("p")
    cloud.deploy("q", 2)
    cloud.integrate("p", "q")
    cloud.settle()

    def run(function: Callable[[HookContext], None]) -> None:
        from daybreak_engine.model import tasks

        with cloud.store.transaction() as tx:
            tasks.add(tx, tasks.add_operation(tx, "test"), "p/0", "act", {"a": {"b": 1}})
        cloud.turn("p/0", lambda context: function(context))

    return run
