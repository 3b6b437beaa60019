"""A command-line parser with the manners of Go's gnuflag, which Juju uses.

Flags may stand anywhere (`--f v`, `--f=v`, `-n v`, `-n3`), booleans take a value only
after `=`, `--` ends them. Texts of errors are those of Juju.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from .failures import UsageError


class Kind(Enum):
    """What a flag takes."""

    BOOL = auto()
    TEXT = auto()
    INT = auto()
    LIST = auto()
    """May be repeated; the value is a tuple of texts."""
    CSV = auto()
    """Comma separated, may be repeated; the value is a tuple of texts."""
    SECONDS = auto()
    """A Go duration such as `1m30s`; the value is a float in seconds."""


@dataclass(frozen=True)
class Flag:
    """One flag of a command."""

    name: str
    """Without dashes; one letter is written with a single dash."""
    kind: Kind = Kind.TEXT
    help: str = ""
    short: str = ""
    """A second, one-letter name."""
    default: object = None
    choices: tuple[str, ...] = ()
    """The allowed values of a `format` flag."""


@dataclass(frozen=True)
class Parsed:
    """A command line taken apart."""

    args: tuple[str, ...]
    """The positional arguments."""
    values: Mapping[str, object] = field(default_factory=dict[str, object])
    """Value by flag name, defaults included."""
    given: frozenset[str] = frozenset()
    """Names of the flags that were written."""

    def text(self, name: str) -> str:
        """Return the value of a text flag; "" when it was not given."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def on(self, name: str) -> bool:
        """Return the value of a boolean flag."""
        return self.values.get(name) is True

    def number(self, name: str) -> int | None:
        """Return the value of an integer flag, or None."""
        value = self.values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def seconds(self, name: str) -> float | None:
        """Return the value of a duration flag in seconds, or None."""
        value = self.values.get(name)
        return value if isinstance(value, float) else None

    def items(self, name: str) -> tuple[str, ...]:
        """Return the values of a repeated flag."""
        value = self.values.get(name)
        return tuple(str(v) for v in value) if isinstance(value, tuple) else ()  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - stored by parse() only


_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Return the seconds of a Go duration such as `1h30m`, `20s` or `0`.

    Raises:
        ValueError: it is none; the text is Go's.
    """
    body = text.removeprefix("-").removeprefix("+")
    if body == "0":
        return 0.0
    position, total = 0, 0.0
    while position < len(body):
        match = _DURATION_PART.match(body, position)
        if match is None:
            break
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not body or position < len(body):
        if re.fullmatch(r"[\d.]+", body):
            raise ValueError(f'time: missing unit in duration "{text}"')
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if text.startswith("-") else total


def _dashed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


def _convert(flag: Flag, raw: str, written: str) -> object:
    problem = ""
    match flag.kind:
        case Kind.BOOL:
            if raw in _TRUE:
                return True
            if raw in _FALSE:
                return False
            problem = f'strconv.ParseBool: parsing "{raw}": invalid syntax'
        case Kind.INT:
            try:
                return int(raw)
            except ValueError:
                problem = f'strconv.ParseInt: parsing "{raw}": invalid syntax'
        case Kind.SECONDS:
            try:
                return float(parse_duration(raw))
            except ValueError as error:
                problem = str(error)
        case _:
            if not flag.choices or raw in flag.choices:
                return raw
            problem = f'unknown format "{raw}"'
    raise UsageError(f'invalid value "{raw}" for option {_dashed(written)}: {problem}')


def parse(flags: Sequence[Flag], argv: Sequence[str], *, interspersed: bool = True) -> Parsed:
    """Take a command line apart.

    Args:
        flags: what the command knows.
        argv: the arguments after the subcommand.
        interspersed: False ends the flags at the first positional argument, for
            commands whose arguments are a command line of their own.

    Raises:
        UsageError: an unknown flag, a missing or a bad value.
    """
    by_name = {name: f for f in flags for name in (f.name, f.short) if name}
    values: dict[str, object] = {f.name: _default(f) for f in flags}
    given: set[str] = set()
    args: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            args += rest
            break
        if not word.startswith("-") or word == "-":
            args.append(word)
            if not interspersed:
                # The rest is somebody else's command line; only its leading "--" is ours.
                args += rest[1:] if rest[:1] == ["--"] else rest
                break
            continue
        name, raw = _split(word, by_name)
        flag = by_name.get(name)
        if flag is None:
            raise UsageError(f"option provided but not defined: {_dashed(name)}")
        if raw is None:
            if flag.kind is Kind.BOOL:
                raw = "true"
            elif rest:
                raw = rest.pop(0)
            else:
                raise UsageError(f"option needs an argument: {_dashed(name)}")
        value = _convert(flag, raw, name)
        if flag.kind in (Kind.LIST, Kind.CSV):
            old = values[flag.name] if flag.name in given else ()
            more = tuple(raw.split(",")) if flag.kind is Kind.CSV else (raw,)
            value = (*(old if isinstance(old, tuple) else ()), *more)  # pyright: ignore[reportUnknownVariableType] - a tuple of texts, made here
        values[flag.name] = value
        given.add(flag.name)
    return Parsed(tuple(args), values, frozenset(given))


def _default(flag: Flag) -> object:
    if flag.default is not None:
        return flag.default
    if flag.kind is Kind.BOOL:
        return False
    return () if flag.kind in (Kind.LIST, Kind.CSV) else None


def _split(word: str, by_name: Mapping[str, Flag]) -> tuple[str, str | None]:
    """Return name and attached value of `--name=value`, `-n=value` or `-nvalue`."""
    body = word[2:] if word.startswith("--") else word[1:]
    name, equals, value = body.partition("=")
    if word.startswith("--") or len(name) == 1:
        return name, value if equals else None
    # Juju writes long names with one dash nowhere, so what follows one is a value.
    first = by_name.get(body[0])
    if first is not None and first.kind is not Kind.BOOL:
        return body[0], body[1:]
    return body[0], None
