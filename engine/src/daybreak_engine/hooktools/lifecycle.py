"""One turn of a unit's agent against the model: decide, begin, then finish.

The agent runs the process in between. Everything that a turn stores, it stores in one
transaction; a crash between two of them leaves a unit that `decide` continues.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daybreak_engine import errors, resolver
from daybreak_engine.hooktools.context import HookContext, Services
from daybreak_engine.model import (
    changes,
    relations,
    secrets,
    statuses,
    tasks,
    units,
    unitstate,
)
from daybreak_engine.model.snapshot import Snapshot, snapshot

if TYPE_CHECKING:
    from daybreak_engine.model.operation import Operation, WorkloadEvent
    from daybreak_engine.model.store import Store, Transaction
    from daybreak_engine.model.unitstate import UnitState
    from daybreak_engine.resolver import Timing

_BEFORE = {
    "install": "installing charm software",
    "stop": "stopping charm software",
    "remove": "cleaning up prior to charm deletion",
}
_SILENT = "agent is not communicating with the server"
GONE = "the unit was removed"
"""Error of an operation whose unit was removed by force while it ran."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a unit does next.

    Attributes:
        local: The unit's state.
        remote: What the model holds for it.
        operation: What is due now, or None.
        wake_at: When to ask again even if nothing changes (seconds since the epoch), or None.
        finished: The unit is dying and has nothing more to run: end its pod, `units.remove` it.
    """

    local: UnitState
    remote: Snapshot
    operation: Operation | None
    wake_at: float | None
    finished: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation ended: `error` is empty when it was committed."""

    error: str = ""


def decide(
    store: Store,
    unit: str,
    *,
    pebbles: Mapping[str, str] | None = None,
    workload: tuple[WorkloadEvent, ...] = (),
    seed: int = 0,
    timing: Timing = resolver.DEFAULT_TIMING,
) -> Decision:
    """Decide what a unit does next; cheap, to be called after each change.

    Args:
        store: The model.
        unit: Unit name.
        pebbles: Boot id of each workload container's Pebble that answers now.
        workload: Notices worth a hook, in order; handled ones may still be among them.
        seed: Varies legal orders.
        timing: Delays.
    """
    tx = store.read()
    remote = snapshot(tx, unit, pebbles=pebbles, workload=workload)
    local = resolver.sync(unitstate.load(units.get(tx, unit).state), remote)
    operation = resolver.next_operation(local, remote, now=tx.now, seed=seed, timing=timing)
    wake_at = None
    if operation is None:
        wake_at = resolver.next_time(local, remote, now=tx.now, seed=seed, timing=timing)
    return Decision(local, remote, operation, wake_at, resolver.finished(local, remote))


def begin(store: Store, decision: Decision, services: Services | None = None) -> HookContext:
    """Record that the decided operation begins, and return the context for its process.

    An operation with `skip` is begun and finished (exit code 0) without a process.
    """
    operation, unit = decision.operation, decision.remote.unit
    assert operation is not None
    state = decision.local
    with store.transaction() as tx:
        if decision.remote.resolved and not operation.is_task:
            units.set_resolved(tx, unit, "")
            state = resolver.reset_delay(state)
        for relation_id in resolver.entered(state, operation, decision.remote):
            relations.enter_scope(tx, relation_id, unit)
        state = resolver.begun(state, operation, decision.remote)
        units.set_state(tx, unit, unitstate.dump(state))
        if operation.is_task:
            tasks.start(tx, operation.task_id)
        elif state.error is not None and not state.workload_errors:
            statuses.clear(tx, unit, "error")
        _before(tx, unit, operation)
    return HookContext(store, unit, operation, state, services)


def finish(
    store: Store,
    context: HookContext,
    exit_code: int,
    *,
    stdout: str = "",
    stderr: str = "",
    task_error: str = "",
    cancelled: bool = False,
    seed: int = 0,
    timing: Timing = resolver.DEFAULT_TIMING,
) -> Outcome:
    """Store what the process did, or that it failed; nothing when the unit was removed meanwhile.

    Args:
        store: The model.
        context: From `begin`.
        exit_code: Of the process.
        stdout: Of an action or command.
        stderr: Of an action or command.
        task_error: Why a task could not run at all (`action not implemented on unit "x/0"`).
        cancelled: The task was cancelled.
        seed: Varies the delay of retries.
        timing: Delays.
    """
    operation = context.operation
    if units.find(store.read(), context.unit) is None:
        return Outcome(GONE)
    error = "" if exit_code == 0 else f"exit status {exit_code}"
    if exit_code == 0 and not task_error and not cancelled:
        try:
            with store.transaction() as tx:
                _commit(tx, context)
                if operation.is_task:
                    _end_task(tx, context, exit_code, stdout, stderr)
            return Outcome()
        except errors.CommitError as refused:
            error = refused.message
            if operation.is_task:
                task_error = "committing requested changes failed"
                stderr += ("\n" if stderr else "") + refused.message
    with store.transaction() as tx:
        state = _state(tx, context.unit)
        state = resolver.failed(state, operation, now=tx.now, seed=seed, timing=timing)
        units.set_state(tx, context.unit, unitstate.dump(state))
        _show_error(tx, context.unit, state)
        if operation.is_task:
            _end_task(
                tx, context, exit_code, stdout, stderr, message=task_error, cancelled=cancelled
            )
    return Outcome(error or task_error or "cancelled")


def interrupted(store: Store, context: HookContext) -> None:
    """Record that the process was ended from outside (its container was): no error.

    A hook runs again; a task is aborted.
    """
    if context.operation.is_task and units.find(store.read(), context.unit) is not None:
        with store.transaction() as tx:
            state = resolver.failed(_state(tx, context.unit), context.operation, now=tx.now)
            units.set_state(tx, context.unit, unitstate.dump(state))
            tasks.finish(tx, context.operation.task_id, "aborted", "action terminated", {})


def rest(store: Store, unit: str, *, present: bool = True) -> None:
    """Show the agent as idle: nothing is due. Call it when `decide` found no operation.

    Args:
        store: The model.
        unit: Whose agent.
        present: Whether its container runs; without, the agent is shown as lost, as Juju does.
    """
    tx = store.read()
    state = unitstate.load(units.get(tx, unit).state)
    wanted = ("idle", "") if present else ("lost", _SILENT)
    if (state.installed or state.error) and statuses.agent(tx, unit).status != wanted[0]:
        with store.transaction() as writing:
            statuses.put(writing, unit, "agent", *wanted)


def recover(store: Store) -> None:
    """Abort the tasks that a crash of the engine interrupted; call it once at its start."""
    with store.transaction() as tx:
        for task in tasks.running(tx):
            tasks.finish(tx, task.id, "aborted", "the engine was restarted", task.results)


def _commit(tx: Transaction, context: HookContext) -> None:
    unit, operation = context.unit, context.operation
    changes.commit(tx, unit, context.pending.frozen())
    for (relation_id, member), settings in context.views.items():
        relations.set_view(tx, relation_id, unit, member, settings)
    state = _state(tx, unit)
    for relation_id in resolver.left(state, operation, snapshot(tx, unit)):
        relations.leave_scope(tx, relation_id, unit)
    if operation.kind == "config-changed":
        relations.refresh_networks(tx, unit)
    elif operation.kind == "secret-rotate":
        secrets.rotated(tx, operation.secret_id)
    state = resolver.committed(state, operation, now=tx.now)
    units.set_state(tx, unit, unitstate.dump(state))
    _after(tx, unit, operation)
    _show_error(tx, unit, state)


def _before(tx: Transaction, unit: str, operation: Operation) -> None:
    if operation.skip:
        return
    message = _BEFORE.get(operation.kind)
    if message is not None:
        shown = statuses.find(tx, unit, "workload")
        if operation.kind != "install" or shown is None or not shown.by_charm:
            statuses.put(tx, unit, "workload", "maintenance", message)
    if operation.kind != "update-status":
        statuses.put(tx, unit, "agent", "executing", operation.executing)


def _after(tx: Transaction, unit: str, operation: Operation) -> None:
    shown = statuses.find(tx, unit, "workload")
    if operation.kind == "start" and (shown is None or not shown.by_charm):
        statuses.put(tx, unit, "workload", "unknown")
    elif operation.kind == "stop" and not operation.skip:
        statuses.put(tx, unit, "workload", "maintenance")
    elif operation.kind == "remove":
        statuses.put(tx, unit, "workload", "terminated")


def _show_error(tx: Transaction, unit: str, state: UnitState) -> None:
    operation = resolver.visible_error(state)
    if operation is None:
        statuses.clear(tx, unit, "error")
        return
    data: dict[str, Any] = {"hook": operation.name}
    if operation.is_relation:
        data["relation-id"] = operation.relation_id
        if operation.remote_unit:
            data["remote-unit"] = operation.remote_unit
    if operation.is_secret:
        data["secret-uri"] = f"secret:{operation.secret_id}"
    message = f'hook failed: "{operation.error_name}"'
    shown = statuses.find(tx, unit, "error")
    if shown is None or shown.message != message:
        statuses.put(tx, unit, "error", "error", message, data=data)


def _end_task(
    tx: Transaction,
    context: HookContext,
    exit_code: int,
    stdout: str,
    stderr: str,
    *,
    message: str = "",
    cancelled: bool = False,
) -> None:
    results: dict[str, Any] = {**context.action_results, "return-code": exit_code}
    if stdout:
        results["stdout"] = stdout
    if stderr:
        results["stderr"] = stderr
    status = "completed"
    if cancelled:
        status, message = "aborted", message or "action cancelled"
    elif message:
        status = "failed"
    elif context.action_failed is not None:
        status, message = "failed", context.action_failed
    elif exit_code != 0 and context.operation.kind == "action":
        status, message = "failed", f"exit status {exit_code}"
    tasks.finish(tx, context.operation.task_id, status, message, results)


def _state(tx: Transaction, unit: str) -> UnitState:
    return unitstate.load(units.get(tx, unit).state)
