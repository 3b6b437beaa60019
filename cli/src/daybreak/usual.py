"""How long things usually take here: what the last bootstrap of the same bundle took."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .waiting import Progress

NAME = "usual.json"


@dataclass(frozen=True)
class Usual:
    """Seconds from the deployment on.

    Attributes:
        total: Until everything was active; None when nothing is known.
        units: Until each unit was.
    """

    total: float | None = None
    units: Mapping[str, float] = field(default_factory=dict[str, float])


def file(environ: Mapping[str, str], shared: Path) -> Path:
    """Return where the record is: in the machine's cache when we may write there, else in the user's."""
    if os.geteuid() == 0:
        return shared / NAME
    home = Path(environ.get("HOME", "/"))
    return Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "daybreak" / NAME


def load(path: Path, key: str) -> Usual:
    """Return what is known of a bundle; a record that cannot be read is none."""
    try:
        entry = _read(path)[key]
        units = {str(name): float(value) for name, value in entry["units"].items()}
        return Usual(float(entry["total"]), units)
    except (KeyError, TypeError, ValueError, AttributeError):
        return Usual()


def save(path: Path, key: str, usual: Usual) -> None:
    """Keep what a bootstrap took, in the place of what was known; without it everything works as well."""
    content = _read(path) | {key: {"total": usual.total, "units": dict(usual.units)}}
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".usual-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(content, stream, indent=2)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def noted(
    times: Mapping[str, float], before: Progress | None, now: Progress, seconds: float
) -> dict[str, float]:
    """Return when each unit became active, with those of this look.

    One that had to go back to work counts from the last time.
    """
    known = {unit.name for unit in before.ready} if before else set[str]()
    fresh = {unit.name: seconds for unit in now.ready if unit.name not in known}
    return {**times, **fresh}
