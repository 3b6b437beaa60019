"""What the model holds for one unit now: the resolver's remote side."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daybreak_engine.model import charms, config, leadership, models, relations, tasks, units
from daybreak_engine.model.store import Transaction, dump

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daybreak_engine.model import rows
    from daybreak_engine.model.operation import WorkloadEvent

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class RelationView:
    """A relation as seen from the unit. `members`: remote units in scope, with versions."""

    id: int
    endpoint: str
    remote_application: str
    peer: bool
    alive: bool
    application_version: int
    members: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StorageView:
    """A storage instance of the unit."""

    id: str
    alive: bool
    provisioned: bool


@dataclass(frozen=True, slots=True)
class SecretView:
    """A secret of which the unit has to hear: in `changed` the latest revision."""

    id: str
    label: str
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything a decision needs.

    Attributes:
        unit: Name.
        alive: Neither unit nor application is dying.
        leader: The unit leads now.
        pod_generation: Number of the pod; 0: none yet.
        boot: Start of the charm container; empty while none runs.
        stopping: The pod is being ended on purpose.
        resolved: The answer of `juju resolved`: "", retry, no-retry.
        config_hash: Of configuration, trust and addresses.
        update_status_interval: Seconds.
        retry_hooks: Failed hooks are retried automatically.
        relations: All of the unit.
        storage: All of the unit.
        secrets_changed: Consumed, with a newer revision than the tracked one.
        secrets_removed: Own revisions that nobody tracks any more.
        secrets_expired: Own, past their time.
        secrets_rotate: Own, due.
        secret_times: Future times at which own secrets expire or rotate.
        tasks: Waiting (number, action), oldest first.
        pebbles: Boot id by container, of those that answer.
        workload: Notices that are worth a hook, in order.
    """

    unit: str
    alive: bool = True
    leader: bool = False
    pod_generation: int = 1
    boot: str = ""
    stopping: bool = False
    resolved: str = ""
    config_hash: str = ""
    update_status_interval: float = 300.0
    retry_hooks: bool = True
    relations: tuple[RelationView, ...] = ()
    storage: tuple[StorageView, ...] = ()
    secrets_changed: tuple[SecretView, ...] = ()
    secrets_removed: tuple[SecretView, ...] = ()
    secrets_expired: tuple[SecretView, ...] = ()
    secrets_rotate: tuple[SecretView, ...] = ()
    secret_times: tuple[float, ...] = ()
    tasks: tuple[tuple[int, str], ...] = ()
    pebbles: Mapping[str, str] = field(default_factory=dict[str, str])
    workload: tuple[WorkloadEvent, ...] = ()


def snapshot(
    tx: Transaction,
    unit_name: str,
    *,
    pebbles: Mapping[str, str] | None = None,
    workload: tuple[WorkloadEvent, ...] = (),
) -> Snapshot:
    """Return what the model holds for a unit now.

    Args:
        tx: The transaction (reading is enough).
        unit_name: The unit.
        pebbles: Boot id of each workload container's Pebble that answers now.
        workload: Notices that wait, in the order they came.

    Raises:
        errors.NotFoundError: No such unit.
    """
    unit = units.get(tx, unit_name)
    application = tx.one(
        "SELECT life, trust, service_address FROM applications WHERE name = ?", unit.application
    )
    assert application is not None
    model = models.config(tx)
    leader = leadership.is_leader(tx, unit_name)
    settings = config.settings(tx, unit.application)
    facts = [settings, application["trust"], application["service_address"], unit.address]
    removed, expired, rotate, times = _own_secrets(tx, unit, leader)
    return Snapshot(
        unit=unit_name,
        alive=unit.life == "alive" and application["life"] == "alive",
        leader=leader,
        pod_generation=unit.pod_generation,
        boot=unit.boot,
        stopping=unit.stopping,
        resolved=unit.resolved,
        config_hash=hashlib.sha256(dump(facts).encode()).hexdigest()[:16],
        update_status_interval=duration(str(model["update-status-hook-interval"])) or 300.0,
        retry_hooks=model["automatically-retry-hooks"] in (True, "true", "True"),
        relations=_relations(tx, unit),
        storage=tuple(
            StorageView(row[0], row[1] == "alive", bool(row[2]))
            for row in tx.all(
                "SELECT id, life, provisioned FROM storage WHERE unit = ? ORDER BY id", unit_name
            )
        ),
        secrets_changed=_changed_secrets(tx, unit),
        secrets_removed=removed,
        secrets_expired=expired,
        secrets_rotate=rotate,
        secret_times=times,
        tasks=tuple(tasks.pending(tx, unit_name)),
        pebbles=pebbles or {},
        workload=workload,
    )


def duration(text: str) -> float | None:
    """Return the seconds of a duration such as `5m`, `1h30m`, `20s`; None for other text."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _relations(tx: Transaction, unit: rows.Unit) -> tuple[RelationView, ...]:
    endpoints = (
        charms.meta(tx, unit.charm_id).endpoints
        if unit.charm_id is not None
        else dict[str, object]()
    )
    scopes = relations.scopes(tx, unit.name)
    versions: dict[int, dict[str, int]] = {}
    # One query for all databags of the unit's relations: this runs after every change.
    for row in tx.all(
        "SELECT d.relation_id, d.entity, d.version FROM databags d WHERE d.relation_id IN"
        " (SELECT relation_id FROM relation_endpoints WHERE application = ?)",
        unit.application,
    ):
        versions.setdefault(row[0], {})[row[1]] = row[2]
    found: dict[int, list[str]] = {}
    for row in tx.all(
        "SELECT u.relation_id, u.unit FROM relation_units u WHERE u.unit <> ? AND"
        " u.relation_id IN (SELECT relation_id FROM relation_endpoints WHERE application = ?)",
        unit.name,
        unit.application,
    ):
        found.setdefault(row[0], []).append(row[1])
    views: list[RelationView] = []
    for relation in relations.of(tx, unit.application):
        own = relation.of(unit.application)
        # The charm of this pod may not have the endpoint yet, in the middle of a refresh.
        if own.endpoint not in endpoints and relation.id not in scopes:
            continue
        remote = relation.other(unit.application).application
        bags = versions.get(relation.id, {})
        views.append(
            RelationView(
                relation.id,
                own.endpoint,
                remote,
                relation.peer,
                relation.life == "alive",
                bags.get(remote, 0),
                {
                    member: bags.get(member, 0)
                    for member in sorted(found.get(relation.id, ()))
                    if member.partition("/")[0] == remote
                },
            )
        )
    return tuple(views)


def _changed_secrets(tx: Transaction, unit: rows.Unit) -> tuple[SecretView, ...]:
    found = tx.all(
        "SELECT s.id, c.label, s.revision FROM secret_consumers c JOIN secrets s"
        " ON s.id = c.secret_id WHERE c.unit = ?1 AND c.revision < s.revision"
        " AND s.owner NOT IN (?1, ?2)"
        " AND EXISTS (SELECT 1 FROM secret_grants g WHERE g.secret_id = s.id"
        " AND g.target IN (?1, ?2)) ORDER BY s.id",
        unit.name,
        unit.application,
    )
    return tuple(SecretView(row[0], row[1], row[2]) for row in found)


def _own_secrets(
    tx: Transaction, unit: rows.Unit, leader: bool
) -> tuple[
    tuple[SecretView, ...], tuple[SecretView, ...], tuple[SecretView, ...], tuple[float, ...]
]:
    owners = (unit.name, unit.application if leader else unit.name)
    removed = tx.all(
        "SELECT s.id, s.label, r.revision FROM secrets s JOIN secret_revisions r"
        " ON r.secret_id = s.id WHERE s.owner IN (?, ?) AND s.owner_kind <> 'model'"
        " AND r.revision < s.revision AND NOT EXISTS (SELECT 1 FROM secret_consumers c"
        " WHERE c.secret_id = s.id AND c.revision = r.revision) ORDER BY s.id, r.revision",
        *owners,
    )
    timed = tx.all(
        "SELECT id, label, revision, expires, rotates FROM secrets WHERE owner IN (?, ?)"
        " AND owner_kind <> 'model' AND (expires IS NOT NULL OR rotates IS NOT NULL) ORDER BY id",
        *owners,
    )
    expired = [row for row in timed if row["expires"] is not None and row["expires"] <= tx.now]
    rotate = [row for row in timed if row["rotates"] is not None and row["rotates"] <= tx.now]
    times = [
        time
        for row in timed
        for time in (row["expires"], row["rotates"])
        if time is not None and time > tx.now
    ]
    return (
        tuple(SecretView(row[0], row[1], row[2]) for row in removed),
        tuple(SecretView(row[0], row[1], row[2]) for row in expired),
        tuple(SecretView(row[0], row[1]) for row in rotate),
        tuple(times),
    )
