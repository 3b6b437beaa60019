"""What a running hook has written so far; it becomes one `HookChanges` when the hook ends."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daybreak_engine.model import relations
from daybreak_engine.model.changes import HookChanges, NewSecret, SecretChange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daybreak_engine.model import rows


@dataclass(slots=True)
class PendingChanges:
    """The one mutable thing of a hook: its buffered writes, read by the same hook's tools."""

    unit_settings: dict[int, dict[str, str]] = field(default_factory=dict[int, dict[str, str]])
    application_settings: dict[int, dict[str, str]] = field(
        default_factory=dict[int, dict[str, str]]
    )
    ports: dict[rows.Port, bool] = field(default_factory=dict["rows.Port", bool])
    data: dict[str, str | None] = field(default_factory=dict[str, "str | None"])
    storage: dict[str, int] = field(default_factory=dict[str, int])
    added: dict[str, NewSecret] = field(default_factory=dict[str, NewSecret])
    changed: dict[str, SecretChange] = field(default_factory=dict[str, SecretChange])
    removed: list[tuple[str, int | None]] = field(default_factory=list["tuple[str, int | None]"])
    granted: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    revoked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    tracked: set[str] = field(default_factory=set[str])
    reboot: bool = False

    def overlay(
        self, settings: Mapping[str, str], relation_id: int, *, application: bool
    ) -> dict[str, str]:
        """Return stored settings as this hook sees them."""
        pending = self.application_settings if application else self.unit_settings
        return relations.merge(settings, pending.get(relation_id, {}))

    def frozen(self) -> HookChanges:
        """Return the changes as the value that is committed."""
        gone = {id_ for id_, revision in self.removed if revision is None}
        added = [new for new in self.added.values() if new.id not in gone]
        return HookChanges(
            unit_settings=self.unit_settings,
            application_settings=self.application_settings,
            opened=tuple(port for port, opened in self.ports.items() if opened),
            closed=tuple(port for port, opened in self.ports.items() if not opened),
            data=self.data,
            storage=self.storage,
            secrets_added=tuple(added),
            secrets_changed=tuple(c for c in self.changed.values() if c.id not in gone),
            secrets_removed=tuple(r for r in self.removed if r[0] not in self.added),
            granted=tuple(
                (id_, target, relation_id)
                for (id_, target), relation_id in self.granted.items()
                if id_ not in gone
            ),
            revoked=tuple(r for r in self.revoked if r[0] not in gone),
            tracked=tuple(sorted(self.tracked - gone)),
            reboot=self.reboot,
        )

    def change_secret(self, change: SecretChange) -> None:
        """Merge a change of a secret: one made in this hook is changed itself."""
        given = {
            f.name: value
            for f in dataclasses.fields(change)
            if (value := getattr(change, f.name)) is not None
        }
        if change.id in self.added:
            self.added[change.id] = dataclasses.replace(self.added[change.id], **given)
        else:
            old = self.changed.get(change.id, SecretChange(id=change.id))
            self.changed[change.id] = dataclasses.replace(old, **given)
