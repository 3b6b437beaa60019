"""What a command that changes a cloud works on, and the steps that it reports."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jubilant

from . import cloud
from .bootstrap import Clock, Done
from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jubilant.statustypes import Status

    from .output import Reporter
    from .places import Home, Instance
    from .providers import Provider


@dataclass
class Work:
    """One change of a cloud: where, and what it has done so far."""

    instance: Instance
    home: Home
    provider: Provider
    report: Reporter
    timeout: float = 1800.0
    clock: Clock = field(default_factory=Clock)
    steps: list[Done] = field(default_factory=list[Done])

    @property
    def juju(self) -> jubilant.Juju:
        """The cloud's model."""
        return self.provider.juju()

    def status(self) -> Status:
        """Return the model's status.

        Raises:
            DaybreakError: There is no such instance, or its engine does not answer.
        """
        cloud.require(self.instance)
        try:
            return self.juju.status()
        except jubilant.CLIError as error:
            raise DaybreakError(
                "the cloud's status cannot be read",
                details=tuple((error.stderr or "").strip().splitlines()),
                remedy="See `daybreak status`.",
            ) from error

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Report a step; its body appends the detail, and the mark before it if it is not `done`."""
        self.report.begin(title)
        begun = self.clock.now()
        said: list[str] = []
        try:
            yield said
        except BaseException:
            self.report.end("failed", title, "", self.clock.now() - begun)
            raise
        mark, detail = (said[0], said[-1]) if len(said) > 1 else ("done", "".join(said))
        seconds = self.clock.now() - begun
        self.steps.append(Done(title, mark, detail, seconds))
        self.report.end(mark, title, detail, seconds)
