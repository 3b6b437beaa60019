"""status-get, status-set, application-version-set, goal-state (contract 2.4, 1.12)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from daybreak_engine.hooktools.context import HookContext
from daybreak_engine.hooktools.flags import Arguments, ToolError
from daybreak_engine.hooktools.inputs import Inputs
from daybreak_engine.model import applications, relations, rows, statuses, units

_SETTABLE = ("maintenance", "blocked", "waiting", "active")


def status_set(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Set a status at once: it survives a failing hook."""
    del inputs
    status = args.position(0)
    if status is None:
        raise ToolError("invalid args, require <status> [message]", 2)
    if status not in _SETTABLE:
        raise ToolError(f'invalid status "{status}", expected one of [{" ".join(_SETTABLE)}]', 2)
    message = " ".join(args.rest[1:])
    if args.on.get("application"):
        context.require_leader()
        entity, kind = context.application, "application"
    else:
        entity, kind = context.unit, "workload"
    with context.store.transaction() as tx:
        statuses.put(
            tx,
            entity,
            "application" if kind == "application" else "workload",
            status,
            message,
            by_charm=True,
        )
    return None


def status_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Show the status as it was set; the application's with all units (leader only)."""
    del inputs
    tx = context.tx
    if not args.on.get("application"):
        own = statuses.find(tx, context.unit, "workload")
        shown = own or rows.Status("unknown", "", {}, tx.now)
        return _show(shown) if args.on.get("include-data") else shown.status
    if not context.is_leader:
        raise ToolError("finding application status: this unit is not the leader")
    members = [unit.name for unit in units.of(tx, context.application)]
    status = statuses.application(tx, context.application, members)
    if not args.on.get("include-data"):
        return status.status
    shown_units = {name: _show(statuses.workload(tx, name)) for name in members}
    return {"application-status": {**_show(status), "units": shown_units}}


def application_version_set(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Store the workload's version at once."""
    del inputs
    if len(args.rest) != 1:
        raise ToolError("no version specified" if not args.rest else "too many arguments", 2)
    context.require_leader()
    with context.store.transaction() as tx:
        applications.set_workload_version(tx, context.application, args.rest[0])
    return None


def goal_state(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Show which units and relations are meant to be, dying units included."""
    del args, inputs
    tx = context.tx
    result: dict[str, dict[str, dict[str, str]]] = {}
    for relation in relations.of(tx, context.application):
        if relation.peer:
            continue
        remote = relation.other(context.application).application
        entry = result.setdefault(relation.of(context.application).endpoint, {})
        status = "joined" if relation.life == "alive" else "dying"
        entry[remote] = {"status": status, "since": _since(relation.created)}
        entry.update(_goal_units(context, remote))
    return {"units": _goal_units(context, context.application), "relations": result}


def _goal_units(context: HookContext, application: str) -> dict[str, dict[str, str]]:
    tx = context.tx
    found: dict[str, dict[str, str]] = {}
    for unit in units.of(tx, application):
        status = statuses.workload(tx, unit.name)
        word = status.status if unit.life == "alive" else "dying"
        found[unit.name] = {"status": word, "since": _since(status.since)}
    return found


def _show(status: rows.Status) -> dict[str, Any]:
    return {
        "status": status.status,
        "message": status.message,
        "status-data": dict(status.data),
    }


def _since(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
