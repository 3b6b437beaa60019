"""The daemon's main: makes network and model, takes over the pods, serves until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from daybreak_engine import errors
from daybreak_engine.commands import deps
from daybreak_engine.daemon import backend, charmstore, nodes, server, supervisor
from daybreak_engine.daemon.cluster import Cluster
from daybreak_engine.kubernetes import certificates, daemonsets
from daybreak_engine.kubernetes.server import Server as ApiServer
from daybreak_engine.model import applications, models, open_store, relations, storage, units
from daybreak_engine.substrate import images, netns, network
from daybreak_engine.substrate.files import remove_tree
from daybreak_engine.substrate.podman import podman_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from daybreak_engine.instance import Instance
    from daybreak_engine.model import Store
    from daybreak_engine.substrate.podman import Podman

T = TypeVar("T")

API_PORT = 443
CLOSE_SECONDS = 5.0
"""How long open requests and running hooks may delay the end of the daemon."""
END_SECONDS = 120.0
"""How long the pods of a model that is removed may take; twice the longest grace of one."""


class ModelDeps:
    """What commands may do beside the model: `commands.deps.Deps` over the cluster."""

    def __init__(self, cluster: Cluster, podman: Podman) -> None:
        self._cluster = cluster
        self._podman = podman

    @property
    def store(self) -> Store:
        """The model's store."""
        return self._cluster.store

    @property
    def log_path(self) -> Path:
        """The model's debug log."""
        return self._cluster.log_path

    def now(self) -> datetime:
        """Return the current time, in UTC."""
        return datetime.now(UTC)

    def wake(self) -> None:
        """Say that the model changed."""
        self._cluster.wake()

    async def wait(self, predicate: Callable[[], T | None], timeout: float | None) -> T | None:
        """Return what `predicate` gives once that is not None, None when the time is over."""
        return await self._cluster.wait(predicate, timeout)

    async def store_charm(self, archive: Path) -> deps.StoredCharm:
        """Copy a packed charm into the store."""
        return await self._store(archive, ".charm")

    async def store_file(self, path: Path) -> deps.StoredCharm:
        """Copy a file resource into the store."""
        return await self._store(path, ".resource")

    async def _store(self, path: Path, suffix: str) -> deps.StoredCharm:
        digest, stored = await asyncio.to_thread(
            charmstore.store, self._cluster.instance, path, suffix
        )
        return deps.StoredCharm(digest, stored)

    async def image_present(self, reference: str) -> bool:
        """Tell whether podman has the image, pulling it when it can be pulled."""
        try:
            await images.ensure(self._podman, reference)
        except errors.EngineError:
            return False
        return True

    def nodes(self) -> Sequence[deps.Node]:
        """Return the nodes of the cluster."""
        tx = self._cluster.store.read()
        pods = self._cluster.daemonsets.pods(tx)
        return [
            deps.Node(
                item["metadata"]["name"],
                daemonsets.address(item),
                item["metadata"]["labels"],
                tuple(
                    pod["metadata"]["name"]
                    for pod in pods
                    if pod["spec"]["nodeName"] == item["metadata"]["name"]
                ),
            )
            for item in nodes.all_(tx)
        ]

    def add_node(self, name: str, labels: Mapping[str, str]) -> None:
        """Add a node."""
        with self._cluster.store.transaction() as tx:
            nodes.add(tx, name, self._cluster.free_pod_address(tx), labels)

    def remove_node(self, name: str) -> None:
        """Have a node go, with its pods."""
        with self._cluster.store.transaction() as tx:
            nodes.leave(tx, name)

    async def exec_in(
        self, unit: str, container: str, argv: Sequence[str], stdin: str | None
    ) -> deps.ExecResult:
        """Run a program in a container of a unit's pod and wait for its end."""
        state = self._cluster.observed(unit)
        found = state.containers.get(container) if state else None
        if found is None or found.status != "running":
            raise LookupError(f"unit {unit} has no running container {container}")
        result = await self._podman(
            *("exec", "--interactive", found.id, *argv), stdin=stdin or "", check=False
        )
        return deps.ExecResult(result.code, result.stdout, result.stderr)


class Engine:
    """`commands.deps.Engine`: one instance keeps one model."""

    def __init__(self, cluster: Cluster, podman: Podman) -> None:
        self._cluster = cluster
        self._deps = ModelDeps(cluster, podman)

    def models(self) -> Mapping[str, deps.Deps]:
        """Return the model by its name, nothing before `add_model`."""
        model = models.find(self._cluster.store.read())
        return {} if model is None else {model.name: self._deps}

    async def add_model(self, name: str) -> deps.Deps:
        """Make the instance's model."""
        with self._cluster.store.transaction() as tx:
            models.create(tx, name)
        return self._deps

    async def remove_model(self, name: str, *, keep_storage: bool) -> None:
        """Forget the model; units that are still there are removed without their last hooks."""
        store = self._cluster.store
        volumes = [item.id.replace("/", "-") for item in storage.all_(store.read())]
        with store.transaction() as tx:
            for unit in units.all_(tx):
                units.remove(tx, unit.name)
            for relation in relations.all_(tx):
                relations.destroy(tx, relation.id)
            applications.finish_removals(tx)
            self._cluster.daemonsets.clear(tx)
        if not await self._cluster.wait(self._cluster.idle, END_SECONDS):
            raise errors.EngineError(
                f"pods that do not end: {', '.join(self._cluster.left()) or 'of nodes'}",
                remedy="`juju debug-log` may say why; `daybreak destroy` ends all processes of an instance",
            )
        with store.transaction() as tx:
            models.remove(tx)
        if not keep_storage:
            for volume in volumes:
                await asyncio.to_thread(remove_tree, self._cluster.instance.storage / volume)


async def run(instance: Instance) -> None:
    """Be the daemon of `instance` until SIGTERM, or until the supervisor is gone.

    Raises:
        errors.EngineError: Something that the engine needs is missing.
    """
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    loop.set_exception_handler(_defect)
    for directory in (instance.state, instance.run, instance.logs):
        directory.mkdir(parents=True, exist_ok=True)
    instance.state.chmod(0o700)
    supervisor.record_pid(instance)
    plan = await network.reserve_subnet(instance)
    await network.ensure_router(instance, plan)
    podman = podman_for(instance)
    store = open_store(instance.database)
    orphaned = asyncio.create_task(_await_parent(end))
    tls = await certificates.ensure(instance.kubernetes, plan.gateway)
    cluster = Cluster(instance, plan, store, podman, tls.ca.read_text())
    api = ApiServer(backend.Backend(cluster))
    try:
        await asyncio.to_thread(
            supervisor.start_dns, instance, network.dnsmasq_command(instance, plan)
        )
        listener = netns.listen(network.netns_path(instance), plan.gateway, API_PORT)
        await api.start(listener, tls.context())
        await cluster.start()
        runner = await server.serve(instance, Engine(cluster, podman))
        await end.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await runner.cleanup()
                await api.stop()
                await cluster.close()
    finally:
        store.close()
    if orphaned.done():
        supervisor.restart_supervisor(instance)
    # Whatever still hangs must not keep the next daemon waiting; what is not committed is decided again.
    sys.stderr.flush()
    os._exit(0)


async def _await_parent(end: asyncio.Event) -> None:
    """Set `end` when the supervisor, our parent, is gone."""
    parent = os.getppid()
    if parent == 1:
        return
    loop = asyncio.get_running_loop()
    gone = loop.create_future()
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(parent)
        loop.add_reader(handle, lambda: gone.done() or gone.set_result(None))
        try:
            await gone
        finally:
            loop.remove_reader(handle)
            os.close(handle)
    end.set()


def _defect(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say what went wrong in a task and end at once: the next daemon continues the model."""
    loop.default_exception_handler(context)
    if context.get("exception") is not None:
        sys.stderr.flush()
        os._exit(70)
