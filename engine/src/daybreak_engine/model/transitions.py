"""How a unit's state changes when an operation begins, succeeds or fails: pure functions."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daybreak_engine.model.unitstate import HookError, RelationState, UnitState

if TYPE_CHECKING:
    from daybreak_engine.model.operation import Operation
    from daybreak_engine.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Delays in seconds, Juju's by default.

    `jitter` is the share by which update-status and (half of it) retries vary.
    """

    retry_first: float = 5.0
    retry_limit: float = 300.0
    pebble_retry: float = 5.0
    expired_again: float = 300.0
    jitter: float = 0.2


DEFAULT_TIMING = Timing()


def begun(local: UnitState, operation: Operation, remote: Snapshot) -> UnitState:
    """Return the state while an operation runs.

    Before the first relation-created the unit enters the scope of all its alive relations
    (`entered` names them): they are in the new state.
    """
    relations = dict(local.relations)
    for relation_id in entered(local, operation, remote):
        relations[relation_id] = RelationState()
    return dataclasses.replace(local, pending=operation, relations=relations)


def entered(local: UnitState, operation: Operation, remote: Snapshot) -> list[int]:
    """Return the relations whose scope the unit enters when this operation begins."""
    if operation.kind != "relation-created":
        return []
    return [v.id for v in remote.relations if v.alive and v.id not in local.relations]


def left(local: UnitState, operation: Operation, remote: Snapshot) -> list[int]:
    """Return the relations whose scope the unit leaves when this operation is committed.

    The broken one; and, for peers, which never break, those of a unit that stops for good.
    """
    if operation.kind == "relation-broken" and operation.relation_id is not None:
        return [operation.relation_id]
    if operation.kind == "relation-departed" and not remote.alive:
        state = local.relations.get(operation.relation_id or 0, RelationState())
        if set(state.members) <= {operation.remote_unit}:
            return [v.id for v in remote.relations if v.peer and v.id == operation.relation_id]
    return []


def committed(local: UnitState, operation: Operation, *, now: float) -> UnitState:
    """Return the state after an operation that succeeded (or is counted as done)."""
    error = local.error
    if error is not None and not operation.is_task and not operation.is_workload:
        error = None
    state = dataclasses.replace(
        local,
        pending=None,
        error=error,
        attempts=0 if operation.kind not in ("action", "exec") else local.attempts,
        queued=None if operation.kind == local.queued else local.queued,
        operations=local.operations + 1,
    )
    if operation.is_relation:
        return _relation_committed(state, operation)
    if operation.is_workload:
        return _workload_committed(state, operation)
    if operation.is_secret:
        return _secret_committed(state, operation, now)
    if operation.is_storage:
        change = {operation.storage_id}
        attached = operation.kind == "storage-attached"
        storage = state.storage | change if attached else state.storage - change
        return dataclasses.replace(state, storage=storage)
    return _lifecycle_committed(state, operation, now)


def failed(
    local: UnitState,
    operation: Operation,
    *,
    now: float,
    seed: int = 0,
    timing: Timing = DEFAULT_TIMING,
) -> UnitState:
    """Return the state after an operation that failed; nothing of it was stored.

    Hooks wait for their retry. Pebble hooks are sent again while others go on. Tasks leave no
    trace here.
    """
    state = dataclasses.replace(local, pending=None)
    if operation.is_task:
        return state
    if operation.is_workload:
        error = HookError(operation=operation, retry_at=now + timing.pebble_retry)
        key = _workload_key(operation)
        return dataclasses.replace(state, workload_errors={**state.workload_errors, key: error})
    delay = min(timing.retry_first * 2**local.attempts, timing.retry_limit)
    share = random.Random(f"{seed}/{operation.name}/{now}").random()  # noqa: S311 # a delay
    error = HookError(operation=operation, retry_at=now + delay * (1 + share * timing.jitter / 2))
    return dataclasses.replace(state, error=error, attempts=min(local.attempts + 1, 16))


def reset_delay(local: UnitState) -> UnitState:
    """Return the state with the retry delay back at its start (`juju resolved` does)."""
    return dataclasses.replace(local, attempts=0)


def visible_error(local: UnitState) -> Operation | None:
    """Return the failed operation that the unit's status shows as `error`, if there is one."""
    if local.error is not None:
        return local.error.operation
    for key in sorted(local.workload_errors):
        return local.workload_errors[key].operation
    return None


def _lifecycle_committed(state: UnitState, operation: Operation, now: float) -> UnitState:
    kind = operation.kind
    if kind == "install":
        return dataclasses.replace(
            state, installed=True, pod_generation=operation.pod_generation, boot=operation.boot
        )
    if kind == "upgrade-charm":
        return dataclasses.replace(
            state,
            pod_generation=operation.pod_generation,
            queued="config-changed",
            pebble_ready={},
            workload_errors={},
        )
    if kind == "config-changed":
        due = not state.started or state.boot != operation.boot
        return dataclasses.replace(
            state,
            config_hash=operation.config_hash,
            queued="start" if due else state.queued,
        )
    if kind == "start":
        return dataclasses.replace(
            state,
            # A new agent knows no boot ids, so every container's pebble-ready comes again.
            pebble_ready={} if state.started else state.pebble_ready,
            started=True,
            boot=operation.boot,
            update_status_at=now,
        )
    if kind == "stop":
        return dataclasses.replace(state, stopped_boot=operation.boot)
    if kind == "remove":
        return dataclasses.replace(state, removed=True)
    if kind == "leader-elected":
        return dataclasses.replace(state, leader=not operation.skip)
    if kind == "update-status":
        return dataclasses.replace(state, update_status_at=now)
    return state


def _relation_committed(state: UnitState, operation: Operation) -> UnitState:
    assert operation.relation_id is not None
    old = state.relations.get(operation.relation_id)
    if old is None:
        return state
    new = old
    unit = operation.remote_unit
    if operation.kind == "relation-created":
        new = dataclasses.replace(old, created=True)
    elif operation.kind == "relation-joined":
        new = dataclasses.replace(old, members={**old.members, unit: 0}, changed_pending=unit)
    elif operation.kind == "relation-changed" and unit:
        pending = "" if old.changed_pending == unit else old.changed_pending
        members = {**old.members, unit: operation.version} if unit in old.members else old.members
        new = dataclasses.replace(old, members=members, changed_pending=pending)
    elif operation.kind == "relation-changed":
        new = dataclasses.replace(old, application_version=operation.version)
    elif operation.kind == "relation-departed":
        new = dataclasses.replace(old, members={k: v for k, v in old.members.items() if k != unit})
    elif operation.kind == "relation-broken":
        new = dataclasses.replace(old, broken=True, members={})
    return dataclasses.replace(state, relations={**state.relations, operation.relation_id: new})


def _workload_committed(state: UnitState, operation: Operation) -> UnitState:
    key = _workload_key(operation)
    errors = {k: v for k, v in state.workload_errors.items() if k != key}
    state = dataclasses.replace(state, workload_errors=errors)
    container = operation.container
    if operation.kind == "pebble-ready":
        ready = {**state.pebble_ready, container: operation.pebble_boot}
        return dataclasses.replace(state, pebble_ready=ready)
    last = max(operation.at, state.notices.get(container, 0))
    return dataclasses.replace(state, notices={**state.notices, container: last})


def _secret_committed(state: UnitState, operation: Operation, now: float) -> UnitState:
    key = f"{operation.secret_id}/{operation.secret_revision}"
    if operation.kind == "secret-changed":
        told = {**state.secrets_changed, operation.secret_id: operation.secret_revision}
        return dataclasses.replace(state, secrets_changed=told)
    if operation.kind == "secret-expired":
        return dataclasses.replace(state, secrets_expired={**state.secrets_expired, key: now})
    if operation.kind == "secret-remove":
        return dataclasses.replace(state, secrets_removed=state.secrets_removed | {key})
    return state


def _workload_key(operation: Operation) -> str:
    what = "ready" if operation.kind == "pebble-ready" else "notice"
    return f"{operation.container}/{what}"
