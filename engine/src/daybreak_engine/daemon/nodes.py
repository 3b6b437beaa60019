"""The nodes of an instance: rows of the model, and the containers that are started for them."""

from __future__ import annotations

import asyncio
import platform
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from daybreak_engine import errors
from daybreak_engine.daemon.unitpod import CHARM_IMAGE
from daybreak_engine.kubernetes import daemonsets
from daybreak_engine.model import kubernetes_objects
from daybreak_engine.substrate import nodes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daybreak_engine.daemon.cluster import Cluster
    from daybreak_engine.kubernetes.backend import Object
    from daybreak_engine.model.store import Transaction

KIND = "Node"
FIRST = "node-0"
"""The node that each instance has."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Running:
    """A node that runs.

    Args:
        boot: Another one after each start.
        pid: Its process 1.
    """

    boot: str
    pid: int


def all_(tx: Transaction) -> list[Object]:
    """Return the nodes that there are."""
    return [dict(row.body) for row in kubernetes_objects.of_kind(tx, KIND)]


def addresses(tx: Transaction) -> list[IPv4Address]:
    """Return the addresses that nodes have."""
    return [IPv4Address(daemonsets.address(item)) for item in all_(tx)]


def leaving(item: Object) -> bool:
    """Tell whether a pod or a node is to go."""
    return "deletionTimestamp" in item["metadata"]


def add(tx: Transaction, name: str, address: IPv4Address, labels: Mapping[str, str]) -> None:
    """Add a node to the cluster; its container starts when a pod needs it.

    Raises:
        errors.InvalidError: The name cannot be a host's.
        errors.ExistsError: There is one of this name.
    """
    if not _NAME.fullmatch(name):
        raise errors.InvalidError(
            f"invalid node name {name!r}",
            remedy="use 1 to 30 lower-case letters, digits and dashes, for example node-1",
        )
    if kubernetes_objects.find(tx, KIND, name) is not None:
        raise errors.ExistsError(f"node {name} already exists")
    body = daemonsets.node(
        name,
        str(address),
        created=rfc3339(tx.now),
        uid=str(uuid.uuid4()),
        machine=_ARCHITECTURES.get(platform.machine(), platform.machine()),
    )
    body["metadata"]["labels"] |= labels
    kubernetes_objects.put(tx, KIND, name, body)


def leave(tx: Transaction, name: str) -> None:
    """Have a node go, with all that runs on it.

    Raises:
        errors.NotFoundError: There is none of this name.
        errors.RefusedError: It is the one that each instance has.
    """
    row = kubernetes_objects.find(tx, KIND, name)
    if row is None:
        raise errors.NotFoundError(f"node {name} not found")
    if name == FIRST:
        raise errors.RefusedError(f"{FIRST} stays as long as the instance does")
    mark(tx, KIND, dict(row.body))


def mark(tx: Transaction, kind: str, body: Object) -> None:
    """Write down that a pod or a node is to go."""
    metadata = {**body["metadata"], "deletionTimestamp": rfc3339(tx.now)}
    kubernetes_objects.put(tx, kind, metadata["name"], {**body, "metadata": metadata})


def rfc3339(seconds: float) -> str:
    """Return a time as objects have it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Nodes:
    """Starts and ends the containers of nodes.

    Args:
        cluster: Whose.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._locks: dict[str, asyncio.Lock] = {}

    def running(self, name: str) -> Running | None:
        """Return the node if its container runs."""
        state = self._cluster.observed(nodes.unit(name))
        found = state.containers.get(nodes.CONTAINER) if state else None
        if found is None or found.status != "running":
            return None
        return Running(found.id[:12], found.pid)

    async def ensure(self, node: Object) -> Running:
        """Return a running node, started when it did not run."""
        name: str = node["metadata"]["name"]
        async with self._locks.setdefault(name, asyncio.Lock()):
            present = self.running(name)
            if present is not None:
                return present
            instance = self._cluster.instance
            address = IPv4Address(daemonsets.address(node))
            await nodes.prepare(instance, self._cluster.plan, name, address)
            await self._cluster.start_pod(nodes.spec(instance, name, CHARM_IMAGE))
            started = self.running(name)
            if started is None:
                raise errors.EngineError(f"node {name} ended as soon as it was started")
            return started

    async def end(self, name: str) -> None:
        """End a node at once, with everything that runs on it, and remove what it had."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            await self._cluster.pods.remove(nodes.unit(name))
            self._cluster.forget(nodes.unit(name))
            await nodes.remove(self._cluster.instance, name)
