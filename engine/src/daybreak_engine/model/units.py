"""Units, their pods, ports and charm state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daybreak_engine import errors
from daybreak_engine.model import relations, rows, statuses, storage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from daybreak_engine.model.store import Transaction


def fill(tx: Transaction, application: str) -> None:
    """Make the units that the application's scale asks for and that do not exist."""
    row = tx.one("SELECT scale, life FROM applications WHERE name = ?", application)
    if row is None or row["life"] != "alive":
        return
    present = {unit.ordinal for unit in of(tx, application)}
    for ordinal in range(row["scale"]):
        if ordinal not in present:
            _add(tx, application, ordinal)


def find(tx: Transaction, name: str) -> rows.Unit | None:
    """Return a unit, or None."""
    row = tx.one("SELECT * FROM units WHERE name = ?", name)
    return None if row is None else _unit(row)


def get(tx: Transaction, name: str) -> rows.Unit:
    """Return a unit.

    Raises:
        errors.NotFoundError: There is none of that name.
    """
    found = find(tx, name)
    if found is None:
        raise errors.NotFoundError(f'unit "{name}" not found')
    return found


def of(tx: Transaction, application: str) -> list[rows.Unit]:
    """Return the units of an application by ordinal, dying ones included."""
    found = tx.all("SELECT * FROM units WHERE application = ? ORDER BY ordinal", application)
    return [_unit(row) for row in found]


def all_(tx: Transaction) -> list[rows.Unit]:
    """Return all units by application and ordinal."""
    return [_unit(row) for row in tx.all("SELECT * FROM units ORDER BY application, ordinal")]


def set_dying(tx: Transaction, name: str) -> None:
    """Begin to remove a unit; its agent runs the last hooks, then calls `remove`."""
    tx.run("UPDATE units SET life = 'dying' WHERE name = ? AND life = 'alive'", name)
    tx.run("UPDATE storage SET life = 'dying' WHERE unit = ? AND life = 'alive'", name)


def remove(tx: Transaction, name: str) -> None:
    """Remove a unit and all that is only its own; its storage stays, detached.

    If the application's scale still asks for this ordinal, a new unit of that name is made.
    """
    unit = get(tx, name)
    relations.leave_all(tx, name)
    tx.run("UPDATE storage SET unit = NULL, life = 'alive' WHERE unit = ?", name)
    tx.run("DELETE FROM secrets WHERE owner_kind = 'unit' AND owner = ?", name)
    tx.run("DELETE FROM secret_grants WHERE target = ?", name)
    tx.run("DELETE FROM units WHERE name = ?", name)
    tx.run(
        "UPDATE tasks SET status = 'aborted', completed = ?,"
        " message = 'unit removed' WHERE unit = ? AND status IN ('pending', 'running')",
        tx.now,
        name,
    )
    statuses.forget(tx, name)
    fill(tx, unit.application)


def set_state(tx: Transaction, name: str, state: str) -> None:
    """Store the resolver's state of the unit (JSON text)."""
    tx.run("UPDATE units SET state_json = ? WHERE name = ?", state, name)


def set_pod(tx: Transaction, name: str, *, charm_id: int, charm_modified_version: int) -> int:
    """Record that a new pod (fresh charm directory) is being made; return its generation.

    Address and boot are unknown until `set_address` and `set_boot`.
    """
    row = tx.one(
        "UPDATE units SET charm_id = ?, charm_modified_version = ?, boot = '', stopping = 0,"
        " pod_generation = pod_generation + 1 WHERE name = ? RETURNING pod_generation",
        charm_id,
        charm_modified_version,
        name,
    )
    if row is None:
        raise errors.NotFoundError(f'unit "{name}" not found')
    return int(row["pod_generation"])


def set_address(tx: Transaction, name: str, address: str) -> None:
    """Record the pod's address ("" while it has none)."""
    tx.run("UPDATE units SET address = ? WHERE name = ?", address, name)


def set_boot(tx: Transaction, name: str, boot: str) -> None:
    """Record which start of the charm container runs; "" while none does (no hook runs then).

    Any text that differs for each start will do, such as the container's start time. A new start
    ends `stopping`.
    """
    tx.run(
        "UPDATE units SET stopping = CASE WHEN ?1 IN ('', boot) THEN stopping ELSE 0 END,"
        " boot = ?1 WHERE name = ?2",
        boot,
        name,
    )


def set_stopping(tx: Transaction, name: str, stopping: bool) -> None:
    """Say that the pod is being ended on purpose: the agent runs `stop` and then nothing."""
    tx.run("UPDATE units SET stopping = ? WHERE name = ?", int(stopping), name)


def set_resolved(tx: Transaction, name: str, resolved: str) -> None:
    """Answer a failed hook: "retry", "no-retry", or "" (the agent took the answer).

    Raises:
        errors.RefusedError: The unit is not in error.
    """
    if resolved and statuses.find(tx, name, "error") is None:
        raise errors.RefusedError(f'unit "{name}" is not in an error state')
    tx.run("UPDATE units SET resolved = ? WHERE name = ?", resolved, name)


def ports(tx: Transaction, name: str) -> list[rows.Port]:
    """Return the open ports of a unit, icmp first, then by number."""
    found = tx.all(
        "SELECT * FROM ports WHERE unit = ? ORDER BY protocol <> 'icmp', port, protocol, endpoint",
        name,
    )
    return [rows.Port(row["protocol"], row["port"], row["endpoint"]) for row in found]


def change_ports(
    tx: Transaction, name: str, *, opened: Iterable[rows.Port], closed: Iterable[rows.Port]
) -> None:
    """Open and close ports."""
    for port in opened:
        tx.run(
            "INSERT OR IGNORE INTO ports (unit, endpoint, protocol, port) VALUES (?, ?, ?, ?)",
            name,
            port.endpoint,
            port.protocol,
            port.port,
        )
    for port in closed:
        tx.run(
            "DELETE FROM ports WHERE unit = ? AND protocol = ? AND port = ?"
            " AND (endpoint = ? OR ? = '')",
            name,
            port.protocol,
            port.port,
            port.endpoint,
            port.endpoint,
        )


def data(tx: Transaction, name: str) -> dict[str, str]:
    """Return what the charm stored with state-set."""
    found = tx.all("SELECT key, value FROM unit_data WHERE unit = ?", name)
    return {row["key"]: row["value"] for row in found}


def change_data(tx: Transaction, name: str, changes: Mapping[str, str | None]) -> None:
    """Merge into the charm's state; None deletes a key."""
    for key, value in changes.items():
        if value is None:
            tx.run("DELETE FROM unit_data WHERE unit = ? AND key = ?", name, key)
        else:
            tx.run(
                "INSERT OR REPLACE INTO unit_data (unit, key, value) VALUES (?, ?, ?)",
                name,
                key,
                value,
            )


def _add(tx: Transaction, application: str, ordinal: int) -> None:
    name = f"{application}/{ordinal}"
    tx.run(
        "INSERT INTO units (name, application, ordinal, created) VALUES (?, ?, ?, ?)",
        name,
        application,
        ordinal,
        tx.now,
    )
    statuses.put(tx, name, "workload", "waiting", "installing agent")
    statuses.put(tx, name, "agent", "allocating")
    storage.add_missing(tx, name)


def _unit(row: sqlite3.Row) -> rows.Unit:
    return rows.Unit(
        name=row["name"],
        application=row["application"],
        ordinal=row["ordinal"],
        life=row["life"],
        address=row["address"],
        charm_id=row["charm_id"],
        charm_modified_version=row["charm_modified_version"],
        pod_generation=row["pod_generation"],
        boot=row["boot"],
        stopping=bool(row["stopping"]),
        resolved=row["resolved"],
        state=row["state_json"],
        created=row["created"],
    )
