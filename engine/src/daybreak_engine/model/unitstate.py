"""What a unit's agent has done so far: the resolver's local side, stored with the unit."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daybreak_engine.model import operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daybreak_engine.model.operation import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationState:
    """A unit's own view of one relation.

    Attributes:
        created: relation-created has run.
        broken: relation-broken has run; nothing more will.
        members: Units whose joined has run, each with the databag version it was told of.
        application_version: Version of the remote application's databag it was told of.
        changed_pending: Unit whose joined has just run: its changed is next.
    """

    created: bool = False
    broken: bool = False
    members: Mapping[str, int] = field(default_factory=dict[str, int])
    application_version: int = 0
    changed_pending: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookError:
    """A failed hook that waits for its retry or for `juju resolved`."""

    operation: Operation
    retry_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """All that the resolver remembers of a unit; `UnitState()` is that of a new one.

    Attributes:
        installed: install has run.
        started: start has run once.
        stopped_boot: Start of the charm container in which stop has run.
        removed: remove has run: the unit can go.
        leader: leader-elected has run and leadership was not lost since.
        pod_generation: Pod whose charm directory has had install or upgrade-charm.
        boot: Start of the charm container that has had start.
        config_hash: What the last config-changed told of; empty before the first.
        queued: Hook that runs directly behind the last one.
        pending: Operation that was begun and neither committed nor failed.
        error: Failed hook.
        attempts: Failures in a row, for the delay of retries.
        relations: By id, once in scope.
        storage: Instances whose storage-attached has run.
        secrets_changed: Revision of which secret-changed told, by id.
        secrets_removed: `id/revision` of which secret-remove told.
        secrets_expired: Time of the last secret-expired, by `id/revision`.
        pebble_ready: Boot id for which pebble-ready has run, by container.
        notices: Time (ns) of the last notice that was handled, by container.
        workload_errors: Failed Pebble hooks by `container/ready` or `container/notice`.
        update_status_at: Time of the last update-status (or start).
        operations: Number of operations committed; varies the random order.
    """

    installed: bool = False
    started: bool = False
    stopped_boot: str = ""
    removed: bool = False
    leader: bool = False
    pod_generation: int = 0
    boot: str = ""
    config_hash: str = ""
    queued: operation.Kind | None = None
    pending: Operation | None = None
    error: HookError | None = None
    attempts: int = 0
    relations: Mapping[int, RelationState] = field(default_factory=dict[int, RelationState])
    storage: frozenset[str] = frozenset()
    secrets_changed: Mapping[str, int] = field(default_factory=dict[str, int])
    secrets_removed: frozenset[str] = frozenset()
    secrets_expired: Mapping[str, float] = field(default_factory=dict[str, float])
    pebble_ready: Mapping[str, str] = field(default_factory=dict[str, str])
    notices: Mapping[str, int] = field(default_factory=dict[str, int])
    workload_errors: Mapping[str, HookError] = field(default_factory=dict[str, HookError])
    update_status_at: float = 0.0
    operations: int = 0


def dump(state: UnitState) -> str:
    """Return the state as JSON text for `units.set_state`."""
    values: dict[str, Any] = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    values["pending"] = None if state.pending is None else operation.to_json(state.pending)
    values["error"] = None if state.error is None else _error(state.error)
    values["relations"] = {
        str(key): dataclasses.asdict(value) for key, value in state.relations.items()
    }
    values["storage"] = sorted(state.storage)
    values["secrets_removed"] = sorted(state.secrets_removed)
    values["workload_errors"] = {k: _error(v) for k, v in state.workload_errors.items()}
    return json.dumps(values, separators=(",", ":"))


def load(text: str) -> UnitState:
    """Return the state that `dump` wrote; the empty text is a new unit's."""
    if not text:
        return UnitState()
    values: dict[str, Any] = json.loads(text)
    if values["pending"] is not None:
        values["pending"] = operation.from_json(values["pending"])
    if values["error"] is not None:
        values["error"] = _load_error(values["error"])
    values["relations"] = {
        int(key): RelationState(**value) for key, value in values["relations"].items()
    }
    values["storage"] = frozenset(values["storage"])
    values["secrets_removed"] = frozenset(values["secrets_removed"])
    values["workload_errors"] = {k: _load_error(v) for k, v in values["workload_errors"].items()}
    return UnitState(**values)


def _error(error: HookError) -> dict[str, Any]:
    return {"operation": operation.to_json(error.operation), "retry_at": error.retry_at}


def _load_error(data: Mapping[str, Any]) -> HookError:
    return HookError(operation=operation.from_json(data["operation"]), retry_at=data["retry_at"])
