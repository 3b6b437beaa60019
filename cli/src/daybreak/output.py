"""How progress and answers reach the reader: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.status import Status as Spinner

    from .usual import Usual
    from .waiting import Progress, UnitView

_COLOURS = {
    "ok": "green",
    "active": "green",
    "up": "green",
    "done": "green",
    "there": "green",
    "would": "cyan",
    "waiting": "yellow",
    "unknown": "yellow",
    "maintenance": "yellow",
    "warning": "yellow",
    "blocked": "red",
    "error": "red",
    "failed": "red",
    "down": "red",
}


class Reporter(Protocol):
    """Receives what a long action does while it does it."""

    def begin(self, title: str) -> None:
        """A step starts."""
        ...

    def line(self, text: str) -> None:
        """A line of the running step's own output."""
        ...

    def progress(
        self,
        progress: Progress,
        changed: Sequence[UnitView],
        seconds: float,
        usual: Usual | None = None,
    ) -> None:
        """The model was looked at; *changed* is what differs from the look before, *usual* how long it takes."""
        ...

    def end(self, mark: str, title: str, detail: str, seconds: float | None) -> None:
        """The step is over."""
        ...


class Silent:
    """Tells nothing; for `--format json`."""

    def begin(self, title: str) -> None:
        """Say nothing."""

    def line(self, text: str) -> None:
        """Say nothing."""

    def progress(
        self,
        progress: Progress,
        changed: Sequence[UnitView],
        seconds: float,
        usual: Usual | None = None,
    ) -> None:
        """Say nothing."""

    def end(self, mark: str, title: str, detail: str, seconds: float | None) -> None:
        """Say nothing."""


class Plain:
    """One line per event, for logs and pipes."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stdout

    def _print(self, text: str) -> None:
        print(text.rstrip(), file=self._stream, flush=True)

    def begin(self, title: str) -> None:
        """Say nothing: the end of the step says it with its result."""

    def line(self, text: str) -> None:
        """Print the line, indented below the step."""
        if text:
            self._print(f"         {text}")

    def progress(
        self,
        progress: Progress,
        changed: Sequence[UnitView],
        seconds: float,
        usual: Usual | None = None,
    ) -> None:
        """Print what changed."""
        for unit in changed:
            self._print(f"  {seconds:6.1f}s  {unit.name:<15} {unit.state:<12} {unit.message}")

    def end(self, mark: str, title: str, detail: str, seconds: float | None) -> None:
        """Print the step's line."""
        self._print(step_line(mark, title, detail, seconds))


class Terminal:
    """A spinner with the newest line, or the table of units, and a line for each finished step."""

    def __init__(self, console: Console):
        self._console = console
        self._spinner: Spinner | None = None
        self._title = ""
        self._lock = threading.Lock()

    def begin(self, title: str) -> None:
        """Start the spinner."""
        self._title = title
        self._spinner = self._console.status(title)
        self._spinner.start()

    def line(self, text: str) -> None:
        """Show the newest line beside the spinner."""
        with self._lock:
            if self._spinner is not None and text:
                from rich.markup import escape

                width = max(20, self._console.width - len(self._title) - 8)
                self._spinner.update(f"{self._title}  [dim]{escape(text[:width])}[/dim]")

    def progress(
        self,
        progress: Progress,
        changed: Sequence[UnitView],
        seconds: float,
        usual: Usual | None = None,
    ) -> None:
        """Show all units below the spinner's line."""
        if self._spinner is None:
            return
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        seen = view(progress, seconds, usual, self._console.height - 8)
        table = Table.grid(padding=(0, 2))
        for name, state, message, when in seen.rows:
            table.add_row(
                Text(name),
                Text(state, style=_COLOURS.get(state, "")),
                Text(message),
                Text(when, style="dim"),
            )
        lines = [Text(seen.head), Text(f"ready: {seen.ready}", style="green"), table]
        self._spinner.update(Group(*(line for line in lines if seen.ready or line is not lines[1])))

    def end(self, mark: str, title: str, detail: str, seconds: float | None) -> None:
        """Stop the spinner and print the step's line."""
        from rich.text import Text

        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None
        text = Text(step_line(mark, title, detail, seconds))
        text.stylize(_COLOURS.get(mark, ""), 0, 8)
        self._console.print(text)


@dataclass(frozen=True)
class View:
    """What the live view shows.

    Attributes:
        head: How far it is.
        ready: Names of what is ready.
        rows: What is not: name, state, what it says or does, and when it is usually ready.
    """

    head: str
    ready: str
    rows: tuple[tuple[str, str, str, str], ...]


def view(progress: Progress, seconds: float, usual: Usual | None, height: int) -> View:
    """Return what a live view shows of a model: what waits, in the order in which it is usually ready.

    Args:
        progress: The model.
        seconds: How long it has been going on.
        usual: How long it takes; None or empty when that is not known.
        height: How many rows there is room for.
    """
    times = usual.units if usual else {}
    last = max(times.values(), default=0.0)
    units = sorted(progress.waiting, key=lambda unit: (times.get(unit.name, last), unit.name))
    rows = [
        (
            unit.name,
            unit.state,
            unit.message or ("" if unit.agent == "idle" else unit.agent),
            f"usually at {times[unit.name]:.0f} s" if unit.name in times else "",
        )
        for unit in units
    ]
    room = max(1, height)
    if len(rows) > room:
        rows = [*rows[: room - 1], (f"and {len(rows) - room + 1} more", "", "", "")]
    of = f" of usually {usual.total:.0f} s" if usual and usual.total else " s"
    head = f"{seconds:.0f}{of}   {len(progress.ready)} of {len(progress.units)} ready"
    return View(head, " ".join(unit.name for unit in progress.ready), tuple(rows))


def step_line(mark: str, title: str, detail: str, seconds: float | None) -> str:
    """Return the line of a finished step."""
    took = "" if seconds is None else f"{seconds:.1f}s"
    return f"{mark:<8} {title:<22} {took:>7}  {detail}".rstrip()


def fancy(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a stream is a terminal that wants colour and movement."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def reporter(output_format: str) -> Reporter:
    """Return the reporter for a format on this process's standard output."""
    if output_format == "json":
        return Silent()
    if fancy(sys.stdout, os.environ):
        from rich.console import Console

        return Terminal(Console(highlight=False))
    return Plain()


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table: upper-case headers, two spaces between columns, nothing after the last."""
    lines = [[word.upper() for word in header], *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def show(text: str) -> None:
    """Print an answer, the words for states coloured on a terminal."""
    if not fancy(sys.stdout, os.environ):
        print(text)
        return
    from rich.console import Console
    from rich.text import Text

    styled = Text(text)
    for word, colour in _COLOURS.items():
        styled.highlight_regex(rf"(?<=  )\b{word}\b(?=  |$)", colour)
    Console(highlight=False, soft_wrap=True).print(styled)


def show_json(value: Any) -> None:
    """Print an answer for programs."""
    print(json.dumps(value, indent=2))
