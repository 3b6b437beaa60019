"""Secrets: revisions, tracking, labels, grants. Content leaves only through `content`."""

from __future__ import annotations

import base64
import calendar
import hashlib
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from daybreak_engine import errors
from daybreak_engine.model import rows
from daybreak_engine.model.store import Transaction, dump, load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

ROTATE_POLICIES = ("never", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly")
_MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}
_STEPS = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
}


def new_id(now: float, random: Callable[[int], bytes] = os.urandom) -> str:
    """Return a fresh id: 20 characters of lower-case base32hex, beginning with the time."""
    raw = int(now).to_bytes(4, "big") + random(8)
    return base64.b32hexencode(raw).decode().rstrip("=").lower()


def checksum(content: Mapping[str, str]) -> str:
    """Return what tells equal contents: SHA-256 in hexadecimal."""
    return hashlib.sha256(dump(dict(content)).encode()).hexdigest()


def next_rotation(policy: str, now: float) -> float | None:
    """Return when a secret is due for rotation, None for `never`."""
    if policy in _STEPS:
        return now + _STEPS[policy].total_seconds()
    if policy not in _MONTHS:
        return None
    start = datetime.fromtimestamp(now, UTC)
    month = start.month - 1 + _MONTHS[policy]
    year, month = start.year + month // 12, month % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return start.replace(year=year, month=month, day=day).timestamp()


def add(
    tx: Transaction,
    content: Mapping[str, str],
    *,
    owner_kind: rows.OwnerKind,
    owner: str,
    id_: str = "",
    label: str = "",
    description: str = "",
    rotate: str = "never",
    expires: float | None = None,
    auto_prune: bool = False,
) -> rows.Secret:
    """Make a secret with its first revision.

    `owner` is an application or unit name; for user secrets (`owner_kind` model) the model's
    uuid, with `label` as the secret's name. `expires` in seconds since the epoch.

    Raises:
        errors.ExistsError: The owner has another secret of that label.
    """
    id_ = id_ or new_id(tx.now)
    _label_free(tx, owner_kind, owner, label, id_)
    tx.run(
        "INSERT INTO secrets (id, owner_kind, owner, label, description, rotate, rotates,"
        " expires, auto_prune, revision, created, updated)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
        id_,
        owner_kind,
        owner,
        label,
        description,
        rotate,
        next_rotation(rotate, tx.now),
        expires,
        int(auto_prune),
        tx.now,
        tx.now,
    )
    _add_revision(tx, id_, 1, content)
    return get(tx, id_)


def update(
    tx: Transaction,
    id_: str,
    *,
    content: Mapping[str, str] | None = None,
    label: str | None = None,
    description: str | None = None,
    rotate: str | None = None,
    expires: float | None = None,
    auto_prune: bool | None = None,
) -> rows.Secret:
    """Change a secret; None leaves a thing as it is. Equal content makes no new revision.

    A new revision also moves the rotation time, and ends the expiry of the one before.
    """
    secret = get(tx, id_)
    if label is not None:
        _label_free(tx, secret.owner_kind, secret.owner, label, id_)
    revision = secret.revision
    new_expiry, rotates = secret.expires, secret.rotates
    if content is not None and checksum(content) != _checksum(tx, id_, revision):
        revision += 1
        _add_revision(tx, id_, revision, content)
        new_expiry = None
        rotates = next_rotation(secret.rotate, tx.now)
    if rotate is not None and rotate != secret.rotate:
        rotates = next_rotation(rotate, tx.now)
    tx.run(
        "UPDATE secrets SET label = ?, description = ?, rotate = ?, rotates = ?, expires = ?,"
        " auto_prune = ?, revision = ?, updated = ? WHERE id = ?",
        secret.label if label is None else label,
        secret.description if description is None else description,
        secret.rotate if rotate is None else rotate,
        rotates,
        new_expiry if expires is None else expires,
        int(secret.auto_prune if auto_prune is None else auto_prune),
        revision,
        tx.now,
        id_,
    )
    _prune(tx, id_)
    return get(tx, id_)


def remove(tx: Transaction, id_: str, revision: int | None = None) -> None:
    """Remove a revision, or all of it. The secret goes with its last revision."""
    get(tx, id_)
    if revision is not None:
        tx.run("DELETE FROM secret_revisions WHERE secret_id = ? AND revision = ?", id_, revision)
        if tx.one("SELECT 1 FROM secret_revisions WHERE secret_id = ?", id_) is not None:
            return
    tx.run("DELETE FROM secrets WHERE id = ?", id_)


def rotated(tx: Transaction, id_: str) -> None:
    """Move the rotation time on: `secret-rotate` was sent."""
    secret = find(tx, id_)
    if secret is not None:
        tx.run(
            "UPDATE secrets SET rotates = ? WHERE id = ?",
            next_rotation(secret.rotate, tx.now),
            id_,
        )


def find(tx: Transaction, id_: str) -> rows.Secret | None:
    """Return a secret by bare id, or None."""
    row = tx.one("SELECT * FROM secrets WHERE id = ?", id_)
    return None if row is None else _secret(row)


def get(tx: Transaction, id_: str) -> rows.Secret:
    """Return a secret by bare id.

    Raises:
        errors.NotFoundError: There is none.
    """
    found = find(tx, id_)
    if found is None:
        raise errors.NotFoundError(f'secret "{id_}" not found')
    return found


def find_label(
    tx: Transaction, owner_kind: rows.OwnerKind, owner: str, label: str
) -> rows.Secret | None:
    """Return an owner's secret by its label, or None."""
    row = tx.one(
        "SELECT * FROM secrets WHERE owner_kind = ? AND owner = ? AND label = ?",
        owner_kind,
        owner,
        label,
    )
    return None if row is None or not label else _secret(row)


def owned(tx: Transaction, owner_kind: rows.OwnerKind, owner: str) -> list[rows.Secret]:
    """Return the secrets of an owner, oldest first."""
    found = tx.all(
        "SELECT * FROM secrets WHERE owner_kind = ? AND owner = ? ORDER BY created, id",
        owner_kind,
        owner,
    )
    return [_secret(row) for row in found]


def all_(tx: Transaction) -> list[rows.Secret]:
    """Return all secrets, oldest first."""
    return [_secret(row) for row in tx.all("SELECT * FROM secrets ORDER BY created, id")]


def revisions(tx: Transaction, id_: str) -> list[rows.SecretRevision]:
    """Return the revisions that still exist, oldest first."""
    found = tx.all("SELECT * FROM secret_revisions WHERE secret_id = ? ORDER BY revision", id_)
    return [
        rows.SecretRevision(r["secret_id"], r["revision"], r["checksum"], r["created"])
        for r in found
    ]


def content(tx: Transaction, id_: str, revision: int) -> dict[str, str]:
    """Return the content of a revision.

    Raises:
        errors.NotFoundError: It was removed or never existed.
    """
    row = tx.one(
        "SELECT content_json FROM secret_revisions WHERE secret_id = ? AND revision = ?",
        id_,
        revision,
    )
    if row is None:
        raise errors.NotFoundError(f'secret revision "{id_}/{revision}" not found')
    return load(row["content_json"])


def consumer(tx: Transaction, id_: str, unit: str) -> rows.SecretConsumer | None:
    """Return what a unit tracks of a secret, or None."""
    row = tx.one("SELECT * FROM secret_consumers WHERE secret_id = ? AND unit = ?", id_, unit)
    return None if row is None else _consumer(row)


def find_consumer_label(tx: Transaction, unit: str, label: str) -> rows.SecretConsumer | None:
    """Return what a unit tracks under its own label, or None."""
    row = tx.one("SELECT * FROM secret_consumers WHERE unit = ? AND label = ?", unit, label)
    return None if row is None or not label else _consumer(row)


def track(tx: Transaction, id_: str, unit: str, revision: int, *, label: str | None = None) -> None:
    """Record which revision a unit tracks, and its own label unless None."""
    tx.run(
        "INSERT INTO secret_consumers (secret_id, unit, revision, label)"
        " VALUES (?1, ?2, ?3, coalesce(?4, ''))"
        " ON CONFLICT (secret_id, unit) DO UPDATE"
        " SET revision = ?3, label = coalesce(?4, label)",
        id_,
        unit,
        revision,
        label,
    )
    _prune(tx, id_)


def grants(tx: Transaction, id_: str) -> list[rows.SecretGrant]:
    """Return who may read a secret."""
    found = tx.all("SELECT * FROM secret_grants WHERE secret_id = ? ORDER BY target", id_)
    return [rows.SecretGrant(r["secret_id"], r["target"], r["relation_id"]) for r in found]


def grant(tx: Transaction, id_: str, target: str, relation_id: int | None) -> None:
    """Let an application or unit read, as long as the relation lives (None: for ever)."""
    tx.run(
        "INSERT OR REPLACE INTO secret_grants (secret_id, target, relation_id) VALUES (?, ?, ?)",
        id_,
        target,
        relation_id,
    )


def revoke(tx: Transaction, id_: str, target: str) -> None:
    """Take a grant away; for an application also those of its units."""
    tx.run(
        "DELETE FROM secret_grants WHERE secret_id = ?1"
        " AND (target = ?2 OR target LIKE ?2 || '/%')",
        id_,
        target,
    )


def readable(tx: Transaction, secret: rows.Secret, unit: str) -> bool:
    """Tell whether a unit may read: its own, its application's, or a granted secret."""
    application = unit.partition("/")[0]
    if secret.owner_kind != "model" and secret.owner in (unit, application):
        return True
    row = tx.one(
        "SELECT 1 FROM secret_grants WHERE secret_id = ? AND target IN (?, ?)",
        secret.id,
        unit,
        application,
    )
    return row is not None


def _add_revision(tx: Transaction, id_: str, revision: int, content: Mapping[str, str]) -> None:
    tx.run(
        "INSERT INTO secret_revisions (secret_id, revision, content_json, checksum, created)"
        " VALUES (?, ?, ?, ?, ?)",
        id_,
        revision,
        dump(dict(content)),
        checksum(content),
        tx.now,
    )


def _checksum(tx: Transaction, id_: str, revision: int) -> str:
    row = tx.one(
        "SELECT checksum FROM secret_revisions WHERE secret_id = ? AND revision = ?", id_, revision
    )
    return "" if row is None else row["checksum"]


def _label_free(tx: Transaction, kind: rows.OwnerKind, owner: str, label: str, id_: str) -> None:
    other = find_label(tx, kind, owner, label)
    if other is not None and other.id != id_:
        what = "name" if kind == "model" else "label"
        raise errors.ExistsError(f'secret with {what} "{label}" already exists')


def _prune(tx: Transaction, id_: str) -> None:
    """Drop revisions of an auto-pruned user secret that nobody tracks."""
    tx.run(
        "DELETE FROM secret_revisions WHERE secret_id = ?1"
        " AND EXISTS (SELECT 1 FROM secrets WHERE id = ?1 AND auto_prune = 1)"
        " AND revision < (SELECT revision FROM secrets WHERE id = ?1)"
        " AND NOT EXISTS (SELECT 1 FROM secret_consumers c WHERE c.secret_id = ?1"
        " AND c.revision = secret_revisions.revision)",
        id_,
    )


def _secret(row: sqlite3.Row) -> rows.Secret:
    values: dict[str, Any] = dict(row)
    values["auto_prune"] = bool(values["auto_prune"])
    return rows.Secret(**values)


def _consumer(row: sqlite3.Row) -> rows.SecretConsumer:
    return rows.SecretConsumer(row["secret_id"], row["unit"], row["label"], row["revision"])
