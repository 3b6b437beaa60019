"""What a bootstrap has made on a machine or a controller, so that `destroy` undoes that and no more."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DaybreakError

NAME = "made.json"


@dataclass(frozen=True)
class Record:
    """One cloud on a cluster.

    Attributes:
        provider: `microk8s` or `juju`.
        user: Whose Juju client knows the controller.
        juju: Path of the `juju` command, when one was given.
        controller: Name of the controller.
        model: Name of the model.
        made: What was not there before, oldest first: `snap:juju`, `addon:dns`, `model`, ...
    """

    provider: str
    user: str
    juju: str
    controller: str
    model: str
    made: tuple[str, ...] = ()

    def with_made(self, what: str) -> Record:
        """Return the record with one thing more; each is there once."""
        if what in self.made:
            return self
        return dataclasses.replace(self, made=(*self.made, what))


def load(directory: Path) -> Record | None:
    """Return the record that is kept in a directory; None when there is none.

    Raises:
        DaybreakError: It cannot be read; nothing is guessed of what to undo.
    """
    path = directory / NAME
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Record(**{**content, "made": tuple(content["made"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DaybreakError(
            f"the record of this cloud cannot be read: {path}: {error}",
            remedy="Correct the file, or remove it: then nothing is undone by `daybreak destroy`.",
        ) from error


def save(directory: Path, record: Record) -> None:
    """Keep a record; it is there whole or as it was.

    Raises:
        DaybreakError: The disk does not take it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=directory, prefix=".made-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(dataclasses.asdict(record), stream, indent=2)
                stream.flush()
                os.fsync(stream.fileno())
                os.fchmod(stream.fileno(), 0o644)
            Path(temporary).rename(directory / NAME)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise DaybreakError(
            f"cannot write {directory / NAME}: {error.strerror}",
            remedy="Make room, or run the command as the user that made the cloud; then again.",
        ) from error
