"""The pod of a DaemonSet on one node: brought up, watched, restarted, ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from daybreak_engine import errors
from daybreak_engine.daemon import nodes
from daybreak_engine.kubernetes import daemonsets
from daybreak_engine.model import kubernetes_objects, models
from daybreak_engine.substrate import daemonpod, waiting
from daybreak_engine.substrate.health import Health, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daybreak_engine.daemon.cluster import Cluster
    from daybreak_engine.kubernetes.backend import Object
    from daybreak_engine.model.store import Transaction
    from daybreak_engine.substrate.specs import ContainerState, PodSpec

KIND = "Pod"
RETRY_SECONDS = 5.0
"""Between two tries to start what cannot start, such as a pod whose image is missing."""
_GRACE_SECONDS = 30.0
_SETTLED_SECONDS = 60.0
_LONGEST_PAUSE = 60.0
# Key of the row, not shown by the API: the boot of the node in which init containers have run.
_BOOT = "boot"


def all_(tx: Transaction) -> list[Object]:
    """Return the pods of DaemonSets, without their status."""
    return [dict(row.body) for row in kubernetes_objects.of_kind(tx, KIND)]


def pause(failures: int) -> float:
    """Return the seconds before a container is started again that failed so often in a row."""
    return 0.0 if failures < 2 else min(2.0 ** (failures - 2), _LONGEST_PAUSE)


class DaemonPod:
    """Keeps one pod. `run` it as a task; `changed` makes it look again.

    Args:
        cluster: Whose.
        machines: Starts nodes.
        name: Of the pod.
    """

    def __init__(self, cluster: Cluster, machines: nodes.Nodes, name: str) -> None:
        self.name = name
        self._cluster = cluster
        self._nodes = machines
        self._look = asyncio.Event()
        self._why = ("ContainerCreating", "")
        self._reported = ""
        self._restarts: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._health: dict[str, tuple[str, Health]] = {}

    def changed(self) -> None:
        """Look at model and containers again."""
        self._look.set()

    async def ended(self, container: str, container_id: str) -> None:
        """A container's process has ended."""
        watched = self._health.get(container)
        if watched is not None and watched[0] == container_id:
            del self._health[container]
            await watched[1].close()
        now = asyncio.get_running_loop().time()
        short = now - self._started.get(container, now) < _SETTLED_SECONDS
        self._failures[container] = self._failures.get(container, 0) + 1 if short else 1
        self._due[container] = now + pause(self._failures[container])
        self.changed()

    async def run(self) -> None:
        """Work until the pod is gone."""
        try:
            while True:
                self._look.clear()
                try:
                    seconds = await self._step()
                except errors.EngineError as error:
                    self._say(error)
                    seconds = RETRY_SECONDS
                if seconds is not None and seconds < 0:
                    return
                await waiting.is_set(self._look, seconds)
        finally:
            await self._unwatch()

    async def _step(self) -> float | None:
        """Do what is due; return the seconds until more is, less than 0 at the end."""
        tx = self._cluster.store.read()
        row = kubernetes_objects.find(tx, KIND, self.name)
        if row is None or nodes.leaving(dict(row.body)):
            await self._end(None if row is None else dict(row.body))
            return -1.0
        pod: Object = dict(row.body)
        node = kubernetes_objects.find(tx, nodes.KIND, pod["spec"]["nodeName"])
        if node is None:
            return None  # the controller ends the pod
        machine = await self._nodes.ensure(dict(node.body))
        place = daemonpod.Place(
            instance=self._cluster.instance,
            plan=self._cluster.plan,
            model=models.get(tx).name,
            node=node.name,
            address=daemonsets.address(dict(node.body)),
            pid=machine.pid,
        )
        spec = daemonpod.spec(pod, place, self._content, field="containers")
        await asyncio.to_thread(daemonpod.write, pod, place, spec.layout)
        if pod.get(_BOOT) != machine.boot and not await self._begin(pod, place, machine.boot):
            return None
        return await self._keep(pod, place, spec)

    def _content(self, kind: str, name: str) -> Mapping[str, Any] | None:
        found = kubernetes_objects.find(self._cluster.store.read(), kind, name)
        return None if found is None else found.body

    async def _begin(self, pod: Object, place: daemonpod.Place, boot: str) -> bool:
        """Run the init containers, once in each life of the node; False when the pod has to go."""
        await self._unwatch()
        present = self._cluster.observed(self.name)
        if present is not None:
            await self._cluster.pods.remove(self.name)
            self._cluster.forget(self.name)
        await asyncio.to_thread(daemonpod.prepare_host_paths, pod, place)
        spec = daemonpod.spec(pod, place, self._content, field="initContainers")
        await asyncio.to_thread(daemonpod.write, pod, place, spec.layout)
        for container in spec.containers:
            self._why = ("PodInitializing", f"init container {container.name} runs")
            state = await self._cluster.start_pod(replace(spec, containers=(container,)))
            code = await self._exit_code(container.name, state.containers[container.name].id)
            if code is None:
                return False
            if code != 0:
                raise errors.EngineError(
                    f"init container {container.name} of {self.name} ended with {code}",
                    remedy=f"its words are in {self._cluster.instance.logs / self.name}",
                )
        with self._cluster.store.transaction() as tx:
            row = kubernetes_objects.find(tx, KIND, self.name)
            if row is None:
                return False
            kubernetes_objects.put(tx, KIND, self.name, {**row.body, _BOOT: boot})
        return True

    async def _exit_code(self, container: str, container_id: str) -> int | None:
        """Return how an init container ended; None when the pod has to go before."""
        while True:
            self._look.clear()
            state = self._cluster.observed(self.name)
            found = state.containers.get(container) if state else None
            if found is None or found.id != container_id or found.status != "running":
                return await self._cluster.pods.exit_code(container_id)
            row = kubernetes_objects.find(self._cluster.store.read(), KIND, self.name)
            if row is None or nodes.leaving(dict(row.body)):
                self.changed()
                return None
            await self._look.wait()

    async def _keep(self, pod: Object, place: daemonpod.Place, spec: PodSpec) -> float | None:
        """Start the containers that do not run and are due, and watch those that do."""
        state = self._cluster.observed(self.name)
        present: Mapping[str, ContainerState] = state.containers if state else {}
        now = asyncio.get_running_loop().time()
        dead = [
            container
            for container in spec.containers
            if container.name not in present or present[container.name].status != "running"
        ]
        due = tuple(item for item in dead if self._due.get(item.name, 0.0) <= now)
        if due:
            await asyncio.to_thread(daemonpod.prepare_host_paths, pod, place)
            present = (await self._cluster.start_pod(replace(spec, containers=due))).containers
            for container in due:
                if container.name in self._due:
                    self._restarts[container.name] = self._restarts.get(container.name, 0) + 1
                self._started[container.name] = now
        self._why = ("CrashLoopBackOff", "it ended several times") if dead else ("", "")
        self._watch(pod, place, spec, present)
        left = [self._due[item.name] - now for item in dead if item not in due]
        return max(0.0, min(left)) if left else None

    def _watch(
        self,
        pod: Object,
        place: daemonpod.Place,
        spec: PodSpec,
        present: Mapping[str, ContainerState],
    ) -> None:
        texts = {item["name"]: item for item in pod["spec"]["containers"]}
        for name, text in texts.items():
            container = present.get(name)
            if container is None or container.status != "running" or name in self._health:
                continue
            target = Target(container.pid, spec.netns, place.address, spec.container(name).env)
            health = Health(text, target, self._cluster.wake, lambda name=name: self._on_dead(name))
            self._health[name] = (container.id, health)
            self._cluster.wake()

    def _on_dead(self, container: str) -> None:
        self._cluster.restart_container(self.name, container)

    async def _end(self, pod: Object | None) -> None:
        """End the containers in the pod's time, then remove pod and row."""
        await self._unwatch()
        seconds = (pod or {}).get("spec", {}).get("terminationGracePeriodSeconds", _GRACE_SECONDS)
        if pod is not None:
            await self._cluster.pods.stop(self.name, float(seconds))
        await self._cluster.pods.remove(self.name)
        self._cluster.forget(self.name)
        if pod is not None:
            with self._cluster.store.transaction() as tx:
                kubernetes_objects.remove(tx, KIND, self.name)

    async def _unwatch(self) -> None:
        health = [item for _, item in self._health.values()]
        self._health.clear()
        for item in health:
            await item.close()

    def _say(self, error: errors.EngineError) -> None:
        word = "ErrImagePull" if "image" in error.message else "CreateContainerError"
        self._why = (word, error.message)
        if self._reported == error.message:
            return  # everybody has been told, and would only have this tried again at once
        self._reported = error.message
        detail = f"{error.message}; {error.remedy}" if error.remedy else error.message
        self._cluster.log("controller", "WARNING", "juju.worker.caas", f"{self.name}: {detail}")
        self._cluster.wake()

    # -- what the API shows

    def status(self, pod: Object, node: Object | None) -> Object:
        """Return the status of the pod."""
        state = self._cluster.observed(self.name)
        present: Mapping[str, ContainerState] = state.containers if state else {}
        entries = [self._container(item, present) for item in pod["spec"]["containers"]]
        ready = all(entry["ready"] for entry in entries)
        running = all("running" in entry["state"] for entry in entries)
        word = "True" if ready else "False"
        result: Object = {
            "phase": "Running" if running else "Pending",
            "conditions": [{"type": kind, "status": word} for kind in ("Ready", "ContainersReady")],
            "containerStatuses": entries,
        }
        if node is not None:
            address = daemonsets.address(node)
            result |= {"hostIP": address, "podIP": address, "podIPs": [{"ip": address}]}
        return result

    def _container(self, item: Object, present: Mapping[str, ContainerState]) -> Object:
        name: str = item["name"]
        found = present.get(name)
        running = found is not None and found.status == "running"
        watched = self._health.get(name)
        reason, message = self._why
        waits = {"reason": reason or "ContainerCreating", "message": message}
        return {
            "name": name,
            "image": item["image"],
            "imageID": "",
            "containerID": f"podman://{found.id}" if found else "",
            "ready": running and watched is not None and watched[1].ready,
            "started": running and watched is not None and watched[1].started,
            "restartCount": self._restarts.get(name, 0),
            "state": {"running": {}} if running else {"waiting": waits},
        }
