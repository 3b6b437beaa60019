"""The model's debug log: a text file, appended to, rotated once when it grows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LIMIT = 32 * 1024 * 1024


class LogFile:
    """An open log. Lines are those of `juju debug-log`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("a", encoding="utf-8", buffering=1)
        path.chmod(0o640)
        self._size = path.stat().st_size

    def append(self, now: float, entity: str, level: str, logger: str, message: str) -> None:
        """Write a message; further lines of it get no prefix, as in Juju.

        Args:
            now: Seconds since the epoch.
            entity: Unit or application name, `controller` for the engine itself.
            level: DEBUG, INFO, WARNING, ERROR, CRITICAL, TRACE.
            logger: Such as `unit.keystone/0.juju-log`.
            message: Never contains secrets.
        """
        time = datetime.fromtimestamp(now, UTC).strftime("%H:%M:%S")
        tag = f"unit-{entity.replace('/', '-')}" if "/" in entity else entity
        line = f"{tag}: {time} {level} {logger} {message}\n"
        self._size += len(line)
        self._file.write(line)
        if self._size > _LIMIT:
            self._rotate()

    def tail(self, limit: int) -> list[str]:
        """Return the last `limit` lines, without line ends; 0 means all."""
        lines: list[str] = []
        for path in (self._path.with_suffix(".1"), self._path):
            if path.exists():
                lines.extend(path.read_text(encoding="utf-8", errors="replace").splitlines())
        return lines[-limit:] if limit else lines

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_suffix(".1"))
        self._file = self._path.open("a", encoding="utf-8", buffering=1)
        self._size = 0
