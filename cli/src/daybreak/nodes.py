"""Machines of a MicroK8s cluster: which there are, a new one, and one less."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import programs
from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .bootstrap import Clock
    from .output import Reporter

SECONDS = 60.0
POLL_SECONDS = 2.0
KUBECTL = ("microk8s", "kubectl")


@dataclass(frozen=True)
class Node:
    """One machine of the cluster.

    Attributes:
        ready: Whether Kubernetes runs pods there.
        control: Whether it also carries the control plane of Kubernetes.
        units: The cloud's units on it.
        volumes: Volumes that exist only there.
    """

    name: str
    address: str
    ready: bool
    control: bool
    units: tuple[str, ...]
    volumes: tuple[str, ...]


def listed(namespace: str) -> tuple[Node, ...]:
    """Return the cluster's machines with the units of a model on each.

    Args:
        namespace: The model's name, which is the namespace of its pods.

    Raises:
        DaybreakError: MicroK8s is not there, or does not answer.
    """
    pods = _items("get", "pods", "-n", namespace, "-o", "json")
    volumes = _items("get", "persistentvolumes", "-o", "json")
    return tuple(
        _node(entry, pods, volumes)
        for entry in sorted(
            _items("get", "nodes", "-o", "json"), key=lambda node: node["metadata"]["name"]
        )
    )


def _items(*words: str) -> list[dict[str, Any]]:
    output = programs.capture([*KUBECTL, *words], timeout=SECONDS)
    if not output.ok:
        raise DaybreakError(
            "MicroK8s does not answer",
            details=tuple(output.stderr.strip().splitlines()),
            remedy="See `microk8s status`. Nodes of another Kubernetes are added by its own means.",
        )
    return json.loads(output.stdout)["items"]


def _node(entry: dict[str, Any], pods: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> Node:
    name = entry["metadata"]["name"]
    status = entry.get("status", {})
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in status.get("conditions", [])
    )
    address = next(
        (item["address"] for item in status.get("addresses", []) if item["type"] == "InternalIP"),
        "",
    )
    labels = entry["metadata"].get("labels", {})
    return Node(
        name,
        address,
        ready,
        "node.kubernetes.io/microk8s-worker" not in labels,
        tuple(
            sorted(
                _unit(pod)
                for pod in pods
                if pod.get("spec", {}).get("nodeName") == name and _unit(pod)
            )
        ),
        tuple(sorted(_claim(volume) for volume in volumes if name in _places(volume))),
    )


def _unit(pod: dict[str, Any]) -> str:
    """Return the unit of a pod; Juju's own pods have none."""
    name = pod["metadata"]["name"]
    application, _, number = name.rpartition("-")
    own = pod["metadata"].get("labels", {}).get("app.kubernetes.io/name") == application
    return f"{application}/{number}" if own and number.isdigit() else ""


def _claim(volume: dict[str, Any]) -> str:
    claim = volume.get("spec", {}).get("claimRef", {})
    return f"{claim.get('namespace', '')}/{claim.get('name', volume['metadata']['name'])}"


def _places(volume: dict[str, Any]) -> set[str]:
    """Return the names of the only machines that a volume can be reached from; empty for any."""
    terms = (
        volume.get("spec", {})
        .get("nodeAffinity", {})
        .get("required", {})
        .get("nodeSelectorTerms", [])
    )
    return {
        value
        for term in terms
        for expression in term.get("matchExpressions", [])
        if expression.get("key") == "kubernetes.io/hostname"
        for value in expression.get("values", [])
    }


def images_everywhere() -> frozenset[str] | None:
    """Return the names of images that every machine has; None when there is only one machine."""
    nodes = _items("get", "nodes", "-o", "json")
    if len(nodes) < 2:
        return None
    names = [
        {
            name
            for image in node.get("status", {}).get("images", [])
            for name in image["names"] or ()
        }
        for node in nodes
    ]
    return frozenset(set.intersection(*names))


def limits(nodes: tuple[Node, ...]) -> tuple[str, ...]:
    """Return what a reader has to know about this number of machines."""
    control = [node for node in nodes if node.control]
    found: list[str] = []
    if len(control) < 3:
        found.append(
            f"{len(control)} of 3 machines that a highly available Kubernetes needs: losing one ends"
            " the API, running units go on"
        )
    volumes = sum(len(node.volumes) for node in nodes)
    if volumes:
        found.append(
            f"{volumes} volumes are directories of one machine each: their units do not move to"
            " another one, and are lost with it; the database keeps its copies by itself from three"
            " units on"
        )
    return tuple(found)


def invitation() -> tuple[str, ...]:
    """Return the addresses that a new machine can join by; each works once.

    Raises:
        DaybreakError: MicroK8s refuses.
    """
    output = programs.capture(["microk8s", "add-node", "--format", "json"], timeout=SECONDS)
    if not output.ok:
        raise DaybreakError(
            "MicroK8s gives no invitation",
            details=tuple((output.stderr or output.stdout).strip().splitlines()),
            remedy="Run the command on a machine that carries the control plane, as root.",
        )
    return tuple(json.loads(output.stdout)["urls"])


def await_new(
    before: tuple[Node, ...],
    look: Callable[[], tuple[Node, ...]],
    timeout: float,
    clock: Clock,
) -> Node:
    """Wait until there is a machine that was not there before, and is ready.

    Raises:
        DaybreakError: None came in time.
    """
    known, deadline = {node.name for node in before}, clock.now() + timeout
    while True:
        new = [node for node in look() if node.name not in known]
        if new and new[0].ready:
            return new[0]
        if clock.now() > deadline:
            what = f"{new[0].name} is not ready" if new else "no machine has joined"
            raise DaybreakError(
                f"{what} after {timeout:.0f} s",
                remedy="See `microk8s kubectl get nodes`, and on the new machine `microk8s inspect`. It may"
                " still join: `daybreak node list`.",
            )
        clock.sleep(POLL_SECONDS)


def label(name: str, labels: Sequence[str]) -> None:
    """Give a machine labels, as `KEY=VALUE`.

    Raises:
        DaybreakError: Kubernetes refuses one.
    """
    if not labels:
        return
    output = programs.capture([*KUBECTL, "label", "node", name, *labels], timeout=SECONDS)
    if not output.ok:
        raise DaybreakError(
            f"{name} has joined, but has no labels",
            details=tuple(output.stderr.strip().splitlines()),
            remedy=f"By hand: microk8s kubectl label node {name} {' '.join(labels)}",
        )


def remove(node: Node, report: Reporter, timeout: float, *, lose: bool, gone: bool) -> None:
    """Move what a machine carries elsewhere and take the machine out of the cluster.

    Args:
        node: The machine.
        report: Is told what the commands say.
        timeout: Seconds that units may take to leave.
        lose: Whether volumes that only this machine has may be lost.
        gone: Whether the machine does not answer any more.

    Raises:
        DaybreakError: Data would be lost, or a command failed.
    """
    if node.volumes and not lose:
        raise DaybreakError(
            f"these volumes are on {node.name} only: {', '.join(node.volumes)}",
            remedy="Give their applications enough units elsewhere first (daybreak scale), or, if what"
            " they hold may be lost: --lose-volumes",
        )
    drain = ("drain", node.name, "--ignore-daemonsets", "--delete-emptydir-data")
    steps = [
        ((*KUBECTL, *drain, f"--timeout={timeout:.0f}s"), "move units away"),
        (
            ("microk8s", "remove-node", node.name, *(("--force",) if gone else ())),
            "remove the node",
        ),
    ]
    for words, what in steps[1:] if gone else steps:
        programs.follow(
            words,
            report.line,
            what=what,
            remedy="Correct what the lines above name and run the command again. A machine that still"
            f" answers leaves first (there: microk8s leave); one that does not: daybreak node remove"
            f" {node.name} --gone",
        )
