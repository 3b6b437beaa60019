"""Command lines in Go's manner (contract 2.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


class ToolError(Exception):
    """A tool that fails: one line on stderr, exit code 1 (run time) or 2 (usage)."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True)
class Arguments:
    """A parsed command line: text flags by name, boolean flags by name, the rest."""

    text: Mapping[str, str]
    on: Mapping[str, bool]
    rest: tuple[str, ...]

    def get(self, name: str) -> str | None:
        """Return a text flag, or None when it was not given."""
        return self.text.get(name)

    def position(self, index: int) -> str | None:
        """Return a positional argument, or None."""
        return self.rest[index] if index < len(self.rest) else None


def parse(args: Sequence[str], flags: Mapping[str, str | None]) -> Arguments:
    """Parse arguments.

    Args:
        args: Without the tool's name.
        flags: Known flags without dashes: None for text, "bool" for a boolean, any other text
            names the flag of which this one is another spelling.

    Raises:
        ToolError: Unknown flag, missing or bad value (code 2).
    """
    text: dict[str, str] = {}
    switches: dict[str, bool] = {}
    rest: list[str] = []
    items = iter(args)
    for item in items:
        if item == "--":
            rest.extend(items)
            break
        if not item.startswith("-") or item == "-":
            rest.append(item)
            continue
        name, equals, value = item.lstrip("-").partition("=")
        if name not in flags:
            raise ToolError(f"option provided but not defined: {item.partition('=')[0]}", 2)
        kind = flags[name]
        if kind is not None and kind != "bool":
            name, kind = kind, flags[kind]
        if kind == "bool":
            switches[name] = _boolean(item, name, value) if equals else True
            continue
        if not equals:
            try:
                value = next(items)
            except StopIteration:
                raise ToolError(f"option needs an argument: {item}", 2) from None
        text[name] = value
    return Arguments(text, switches, tuple(rest))


def _boolean(item: str, name: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ToolError(
        f'invalid value "{value}" for option {item.partition("=")[0]}:'
        f' strconv.ParseBool: parsing "{value}": invalid syntax',
        2,
    )
