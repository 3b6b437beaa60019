"""A roll goes on when the unit before is online, not when its pod answers.

Kubernetes ends the next pod of a StatefulSet as soon as the one above is ready, which says nothing of the service. So
its `partition` is parked at the highest ordinal: a refresh replaces the top unit alone. That unit lowers the partition
by one when it is online, the next one does the same, and the lowest parks it again.

A refresh in the middle of a roll finds the partition below the top. Kubernetes then ends the top unit at once, and
the next as soon as that pod is ready; so the first pod of the new template raises the partition to itself again,
before it is ready.

The StatefulSet is asked only where something may have changed: by a unit once for each new pod (a marker in its main
container says that it has been), and by the leader when the number of units is not the one that it parked for (in the
application's peer databag) or trust may have changed. Juju itself keeps the value on refresh, scale and trust.
"""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops import pebble

from daybreak_charm import containers, drain, kube
from daybreak_charm.outcome import Outcome, Ready, Waiting

if TYPE_CHECKING:
    from daybreak_charm.context import Context

logger = logging.getLogger(__name__)

PARKED = "partition"
"""Key in the application's peer databag: where the leader parked it, or that it may not."""
UNTRUSTED = "untrusted"
_REFUSED = (401, 403)
MARKER = f"{drain.RUN}/rolled"


@dataclass(frozen=True)
class Rollout:
    """What the StatefulSet says.

    Attributes:
        partition: Pods below this ordinal keep their template.
        pending: Whether a pod has an old template.
        updated: Number of pods that have the newest one.
    """

    partition: int
    pending: bool
    updated: int = 0


def read(statefulset: dict[str, Any]) -> Rollout:
    """Take from a StatefulSet what decides."""
    spec, status = statefulset.get("spec", {}), statefulset.get("status", {})
    # The controller leaves numbers out that are 0.
    updated = int(status.get("updatedReplicas", 0))
    seen, changed = (
        status.get("observedGeneration", 0),
        statefulset["metadata"].get("generation", 0),
    )
    pending = seen < changed or updated < int(spec.get("replicas", 1))
    strategy: dict[str, Any] = spec.get("updateStrategy", {}).get("rollingUpdate") or {}
    return Rollout(int(strategy.get("partition", 0)), pending, updated)


def parked(rollout: Rollout, planned: int) -> int:
    """Where the leader wants the partition: not above the top unit, and there while nothing rolls."""
    top = max(planned - 1, 0)
    return min(rollout.partition, top) if rollout.pending else top


def lowered(rollout: Rollout, ordinal: int, planned: int, *, new: bool) -> int:
    """Where a unit that is online wants the partition.

    Args:
        rollout: What the StatefulSet says.
        ordinal: The unit's.
        planned: Number of units.
        new: Whether the unit's pod has the newest template.
    """
    if not rollout.pending or not new or rollout.partition != ordinal:
        return parked(rollout, planned)
    return ordinal - 1 if ordinal else max(planned - 1, 0)


def raised(rollout: Rollout, ordinal: int, planned: int, *, new: bool) -> int:
    """Where a unit whose pod has just come wants the partition: at itself, if it is the first of a new roll.

    Args:
        rollout: What the StatefulSet says.
        ordinal: The unit's.
        planned: Number of units.
        new: Whether the unit's pod has the newest template.
    """
    above = planned - ordinal
    first = rollout.pending and new and rollout.updated <= above
    return max(rollout.partition, ordinal) if first else rollout.partition


def _path(context: "Context") -> str:
    return f"/apis/apps/v1/namespaces/{context.model}/statefulsets/{context.app}"


def _move(context: "Context", rollout: Rollout, wanted: int) -> None:
    """Set the partition if it is elsewhere."""
    if wanted != rollout.partition:
        body = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": wanted}}}}
        context.effects.kubernetes("PATCH", _path(context), body, kube.MERGE)
        logger.info("partition %d -> %d", rollout.partition, wanted)


def _is_new(context: "Context", statefulset: dict[str, Any]) -> bool:
    """Whether this unit's pod has the newest template."""
    name = context.unit.replace("/", "-")
    pod = context.effects.kubernetes("GET", f"/api/v1/namespaces/{context.model}/pods/{name}")
    mine = pod["metadata"].get("labels", {}).get("controller-revision-hash")
    return mine == statefulset.get("status", {}).get("updateRevision")


def park(context: "Context", *, again: bool) -> None:
    """Park it for the number of units (leader only).

    Args:
        context: This dispatch.
        again: Whether trust may have changed since, and is asked about again.
    """
    known = context.peer_app.get(PARKED, "0")
    top = str(max(context.planned - 1, 0))
    if context.peers is None or not context.leader:
        return
    # Trust may have been given or taken away; nobody waits for a lone unit.
    again = again and (known == UNTRUSTED or context.planned > 1)
    if known in (top, UNTRUSTED) and not again:
        return
    try:
        rollout = read(context.effects.kubernetes("GET", _path(context)))
        _move(context, rollout, parked(rollout, context.planned))
    except kube.KubernetesError as error:
        if error.status in _REFUSED:
            context.put_peer_app(partition=UNTRUSTED)
        logger.warning("the partition cannot be parked: %s", error)
        return
    if not rollout.pending:
        context.put_peer_app(partition=top)
    elif known == UNTRUSTED:
        # The roll has stopped at a unit that could not hand it on; this tells it to try again.
        context.put_peer_app(partition=None)


def hold(context: "Context") -> None:
    """Hold a new roll at this unit, whose pod has just come."""
    if context.planned <= 1 or context.peer_app.get(PARKED) == UNTRUSTED:
        return
    try:
        found = context.effects.kubernetes("GET", _path(context))
        rollout = read(found)
        if rollout.pending and rollout.partition < context.ordinal:
            new = _is_new(context, found)
            _move(context, rollout, raised(rollout, context.ordinal, context.planned, new=new))
    except kube.KubernetesError as error:
        logger.warning("a new roll cannot be held: %s", error)


def go_on(context: "Context", main: str) -> Outcome:
    """Let the roll go on to the next unit, as this one is online; once for each new pod."""
    if context.planned <= 1:
        # Nobody waits for a lone unit.
        return Ready()
    # Without trust Kubernetes paces a roll by pods alone, and where the partition was parked before, at the top unit.
    untrusted = Ready(f"no unit can lead a roll: juju trust {context.app} --scope=cluster")
    if context.peer_app.get(PARKED) == UNTRUSTED:
        return untrusted
    if not context.acting or _has_rolled(context, main):
        return Ready()
    try:
        found = context.effects.kubernetes("GET", _path(context))
        rollout = read(found)
        new = rollout.pending and _is_new(context, found)
        _move(context, rollout, lowered(rollout, context.ordinal, context.planned, new=new))
    except kube.KubernetesError as error:
        if error.status in _REFUSED:
            return untrusted
        return Waiting(f"the roll cannot go on: the Kubernetes API says {error}", "retry")
    context.container(main).push(MARKER, "", make_dirs=True)
    return Ready()


def _has_rolled(context: "Context", main: str) -> bool:
    try:
        containers.read_text(context.container(main), MARKER)
    except pebble.PathError:
        return False
    return True
