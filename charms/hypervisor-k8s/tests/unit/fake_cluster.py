"""A Kubernetes that keeps what is applied to it, and whose DaemonSets get as far as a test says."""

from __future__ import annotations

import copy
from typing import Any
from urllib.parse import urlsplit

from daybreak_charm import kube


class Cluster:
    """The API as `kube.request` asks it.

    Attributes:
        objects: By path.
        patched: Paths of everything that was applied, in order.
        ready: Whether pods of DaemonSets become ready.
        trusted: Whether the application may do anything.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.patched: list[str] = []
        self.deleted: list[str] = []
        self.ready = True
        self.trusted = True

    def __call__(
        self, method: str, url: str, body: Any = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        path = urlsplit(url).path
        if not self.trusted:
            raise kube.KubernetesError(403, "Forbidden")
        if path == "/api/v1/nodes":
            return {"items": [self._node("node-0", "10.0.0.16"), self._node("node-1", "10.0.0.17")]}
        if method == "PATCH":
            assert kind == kube.APPLY
            self.patched.append(path)
            old = self.objects.get(path, {"metadata": {}})
            generation = old["metadata"].get("generation", 0) + 1
            metadata = {**body["metadata"], "generation": generation}
            self.objects[path] = {**copy.deepcopy(body), "metadata": metadata}
        elif path not in self.objects:
            raise kube.KubernetesError(404, "Not Found")
        elif method == "DELETE":
            self.deleted.append(path)
            return self.objects.pop(path)
        return self._shown(path)

    def _shown(self, path: str) -> dict[str, Any]:
        item = self.objects[path]
        if item["kind"] != "DaemonSet":
            return item
        count = 2 if self.ready else 1
        status = {
            "desiredNumberScheduled": 2,
            "numberReady": count,
            "updatedNumberScheduled": count,
            "observedGeneration": item["metadata"]["generation"],
        }
        return {**item, "status": status}

    @staticmethod
    def _node(name: str, address: str) -> dict[str, Any]:
        addresses = [
            {"type": "InternalIP", "address": address},
            {"type": "Hostname", "address": name},
        ]
        return {"metadata": {"name": name}, "status": {"addresses": addresses}}

    def named(self, kind: str) -> dict[str, Any]:
        """Objects of a kind by name."""
        return {
            item["metadata"]["name"]: item for item in self.objects.values() if item["kind"] == kind
        }
