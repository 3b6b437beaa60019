"""Applications: charm, scale, trust, and what follows from them (units, peer relations)."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from daybreak_engine import charmfile, errors
from daybreak_engine.model import (
    charms,
    config,
    models,
    relations,
    rows,
    statuses,
    storage,
    units,
)
from daybreak_engine.model.constraints import limits
from daybreak_engine.model.store import Transaction, dump, load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*")


def add(
    tx: Transaction,
    name: str,
    charm_id: int,
    *,
    scale: int = 1,
    trust: bool = False,
    options: Mapping[str, Any] | None = None,
    constraints: Mapping[str, str] | None = None,
    storage_directives: Mapping[str, str] | None = None,
    service_address: str = "",
) -> rows.Application:
    """Deploy an application: its peer relations exist and its units wait for their pods.

    `options` and `constraints` are parsed values (`config.parse`, `constraints.parse`). Resources:
    `resources.put`, before the commit.

    Raises:
        errors.ExistsError: The name is taken.
        errors.InvalidError: Not a name, or options that the charm does not have.
    """
    if not _NAME.fullmatch(name):
        raise errors.InvalidError(
            f'invalid application name "{name}"',
            remedy="use lower-case letters, digits and dashes; begin with a letter",
        )
    if find(tx, name) is not None:
        raise errors.ExistsError(
            f'cannot add application "{name}": application already exists',
            remedy="give another application name, or refresh the existing one",
        )
    meta = charms.meta(tx, charm_id)
    tx.run(
        "INSERT INTO applications (name, charm_id, trust, constraints_json, storage_json,"
        " service_address, provider_id, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        name,
        charm_id,
        int(trust),
        dump(_with_defaults(tx, constraints or {})),
        dump(dict(storage_directives or {})),
        service_address,
        str(uuid.uuid4()),
        tx.now,
    )
    for endpoint in meta.peers.values():
        relations.add_peer(tx, name, endpoint)
    config.put(tx, name, options or {})
    set_scale(tx, name, scale)
    return get(tx, name)


def find(tx: Transaction, name: str) -> rows.Application | None:
    """Return an application, or None."""
    row = tx.one("SELECT * FROM applications WHERE name = ?", name)
    return None if row is None else _application(row)


def get(tx: Transaction, name: str) -> rows.Application:
    """Return an application.

    Raises:
        errors.NotFoundError: There is none of that name.
    """
    found = find(tx, name)
    if found is None:
        raise errors.NotFoundError(f'application "{name}" not found')
    return found


def all_(tx: Transaction) -> list[rows.Application]:
    """Return all applications by name."""
    return [_application(row) for row in tx.all("SELECT * FROM applications ORDER BY name")]


def meta(tx: Transaction, name: str) -> charmfile.CharmMeta:
    """Return what the application's present charm declares."""
    return charms.meta(tx, get(tx, name).charm_id)


def set_scale(tx: Transaction, name: str, scale: int) -> None:
    """Set the number of units: new ones get the free ordinals, the highest ones start to die.

    An ordinal whose unit is still dying is filled when that unit is removed.
    """
    if scale < 0:
        raise errors.InvalidError(f"scale must not be negative, got {scale}")
    tx.run("UPDATE applications SET scale = ? WHERE name = ?", scale, name)
    for unit in units.of(tx, name):
        if unit.ordinal >= scale and unit.life == "alive":
            units.set_dying(tx, unit.name)
    units.fill(tx, name)


def set_charm(tx: Transaction, name: str, charm_id: int) -> None:
    """Refresh to another charm: `charm-modified-version` grows, new peers and storage appear.

    Options that the new charm does not have, or has with another type, are dropped.
    """
    new = charms.meta(tx, charm_id)
    tx.run("UPDATE applications SET charm_id = ? WHERE name = ?", charm_id, name)
    touch_charm(tx, name)
    config.drop_unknown(tx, name, new)
    present = {relation.of(name).endpoint for relation in relations.of(tx, name) if relation.peer}
    for endpoint in new.peers.values():
        if endpoint.name not in present:
            relations.add_peer(tx, name, endpoint)
    for unit in units.of(tx, name):
        if unit.life == "alive":
            storage.add_missing(tx, unit.name)


def touch_charm(tx: Transaction, name: str) -> None:
    """Count `charm-modified-version` up: every unit at or above the partition gets a new pod."""
    tx.run(
        "UPDATE applications SET charm_modified_version = charm_modified_version + 1"
        " WHERE name = ?",
        name,
    )


def set_trust(tx: Transaction, name: str, trust: bool) -> None:
    """Give or take access to the cluster: units get config-changed."""
    tx.run("UPDATE applications SET trust = ? WHERE name = ?", int(trust), name)


def set_exposed(tx: Transaction, name: str, exposed: bool) -> None:
    """Mark the application exposed."""
    tx.run("UPDATE applications SET exposed = ? WHERE name = ?", int(exposed), name)


def set_constraints(tx: Transaction, name: str, constraints: Mapping[str, str]) -> None:
    """Replace the constraints: pods are replaced when they mean other limits, as in Juju."""
    old, new = get(tx, name).constraints, _with_defaults(tx, constraints)
    tx.run("UPDATE applications SET constraints_json = ? WHERE name = ?", dump(new), name)
    if limits(old) != limits(new):
        touch_charm(tx, name)


def _with_defaults(tx: Transaction, constraints: Mapping[str, str]) -> dict[str, str]:
    return {**models.get(tx).constraints, **constraints}


def set_partition(tx: Transaction, name: str, partition: int) -> None:
    """Set the rolling update's partition: ordinals below it keep their pods."""
    tx.run("UPDATE applications SET partition = ? WHERE name = ?", partition, name)


def set_grace_period(tx: Transaction, name: str, seconds: float) -> None:
    """Set the time between SIGTERM and SIGKILL of a pod that ends."""
    tx.run("UPDATE applications SET grace_period = ? WHERE name = ?", seconds, name)


def set_addresses(
    tx: Transaction, name: str, *, service: str | None = None, load_balancer: str | None = None
) -> None:
    """Set the service and load-balancer addresses ("" takes one away, None leaves it)."""
    if service is not None:
        tx.run("UPDATE applications SET service_address = ? WHERE name = ?", service, name)
    if load_balancer is not None:
        tx.run(
            "UPDATE applications SET load_balancer_address = ? WHERE name = ?", load_balancer, name
        )


def set_workload_version(tx: Transaction, name: str, version: str) -> None:
    """Store what a unit said with application-version-set."""
    tx.run("UPDATE applications SET workload_version = ? WHERE name = ?", version, name)


def destroy(tx: Transaction, name: str) -> None:
    """Begin to remove an application: its units and relations start to die.

    It is gone after `finish_removals` found nothing left of it.
    """
    get(tx, name)
    tx.run("UPDATE applications SET life = 'dying' WHERE name = ?", name)
    set_scale(tx, name, 0)
    for relation in relations.of(tx, name):
        if not relation.peer:
            relations.destroy(tx, relation.id)


def finish_removals(tx: Transaction) -> list[str]:
    """Delete the dying applications of which nothing is left; return their names."""
    gone: list[str] = []
    for row in tx.all("SELECT name FROM applications WHERE life = 'dying' ORDER BY name"):
        name: str = row["name"]
        if units.of(tx, name) or any(not r.peer for r in relations.of(tx, name)):
            continue
        for relation in relations.of(tx, name):
            tx.run("DELETE FROM relations WHERE id = ?", relation.id)
        tx.run("DELETE FROM secrets WHERE owner_kind = 'application' AND owner = ?", name)
        tx.run("DELETE FROM applications WHERE name = ?", name)
        statuses.forget(tx, name)
        gone.append(name)
    return gone


def _application(row: sqlite3.Row) -> rows.Application:
    return rows.Application(
        name=row["name"],
        charm_id=row["charm_id"],
        life=row["life"],
        scale=row["scale"],
        trust=bool(row["trust"]),
        exposed=bool(row["exposed"]),
        constraints=load(row["constraints_json"]),
        storage=load(row["storage_json"]),
        partition=row["partition"],
        grace_period=row["grace_period"],
        charm_modified_version=row["charm_modified_version"],
        service_address=row["service_address"],
        load_balancer_address=row["load_balancer_address"],
        provider_id=row["provider_id"],
        workload_version=row["workload_version"],
        created=row["created"],
    )
