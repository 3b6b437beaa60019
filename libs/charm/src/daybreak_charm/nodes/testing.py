"""A Kubernetes that keeps what is applied to it, and whose DaemonSets get as far as a test says."""

from __future__ import annotations

import copy
from typing import Any
from urllib.parse import parse_qs, urlsplit

from daybreak_charm import kube
from daybreak_charm.nodes.objects import HOSTNAME


class Cluster:
    """The API as `kube.request` asks it.

    Args:
        names: Of its nodes.

    Attributes:
        nodes: Whether each node is ready, by its name.
        objects: By path.
        patched: Paths of everything that was applied, in order.
        deleted: Paths of what was deleted.
        ready: Whether all pods of DaemonSets become ready, or one of them does not.
        trusted: Whether the application may do anything.
        old: DaemonSets that have a pod of an older description, by name.
    """

    def __init__(self, *names: str) -> None:
        self.nodes = dict.fromkeys(names, True)
        self.objects: dict[str, Any] = {}
        self.patched: list[str] = []
        self.deleted: list[str] = []
        self.ready = True
        self.trusted = True
        self.old: set[str] = set()

    def __call__(
        self, method: str, url: str, body: Any = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            KubernetesError: Nothing is there, or the application is not trusted.
        """
        path = urlsplit(url).path
        if not self.trusted:
            raise kube.KubernetesError(403, "Forbidden")
        if path == "/api/v1/nodes":
            return {"items": [self._node(name) for name in self.nodes]}
        if path.endswith("/pods"):
            name = parse_qs(urlsplit(url).query)["labelSelector"][0].partition("=")[2]
            return {"items": [self._pod(name, node) for node in self.nodes]}
        if "/pods/" in path and method == "DELETE":
            self.deleted.append(path)
            return {}
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
        selector = item["spec"]["template"]["spec"]["nodeSelector"]
        wanted = 1 if HOSTNAME in selector else len(self.nodes)
        count = wanted if self.ready else wanted - 1
        status = {
            "desiredNumberScheduled": wanted,
            "numberReady": count,
            "updatedNumberScheduled": count - (item["metadata"]["name"] in self.old),
            "observedGeneration": item["metadata"]["generation"],
        }
        return {**item, "status": status}

    def _node(self, name: str) -> dict[str, Any]:
        number = list(self.nodes).index(name)
        return {
            "metadata": {"name": name, "labels": {HOSTNAME: name}},
            "spec": {},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": f"10.0.0.{16 + number}"},
                    {"type": "Hostname", "address": name},
                ],
                "conditions": [{"type": "Ready", "status": str(self.nodes[name])}],
            },
        }

    def _pod(self, name: str, node: str) -> dict[str, Any]:
        return {"metadata": {"name": f"{name}-{node}"}, "spec": {"nodeName": node}}

    def named(self, kind: str) -> dict[str, Any]:
        """Objects of a kind by name."""
        return {
            item["metadata"]["name"]: item for item in self.objects.values() if item["kind"] == kind
        }
