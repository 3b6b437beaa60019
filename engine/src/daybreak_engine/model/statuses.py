"""Statuses of applications, units and agents, with their history.

Kinds: `application` and `workload` are what charm (or agent) set, `agent` is the agent's own,
`error` hides the workload status of a unit while a hook has failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from daybreak_engine.model import rows
from daybreak_engine.model.store import Transaction, dump, load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

Kind: TypeAlias = Literal["application", "workload", "agent", "error"]

# Contract 2.4: an application that set no status shows that of its worst unit.
SEVERITY: Mapping[str, int] = {
    "error": 100,
    "blocked": 90,
    "maintenance": 80,
    "waiting": 70,
    "active": 60,
    "terminated": 50,
    "unknown": 40,
}

_HISTORY_KEPT = 200


def put(
    tx: Transaction,
    entity: str,
    kind: Kind,
    status: str,
    message: str = "",
    *,
    data: Mapping[str, Any] | None = None,
    by_charm: bool = False,
) -> None:
    """Set a status now. History grows only when status or message differ.

    Args:
        tx: The transaction.
        entity: Application or unit name (also for the unit's agent).
        kind: Which of the entity's statuses.
        status: Juju's word.
        message: For people.
        data: Status data (JSON-able).
        by_charm: The charm set it: the agent no longer replaces it by `unknown`.
    """
    old = find(tx, entity, kind)
    tx.run(
        "INSERT OR REPLACE INTO statuses"
        " (entity, kind, status, message, data_json, since, by_charm)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        entity,
        kind,
        status,
        message,
        dump(data or {}),
        tx.now,
        int(by_charm),
    )
    if old is None or (old.status, old.message) != (status, message):
        _record(tx, entity, kind, status, message)


def clear(tx: Transaction, entity: str, kind: Kind) -> None:
    """Remove a status (the `error` one once a hook is resolved)."""
    if tx.run("DELETE FROM statuses WHERE entity = ? AND kind = ?", entity, kind):
        shown = find(tx, entity, "workload")
        if kind == "error" and shown is not None:
            _record(tx, entity, "workload", shown.status, shown.message)


def find(tx: Transaction, entity: str, kind: Kind) -> rows.Status | None:
    """Return a status as it was set, or None."""
    row = tx.one("SELECT * FROM statuses WHERE entity = ? AND kind = ?", entity, kind)
    return None if row is None else _status(row)


def workload(tx: Transaction, unit: str) -> rows.Status:
    """Return the status that a unit shows: `error` while a hook has failed, else the charm's."""
    shown = find(tx, unit, "error") or find(tx, unit, "workload")
    return shown or rows.Status("unknown", "", {}, tx.now)


def agent(tx: Transaction, unit: str) -> rows.Status:
    """Return the agent's status (`juju-status`)."""
    return find(tx, unit, "agent") or rows.Status("allocating", "", {}, tx.now)


def application(tx: Transaction, name: str, units: Sequence[str]) -> rows.Status:
    """Return what an application shows: what its leader set, else that of its worst unit."""
    own = find(tx, name, "application")
    if own is not None:
        return own
    shown = [workload(tx, unit) for unit in units]
    if not shown:
        return rows.Status("unknown", "", {}, tx.now)
    return max(shown, key=lambda status: SEVERITY.get(status.status, 0))


def history(tx: Transaction, entity: str, *, limit: int = 20) -> list[tuple[str, str, str, float]]:
    """Return (kind, status, message, since) of an entity, the latest `limit`, oldest first."""
    found = tx.all(
        "SELECT * FROM status_history WHERE entity = ? ORDER BY id DESC LIMIT ?", entity, limit
    )
    return [(r["kind"], r["status"], r["message"], r["since"]) for r in reversed(found)]


def forget(tx: Transaction, entity: str) -> None:
    """Drop everything about an entity that is gone."""
    tx.run("DELETE FROM statuses WHERE entity = ?", entity)
    tx.run("DELETE FROM status_history WHERE entity = ?", entity)


def _record(tx: Transaction, entity: str, kind: str, status: str, message: str) -> None:
    kind = "workload" if kind == "error" else kind
    tx.run(
        "INSERT INTO status_history (entity, kind, status, message, since) VALUES (?, ?, ?, ?, ?)",
        entity,
        kind,
        status,
        message,
        tx.now,
    )
    tx.run(
        "DELETE FROM status_history WHERE entity = ?1 AND id <= (SELECT id FROM status_history"
        " WHERE entity = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        entity,
        _HISTORY_KEPT,
    )


def _status(row: sqlite3.Row) -> rows.Status:
    return rows.Status(
        row["status"], row["message"], load(row["data_json"]), row["since"], bool(row["by_charm"])
    )
