"""Charm archives that the model knows."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from daybreak_engine import charmfile, errors
from daybreak_engine.model import rows
from daybreak_engine.model.store import Transaction, dump, load

if TYPE_CHECKING:
    import sqlite3


def add(tx: Transaction, meta: charmfile.CharmMeta, *, digest: str, path: str) -> rows.Charm:
    """Store a charm under the next revision of its name.

    As in Juju an identical archive makes a new revision, too; a caller that wants to avoid
    that asks `find_digest` first.
    """
    revision = tx.next_number(f"charm:{meta.name}")
    row = tx.one(
        "INSERT INTO charms (name, revision, digest, path, meta_json, created)"
        " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        meta.name,
        revision,
        digest,
        path,
        dump(charmfile.to_json(meta)),
        tx.now,
    )
    assert row is not None
    return get(tx, row["id"])


def get(tx: Transaction, charm_id: int) -> rows.Charm:
    """Return a charm by id."""
    row = tx.one("SELECT * FROM charms WHERE id = ?", charm_id)
    if row is None:
        raise errors.NotFoundError(f"charm {charm_id} not found")
    return _charm(row)


def all_(tx: Transaction) -> list[rows.Charm]:
    """Return all charms, oldest first."""
    return [_charm(row) for row in tx.all("SELECT * FROM charms ORDER BY id")]


def find_digest(tx: Transaction, name: str, digest: str) -> rows.Charm | None:
    """Return the newest charm of this name and content, if there is one."""
    row = tx.one(
        "SELECT * FROM charms WHERE name = ? AND digest = ? ORDER BY revision DESC LIMIT 1",
        name,
        digest,
    )
    return None if row is None else _charm(row)


def meta(tx: Transaction, charm_id: int) -> charmfile.CharmMeta:
    """Return what a charm declares (parsed once per process)."""
    row = tx.one("SELECT meta_json FROM charms WHERE id = ?", charm_id)
    if row is None:
        raise errors.NotFoundError(f"charm {charm_id} not found")
    return _meta(row["meta_json"])


@functools.lru_cache(maxsize=128)
def _meta(text: str) -> charmfile.CharmMeta:
    return charmfile.from_json(load(text))


def _charm(row: sqlite3.Row) -> rows.Charm:
    return rows.Charm(
        row["id"], row["name"], row["revision"], row["digest"], row["path"], row["created"]
    )
