"""Undoing what a bootstrap has made on a cluster, newest first, and nothing else."""

from __future__ import annotations

import dataclasses
import shutil
import time
from typing import TYPE_CHECKING

from .. import programs, records
from ..errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..output import Reporter
    from .steps import Call

GONE = ("not found", "not installed", "is not a member", "does not exist")
"""Words of a command that has nothing left to undo."""


@dataclasses.dataclass(frozen=True)
class Undo:
    """How one recorded thing is undone.

    Attributes:
        what: What that means, in words.
        calls: The commands, in their order.
    """

    what: str
    calls: tuple[Call, ...]


def undo(
    kept: Path,
    places: tuple[Path, ...],
    of: Callable[[str], Undo],
    report: Reporter,
) -> None:
    """Undo everything in a record; what fails is said at the end, and stays in the record.

    Args:
        kept: Directory of the record.
        places: Directories that go when nothing is left.
        of: How a recorded thing is undone.
        report: Is told what happens.

    Raises:
        DaybreakError: Something could not be undone.
    """
    made = records.load(kept)
    left: dict[str, str] = {}
    for name in reversed(made.made if made else ()):
        trouble = _undo(of(name), report)
        if trouble:
            left[name] = trouble
    if made is not None and left:
        stays = tuple(name for name in made.made if name in left)
        records.save(kept, dataclasses.replace(made, made=stays))
        raise DaybreakError(
            "not removed: " + ", ".join(of(name).what for name in left),
            details=tuple(line for text in left.values() for line in text.splitlines()),
            remedy="Correct what the lines above name and run the command again.",
        )
    for place in places:
        shutil.rmtree(place, ignore_errors=True)


def _undo(thing: Undo, report: Reporter) -> str:
    """Return why it could not be undone; empty when it could, or was undone already."""
    title, started, trouble = f"Remove {thing.what}", time.monotonic(), ""
    report.begin(title)
    for call in thing.calls:
        try:
            programs.follow(call.argv, report.line, what=f"run {call}", remedy="")
        except DaybreakError as error:
            text = "\n".join([error.message, *error.details])
            if not any(word in text for word in GONE):
                trouble = text
                break
    report.end("failed" if trouble else "done", title, "", time.monotonic() - started)
    return trouble
