"""One thing an agent does for its unit: a hook, an action or a command, as a value."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = Literal[
    "install",
    "start",
    "stop",
    "remove",
    "config-changed",
    "update-status",
    "upgrade-charm",
    "leader-elected",
    "relation-created",
    "relation-joined",
    "relation-changed",
    "relation-departed",
    "relation-broken",
    "secret-changed",
    "secret-rotate",
    "secret-expired",
    "secret-remove",
    "storage-attached",
    "storage-detaching",
    "pebble-ready",
    "pebble-custom-notice",
    "pebble-check-failed",
    "pebble-check-recovered",
    "action",
    "exec",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What runs next; fields that its kind does not need are empty.

    Attributes:
        kind: Which hook, or `action`, or `exec`.
        relation_id: The hook's relation.
        endpoint: The unit's own endpoint of it.
        remote_application: The application at the other end (the own one for peers).
        remote_unit: Empty for application-level changes, created and broken.
        departing_unit: Who leaves, in departed.
        version: Of the databag that a changed hook tells of.
        secret_id: Bare id.
        secret_label: The label under which this unit knows the secret.
        secret_revision: In expired and remove.
        storage_id: Such as `data/0`.
        container: Workload container.
        pebble_boot: In pebble-ready, Pebble's boot id.
        notice_id: In custom notices.
        notice_key: In custom notices.
        at: In notices and checks, the notice's last-repeated time in nanoseconds.
        check: Name of a Pebble check.
        task_id: Of an action or command.
        action: Name of the action (`juju-exec` for commands).
        boot: Start of the charm container for which this was decided.
        pod_generation: Pod for which this was decided.
        config_hash: State of configuration, trust and addresses that config-changed tells of.
        skip: Count it as done without running anything.
    """

    kind: Kind
    relation_id: int | None = None
    endpoint: str = ""
    remote_application: str = ""
    remote_unit: str = ""
    departing_unit: str = ""
    version: int = 0
    secret_id: str = ""
    secret_label: str = ""
    secret_revision: int = 0
    storage_id: str = ""
    container: str = ""
    pebble_boot: str = ""
    notice_id: str = ""
    notice_key: str = ""
    at: int = 0
    check: str = ""
    task_id: int = 0
    action: str = ""
    boot: str = ""
    pod_generation: int = 0
    config_hash: str = ""
    skip: bool = False

    @property
    def name(self) -> str:
        """The full hook name (`database-relation-changed`); empty for action and exec."""
        if self.is_task:
            return ""
        if self.is_relation:
            return f"{self.endpoint}-{self.kind}"
        if self.is_workload:
            return f"{self.container}-{self.kind}"
        if self.is_storage:
            return f"{self.storage_id.partition('/')[0]}-{self.kind}"
        return self.kind

    @property
    def error_name(self) -> str:
        """The name in `hook failed: "..."`: storage, secret and workload hooks have no prefix."""
        return self.name if self.is_relation else self.kind

    @property
    def is_task(self) -> bool:
        """An action or a command: never puts the unit into error."""
        return self.kind in ("action", "exec")

    @property
    def is_relation(self) -> bool:
        """A relation hook."""
        return self.kind.startswith("relation-")

    @property
    def is_workload(self) -> bool:
        """A Pebble hook: skipped and sent again when it fails."""
        return self.kind.startswith("pebble-")

    @property
    def is_storage(self) -> bool:
        """A storage hook."""
        return self.kind.startswith("storage-")

    @property
    def is_secret(self) -> bool:
        """A secret hook."""
        return self.kind.startswith("secret-")

    @property
    def executing(self) -> str:
        """The agent status message while it runs."""
        if self.is_task:
            return f"running action {self.action}"
        subject = ""
        if self.is_relation:
            subject = self.remote_unit or self.remote_application
        elif self.is_secret:
            subject = f"secret:{self.secret_id}"
            if self.kind in ("secret-remove", "secret-expired"):
                subject += f"/{self.secret_revision}"
        return f"running {self.name} hook" + (f" for {subject}" if subject else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadEvent:
    """A Pebble notice that is worth a hook, in the order of `at` per container.

    `at` is the notice's last-repeated time in nanoseconds since the epoch (`resolver.pebble_time`):
    the resolver skips what a unit has had already.
    """

    kind: Literal["pebble-custom-notice", "pebble-check-failed", "pebble-check-recovered"]
    container: str
    at: int
    notice_id: str = ""
    notice_key: str = ""
    check: str = ""


def to_json(operation: Operation) -> dict[str, Any]:
    """Return the fields that differ from their defaults."""
    return {
        f.name: value
        for f in dataclasses.fields(operation)
        if (value := getattr(operation, f.name)) != f.default
    }


def from_json(data: Mapping[str, Any]) -> Operation:
    """Return the operation that `to_json` wrote."""
    return Operation(**data)
