"""Resources of applications: images and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daybreak_engine.model import rows
from daybreak_engine.model.store import Transaction, dump, load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping


def put(tx: Transaction, application: str, name: str, type_: str, value: Mapping[str, str]) -> bool:
    """Set a resource; return whether it differs from the one before.

    The caller counts `charm-modified-version` up (`applications.touch_charm`) when a resource
    of a deployed application differs: the pods are replaced.

    Args:
        tx: The transaction.
        application: Name.
        name: Of the resource.
        type_: `oci-image` or `file`.
        value: `{"registrypath", "username", "password"}` or `{"path"}`.
    """
    old = find(tx, application, name)
    if old is not None and (old.type, old.value) == (type_, value):
        return False
    tx.run(
        "INSERT OR REPLACE INTO resources (application, name, type, value_json, created)"
        " VALUES (?, ?, ?, ?, ?)",
        application,
        name,
        type_,
        dump(dict(value)),
        tx.now,
    )
    return True


def find(tx: Transaction, application: str, name: str) -> rows.Resource | None:
    """Return a resource, or None."""
    row = tx.one("SELECT * FROM resources WHERE application = ? AND name = ?", application, name)
    return None if row is None else _resource(row)


def of(tx: Transaction, application: str) -> list[rows.Resource]:
    """Return the resources of an application by name."""
    found = tx.all("SELECT * FROM resources WHERE application = ? ORDER BY name", application)
    return [_resource(row) for row in found]


def _resource(row: sqlite3.Row) -> rows.Resource:
    return rows.Resource(
        row["application"], row["name"], row["type"], load(row["value_json"]), row["created"]
    )
