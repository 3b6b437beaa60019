"""Which operation a unit runs next: pure functions over its state and a snapshot of the model.

The ranks are those of Juju's uniter (contract sections 1.5 to 1.11). The cycle of an agent is
`sync`, `next_operation`, `begun`, then `committed` or `failed`; `next_time` tells when the answer
can change by the clock alone. All randomness comes from `seed`.
"""

from __future__ import annotations

import dataclasses
import random
from datetime import datetime
from typing import TYPE_CHECKING, Any

from daybreak_engine.model.operation import Kind, Operation, WorkloadEvent
from daybreak_engine.model.transitions import (
    DEFAULT_TIMING,
    Timing,
    begun,
    committed,
    entered,
    failed,
    left,
    reset_delay,
    visible_error,
)
from daybreak_engine.model.unitstate import HookError, RelationState, UnitState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daybreak_engine.model.snapshot import RelationView, SecretView, Snapshot

__all__ = [
    "DEFAULT_TIMING",
    "Timing",
    "begun",
    "committed",
    "entered",
    "failed",
    "finished",
    "left",
    "next_operation",
    "next_time",
    "pebble_time",
    "reset_delay",
    "sync",
    "visible_error",
]


def next_operation(
    local: UnitState,
    remote: Snapshot,
    *,
    now: float,
    seed: int = 0,
    timing: Timing = DEFAULT_TIMING,
) -> Operation | None:
    """Return what to run now, None when nothing is due. `local` comes from `sync`.

    The answer stays the same until state, snapshot or (see `next_time`) the clock changes.
    """
    if local.removed or not remote.boot:
        return None
    if local.stopped_boot == remote.boot and remote.alive:
        return None
    chosen = _choose(local, remote, now, seed, timing)
    return None if chosen is None else _stamped(chosen, remote)


def sync(local: UnitState, remote: Snapshot) -> UnitState:
    """Return the state after what happened to the unit without a hook.

    A lost leadership, a new pod (an unfinished or failed hook of the old one is decided anew:
    nothing of it was stored), relations and secrets that are gone. Returns `local` itself when
    nothing did.
    """
    changes: dict[str, Any] = {}
    if local.leader and not remote.leader:
        changes["leader"] = False
    pod = remote.pod_generation
    if local.error is not None and local.error.operation.pod_generation != pod:
        changes["error"] = None
    if any(e.operation.pod_generation != pod for e in local.workload_errors.values()):
        changes["workload_errors"] = {}
    if local.queued is not None and local.pod_generation != pod:
        changes["queued"] = None
    if local.pending is not None and not _resumable(local.pending, remote):
        changes["pending"] = None
    ids = {view.id for view in remote.relations}
    if not local.relations.keys() <= ids:
        changes["relations"] = {k: v for k, v in local.relations.items() if k in ids}
    storage = local.storage & {view.id for view in remote.storage}
    if storage != local.storage:
        changes["storage"] = storage
    changed = {view.id for view in remote.secrets_changed}
    if not local.secrets_changed.keys() <= changed:
        changes["secrets_changed"] = {
            k: v for k, v in local.secrets_changed.items() if k in changed
        }
    removed = local.secrets_removed & {_revision(view) for view in remote.secrets_removed}
    if remote.leader and removed != local.secrets_removed:
        changes["secrets_removed"] = removed
    expired = {_revision(view) for view in remote.secrets_expired}
    if remote.leader and not local.secrets_expired.keys() <= expired:
        changes["secrets_expired"] = {
            k: v for k, v in local.secrets_expired.items() if k in expired
        }
    return dataclasses.replace(local, **changes) if changes else local


def finished(local: UnitState, remote: Snapshot) -> bool:
    """Tell whether a dying unit can be removed: remove has run, or it never had install."""
    if remote.alive:
        return False
    return local.removed or (not local.installed and local.error is None and local.pending is None)


def next_time(
    local: UnitState,
    remote: Snapshot,
    *,
    now: float,
    seed: int = 0,
    timing: Timing = DEFAULT_TIMING,
) -> float | None:
    """Return when the clock alone makes something due; None: only a change does."""
    if local.removed or not remote.boot:
        return None
    times = [error.retry_at for error in local.workload_errors.values()]
    if local.error is not None:
        times = [local.error.retry_at] if remote.retry_hooks else []
    elif remote.alive and local.started:
        times.append(_update_status_due(local, remote, seed, timing))
        times.extend(remote.secret_times)
        times.extend(
            local.secrets_expired[key] + timing.expired_again
            for key in map(_revision, remote.secrets_expired)
            if key in local.secrets_expired
        )
    # What is past and was not chosen waits for a change, not for the clock.
    return min((time for time in times if time > now), default=None)


def pebble_time(text: str) -> int:
    """Return a time of Pebble's API (RFC 3339, nanoseconds) in nanoseconds since the epoch."""
    date, dot, rest = text.partition(".")
    if not dot:
        return int(datetime.fromisoformat(text).timestamp()) * 10**9
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :]
    seconds = int(datetime.fromisoformat(date + zone).timestamp())
    return seconds * 10**9 + int(digits.ljust(9, "0")[:9])


def _choose(
    local: UnitState, remote: Snapshot, now: float, seed: int, timing: Timing
) -> Operation | None:
    task = _task(local, remote)
    if local.error is not None:
        if remote.stopping:
            return None
        return task or _after_error(local, local.error, remote, now)
    if local.pending is not None:
        return _refreshed(local.pending, remote)
    fresh = local.installed and local.pod_generation != remote.pod_generation
    if remote.stopping and remote.alive and local.queued is None:
        return Operation(kind="stop") if local.installed and not fresh else None
    if fresh and remote.alive:
        return Operation(kind="upgrade-charm")
    if task is not None:
        return task
    if local.queued is not None:
        return Operation(kind=local.queued)
    if not local.installed:
        return Operation(kind="install") if remote.alive else None
    if local.started and local.boot != remote.boot and remote.alive:
        return Operation(kind="start")
    return next(_ranked(local, remote, now, seed, timing), None)


def _ranked(
    local: UnitState, remote: Snapshot, now: float, seed: int, timing: Timing
) -> Iterator[Operation]:
    rng = _random(f"{seed}/{remote.unit}/{local.operations}")
    yield from _created(local, remote, rng)
    yield from _leadership(local, remote)
    yield from _workload(local, remote, now, seed)
    yield from _secrets(local, remote, now, timing)
    yield from _storage(local, remote, seed)
    if remote.alive and local.config_hash != remote.config_hash:
        yield Operation(kind="config-changed")
    yield from _relations(local, remote, rng)
    if not remote.alive:
        yield Operation(kind="stop" if local.stopped_boot != remote.boot else "remove")
    elif local.started and now >= _update_status_due(local, remote, seed, timing):
        yield Operation(kind="update-status")


def _after_error(
    local: UnitState, error: HookError, remote: Snapshot, now: float
) -> Operation | None:
    operation = _refreshed(error.operation, remote)
    if remote.resolved == "no-retry" or operation.skip:
        return dataclasses.replace(operation, skip=True)
    if remote.resolved == "retry" or (remote.retry_hooks and now >= error.retry_at):
        return operation
    return None


def _task(local: UnitState, remote: Snapshot) -> Operation | None:
    if not remote.tasks or not (local.installed or local.error):
        return None
    if local.stopped_boot == remote.boot:
        return None
    ordered = sorted(remote.tasks, key=lambda task: (task[1] == "juju-exec", task[0]))
    number, action = ordered[0]
    return Operation(
        kind="exec" if action == "juju-exec" else "action", task_id=number, action=action
    )


def _created(local: UnitState, remote: Snapshot, rng: random.Random) -> Iterator[Operation]:
    if not remote.alive:
        return
    for view in _shuffled(remote.relations, rng, peers_last=False):
        state = local.relations.get(view.id, RelationState())
        if view.alive and not state.created:
            yield _relation_hook("relation-created", view)


def _leadership(local: UnitState, remote: Snapshot) -> Iterator[Operation]:
    if remote.alive and remote.leader and not local.leader:
        yield Operation(kind="leader-elected")


def _workload(local: UnitState, remote: Snapshot, now: float, seed: int) -> Iterator[Operation]:
    if local.stopped_boot == remote.boot:
        return
    for container, boot in sorted(remote.pebbles.items()):
        failed_before = local.workload_errors.get(f"{container}/ready")
        if local.pebble_ready.get(container) == boot:
            continue
        if failed_before is not None and now < failed_before.retry_at:
            continue
        # Juju's poller comes before config-changed as often as after start.
        if not local.started and _late(remote, container, seed):
            continue
        yield Operation(kind="pebble-ready", container=container, pebble_boot=boot)
    blocked: set[str] = set()
    for key, error in sorted(local.workload_errors.items()):
        if not key.endswith("/notice"):
            continue
        # From the state, not from the list: who keeps the list may have dropped what was tried.
        blocked.add(error.operation.container)
        if now >= error.retry_at:
            yield error.operation
    for event in remote.workload:
        if event.container in blocked or event.at <= local.notices.get(event.container, 0):
            continue
        blocked.add(event.container)
        yield _notice(event)


def _secrets(local: UnitState, remote: Snapshot, now: float, timing: Timing) -> Iterator[Operation]:
    if not local.started or not remote.alive:
        return
    for view in remote.secrets_expired:
        last = local.secrets_expired.get(_revision(view))
        if last is None or now >= last + timing.expired_again:
            yield _secret_hook("secret-expired", view)
    for view in remote.secrets_rotate:
        yield _secret_hook("secret-rotate", view)
    for view in remote.secrets_changed:
        if local.secrets_changed.get(view.id) != view.revision:
            yield _secret_hook("secret-changed", view)
    for view in remote.secrets_removed:
        if _revision(view) not in local.secrets_removed:
            yield _secret_hook("secret-remove", view)


def _storage(local: UnitState, remote: Snapshot, seed: int) -> Iterator[Operation]:
    for view in remote.storage:
        if view.alive and remote.alive:
            late = not local.started and _late(remote, view.id, seed)
            if view.provisioned and view.id not in local.storage and not late:
                yield Operation(kind="storage-attached", storage_id=view.id)
        elif view.id in local.storage:
            yield Operation(kind="storage-detaching", storage_id=view.id)


def _relations(local: UnitState, remote: Snapshot, rng: random.Random) -> Iterator[Operation]:
    for view in _shuffled(remote.relations, rng, peers_last=True):
        state = local.relations.get(view.id)
        if state is None or state.broken:
            continue
        operation = _of_relation(state, view, remote)
        if operation is not None:
            yield operation


def _of_relation(state: RelationState, view: RelationView, remote: Snapshot) -> Operation | None:
    pending = state.changed_pending
    if pending:
        return _relation_hook(
            "relation-changed", view, pending, version=view.members.get(pending, 0)
        )
    ending = not view.alive or not remote.alive
    for member in sorted(state.members):
        if ending or member not in view.members:
            departing = member if remote.alive else remote.unit
            return _relation_hook("relation-departed", view, member, departing=departing)
    if ending:
        return None if view.peer else _relation_hook("relation-broken", view)
    if view.application_version != state.application_version:
        return _relation_hook("relation-changed", view, version=view.application_version)
    for member in sorted(view.members):
        if member not in state.members:
            return _relation_hook("relation-joined", view, member)
    for member, version in sorted(view.members.items()):
        if state.members[member] != version:
            return _relation_hook("relation-changed", view, member, version=version)
    return None


def _relation_hook(
    kind: Kind, view: RelationView, unit: str = "", *, departing: str = "", version: int = 0
) -> Operation:
    return Operation(
        kind=kind,
        relation_id=view.id,
        endpoint=view.endpoint,
        remote_application=view.remote_application,
        remote_unit=unit,
        departing_unit=departing,
        version=version,
    )


def _secret_hook(kind: Kind, view: SecretView) -> Operation:
    return Operation(
        kind=kind, secret_id=view.id, secret_label=view.label, secret_revision=view.revision
    )


def _notice(event: WorkloadEvent) -> Operation:
    return Operation(
        kind=event.kind,
        container=event.container,
        notice_id=event.notice_id,
        notice_key=event.notice_key,
        at=event.at,
        check=event.check,
    )


def _stamped(operation: Operation, remote: Snapshot) -> Operation:
    return dataclasses.replace(
        operation,
        boot=remote.boot,
        pod_generation=remote.pod_generation,
        config_hash=remote.config_hash if operation.kind == "config-changed" else "",
    )


def _refreshed(operation: Operation, remote: Snapshot) -> Operation:
    """The same hook again: it reads current data, and is skipped when it lost its cause."""
    if operation.kind == "leader-elected" and not remote.leader:
        return dataclasses.replace(operation, skip=True)
    if operation.kind in ("secret-rotate", "secret-expired", "secret-remove"):
        views = (*remote.secrets_rotate, *remote.secrets_expired, *remote.secrets_removed)
        # Gone, or leadership was lost: then it is no longer this unit's.
        return dataclasses.replace(
            operation, skip=all(view.id != operation.secret_id for view in views)
        )
    if operation.is_relation:
        view = next((v for v in remote.relations if v.id == operation.relation_id), None)
        if view is None:
            return dataclasses.replace(operation, skip=True)
        if operation.kind == "relation-changed":
            unit = operation.remote_unit
            version = view.application_version
            if unit:
                version = view.members.get(unit, operation.version)
            return dataclasses.replace(operation, version=version)
    return operation


def _resumable(operation: Operation, remote: Snapshot) -> bool:
    if operation.is_task or operation.pod_generation != remote.pod_generation:
        return False
    return operation.kind != "stop" or remote.stopping or not remote.alive


def _revision(view: SecretView) -> str:
    return f"{view.id}/{view.revision}"


def _shuffled(
    views: Sequence[RelationView], rng: random.Random, *, peers_last: bool
) -> list[RelationView]:
    order = list(views)
    rng.shuffle(order)
    return sorted(order, key=lambda view: view.peer) if peers_last else order


def _late(remote: Snapshot, what: str, seed: int) -> bool:
    return _random(f"{seed}/{remote.unit}/{remote.pod_generation}/{what}").random() < 0.5


def _update_status_due(local: UnitState, remote: Snapshot, seed: int, timing: Timing) -> float:
    share = 2 * _random(f"{seed}/{remote.unit}/{local.update_status_at}").random() - 1
    return local.update_status_at + remote.update_status_interval * (1 + share * timing.jitter)


def _random(text: str) -> random.Random:
    return random.Random(text)  # noqa: S311 # orders and delays, not secrets
