"""What a model still waits for: pure functions over jubilant's view of `juju status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jubilant.statustypes import AppStatus, Status, UnitStatus

    from .bundles import Bundle


@dataclass(frozen=True)
class UnitView:
    """One unit, or an application that has none yet, as its operator sees it.

    Attributes:
        state: Workload status, such as `active`; `lost` while its agent is away, `leaving` when it goes.
        message: What the charm says about it.
        agent: What Juju does for it: `idle`, or `running config-changed hook`.
    """

    name: str
    state: str
    message: str
    agent: str

    @property
    def ready(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.state == "active"

    @property
    def needs_hand(self) -> bool:
        """Whether it says that it goes on only when somebody does something."""
        return self.state == "blocked" and self.agent == "idle"


@dataclass(frozen=True)
class Progress:
    """The state of a model at one moment."""

    units: tuple[UnitView, ...]

    @property
    def ready(self) -> tuple[UnitView, ...]:
        """The units that are done."""
        return tuple(unit for unit in self.units if unit.ready)

    @property
    def waiting(self) -> tuple[UnitView, ...]:
        """The units that are not done."""
        return tuple(unit for unit in self.units if not unit.ready)

    @property
    def settled(self) -> bool:
        """Whether every unit is active."""
        return bool(self.units) and not self.waiting

    @property
    def stuck(self) -> bool:
        """Whether all that is missing waits for a person, so that time alone changes nothing."""
        return (
            bool(self.waiting)
            and all(unit.needs_hand or unit.state == "waiting" for unit in self.waiting)
            and any(unit.needs_hand for unit in self.waiting)
        )


def progress(status: Status, expected: Iterable[str] = ()) -> Progress:
    """Return the view of a status.

    Args:
        status: The whole model.
        expected: Applications that must be there; one that is absent counts as not yet deployed.
    """
    views: list[UnitView] = []
    absent = [name for name in expected if name not in status.apps]
    views += [UnitView(name, "waiting", "not deployed yet", "") for name in absent]
    for name, app in status.apps.items():
        views += _application(name, app)
    return Progress(tuple(views))


def _application(name: str, app: AppStatus) -> Iterable[UnitView]:
    wanted = app.scale if app.scale is not None else 1
    units = [
        UnitView(
            unit_name,
            # The highest numbers go; they serve until their last request is answered.
            _state(unit) if _ordinal(unit_name)[1] < wanted else "leaving",
            unit.workload_status.message or "",
            unit.juju_status.message or unit.juju_status.current or "",
        )
        for unit_name, unit in sorted(app.units.items(), key=lambda item: _ordinal(item[0]))
    ]
    yield from units
    if len(units) < wanted:
        missing = wanted - len(units)
        yield UnitView(name, "waiting", f"{missing} of {wanted} units not started yet", "")
    elif units and all(unit.ready for unit in units) and app.app_status.current != "active":
        # a leader may block the application while each unit is well
        yield UnitView(
            name,
            app.app_status.current or "unknown",
            app.app_status.message or "",
            "idle",
        )


def _state(unit: UnitStatus) -> str:
    # What a unit said last, whose pod has ended since, says nothing of now.
    lost = unit.juju_status.current == "lost"
    return "lost" if lost else unit.workload_status.current or "unknown"


def _ordinal(unit: str) -> tuple[str, int]:
    application, _, number = unit.rpartition("/")
    return application, int(number) if number.isdigit() else 0


def changes(before: Progress | None, after: Progress) -> tuple[UnitView, ...]:
    """Return the units whose state or message changed; agents come and go too often to tell."""
    old = {unit.name: (unit.state, unit.message) for unit in before.units} if before else {}
    return tuple(unit for unit in after.units if old.get(unit.name) != (unit.state, unit.message))


def missing_parts(bundle: Bundle, status: Status) -> tuple[str, ...]:
    """Return the bundle's applications and relations that a model lacks, in words.

    A side without an endpoint matches any endpoint of its application.
    """
    absent = tuple(name for name in bundle.names if name not in status.apps)
    links = {
        (name, endpoint, relation.related_app)
        for name, app in status.apps.items()
        for endpoint, relations in app.relations.items()
        for relation in relations
    }
    relations = tuple(
        " - ".join(sorted(pair))
        for pair in sorted(bundle.relations, key=sorted)
        if not _related(pair, links)
    )
    return absent + relations


def _related(pair: frozenset[str], links: set[tuple[str, str, str]]) -> bool:
    sides = [side.partition(":") for side in sorted(pair)]
    return all(
        any(
            application == name and related == other and endpoint in ("", found)
            for name, found, related in links
        )
        for (application, _, endpoint), (other, _, _) in (sides, sides[::-1])
    )


def overlay_of_scales(bundle: Bundle, status: Status) -> dict[str, object]:
    """Return the overlay that keeps the scale of applications that are there already.

    `juju deploy` of a bundle would bring them back to the bundle's numbers.
    """
    return {
        "applications": {
            app.name: {"scale": len(status.apps[app.name].units)}
            for app in bundle.applications
            if app.name in status.apps
            and status.apps[app.name].units
            and len(status.apps[app.name].units) != app.scale
        }
    }
