"""`juju debug-log`."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from . import loglines
from .command import Call, Command
from .deps import Out, Output
from .failures import UsageError
from .flags import Flag, Kind
from .loglines import Filter, Record

_SECONDS = 0.5
"""How often a followed log is looked at."""


async def debug_log(call: Call) -> AsyncIterator[Output]:
    """Show the model's log."""
    given = call.parsed.given
    limit = call.parsed.number("limit")
    if call.parsed.on("tail") and limit is not None:
        raise UsageError("setting --tail and --limit not valid")
    if call.parsed.on("tail") and call.parsed.on("no-tail"):
        raise UsageError("setting --tail and --no-tail not valid")
    level = call.parsed.text("level").upper()
    if level and level not in loglines.LEVELS[:-1]:
        names = ", ".join(f'"{name}"' for name in loglines.LEVELS[:-1])
        raise UsageError(f'level value "{call.parsed.text("level")}" is not one of {names}')
    wanted = Filter(
        include=call.parsed.items("include"),
        exclude=call.parsed.items("exclude"),
        include_module=call.parsed.items("include-module"),
        exclude_module=call.parsed.items("exclude-module"),
        level=level,
    )
    path = call.model().log_path
    follow = call.parsed.on("tail") or (
        call.request.tty and limit is None and not call.parsed.on("no-tail")
    )
    found = [record for record in _records(path) if wanted.shows(record)]
    replay = call.parsed.on("replay") and "limit" not in given
    lines = call.parsed.number("lines")
    shown = len(found) if replay else (10 if lines is None else lines) if follow else limit or 0
    for record in found[-shown:] if shown else ([] if follow else found):
        yield Out(_text(call, record))
    if follow:
        async for record in _followed(path):
            if wanted.shows(record):
                yield Out(_text(call, record))


def _records(path: Path) -> list[Record]:
    lines: list[str] = []
    for file in (path.with_suffix(".1"), path):
        if file.exists():
            lines += file.read_text(encoding="utf-8", errors="replace").splitlines()
    return list(loglines.records(lines))


async def _followed(path: Path) -> AsyncIterator[Record]:
    """Yield what is written from now on; ends when the caller stops asking."""
    position = path.stat().st_size if path.exists() else 0
    rest = ""
    while True:
        # The log has other writers than the model, so no commit tells of a new line.
        await asyncio.sleep(_SECONDS)
        size = path.stat().st_size if path.exists() else 0
        if size < position:
            position = 0
        if size == position:
            continue
        with path.open("rb") as file:
            file.seek(position)
            chunk = file.read()
        position += len(chunk)
        text, newline, rest = (rest + chunk.decode(errors="replace")).rpartition("\n")
        for record in loglines.records(text.splitlines()) if newline else ():
            yield record


def _text(call: Call, record: Record) -> str:
    if call.parsed.text("format") == "json":
        tree = {
            "timestamp": record.time,
            "entity": record.entity,
            "level": record.level,
            "module": record.module,
            "message": record.message,
        }
        return json.dumps(tree, separators=(",", ":"), ensure_ascii=False) + "\n"
    return record.text


COMMANDS = (
    Command(
        "debug-log",
        debug_log,
        "",
        "Show the model's log: hooks, and what charms log.",
        """\
Without options all of it is shown; on a terminal the last lines, and then what comes.
Entities are named unit-keystone-0, keystone/0, or keystone for all units.

    juju debug-log --limit 50
    juju debug-log --include keystone/0 --level WARNING
    juju debug-log --include-module unit.keystone/0.juju-log --replay --no-tail
    juju debug-log --tail
""",
        flags=(
            Flag("limit", Kind.INT, "Show the last N messages; 0 is all"),
            Flag("lines", Kind.INT, "Show this many messages before following", short="n"),
            Flag("replay", Kind.BOOL, "Show all there is before following"),
            Flag("tail", Kind.BOOL, "Follow the log until Ctrl-C"),
            Flag("no-tail", Kind.BOOL, "Do not follow", short="T"),
            Flag("include", Kind.LIST, "Only these entities", short="i"),
            Flag("exclude", Kind.LIST, "Not these entities", short="x"),
            Flag("include-module", Kind.LIST, "Only modules that begin so"),
            Flag("exclude-module", Kind.LIST, "Not modules that begin so"),
            Flag("include-label", Kind.LIST, "Accepted and ignored"),
            Flag("level", Kind.TEXT, "The lowest level", short="l"),
            Flag("format", Kind.TEXT, "text or json", default="text", choices=("text", "json")),
            Flag("date", Kind.BOOL, "Accepted: the log keeps times of the day"),
            Flag("location", Kind.BOOL, "Accepted and ignored"),
            Flag("ms", Kind.BOOL, "Accepted and ignored"),
            Flag("utc", Kind.BOOL, "Accepted; times are UTC"),
            Flag("color", Kind.BOOL, "Accepted and ignored"),
            Flag("firehose", Kind.BOOL, "Accepted and ignored"),
            Flag("retry", Kind.BOOL, "Accepted and ignored"),
        ),
    ),
)
