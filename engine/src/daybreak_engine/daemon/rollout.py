"""Which pods to replace, and with which template: the StatefulSet controller's decisions, pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replica:
    """A unit's pod as a rolling update sees it.

    Args:
        ordinal: Of the unit.
        version: `charm-modified-version` of its pod, -1 when it never had one.
        ready: All its containers are ready.
        stopping: It is being ended.
        alive: The unit is not being removed.
    """

    ordinal: int
    version: int
    ready: bool
    stopping: bool
    alive: bool


@dataclass(frozen=True, slots=True)
class Template:
    """What a pod is made of."""

    charm_id: int
    version: int


def next_replacement(replicas: Sequence[Replica], *, version: int, partition: int) -> int | None:
    """Return the ordinal whose pod a rolling update ends now, None when it waits or is done.

    As in Kubernetes (`pkg/controller/statefulset/stateful_set_control.go`): from the highest ordinal
    down to the partition, the first pod with an old template; but none while one above it is not
    ready or is being ended.
    """
    for replica in sorted(replicas, key=lambda item: -item.ordinal):
        if replica.ordinal < partition or not replica.alive:
            continue
        if replica.stopping:
            return None
        if 0 <= replica.version < version:
            return replica.ordinal
        if not replica.ready:
            return None
    return None


def left_behind(present: Template, version: int, *, begun: bool) -> bool:
    """Tell whether a pod stays out of service: one made again of an old template.

    Its agent finds that the application's charm is another one and runs no hook until a roll
    reaches it. A unit that had begun with its pod before goes on as it is.
    """
    return not begun and 0 <= present.version < version


def template(
    ordinal: int, present: Template | None, wanted: Template, *, partition: int
) -> Template:
    """Return what a new pod of this ordinal is made of.

    A pod below the partition that has to be made again comes back as it was, so that the rest of an
    application does not move before the roll reaches it.
    """
    if present is not None and ordinal < partition:
        return present
    return wanted
