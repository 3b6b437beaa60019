"""Operations and their tasks: actions, and commands of `juju exec`. One sequence numbers both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daybreak_engine import errors
from daybreak_engine.model import rows
from daybreak_engine.model.store import Transaction, dump, load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

EXEC = "juju-exec"


def add_operation(tx: Transaction, summary: str) -> int:
    """Begin an operation; return its number."""
    number = tx.next_number("task") + 1
    tx.run(
        "INSERT INTO operations (id, summary, created) VALUES (?, ?, ?)", number, summary, tx.now
    )
    return number


def add(
    tx: Transaction, operation_id: int, unit: str, action: str, parameters: Mapping[str, Any]
) -> rows.Task:
    """Queue a task for a unit. For `juju-exec` the parameters are `command` and `timeout`."""
    number = tx.next_number("task") + 1
    tx.run(
        "INSERT INTO tasks (id, operation_id, unit, action, parameters_json, enqueued)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        number,
        operation_id,
        unit,
        action,
        dump(dict(parameters)),
        tx.now,
    )
    return get(tx, number)


def get(tx: Transaction, task_id: int) -> rows.Task:
    """Return a task.

    Raises:
        errors.NotFoundError: There is none of that number.
    """
    row = tx.one("SELECT * FROM tasks WHERE id = ?", task_id)
    if row is None:
        raise errors.NotFoundError(f'task "{task_id}" not found')
    return _task(row)


def of_operation(tx: Transaction, operation_id: int) -> list[rows.Task]:
    """Return the tasks of an operation."""
    found = tx.all("SELECT * FROM tasks WHERE operation_id = ? ORDER BY id", operation_id)
    return [_task(row) for row in found]


def operations(tx: Transaction) -> list[tuple[int, str, float]]:
    """Return (number, summary, time) of all operations."""
    found = tx.all("SELECT id, summary, created FROM operations ORDER BY id")
    return [(row[0], row[1], row[2]) for row in found]


def running(tx: Transaction) -> list[rows.Task]:
    """Return the tasks that were begun and not finished (after a crash: to be aborted)."""
    return [_task(r) for r in tx.all("SELECT * FROM tasks WHERE status = 'running' ORDER BY id")]


def start(tx: Transaction, task_id: int) -> None:
    """Record that a task begins."""
    tx.run("UPDATE tasks SET status = 'running', started = ? WHERE id = ?", tx.now, task_id)


def log(tx: Transaction, task_id: int, message: str) -> None:
    """Append a progress message (action-log): visible at once."""
    entries = [*get(tx, task_id).log, (tx.now, message)]
    tx.run("UPDATE tasks SET log_json = ? WHERE id = ?", dump(entries), task_id)


def finish(
    tx: Transaction, task_id: int, status: str, message: str, results: Mapping[str, Any]
) -> None:
    """End a task. `status`: completed, failed, aborted, error."""
    tx.run(
        "UPDATE tasks SET status = ?, message = ?, results_json = ?, completed = ? WHERE id = ?",
        status,
        message,
        dump(dict(results)),
        tx.now,
        task_id,
    )


def cancel(tx: Transaction, task_id: int) -> rows.Task:
    """Cancel: a pending task is aborted at once, a running one is marked for its agent."""
    task = get(tx, task_id)
    if task.status == "pending":
        finish(tx, task_id, "aborted", "action cancelled via the API", {})
    elif task.status == "running":
        tx.run("UPDATE tasks SET cancel = 1 WHERE id = ?", task_id)
    return get(tx, task_id)


def pending(tx: Transaction, unit: str) -> Sequence[tuple[int, str]]:
    """Return (number, action) of what waits for a unit, oldest first."""
    found = tx.all(
        "SELECT id, action FROM tasks WHERE unit = ? AND status = 'pending' ORDER BY id", unit
    )
    return [(row[0], row[1]) for row in found]


def _task(row: sqlite3.Row) -> rows.Task:
    return rows.Task(
        id=row["id"],
        operation_id=row["operation_id"],
        unit=row["unit"],
        action=row["action"],
        parameters=load(row["parameters_json"]),
        status=row["status"],
        message=row["message"],
        results=load(row["results_json"]),
        log=tuple((entry[0], entry[1]) for entry in load(row["log_json"])),
        cancel=bool(row["cancel"]),
        enqueued=row["enqueued"],
        started=row["started"],
        completed=row["completed"],
    )
