"""The controller of DaemonSets: which pods there are, on which nodes, and which is replaced next."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from daybreak_engine.daemon import daemonpod, nodes
from daybreak_engine.kubernetes import daemonsets
from daybreak_engine.model import kubernetes_objects

if TYPE_CHECKING:
    import asyncio

    from daybreak_engine.daemon.cluster import Cluster
    from daybreak_engine.kubernetes.backend import Object
    from daybreak_engine.model.store import Transaction
    from daybreak_engine.substrate.specs import Exit

KIND = "DaemonSet"


class DaemonSets:
    """The DaemonSets of a cluster, and the nodes they run on.

    Args:
        cluster: Whose.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.nodes = nodes.Nodes(cluster)
        self._pods: dict[str, daemonpod.DaemonPod] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}

    def idle(self) -> bool:
        """Tell whether no pod and no node is left."""
        tx = self._cluster.store.read()
        return not self._pods and not any(
            self.nodes.running(item["metadata"]["name"]) for item in nodes.all_(tx)
        )

    def clear(self, tx: Transaction) -> None:
        """Have everything go, the first node too."""
        for row in kubernetes_objects.of_kind(tx, KIND):
            kubernetes_objects.remove(tx, KIND, row.name)
        for item in nodes.all_(tx):
            nodes.mark(tx, nodes.KIND, item)

    def look(self) -> None:
        """Do what differs from what is wanted; called whenever something changed."""
        tx = self._cluster.store.read()
        if not nodes.all_(tx):
            with self._cluster.store.transaction() as writing:
                nodes.add(writing, nodes.FIRST, self._cluster.free_pod_address(writing), {})
        self._place(tx)
        self._update(tx)
        names = {item["metadata"]["name"] for item in daemonpod.all_(tx)}
        for name in sorted(names - self._pods.keys()):
            keeper = daemonpod.DaemonPod(self._cluster, self.nodes, name)
            self._pods[name] = keeper
            self._running[name] = self._cluster.spawn(keeper.run())
        for name in [name for name, task in self._running.items() if task.done()]:
            del self._running[name], self._pods[name]
        for keeper in self._pods.values():
            keeper.changed()
        self._end_nodes(tx)

    def _place(self, tx: Transaction) -> None:
        """Add the pods that are missing and have the others go."""
        places = [item for item in nodes.all_(tx) if not nodes.leaving(item)]
        wanted = {
            (row.name, row.body["metadata"]["uid"], node["metadata"]["name"]): (row.body, node)
            for row in kubernetes_objects.of_kind(tx, KIND)
            for node in places
            if daemonsets.fits(node, dict(row.body))
        }
        present = {
            (*daemonsets.owner(item), item["spec"]["nodeName"]): item for item in daemonpod.all_(tx)
        }
        surplus = [
            item for key, item in present.items() if key not in wanted and not nodes.leaving(item)
        ]
        taken = {item["metadata"]["name"] for item in present.values()}
        missing = [
            pair
            for key, pair in sorted(wanted.items(), key=lambda entry: entry[0])
            if daemonsets.pod_name(key[0], key[2]) not in taken
        ]
        if not surplus and not missing:
            return
        with self._cluster.store.transaction() as writing:
            for item in surplus:
                nodes.mark(writing, daemonpod.KIND, item)
            for daemonset, node in missing:
                created = nodes.rfc3339(writing.now)
                body = daemonsets.pod(dict(daemonset), node, created=created, uid=str(uuid.uuid4()))
                kubernetes_objects.put(writing, daemonpod.KIND, body["metadata"]["name"], body)

    def _update(self, tx: Transaction) -> None:
        """Move rolling updates on."""
        for row in kubernetes_objects.of_kind(tx, KIND):
            due = daemonsets.next_update(dict(row.body), self._of(tx, row.body))
            if due is not None:
                with self._cluster.store.transaction() as writing:
                    self.delete(writing, due)

    def _end_nodes(self, tx: Transaction) -> None:
        used = {item["spec"]["nodeName"] for item in daemonpod.all_(tx)}
        for item in nodes.all_(tx):
            name: str = item["metadata"]["name"]
            if nodes.leaving(item) and name not in used and name not in self._ending:
                self._ending[name] = self._cluster.spawn(self._end_node(name))

    async def _end_node(self, name: str) -> None:
        try:
            await self.nodes.end(name)
            with self._cluster.store.transaction() as tx:
                kubernetes_objects.remove(tx, nodes.KIND, name)
        finally:
            del self._ending[name]

    # -- for the API and the cluster

    async def ended(self, exit_: Exit) -> None:
        """A container has ended."""
        keeper = self._pods.get(exit_.unit)
        if keeper is not None:
            await keeper.ended(exit_.container, exit_.id)

    def delete(self, tx: Transaction, name: str) -> None:
        """End a pod; a new one of the newest template follows."""
        row = kubernetes_objects.find(tx, daemonpod.KIND, name)
        if row is not None and not nodes.leaving(dict(row.body)):
            nodes.mark(tx, daemonpod.KIND, dict(row.body))

    def pods(self, tx: Transaction) -> list[Object]:
        """Return all pods of DaemonSets with their status."""
        return [self._shown(tx, item) for item in daemonpod.all_(tx)]

    def status(self, tx: Transaction, daemonset: Any) -> Object:
        """Return the status of a DaemonSet."""
        return daemonsets.status(daemonset, nodes.all_(tx), self._of(tx, daemonset))

    def _of(self, tx: Transaction, daemonset: Any) -> list[Object]:
        uid = daemonset["metadata"]["uid"]
        return [item for item in self.pods(tx) if daemonsets.owner(item)[1] == uid]

    def _shown(self, tx: Transaction, item: Object) -> Object:
        name: str = item["metadata"]["name"]
        row = kubernetes_objects.find(tx, daemonpod.KIND, name)
        node = kubernetes_objects.find(tx, nodes.KIND, item["spec"]["nodeName"])
        keeper = self._pods.get(name) or daemonpod.DaemonPod(self._cluster, self.nodes, name)
        metadata = {**item["metadata"], "resourceVersion": str(row.version if row else 0)}
        status = keeper.status(item, None if node is None else dict(node.body))
        return {"metadata": metadata, "spec": item["spec"], "status": status}
