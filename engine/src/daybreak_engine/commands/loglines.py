"""The filters of `juju debug-log`, over the lines of the model's log. Pure."""

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LINE = re.compile(r"(\S+): (\d\d:\d\d:\d\d) ([A-Z]+) (\S+) ?(.*)", re.DOTALL)


@dataclass(frozen=True)
class Record:
    """One message, with the further lines it has."""

    entity: str
    """Such as `unit-keystone-0`."""
    time: str
    level: str
    module: str
    message: str

    @property
    def text(self) -> str:
        """The message as debug-log shows it."""
        return f"{self.entity}: {self.time} {self.level} {self.module} {self.message}\n"


def records(lines: Iterable[str]) -> Iterator[Record]:
    """Yield records; a line that does not begin one belongs to the record before it."""
    current: Record | None = None
    for line in lines:
        match = _LINE.fullmatch(line)
        if match and match[3] in LEVELS:
            if current is not None:
                yield current
            current = Record(match[1], match[2], match[3], match[4], match[5])
        elif current is not None:
            message = f"{current.message}\n{line}"
            current = Record(current.entity, current.time, current.level, current.module, message)
    if current is not None:
        yield current


@dataclass(frozen=True)
class Filter:
    """What to show; empty parts show everything."""

    include: tuple[str, ...] = ()
    """Entities: `unit-keystone-0`, `keystone/0`, `keystone` for all its units, `*` as any text."""
    exclude: tuple[str, ...] = ()
    include_module: tuple[str, ...] = ()
    """Prefixes of modules."""
    exclude_module: tuple[str, ...] = ()
    level: str = ""
    """The lowest level to show."""

    def shows(self, record: Record) -> bool:
        """Tell whether a record passes."""
        if self.level and LEVELS.index(record.level) < LEVELS.index(self.level):
            return False
        if self.include and not any(_is(record.entity, name) for name in self.include):
            return False
        if any(_is(record.entity, name) for name in self.exclude):
            return False
        if self.include_module and not record.module.startswith(self.include_module):
            return False
        return not (self.exclude_module and record.module.startswith(self.exclude_module))


def _is(entity: str, name: str) -> bool:
    if "/" in name:
        name = f"unit-{name.replace('/', '-')}"
    unit = re.fullmatch(r"unit-(.+)-\d+", entity)
    return fnmatch.fnmatchcase(entity, name) or (
        unit is not None and fnmatch.fnmatchcase(unit[1], name)
    )
