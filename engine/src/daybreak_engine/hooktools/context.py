"""The context of one running hook, action or command: what its tools may see and change."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daybreak_engine import errors
from daybreak_engine.hooktools.flags import ToolError
from daybreak_engine.hooktools.pending import PendingChanges
from daybreak_engine.model import charms, leadership, models, relations, rows, tasks, units
from daybreak_engine.model.unitstate import RelationState, UnitState

if TYPE_CHECKING:
    from daybreak_engine import charmfile
    from daybreak_engine.model.operation import Operation
    from daybreak_engine.model.store import Store, Transaction


def _no_log(level: str, logger: str, message: str) -> None:
    del level, logger, message


def _no_resource(resource: rows.Resource) -> str:
    raise ToolError(f'could not download resource: no place for resource "{resource.name}"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a context needs from its agent.

    Attributes:
        log: Called with level, logger (such as `unit.keystone/0.juju-log`) and message.
        resource_path: Puts a resource's file into the unit's pod and returns its path there
            (for an image: `content.yaml` with `content`); may raise `ToolError`.
        credential: What credential-get shows a trusted charm.
    """

    log: Callable[[str, str, str], None] = _no_log
    resource_path: Callable[[rows.Resource], str] = _no_resource
    credential: Mapping[str, Any] = field(default_factory=dict[str, Any])


class HookContext:
    """One run. Made by `lifecycle.begin`; tools read the model through it, buffer writes in it.

    Attributes:
        id: The context id, `JUJU_CONTEXT_ID`.
        store: The model.
        unit: Unit name.
        application: Its application.
        operation: What runs.
        state: The unit's state when it began.
        services: What the agent provides.
        pending: Buffered writes.
        action_results: What action-set has set, nested.
        action_failed: Message of action-fail, None unless it was called.
        views: Fresh databags of remote units, of a joined or changed hook, by (relation, unit).
    """

    def __init__(
        self,
        store: Store,
        unit: str,
        operation: Operation,
        state: UnitState,
        services: Services | None = None,
    ) -> None:
        self.store = store
        self.unit = unit
        self.application = unit.partition("/")[0]
        self.operation = operation
        self.state = state
        self.services = services or Services()
        self.pending = PendingChanges()
        self.action_results: dict[str, Any] = {}
        self.action_failed: str | None = None
        self.views: dict[tuple[int, str], Mapping[str, str]] = {}
        # Read once per hook, as Juju does: a change during the hook is seen in the next one.
        self.config: Mapping[str, Any] | None = None
        self.bags: dict[tuple[int, str], rows.Databag] = {}
        name = operation.name or f"{operation.kind}-{operation.action}"
        self.id = f"{unit}-{name}-{randomness.token_hex(16)}"
        tx = store.read()
        self.model = models.get(tx)
        row = units.get(tx, unit)
        self.meta: charmfile.CharmMeta = charms.meta(tx, row.charm_id or _charm_id(tx, unit))
        shown = operation.kind in ("relation-joined", "relation-changed")
        if shown and operation.remote_unit and operation.relation_id is not None:
            key = (operation.relation_id, operation.remote_unit)
            self.views[key] = relations.databag(tx, *key).settings

    @property
    def tx(self) -> Transaction:
        """The model as it is now, for reading."""
        return self.store.read()

    @property
    def is_leader(self) -> bool:
        """Whether the unit leads now."""
        return leadership.is_leader(self.tx, self.unit)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The running action's parameters."""
        return tasks.get(self.tx, self.operation.task_id).parameters

    def require_leader(self) -> None:
        """Refuse what only a leader may do."""
        if not self.is_leader:
            raise ToolError("this unit is not the leader")

    def require_action(self) -> None:
        """Refuse action tools outside an action."""
        if not self.operation.is_task:
            raise ToolError("not running an action")

    def log(self, level: str, message: str) -> None:
        """Write to the model's log in the name of juju-log."""
        self.services.log(level, f"unit.{self.unit}.juju-log", message)

    def relation_state(self, relation_id: int) -> RelationState | None:
        """Return the unit's own view of a relation, None when it is not (or no longer) in it."""
        state = self.state.relations.get(relation_id)
        return None if state is None or state.broken else state

    def members(self, relation_id: int) -> list[str]:
        """Return the units of a relation as this hook sees them: processed joins, sorted."""
        state = self.relation_state(relation_id)
        known = set[str]() if state is None else set(state.members)
        operation = self.operation
        if operation.relation_id == relation_id:
            if operation.kind == "relation-joined":
                known.add(operation.remote_unit)
            elif operation.kind == "relation-departed":
                known.discard(operation.remote_unit)
            elif operation.kind == "relation-broken":
                known.clear()
        return sorted(known, key=_by_ordinal)

    def relation(self, value: str | None, option: str = "-r") -> rows.Relation:
        """Return the relation that `-r` names, or the hook's own when it is not given.

        Raises:
            ToolError: No such relation (texts of Juju, code 2).
        """
        if value is None:
            if self.operation.relation_id is None:
                raise ToolError("no relation id specified", 2)
            return self._stored(self.operation.relation_id, str(self.operation.relation_id), option)
        number = value.rpartition(":")[2]
        if not number.isdecimal():
            raise ToolError(f'invalid value "{value}" for option {option}: invalid relation id', 2)
        relation_id = int(number)
        if self.relation_state(relation_id) is None:
            raise ToolError(f'invalid value "{value}" for option {option}: relation not found', 2)
        return self._stored(relation_id, value, option)

    def bag(self, relation_id: int, entity: str) -> rows.Databag:
        """Return a databag as first read in this hook."""
        key = (relation_id, entity)
        if key not in self.bags:
            self.bags[key] = relations.databag(self.tx, relation_id, entity)
        return self.bags[key]

    def _stored(self, relation_id: int, value: str, option: str) -> rows.Relation:
        try:
            return relations.get(self.tx, relation_id)
        except errors.NotFoundError:
            raise ToolError(
                f'invalid value "{value}" for option {option}: relation not found', 2
            ) from None


def _charm_id(tx: Transaction, unit: str) -> int:
    row = tx.one(
        "SELECT a.charm_id FROM applications a JOIN units u ON u.application = a.name"
        " WHERE u.name = ?",
        unit,
    )
    assert row is not None
    return int(row["charm_id"])


def _by_ordinal(unit: str) -> tuple[str, int]:
    application, _, number = unit.partition("/")
    return application, int(number) if number.isdecimal() else 0
