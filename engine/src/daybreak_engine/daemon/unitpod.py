"""The pod of one unit: brought up, watched, replaced, ended; what a kubelet does for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Literal, TypeAlias

from daybreak_engine import errors, resolver
from daybreak_engine.daemon import charmstore, rollout
from daybreak_engine.hooktools.tools import TOOLS
from daybreak_engine.model import (
    applications,
    charms,
    constraints,
    models,
    operation,
    resources,
    statuses,
    storage,
    units,
    unitstate,
)
from daybreak_engine.model.snapshot import Snapshot
from daybreak_engine.substrate import network, pebble, podspec, waiting
from daybreak_engine.substrate.probes import Prober

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from daybreak_engine import charmfile
    from daybreak_engine.daemon.cluster import Cluster
    from daybreak_engine.model import rows
    from daybreak_engine.model.store import Transaction
    from daybreak_engine.substrate.specs import ContainerState, PodSpec, PodState

_Hook: TypeAlias = Literal["pebble-custom-notice", "pebble-check-failed", "pebble-check-recovered"]

CHARM_IMAGE = "localhost/daybreak/charm-base:24.04"
RETRY_SECONDS = 5.0
"""Between two tries to start a pod that cannot start, such as one whose image is missing."""
PEBBLE_UP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Fact:
    """What a step of a unit's pod decides on; `state` is the resolver's."""

    unit: rows.Unit
    application: rows.Application
    state: unitstate.UnitState


class UnitPod:
    """Keeps the pod of one unit. `run` it as a task; `changed` makes it look again.

    Attributes:
        pebbles: Boot id of each workload container's Pebble that answers.
        events: Notices that the unit has to hear, in order.
        ready: All containers are ready, the agent has begun, and the pod is not being ended.
        charm_pid: Process 1 of the charm container, 0 while it does not run.
    """

    def __init__(self, cluster: Cluster, unit: str, on_change: Callable[[], None]) -> None:
        self.unit = unit
        self.pebbles: dict[str, str] = {}
        self.events: list[operation.WorkloadEvent] = []
        self._containers_ready = False
        self._begun = False
        self._ending = False
        self._left_behind = False
        self.charm_pid = 0
        self._cluster = cluster
        self._on_change = on_change
        self._look = asyncio.Event()
        self._spec: PodSpec | None = None
        self._generation = 0
        self._prober: Prober | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def ready(self) -> bool:
        """Whether service addresses lead here."""
        ready = self._containers_ready and self._begun
        return ready and not self._ending and not self._left_behind

    @property
    def present(self) -> bool:
        """Whether the charm container runs, as it was seen last."""
        state = self._cluster.observed(self.unit)
        charm = state.containers.get("charm") if state else None
        return charm is not None and charm.status == "running"

    def changed(self) -> None:
        """Look at model and containers again."""
        self._look.set()

    def heard(self, container: str, at: int) -> None:
        """Forget the notices of a container up to a time (ns) that the unit has heard."""
        self.events = [e for e in self.events if e.container != container or e.at > at]

    async def run(self) -> None:
        """Work until the unit is gone."""
        try:
            while True:
                self._look.clear()
                pause: float | None = None
                try:
                    if not await self._step():
                        return
                except errors.EngineError as error:
                    self._cluster.report(self.unit, error)
                    pause = RETRY_SECONDS
                await waiting.is_set(self._look, pause)
        finally:
            await self._unwatch()

    async def _step(self) -> bool:
        """Do what is due; return whether the unit is still there."""
        fact = self._fact()
        if fact is None:
            # Removed by force: its last hooks were not waited for.
            await self._unwatch()
            await self._cluster.pods.remove(self.unit)
            return False
        if fact.unit.pod_generation == 0:
            if fact.unit.life != "alive":
                await self._finish(fact)
                return True
            await self._create(fact)
        elif fact.unit.stopping:
            await self._replace(fact)
        elif self._finished(fact):
            await self._finish(fact)
        else:
            await self._keep(fact)
        return True

    def _fact(self) -> _Fact | None:
        tx = self._cluster.store.read()
        unit = units.find(tx, self.unit)
        if unit is None:
            return None
        application = applications.get(tx, unit.application)
        return _Fact(unit, application, unitstate.load(unit.state))

    # -- the steps

    async def _create(self, fact: _Fact) -> None:
        """Make a new pod: fresh directories and containers, the next generation."""
        with self._cluster.store.transaction() as tx:
            unit = fact.unit
            present = (
                None
                if unit.charm_id is None
                else rollout.Template(unit.charm_id, unit.charm_modified_version)
            )
            wanted = rollout.Template(
                fact.application.charm_id, fact.application.charm_modified_version
            )
            self._ending = False
            made_of = rollout.template(
                unit.ordinal, present, wanted, partition=fact.application.partition
            )
            address = unit.address or str(self._cluster.free_pod_address(tx))
            units.set_pod(
                tx,
                unit.name,
                charm_id=made_of.charm_id,
                charm_modified_version=made_of.version,
            )
            units.set_address(tx, unit.name, address)
            storage.add_missing(tx, unit.name)
            if unit.pod_generation == 0:
                statuses.put(tx, unit.name, "workload", "waiting", "installing agent")
                statuses.put(tx, unit.name, "agent", "allocating")
        created = self._fact()
        if created is not None:
            await self._keep(created, fresh=True)

    async def _keep(self, fact: _Fact, *, fresh: bool = False) -> None:
        """Make sure that every container of the present pod runs and is watched."""
        if self._spec is None or self._generation != fact.unit.pod_generation:
            self._spec = await self._make_spec(fact)
            self._generation = fact.unit.pod_generation
        spec = self._spec
        self._left_behind = rollout.left_behind(
            rollout.Template(fact.unit.charm_id or 0, fact.unit.charm_modified_version),
            fact.application.charm_modified_version,
            begun=fact.state.pod_generation in (0, fact.unit.pod_generation),
        )
        self._note_begun(fact)
        state, known = self._cluster.observed(self.unit), True
        if state is None or not state.running or len(state.containers) < len(spec.containers):
            self._on_change()
            await self._prepare(fact, fresh=fresh or state is None)
            state, known = await self._cluster.start_pod(spec), False
        await self._watch(fact, state, known=known)

    def _note_begun(self, fact: _Fact) -> None:
        """Note whether the agent has run `start` in this charm container: its probe of readiness asks for that."""
        begun = fact.state.started and fact.state.boot == fact.unit.boot
        if begun != self._begun:
            self._begun = begun
            self._cluster.readiness_changed()

    async def _replace(self, fact: _Fact) -> None:
        """End the pod as Kubernetes does, then make a new one."""
        await self._end(fact)
        await self._cluster.pods.remove(self.unit)
        after = self._fact()
        if after is None:
            return
        if after.unit.life == "alive":
            await self._create(after)
        else:
            with self._cluster.store.transaction() as tx:
                units.set_stopping(tx, self.unit, stopping=False)

    async def _end(self, fact: _Fact) -> None:
        """SIGTERM to the workloads while the agent runs `stop`, then to the charm container."""
        grace = fact.application.grace_period
        await self._leave()
        deadline = asyncio.get_running_loop().time() + grace
        workloads = asyncio.create_task(
            self._cluster.pods.stop(self.unit, grace, only=lambda name: name != "charm")
        )
        try:
            async with asyncio.timeout(grace):
                await self._cluster.wait(self._has_stopped)
        except TimeoutError:
            pass
        await workloads
        left = max(1.0, deadline - asyncio.get_running_loop().time())
        await self._unwatch()
        with self._cluster.store.transaction() as tx:
            units.set_boot(tx, self.unit, "")
        await self._cluster.pods.stop(self.unit, left)

    async def _leave(self) -> None:
        """Take the pod out of all service addresses before anything in it hears of its end."""
        self._ending = True
        await self._cluster.update_traffic()

    def _has_stopped(self) -> bool:
        fact = self._fact()
        if fact is None or not fact.unit.boot or not fact.state.installed:
            return True
        return fact.state.stopped_boot == fact.unit.boot or fact.state.error is not None

    def _finished(self, fact: _Fact) -> bool:
        alive = fact.unit.life == "alive" and fact.application.life == "alive"
        seen = Snapshot(unit=self.unit, alive=alive, pod_generation=fact.unit.pod_generation)
        # A hook that went down with the pod before this one is nothing to wait for.
        return resolver.finished(resolver.sync(fact.state, seen), seen)

    async def _finish(self, fact: _Fact) -> None:
        """Remove the pod of a unit that has run its last hook, and the unit."""
        if fact.unit.pod_generation:
            await self._leave()
            await self._unwatch()
            await self._cluster.pods.stop(self.unit, fact.application.grace_period)
            await self._cluster.pods.remove(self.unit)
        # A unit that takes this one's name at once has storage of its own.
        self._spec = None
        with self._cluster.store.transaction() as tx:
            units.remove(tx, self.unit)
            applications.finish_removals(tx)

    # -- what a pod is made of

    async def _make_spec(self, fact: _Fact) -> PodSpec:
        tx = self._cluster.store.read()
        assert fact.unit.charm_id is not None
        meta = charms.meta(tx, fact.unit.charm_id)
        instances = {instance.id: instance for instance in storage.of(tx, self.unit)}
        limits = constraints.limits(fact.application.constraints)
        return podspec.pod_spec(
            self._cluster.instance,
            self._cluster.plan,
            unit=self.unit,
            model=models.get(tx).name,
            address=IPv4Address(fact.unit.address),
            charm_image=CHARM_IMAGE,
            workloads=_workloads(tx, fact.application.name, meta, instances),
            account=self._cluster.service_account(fact.application.name),
            tools=sorted(TOOLS),
            storages={name: self._volume(name) for name in instances},
            charm_user=meta.charm_user,
            memory=limits.memory,
            cpus=limits.cpus,
        )

    def _volume(self, storage_id: str) -> Path:
        return self._cluster.instance.storage / storage_id.replace("/", "-")

    async def _prepare(self, fact: _Fact, *, fresh: bool) -> None:
        """Make network and volumes, and in a fresh pod the charm directory."""
        instance, plan = self._cluster.instance, self._cluster.plan
        await network.ensure_pod(instance, plan, self.unit, IPv4Address(fact.unit.address))
        for item in storage.of(self._cluster.store.read(), self.unit):
            self._volume(item.id).mkdir(parents=True, exist_ok=True)
        name = fact.unit.provider_id
        directory = instance.pod(self.unit) / f"var/lib/juju/agents/unit-{name}/charm"
        if fresh or not directory.exists():
            assert fact.unit.charm_id is not None
            charm = charms.get(self._cluster.store.read(), fact.unit.charm_id)
            tree = await self._cluster.charm_tree(charm)
            await asyncio.to_thread(charmstore.populate, tree, directory)

    # -- watching

    async def _watch(self, fact: _Fact, state: PodState, *, known: bool) -> None:
        """Follow containers that are new since the last look; those that are `known` ran before it."""
        charm = state.containers.get("charm")
        boot = _boot(charm)
        if charm is not None and charm.pid != self.charm_pid:
            self.charm_pid = charm.pid
            self._on_change()
        if boot and boot != fact.unit.boot:
            with self._cluster.store.transaction() as tx:
                units.set_boot(tx, self.unit, boot)
                for item in storage.of(tx, self.unit):
                    if not item.provisioned:
                        storage.set_provisioned(tx, item.id)
        sockets = {
            name: podspec.pebble_socket(self._cluster.instance, self.unit, name)
            for name in state.containers
        }
        if self._prober is None:
            ran = tuple(sockets) if known else ()
            self._prober = Prober(sockets, self._on_ready, self._on_dead, known=ran)
            self._tasks["prober"] = asyncio.create_task(self._prober.run())
        for name, container in state.containers.items():
            if name != "charm" and container.status == "running" and name not in self._tasks:
                self._tasks[name] = asyncio.create_task(self._follow(name, sockets[name]))

    async def ended(self, container: str) -> None:
        """A container's process has ended: forget what was known of it and look again."""
        task = self._tasks.pop(container, None)
        if task is not None:
            task.cancel()
        self.pebbles.pop(container, None)
        if container == "charm":
            self.charm_pid = 0
            with self._cluster.store.transaction() as tx:
                units.set_boot(tx, self.unit, "")
        if self._prober is not None:
            await self._prober.restarted(container)
        self.changed()

    async def _follow(self, container: str, socket: Path) -> None:
        """Note when a workload's Pebble answers, then its notices, until it is gone; again and again."""
        while True:
            try:
                info = await pebble.wait_until_up(socket, timeout=PEBBLE_UP_SECONDS, period=0.05)
            except TimeoutError:
                continue
            self.pebbles[container] = info.boot_id
            self._nudge()
            self._on_change()
            try:
                async with pebble.PebbleClient(socket) as client:
                    async for event in pebble.watch_notices(client):
                        self.events.append(_event(container, event))
                        self._nudge()
                        self._on_change()
            except errors.EngineError:
                self.pebbles.pop(container, None)
                await asyncio.sleep(0.1)

    def _nudge(self) -> None:
        if self._prober is not None:
            self._prober.nudge()

    def _on_ready(self, ready: bool) -> None:  # the prober's callback
        self._containers_ready = ready
        self._cluster.readiness_changed()

    def _on_dead(self, container: str) -> None:
        self._cluster.restart_container(self.unit, container)

    async def _unwatch(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._prober = None
        self.pebbles.clear()
        self.events.clear()
        self.charm_pid = 0
        if self._containers_ready:
            self._containers_ready = False
            self._cluster.readiness_changed()


def _boot(charm: ContainerState | None) -> str:
    if charm is None or charm.status != "running":
        return ""
    return f"{charm.id[:12]}-{charm.pid}"


_HOOKS: Mapping[pebble.WorkloadEventKind, _Hook] = {
    "custom-notice": "pebble-custom-notice",
    "check-failed": "pebble-check-failed",
    "check-recovered": "pebble-check-recovered",
}


def _event(container: str, event: pebble.WorkloadEvent) -> operation.WorkloadEvent:
    return operation.WorkloadEvent(
        kind=_HOOKS[event.kind],
        container=container,
        at=resolver.pebble_time(event.notice.last_repeated),
        notice_id=event.notice.id,
        notice_key=event.notice.key,
        check=event.check,
    )


def _workloads(
    tx: Transaction,
    application: str,
    meta: charmfile.CharmMeta,
    instances: Mapping[str, rows.Storage],
) -> list[podspec.Workload]:
    images = {item.name: item.value for item in resources.of(tx, application)}
    return [
        podspec.Workload(
            name=container.name,
            image=images[container.resource]["registrypath"],
            mounts=tuple(
                (item.id, mount.location)
                for mount in container.mounts
                for item in instances.values()
                if item.name == mount.storage
            ),
            uid=container.uid,
            gid=container.gid,
        )
        for container in meta.containers.values()
    ]
