"""The model itself: name, configuration, constraints."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from daybreak_engine import errors
from daybreak_engine.model import rows
from daybreak_engine.model.store import Transaction, dump, load

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the engine acts on, with Juju's defaults. Other keys are kept and shown.
DEFAULTS: Mapping[str, Any] = {
    "agent-version": "3.6.14",
    "automatically-retry-hooks": True,
    "juju-ftp-proxy": "",
    "juju-http-proxy": "",
    "juju-https-proxy": "",
    "juju-no-proxy": "127.0.0.1,localhost,::1",
    "logging-config": "<root>=INFO",
    "type": "kubernetes",
    "update-status-hook-interval": "5m",
}


def create(
    tx: Transaction, name: str, *, config: Mapping[str, Any] | None = None, uuid_: str = ""
) -> rows.Model:
    """Make the model of this file.

    Raises:
        errors.ExistsError: The file holds one already.
    """
    existing = find(tx)
    if existing is not None:
        raise errors.ExistsError(
            f"model admin/{existing.name} already exists (already exists)",
            remedy="one instance holds one model: use it, or another --instance",
        )
    tx.run(
        "INSERT INTO models (id, name, uuid, config_json, created) VALUES (1, ?, ?, ?, ?)",
        name,
        uuid_ or str(uuid.uuid4()),
        dump(config or {}),
        tx.now,
    )
    return get(tx)


def find(tx: Transaction) -> rows.Model | None:
    """Return the model, or None when the file holds none."""
    row = tx.one("SELECT * FROM models")
    if row is None:
        return None
    return rows.Model(
        row["name"],
        row["uuid"],
        row["life"],
        load(row["config_json"]),
        load(row["constraints_json"]),
        row["created"],
    )


def get(tx: Transaction) -> rows.Model:
    """Return the model.

    Raises:
        errors.NotFoundError: The file holds none.
    """
    model = find(tx)
    if model is None:
        raise errors.NotFoundError(
            "No model in focus.", remedy='make one with "juju add-model NAME"'
        )
    return model


def config(tx: Transaction) -> dict[str, Any]:
    """Return the model's configuration with the defaults filled in."""
    return {**DEFAULTS, **get(tx).config}


def set_config(tx: Transaction, changes: Mapping[str, Any]) -> None:
    """Merge into the configuration; a value of None resets the key to its default."""
    merged = {**get(tx).config, **changes}
    kept = {key: value for key, value in merged.items() if value is not None}
    tx.run("UPDATE models SET config_json = ?", dump(kept))


def set_constraints(tx: Transaction, constraints: Mapping[str, str]) -> None:
    """Replace the model's constraints: defaults of what applications are given from now on."""
    tx.run("UPDATE models SET constraints_json = ?", dump(dict(constraints)))


def set_life(tx: Transaction, life: rows.Life) -> None:
    """Mark the model dying; the daemon deletes the file when all is gone."""
    tx.run("UPDATE models SET life = ?", life)


def remove(tx: Transaction) -> None:
    """Empty the file: the model and all that was in it are gone, numbers begin anew.

    Its applications must have been removed before.
    """
    for table in (
        "storage",
        "secrets",
        "tasks",
        "operations",
        "kubernetes_objects",
        "status_history",
        "statuses",
        "charms",
        "sequences",
        "models",
    ):
        tx.run(f"DELETE FROM {table}")  # noqa: S608 # names of the tuple above
