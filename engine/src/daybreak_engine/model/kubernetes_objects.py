"""Objects that charms made through the Kubernetes API, as JSON by kind and name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daybreak_engine.model import rows
from daybreak_engine.model.store import Transaction, dump, load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping


def put(tx: Transaction, kind: str, name: str, body: Mapping[str, Any]) -> rows.KubernetesObject:
    """Make or replace an object; its version is a number never given before."""
    version = tx.next_number("kubernetes") + 1
    tx.run(
        "INSERT OR REPLACE INTO kubernetes_objects (kind, name, version, body_json)"
        " VALUES (?, ?, ?, ?)",
        kind,
        name,
        version,
        dump(dict(body)),
    )
    return rows.KubernetesObject(kind, name, version, body)


def find(tx: Transaction, kind: str, name: str) -> rows.KubernetesObject | None:
    """Return an object, or None."""
    row = tx.one("SELECT * FROM kubernetes_objects WHERE kind = ? AND name = ?", kind, name)
    return None if row is None else _object(row)


def of_kind(tx: Transaction, kind: str) -> list[rows.KubernetesObject]:
    """Return all objects of a kind by name."""
    found = tx.all("SELECT * FROM kubernetes_objects WHERE kind = ? ORDER BY name", kind)
    return [_object(row) for row in found]


def remove(tx: Transaction, kind: str, name: str) -> bool:
    """Delete an object; return whether there was one."""
    return tx.run("DELETE FROM kubernetes_objects WHERE kind = ? AND name = ?", kind, name) > 0


def _object(row: sqlite3.Row) -> rows.KubernetesObject:
    return rows.KubernetesObject(row["kind"], row["name"], row["version"], load(row["body_json"]))
