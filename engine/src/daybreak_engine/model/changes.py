"""The buffered changes of a hook: one value, stored in one transaction or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from daybreak_engine import errors
from daybreak_engine.model import charms, leadership, relations, rows, secrets, storage, units
from daybreak_engine.model.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A secret made in the hook; its id was given to the charm already."""

    id: str
    owner_kind: rows.OwnerKind
    content: Mapping[str, str] = field(repr=False)
    label: str = ""
    description: str = ""
    rotate: str = "never"
    expires: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretChange:
    """Changes to a stored secret; None leaves a thing as it is."""

    id: str
    content: Mapping[str, str] | None = field(default=None, repr=False)
    label: str | None = None
    description: str | None = None
    rotate: str | None = None
    expires: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HookChanges:
    """What a hook wrote (contract 1.6, left column).

    Attributes:
        unit_settings: Changes to the own unit databag by relation id; "" deletes.
        application_settings: The same for the own application.
        opened: Ports to open.
        closed: Ports to close.
        data: Changes of state-set; None deletes.
        storage: Number of instances to add, by storage name.
        secrets_added: New secrets.
        secrets_changed: Changed secrets.
        secrets_removed: (id, revision), revision None for all.
        granted: (id, application or unit, relation id).
        revoked: (id, application or unit).
        tracked: Own secrets of which the unit tracks the latest revision from now on.
        reboot: juju-reboot was called, which is refused.
    """

    unit_settings: Mapping[int, Mapping[str, str]] = field(
        default_factory=dict[int, Mapping[str, str]]
    )
    application_settings: Mapping[int, Mapping[str, str]] = field(
        default_factory=dict[int, Mapping[str, str]]
    )
    opened: tuple[rows.Port, ...] = ()
    closed: tuple[rows.Port, ...] = ()
    data: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    storage: Mapping[str, int] = field(default_factory=dict[str, int])
    secrets_added: tuple[NewSecret, ...] = ()
    secrets_changed: tuple[SecretChange, ...] = ()
    secrets_removed: tuple[tuple[str, int | None], ...] = ()
    granted: tuple[tuple[str, str, int], ...] = ()
    revoked: tuple[tuple[str, str], ...] = ()
    tracked: tuple[str, ...] = ()
    reboot: bool = False


def commit(tx: Transaction, unit: str, changes: HookChanges) -> None:
    """Store the changes of a unit's hook.

    Call it inside the transaction that also stores the unit's new state: when it raises, that
    whole transaction has to be given up.

    Raises:
        errors.CommitError: Something is refused only now, such as what needs a leadership that
            was lost in the middle of the hook.
    """
    application = unit.partition("/")[0]
    if changes.reboot:
        raise errors.CommitError("unit machine not assigned")
    if changes.application_settings and not leadership.is_leader(tx, unit):
        raise errors.CommitError(f'prerequisites failed: "{unit}" is not leader of "{application}"')
    present = {row["id"] for row in tx.all("SELECT id FROM relations")}
    for entity, by_relation in (
        (unit, changes.unit_settings),
        (application, changes.application_settings),
    ):
        for relation_id, settings in by_relation.items():
            if relation_id in present:
                relations.change_databag(tx, relation_id, entity, settings)
    _ports(tx, unit, changes)
    units.change_data(tx, unit, changes.data)
    _storage(tx, unit, changes)
    _secrets(tx, unit, changes)


def manageable(tx: Transaction, secret: rows.Secret, unit: str) -> bool:
    """Tell whether a unit may change a secret: its own, or its application's as leader."""
    if secret.owner_kind == "unit":
        return secret.owner == unit
    application = unit.partition("/")[0]
    own = secret.owner_kind == "application" and secret.owner == application
    return own and leadership.is_leader(tx, unit)


def _ports(tx: Transaction, unit: str, changes: HookChanges) -> None:
    if any(port.protocol == "icmp" for port in changes.opened):
        raise errors.CommitError("protocol icmp on caas models not supported")
    units.change_ports(tx, unit, opened=changes.opened, closed=changes.closed)


def _storage(tx: Transaction, unit: str, changes: HookChanges) -> None:
    if not changes.storage:
        return
    row = tx.one("SELECT charm_id FROM applications WHERE name = ?", unit.partition("/")[0])
    assert row is not None
    declared = charms.meta(tx, row["charm_id"]).storage
    for name, count in changes.storage.items():
        for _ in range(count):
            try:
                storage.add(tx, unit, declared[name])
            except errors.RefusedError as error:
                raise errors.CommitError(error.message) from error


def _secrets(tx: Transaction, unit: str, changes: HookChanges) -> None:
    application = unit.partition("/")[0]
    for new in changes.secrets_added:
        owner = unit if new.owner_kind == "unit" else application
        if new.owner_kind == "application" and not leadership.is_leader(tx, unit):
            raise errors.CommitError(f'creating secrets: "{unit}" is not the leader')
        try:
            secrets.add(
                tx,
                new.content,
                owner_kind=new.owner_kind,
                owner=owner,
                id_=new.id,
                label=new.label,
                description=new.description,
                rotate=new.rotate,
                expires=new.expires,
            )
        except errors.ExistsError as error:
            raise errors.CommitError(f"creating secrets: {error.message}") from error
    for change in changes.secrets_changed:
        _manage(tx, change.id, unit, "updating")
        try:
            secrets.update(
                tx,
                change.id,
                content=change.content,
                label=change.label,
                description=change.description,
                rotate=change.rotate,
                expires=change.expires,
            )
        except errors.ExistsError as error:
            raise errors.CommitError(f"updating secrets: {error.message}") from error
    for id_, target, relation_id in changes.granted:
        _manage(tx, id_, unit, "granting")
        secrets.grant(tx, id_, target, relation_id)
    for id_, target in changes.revoked:
        _manage(tx, id_, unit, "revoking")
        secrets.revoke(tx, id_, target)
    for id_, revision in changes.secrets_removed:
        _manage(tx, id_, unit, "removing")
        secrets.remove(tx, id_, revision)
    for id_ in changes.tracked:
        secret = secrets.find(tx, id_)
        if secret is not None:
            secrets.track(tx, id_, unit, secret.revision)


def _manage(tx: Transaction, id_: str, unit: str, verb: str) -> None:
    secret = secrets.find(tx, id_)
    if secret is None:
        raise errors.CommitError(f'{verb} secrets: secret "{id_}" not found')
    if not manageable(tx, secret, unit):
        raise errors.CommitError(f'{verb} secrets: "{unit}" is not allowed to manage this secret')
