"""Storage instances: numbered once per model, attached to at most one unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daybreak_engine import charmfile, errors
from daybreak_engine.model import charms, rows
from daybreak_engine.model.store import Transaction, load

if TYPE_CHECKING:
    import sqlite3


def add_missing(tx: Transaction, unit: str) -> None:
    """Make the instances that the charm of the unit's application requires and it lacks."""
    application = unit.partition("/")[0]
    row = tx.one("SELECT charm_id FROM applications WHERE name = ?", application)
    assert row is not None
    present = [instance.name for instance in of(tx, unit)]
    for declared in charms.meta(tx, row["charm_id"]).storage.values():
        for _ in range(declared.count - present.count(declared.name)):
            add(tx, unit, declared)


def add(tx: Transaction, unit: str, declared: charmfile.Storage) -> rows.Storage:
    """Add an instance to a unit.

    Raises:
        errors.RefusedError: The charm allows no more of them.
    """
    index = sum(instance.name == declared.name for instance in of(tx, unit))
    if declared.maximum is not None and index >= declared.maximum:
        raise errors.RefusedError(
            f'cannot add storage: charm "{declared.name}" store: at most'
            f" {declared.maximum} instances supported, {index + 1} specified"
        )
    application = unit.partition("/")[0]
    row = tx.one("SELECT storage_json FROM applications WHERE name = ?", application)
    directives: dict[str, str] = {} if row is None else load(row["storage_json"])
    location = declared.location or f"/var/lib/juju/storage/{declared.name}-{index}"
    if declared.location and declared.maximum != 1:
        location = f"{declared.location}/{index}"
    storage_id = f"{declared.name}/{tx.next_number('storage')}"
    tx.run(
        "INSERT INTO storage (id, name, application, unit, location, size, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        storage_id,
        declared.name,
        application,
        unit,
        location,
        directives.get(declared.name) or declared.minimum_size,
        tx.now,
    )
    return get(tx, storage_id)


def get(tx: Transaction, storage_id: str) -> rows.Storage:
    """Return an instance.

    Raises:
        errors.NotFoundError: There is none of that id.
    """
    row = tx.one("SELECT * FROM storage WHERE id = ?", storage_id)
    if row is None:
        raise errors.NotFoundError(f'storage instance "{storage_id}" not found')
    return _storage(row)


def of(tx: Transaction, unit: str) -> list[rows.Storage]:
    """Return the instances attached to a unit, dying ones included."""
    return [_storage(r) for r in tx.all("SELECT * FROM storage WHERE unit = ? ORDER BY id", unit)]


def all_(tx: Transaction) -> list[rows.Storage]:
    """Return all instances, detached ones included."""
    return [_storage(row) for row in tx.all("SELECT * FROM storage ORDER BY id")]


def set_provisioned(tx: Transaction, storage_id: str) -> None:
    """Record that the volume is mounted: storage-attached may run."""
    tx.run("UPDATE storage SET provisioned = 1 WHERE id = ?", storage_id)


def remove(tx: Transaction, storage_id: str) -> None:
    """Forget an instance; its volume is the substrate's to delete."""
    tx.run("DELETE FROM storage WHERE id = ?", storage_id)


def _storage(row: sqlite3.Row) -> rows.Storage:
    return rows.Storage(
        row["id"],
        row["name"],
        row["application"],
        row["unit"],
        row["location"],
        row["size"],
        row["life"],
        bool(row["provisioned"]),
        row["created"],
    )
