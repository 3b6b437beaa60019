"""All pods of an instance: the controllers that Kubernetes runs, over the model.

One loop looks whenever the model, a container or the readiness of a pod changed: it starts and ends the keepers
of pods and the agents of units, elects leaders, gives addresses, moves rolling updates on and applies names and
service addresses. Each decision is a function over the model's state, so a look too many changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from daybreak_engine import errors, resolver
from daybreak_engine.agent.agent import Agent
from daybreak_engine.daemon import charmstore, daemonpod, daemonsets, nodes, rollout, traffic
from daybreak_engine.daemon.unitpod import CHARM_IMAGE, UnitPod
from daybreak_engine.hooktools import lifecycle
from daybreak_engine.hooktools.server import HookToolServer
from daybreak_engine.instance import unit_file_name
from daybreak_engine.model import applications, leadership, log, models, statuses, units
from daybreak_engine.substrate import pods, podspec, waiting
from daybreak_engine.substrate.nodes import unit as node_pod
from daybreak_engine.substrate.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from daybreak_engine.instance import Instance
    from daybreak_engine.model import Store, rows
    from daybreak_engine.model.store import Transaction
    from daybreak_engine.substrate.addresses import Plan
    from daybreak_engine.substrate.podman import Podman
    from daybreak_engine.substrate.specs import Exit, PodSpec, PodState

T = TypeVar("T")

LEASE_RENEWAL = leadership.LEASE_SECONDS / 2


class Cluster:
    """The pods and agents of one instance. Call `start` once, `close` at the end.

    Args:
        instance: Whose.
        plan: Its addresses.
        store: Its model.
        podman: Runner for the instance.
        certificate: PEM of the authority of the Kubernetes API.
    """

    def __init__(
        self, instance: Instance, plan: Plan, store: Store, podman: Podman, certificate: str
    ) -> None:
        self.instance = instance
        self.plan = plan
        self.store = store
        self.pods = pods.Pods(podman)
        self._podman = podman
        self._certificate = certificate
        self._watcher = Watcher(self._container_ended)
        self._traffic = traffic.Traffic(instance, plan)
        self.daemonsets = daemonsets.DaemonSets(self)
        self._observed: dict[str, PodState] = {}
        self._unit_pods: dict[str, UnitPod] = {}
        self._agents: dict[str, Agent] = {}
        self._running: dict[str, list[asyncio.Task[None]]] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()
        self._waiters: set[asyncio.Event] = set()
        self._trees: dict[str, asyncio.Task[Path]] = {}
        self._python = ""
        self._token_key = _token_key(instance)
        self._log = log.LogFile(self.log_path)
        self.tools = HookToolServer()
        self.timing = resolver.DEFAULT_TIMING
        self.seed = secrets.randbits(31)

    # -- life

    async def start(self) -> None:
        """Take over the containers that run and begin to work."""
        lifecycle.recover(self.store)
        self._observed = await self.pods.observe()
        for name in sorted(self._observed.keys() - self._known(self.store.read())):
            # An earlier daemon ended between the last of a unit in the model and the end of its pod.
            self.spawn(self.pods.remove(name))
            del self._observed[name]
        self._watcher.watch(self._observed)
        self.store.listen(self.wake)
        self.wake()
        self.spawn(self._work())

    def _known(self, tx: Transaction) -> set[str]:
        """Return the names of all pods that something of the model keeps."""
        if models.find(tx) is None:
            return set()
        kept = {unit_file_name(unit.name) for unit in units.all_(tx)}
        kept |= {node_pod(item["metadata"]["name"]) for item in nodes.all_(tx)}
        return kept | {item["metadata"]["name"] for item in daemonpod.all_(tx)}

    async def close(self) -> None:
        """Stop working; containers go on."""
        tasks = list(self._background)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watcher.close()
        await self.tools.close()
        self._log.close()

    def wake(self) -> None:
        """The model changed."""
        self._changed.set()
        for waiter in self._waiters:
            waiter.set()

    async def wait(
        self, predicate: Callable[[], T | None], timeout: float | None = None
    ) -> T | None:
        """Return what `predicate` gives once that is neither None nor False; None after `timeout` seconds.

        It is asked now and after each change of the model.
        """
        event = asyncio.Event()
        self._waiters.add(event)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    event.clear()
                    value = predicate()
                    if value is not None and value is not False:
                        return value
                    await event.wait()
        except TimeoutError:
            return None
        finally:
            self._waiters.discard(event)

    def idle(self) -> bool:
        """Tell whether no pod is left."""
        return not self._unit_pods and self.daemonsets.idle()

    def left(self) -> list[str]:
        """Return the units whose pods are still there."""
        return sorted(self._unit_pods)

    async def _work(self) -> None:
        while True:
            await waiting.is_set(self._changed, LEASE_RENEWAL / 2)
            self._changed.clear()
            try:
                await self._look()
            except errors.EngineError as error:
                self.log("controller", "ERROR", "juju.worker.caas", error.message)

    async def _look(self) -> None:
        tx = self.store.read()
        if models.find(tx) is None:
            return
        self._give_addresses(tx)
        self._elect(tx)
        for name in [name for name, (keeper, _) in self._running.items() if keeper.done()]:
            # Also when there is a unit of that name again: it is another one.
            self._forget(name)
        for name in sorted({unit.name for unit in units.all_(tx)} - self._unit_pods.keys()):
            self._begin(name)
        for application in applications.all_(tx):
            self._roll(tx, application)
        self._finish_removals(tx)
        self.daemonsets.look()
        for unit_pod in self._unit_pods.values():
            unit_pod.changed()
        for agent in self._agents.values():
            agent.wake()
        for waiter in self._waiters:
            waiter.set()
        await self.update_traffic()

    async def update_traffic(self) -> None:
        """Have names and service addresses lead to the pods that are ready now."""
        ready = {name for name, unit_pod in self._unit_pods.items() if unit_pod.ready}
        await self._traffic.update(self.store.read(), ready)

    def _begin(self, name: str) -> None:
        unit_pod = UnitPod(self, name, self.wake)
        agent = Agent(self, name, unit_pod)
        self._unit_pods[name] = unit_pod
        self._agents[name] = agent
        self._running[name] = [self.spawn(unit_pod.run()), self.spawn(agent.run())]

    def _forget(self, name: str) -> None:
        """Drop a unit whose keeper has removed the pod."""
        _, agent = self._running.pop(name)
        agent.cancel()
        del self._unit_pods[name], self._agents[name]
        self._observed.pop(unit_file_name(name), None)

    # -- controllers

    def _give_addresses(self, tx: Transaction) -> None:
        lacking = [app.name for app in applications.all_(tx) if not app.service_address]
        if not lacking:
            return
        with self.store.transaction() as writing:
            for name in lacking:
                used = [
                    IPv4Address(app.service_address)
                    for app in applications.all_(writing)
                    if app.service_address
                ]
                address = str(self.plan.free_service(used))
                applications.set_addresses(writing, name, service=address)

    def _elect(self, tx: Transaction) -> None:
        running = {unit.name for unit in units.all_(tx) if unit.boot and unit.life == "alive"}
        due = tx.now + LEASE_RENEWAL
        for application in {name.partition("/")[0] for name in running}:
            lease = leadership.lease(tx, application)
            if lease is None or lease.expires <= due:
                with self.store.transaction() as writing:
                    leadership.maintain(writing, running)
                return

    def _roll(self, tx: Transaction, application: rows.Application) -> None:
        replicas = [
            rollout.Replica(
                unit.ordinal,
                unit.charm_modified_version,
                ready=unit.name in self._unit_pods and self._unit_pods[unit.name].ready,
                stopping=unit.stopping,
                alive=unit.life == "alive",
            )
            for unit in units.of(tx, application.name)
        ]
        ordinal = rollout.next_replacement(
            replicas,
            version=application.charm_modified_version,
            partition=application.partition,
        )
        if ordinal is not None:
            with self.store.transaction() as writing:
                units.set_stopping(writing, f"{application.name}/{ordinal}", stopping=True)

    def _finish_removals(self, tx: Transaction) -> None:
        if any(application.life == "dying" for application in applications.all_(tx)):
            with self.store.transaction() as writing:
                applications.finish_removals(writing)

    # -- what keepers of pods and agents ask for

    def observed(self, unit: str) -> PodState | None:
        """Return the containers of a unit as they were seen last."""
        return self._observed.get(unit_file_name(unit))

    def forget(self, unit: str) -> None:
        """Drop what was seen of a pod that was removed."""
        self._observed.pop(unit_file_name(unit), None)

    async def start_pod(self, spec: PodSpec) -> PodState:
        """Start what does not run of a pod and watch it."""
        state = await self.pods.ensure(spec)
        self._observed[state.unit] = state
        self._watcher.watch(self._observed)
        return state

    def free_pod_address(self, tx: Transaction) -> IPv4Address:
        """Return an address that no unit has."""
        return self.plan.free_pod(
            [
                *(IPv4Address(unit.address) for unit in units.all_(tx) if unit.address),
                *nodes.addresses(tx),
            ]
        )

    def service_account(self, application: str) -> podspec.ServiceAccount:
        """Return what the pods of an application show to the Kubernetes API."""
        return podspec.ServiceAccount(
            token=token(self._token_key, application),
            ca=self._certificate,
            namespace=models.get(self.store.read()).name,
        )

    def application_of(self, bearer: str) -> str | None:
        """Return the application whose token this is."""
        for application in applications.all_(self.store.read()):
            if secrets.compare_digest(token(self._token_key, application.name), bearer):
                return application.name
        return None

    async def charm_tree(self, charm: rows.Charm) -> Path:
        """Return the unpacked tree of a charm; units that ask at the same time share the work."""
        task = self._trees.get(charm.digest)
        if task is None or (task.done() and task.exception() is not None):
            task = self.spawn(self._unpack(charm))
            self._trees[charm.digest] = task
        return await asyncio.shield(task)

    async def _unpack(self, charm: rows.Charm) -> Path:
        if not self._python:
            said = await self._podman(
                *("run", "--rm", "--pull=never", "--network=none", "--entrypoint", '["python3"]'),
                *(CHARM_IMAGE, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"),
            )
            self._python = said.stdout.strip()
        return await charmstore.unpacked(
            self.instance, Path(charm.path), charm.digest, self._python, self._compile
        )

    async def _compile(self, tree: Path) -> None:
        await self._podman(
            *("run", "--rm", "--pull=never", "--network=none", "--entrypoint", '["python3"]'),
            *(f"--mount=type=bind,source={tree},target=/charm", CHARM_IMAGE),
            # Unchecked: the trees are never written again, and every import saves a stat.
            *("-m", "compileall", "-q", "-j0", "--invalidation-mode=unchecked-hash", "/charm"),
            check=False,
        )

    @property
    def api_environment(self) -> Mapping[str, str]:
        """The variables by which a hook finds the Kubernetes API: the address only, as in Juju."""
        return podspec.service_environment(self.plan.gateway)

    @property
    def credential(self) -> Mapping[str, Any]:
        """What credential-get shows the charms of a trusted application."""
        endpoint = f"https://{self.plan.gateway}:443"
        return {"type": "kubernetes", "name": "embedded", "endpoint": endpoint}

    def record_hook(self, line: str) -> None:
        """Append a line to the record of hooks, for `tests/performance`."""
        with (self.instance.state / "hooks.jsonl").open("a") as file:
            file.write(line + "\n")

    def readiness_changed(self) -> None:
        """A pod became ready, or is not any more."""
        self.wake()

    def restart_container(self, unit: str, container: str) -> None:
        """End a container that does not answer; its end is then handled as every end."""
        self.spawn(self.pods.stop(unit, 30.0, only=lambda name: name == container))

    def report(self, unit: str, error: errors.EngineError) -> None:
        """Show why a unit's pod does not start."""
        with self.store.transaction() as tx:
            if units.find(tx, unit) is not None:
                statuses.put(tx, unit, "workload", "waiting", error.message)
        detail = f"{error.message}; {error.remedy}" if error.remedy else error.message
        self.log(unit, "WARNING", "juju.worker.caas", detail)

    def log(self, entity: str, level: str, logger: str, message: str) -> None:
        """Write to the model's log; `entity` is a unit, an application or `controller`."""
        self._log.append(self.store.read().now, entity, level, logger, message)

    @property
    def log_path(self) -> Path:
        """The model's log."""
        return self.instance.logs / "debug.log"

    def unit_pod(self, unit: str) -> UnitPod | None:
        """Return the keeper of a unit's pod."""
        return self._unit_pods.get(unit)

    def agent(self, unit: str) -> Agent | None:
        """Return the agent of a unit."""
        return self._agents.get(unit)

    def _container_ended(self, ended: Exit) -> None:
        self.spawn(self._handle_end(ended))

    async def _handle_end(self, ended: Exit) -> None:
        state = self._observed.get(ended.unit)
        if state is not None:
            left = {name: c for name, c in state.containers.items() if c.id != ended.id}
            self._observed[ended.unit] = pods.PodState(ended.unit, left)
        for name, unit_pod in self._unit_pods.items():
            if unit_file_name(name) == ended.unit:
                await unit_pod.ended(ended.container)
        await self.daemonsets.ended(ended)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something beside; a defect in it ends the engine."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        self._changed.set()
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, errors.EngineError):
            # A defect of the engine: end loudly, the supervisor starts a new daemon that continues the model.
            task.get_loop().call_exception_handler(
                {"message": "a task of the engine failed", "exception": error}
            )


def token(key: bytes, application: str) -> str:
    """Return the bearer token of an application for the Kubernetes API."""
    return hashlib.blake2b(application.encode(), key=key, digest_size=32).hexdigest()


def _token_key(instance: Instance) -> bytes:
    path = instance.kubernetes / "token.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_bytes(secrets.token_bytes(32))
        partial.rename(path)
    return path.read_bytes()
