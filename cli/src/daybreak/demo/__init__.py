"""A first server with all that belongs to it: made, looked at, and removed again.

Everything carries a mark, put on it by the request that makes it: what is there is found by the
mark, so that a further run goes on where the last one ended, and only what is marked is removed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..bootstrap import POLL_SECONDS
from ..errors import DaybreakError
from .keys import Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ..work import Work
    from .addresses import External

NAME = "demo"
"""Name of everything but the external network."""
EXTERNAL = "demo-external"
MARK = "made by daybreak demo"
TAG = "daybreak-demo"
"""The mark of images, which have no description."""


@dataclass(frozen=True)
class Wanted:
    """What the operator asks for.

    Attributes:
        image: A disk image; None for the guest that is built here.
        user: Who logs in to that image, empty if unknown.
        external: The external network to make; None if its addresses are not known.
        use_external: Name of an external network that is there; empty to make one.
        physical: Name of the physical network of the hypervisors (option `bridges`).
        ram: Memory of the server in MB.
    """

    image: Path | None
    user: str
    external: External | None
    use_external: str
    physical: str
    ram: int


@dataclass
class Demo:
    """One run: the cloud, and what was found or made in it so far."""

    work: Work
    cloud: Any
    wanted: Wanted
    types: frozenset[str]
    """Types of the services in the catalogue."""
    made: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def keys(self) -> Keys:
        """The files of this instance's demo."""
        return Keys(self.work.instance.state / "demo")


def marked(items: Iterable[Any]) -> Any | None:
    """Return the first thing that the demo has made; None when there is none."""
    return next((item for item in items if item.description == MARK), None)


def until(
    work: Work, what: str, look: Callable[[], str], remedy: str, limit: float | None = None
) -> None:
    """Wait, and report every new reason for it.

    Args:
        work: Its reporter, its clock, and how long a wait may take.
        what: What is waited for, as in "WHAT is not there after 600 s".
        look: Returns why it is not yet so; empty when it is. Raises what makes waiting vain.
        remedy: What the operator can do when time is up.
        limit: Seconds, if it may take less than other waits.

    Raises:
        DaybreakError: Time is up.
    """
    from keystoneauth1.exceptions import ConnectionError as Unreached
    from openstack.exceptions import HttpException

    from .. import api

    started, before = work.clock.now(), ""
    limit = work.timeout if limit is None else min(limit, work.timeout)
    while True:
        try:
            why = look()
        except (Unreached, HttpException) as error:
            if not isinstance(error, Unreached) and (error.status_code or 0) < 500:
                raise
            # an API that is replaced or restarted comes back
            why = api.explain(error)[0]
        if not why:
            return
        if why != before:
            work.report.line(why)
            before = why
        if work.clock.now() - started > limit:
            raise DaybreakError(f"{what} after {limit:.0f} s: {why}", remedy=remedy)
        work.clock.sleep(POLL_SECONDS * 2)
