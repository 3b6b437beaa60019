"""Steps as data: what is to be true, how that is seen, and the commands that make it true."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import programs
from ..errors import DaybreakError

if TYPE_CHECKING:
    from ..output import Reporter
    from ..users import User

SLACK_SECONDS = 30.0
"""How much longer than its own limit a command may take, before it is ended from outside."""


@dataclass(frozen=True)
class Call:
    """A command, and whose it is.

    Attributes:
        words: Program and arguments.
        user: Who runs it; None for the user of this process.
        group: A group that the user may have got only now, so that no login has it yet.
    """

    words: tuple[str, ...]
    user: User | None = None
    group: str = ""

    @property
    def argv(self) -> tuple[str, ...]:
        """The whole command line, as the user of this process would type it."""
        if self.user is None or self.user.uid in (0, os.geteuid()):
            return self.words
        group = ("-g", self.group) if self.group else ()
        return ("sudo", "-H", "-u", self.user.name, *group, "--", *self.words)

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True)
class Change:
    """One step.

    Attributes:
        title: For the line of the step.
        look: Says how it is when nothing is left to do; None when something is.
        calls: What makes it true.
        remedy: What the operator can do when a call fails.
        makes: Its name in the record, for `destroy`; empty for what is not undone.
        limit: Seconds that each call may take.
    """

    title: str
    look: Callable[[], str | None]
    calls: tuple[Call, ...]
    remedy: str
    makes: str = ""
    limit: float | None = None


def take(
    change: Change,
    report: Reporter,
    *,
    dry_run: bool,
    record: Callable[[str], None],
) -> tuple[str, str]:
    """Do a step, unless it is done; return its mark and detail.

    What it makes is recorded first: an interrupted command may have made half of it.

    Raises:
        DaybreakError: A call failed, or what it should make is not there afterwards.
    """
    found = change.look()
    if found is not None:
        return "there", found
    if dry_run:
        return "would", "; ".join(str(call) for call in change.calls)
    if change.makes:
        record(change.makes)
    for call in change.calls:
        report.line(
            f"{call}" + (f"  (at most {change.limit:.0f} s: --timeout)" if change.limit else "")
        )
        programs.follow(
            call.argv,
            report.line,
            what=f"run {shlex.join(call.words[:3])}",
            remedy=change.remedy,
            timeout=change.limit + SLACK_SECONDS if change.limit else None,
        )
    found = change.look()
    if found is None:
        raise DaybreakError(
            f"{change.title}: the commands ended well, but nothing came of them",
            details=tuple(str(call) for call in change.calls),
            remedy=change.remedy,
        )
    return "done", found
