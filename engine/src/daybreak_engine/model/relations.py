"""Relations: endpoints, scopes (who is visible), databags with versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daybreak_engine import charmfile, errors
from daybreak_engine.model import rows
from daybreak_engine.model.store import Transaction, dump, load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

_ROLE_ORDER = {"requirer": 0, "provider": 1, "peer": 2}


def add(
    tx: Transaction, first: rows.RelationEndpoint, second: rows.RelationEndpoint, interface: str
) -> rows.Relation:
    """Relate two endpoints; candidates, limits and interfaces are the caller's to check.

    Raises:
        errors.ExistsError: They are related already (also while that relation is dying).
    """
    one, other = sorted((first, second), key=lambda e: _ROLE_ORDER.get(e.role, 9))
    if find(tx, one, other) is not None:
        raise errors.ExistsError(
            f'cannot add relation "{one}", "{other}": relation {one} {other}: already exists',
            remedy="a relation that was just removed is gone after its last hooks; then try again",
        )
    return _add(tx, interface, False, (one, other))


def add_peer(tx: Transaction, application: str, endpoint: charmfile.Endpoint) -> rows.Relation:
    """Make a peer relation (deploy and refresh do)."""
    side = rows.RelationEndpoint(application, endpoint.name, "peer")
    return _add(tx, endpoint.interface, True, (side,))


def get(tx: Transaction, relation_id: int) -> rows.Relation:
    """Return a relation.

    Raises:
        errors.NotFoundError: There is none of that id (any more).
    """
    row = tx.one("SELECT * FROM relations WHERE id = ?", relation_id)
    if row is None:
        raise errors.NotFoundError(f"relation {relation_id} not found")
    return _relation(tx, row)


def find(
    tx: Transaction, one: rows.RelationEndpoint, other: rows.RelationEndpoint
) -> rows.Relation | None:
    """Return the relation between two endpoints (order and role do not matter), or None."""
    row = tx.one(
        "SELECT r.* FROM relations r"
        " JOIN relation_endpoints a ON a.relation_id = r.id AND a.application = ?"
        " AND a.endpoint = ?"
        " JOIN relation_endpoints b ON b.relation_id = r.id AND b.application = ?"
        " AND b.endpoint = ? WHERE r.peer = 0",
        one.application,
        one.endpoint,
        other.application,
        other.endpoint,
    )
    return None if row is None else _relation(tx, row)


def of(tx: Transaction, application: str) -> list[rows.Relation]:
    """Return the relations of an application by id, peer and dying ones included."""
    found = tx.all(
        "SELECT * FROM relations WHERE id IN"
        " (SELECT relation_id FROM relation_endpoints WHERE application = ?) ORDER BY id",
        application,
    )
    return [_relation(tx, row) for row in found]


def all_(tx: Transaction) -> list[rows.Relation]:
    """Return all relations by id."""
    return [_relation(tx, row) for row in tx.all("SELECT * FROM relations ORDER BY id")]


def destroy(tx: Transaction, relation_id: int) -> None:
    """Begin to remove a relation: units run departed and broken; gone when the last one left."""
    tx.run("UPDATE relations SET life = 'dying' WHERE id = ?", relation_id)
    _delete_when_done(tx, relation_id)


def in_scope(tx: Transaction, relation_id: int) -> dict[str, str]:
    """Return the units in scope of a relation, each with its application."""
    found = tx.all(
        "SELECT unit, application FROM relation_units WHERE relation_id = ? ORDER BY unit",
        relation_id,
    )
    return {row["unit"]: row["application"] for row in found}


def scopes(tx: Transaction, unit: str) -> set[int]:
    """Return the ids of the relations in whose scope a unit is."""
    found = tx.all("SELECT relation_id FROM relation_units WHERE unit = ?", unit)
    return {row["relation_id"] for row in found}


def enter_scope(tx: Transaction, relation_id: int, unit: str) -> None:
    """Make a unit visible to the other side, with nothing but its addresses in its databag.

    Nothing happens when it is in scope already.
    """
    application = unit.partition("/")[0]
    if not tx.run(
        "INSERT OR IGNORE INTO relation_units (relation_id, unit, application) VALUES (?, ?, ?)",
        relation_id,
        unit,
        application,
    ):
        return
    _store(tx, relation_id, unit, network_settings(tx, unit))


def leave_scope(tx: Transaction, relation_id: int, unit: str) -> None:
    """Make a unit invisible; a dying relation goes with the last one. Databags stay readable."""
    tx.run("DELETE FROM relation_units WHERE relation_id = ? AND unit = ?", relation_id, unit)
    _delete_when_done(tx, relation_id)


def leave_all(tx: Transaction, unit: str) -> None:
    """Leave every scope (the unit is removed)."""
    for relation_id in scopes(tx, unit):
        leave_scope(tx, relation_id, unit)


def databag(tx: Transaction, relation_id: int, entity: str) -> rows.Databag:
    """Return the stored settings of a unit or application; version 0 when never written."""
    row = tx.one(
        "SELECT version, settings_json FROM databags WHERE relation_id = ? AND entity = ?",
        relation_id,
        entity,
    )
    return rows.Databag(0, {}) if row is None else rows.Databag(row[0], load(row[1]))


def change_databag(
    tx: Transaction, relation_id: int, entity: str, changes: Mapping[str, str]
) -> bool:
    """Merge settings ("" deletes a key); return whether anything differs (new version)."""
    old = databag(tx, relation_id, entity)
    new = merge(old.settings, changes)
    if new == old.settings:
        return False
    _store(tx, relation_id, entity, new)
    return True


def merge(settings: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Return settings with changes applied; an empty value deletes its key."""
    merged = {**settings, **changes}
    return {key: value for key, value in merged.items() if value != ""}


def view(tx: Transaction, relation_id: int, unit: str, member: str) -> Mapping[str, str] | None:
    """Return what a unit was last shown of a member, or None when it never was."""
    row = tx.one(
        "SELECT settings_json FROM databag_views WHERE relation_id = ? AND unit = ? AND member = ?",
        relation_id,
        unit,
        member,
    )
    return None if row is None else load(row[0])


def set_view(
    tx: Transaction, relation_id: int, unit: str, member: str, settings: Mapping[str, str]
) -> None:
    """Keep what a unit is shown of a member until that member's next joined or changed."""
    tx.run(
        "INSERT OR REPLACE INTO databag_views (relation_id, unit, member, settings_json)"
        " VALUES (?, ?, ?, ?)",
        relation_id,
        unit,
        member,
        dump(dict(settings)),
    )


def network_settings(tx: Transaction, unit: str) -> dict[str, str]:
    """Return the keys that a unit's databag always has: those of its application's service."""
    row = tx.one(
        "SELECT a.service_address, u.address FROM units u JOIN applications a"
        " ON a.name = u.application WHERE u.name = ?",
        unit,
    )
    address = "" if row is None else row[0] or row[1]
    if not address:
        return {}
    subnet = f"{address}/{128 if ':' in address else 32}"
    return {"egress-subnets": subnet, "ingress-address": address, "private-address": address}


def refresh_networks(tx: Transaction, unit: str) -> None:
    """Write the present addresses into all databags of a unit (config-changed does)."""
    settings = network_settings(tx, unit)
    for relation_id in scopes(tx, unit):
        change_databag(tx, relation_id, unit, settings)


def _add(
    tx: Transaction, interface: str, peer: bool, endpoints: tuple[rows.RelationEndpoint, ...]
) -> rows.Relation:
    relation_id = tx.next_number("relation")
    tx.run(
        "INSERT INTO relations (id, interface, peer, created) VALUES (?, ?, ?, ?)",
        relation_id,
        interface,
        int(peer),
        tx.now,
    )
    for endpoint in endpoints:
        tx.run(
            "INSERT INTO relation_endpoints (relation_id, application, endpoint, role)"
            " VALUES (?, ?, ?, ?)",
            relation_id,
            endpoint.application,
            endpoint.endpoint,
            endpoint.role,
        )
    return get(tx, relation_id)


def _store(tx: Transaction, relation_id: int, entity: str, settings: Mapping[str, str]) -> None:
    tx.run(
        "INSERT INTO databags (relation_id, entity, version, settings_json) VALUES (?, ?, 1, ?)"
        " ON CONFLICT (relation_id, entity)"
        " DO UPDATE SET version = version + 1, settings_json = excluded.settings_json",
        relation_id,
        entity,
        dump(dict(settings)),
    )


def _delete_when_done(tx: Transaction, relation_id: int) -> None:
    tx.run(
        "DELETE FROM relations WHERE id = ?1 AND life = 'dying' AND NOT EXISTS"
        " (SELECT 1 FROM relation_units WHERE relation_id = ?1)",
        relation_id,
    )


def _relation(tx: Transaction, row: sqlite3.Row) -> rows.Relation:
    found = tx.all(
        "SELECT application, endpoint, role FROM relation_endpoints WHERE relation_id = ?",
        row["id"],
    )
    sides = sorted(
        (rows.RelationEndpoint(side[0], side[1], side[2]) for side in found),
        key=lambda e: _ROLE_ORDER.get(e.role, 9),
    )
    return rows.Relation(
        row["id"], row["interface"], bool(row["peer"]), row["life"], tuple(sides), row["created"]
    )
