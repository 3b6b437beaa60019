"""Releases and numbers of units: changed while the cloud serves, each step skipped when it is done."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jubilant

from . import releases, waiting
from .bootstrap import POLL_SECONDS
from .errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jubilant.statustypes import Status

    from .places import Instance
    from .releases import Plan, Report
    from .work import Work

ASK_SECONDS = 5.0
"""Between two actions that ask a charm how far it is; the status in between costs it nothing."""
BLOCKED_SECONDS = 20.0
UNIT_SECONDS = 300.0
"""How long one unit may be away before the operator is told."""
QUIET_SECONDS = 5.0
"""How long no unit may change or be at work before the roll counts as over: the next one may be about to go."""
BEGIN_SECONDS = 60.0
"""How long the first unit may take to go after a refresh."""
STILL_SECONDS = 180.0
"""How long everything may be active without the upgrade going on."""


def count(units: int) -> str:
    """A number of units, in words."""
    return f"{units} unit" if units == 1 else f"{units} units"


def plan(work: Work, application: str | None, to: str | None) -> tuple[Plan, ...]:
    """Return the plan of each application, in the order of the services.

    Raises:
        DaybreakError: A release is refused, or the cloud cannot be asked.
    """
    status = work.status()
    return tuple(
        _plan(work, status, name, to)[0]
        for name in releases.charms_with_releases(status, application)
    )


def _plan(work: Work, status: Status, name: str, to: str | None) -> tuple[Plan, Report]:
    app = releases.there(status, name)
    report = releases.ask(work.juju, status, name, to or "")
    if report.refused:
        raise DaybreakError(
            f"{name} cannot be brought to {to}: {report.refused}",
            remedy="Nothing was changed. Where it stands: daybreak plan upgrade " + name,
        )
    path = work.provider.archive(app.charm_name)
    described = releases.metadata(path)
    made = releases.make_plan(name, app, report, to or report.target, described, path)
    images = work.provider.release_images(name, made.images)
    return dataclasses.replace(made, images=images), report


def upgrade(work: Work, application: str | None, to: str) -> tuple[Plan, ...]:
    """Bring one application, or all in their order, to a release.

    Raises:
        DaybreakError: It is refused, or cannot go on; says how to go on or back.
    """
    status = work.status()
    with _alone(work.instance):
        return tuple(
            _upgrade(work, name, to) for name in releases.charms_with_releases(status, application)
        )


def _upgrade(work: Work, name: str, to: str) -> Plan:
    with work.step(f"Look at {name}") as said:
        status = work.status()
        charm = releases.there(status, name).charm_name
        work.provider.pack(charm, work.report)
        _control_plane_first(work, status, name, to)
        made, report = _plan(work, status, name, to)
        have = releases.attached(work.juju, name)
        there = made.images.items() <= have.items() if have else report.target == to
        if made.way == "none" and there:
            said += ["there", f"{name} runs {to}, nothing is owed"]
        else:
            _preflight(work, status, made, resumes=there)
            ways = {"back": f"back to {to}", "none": f"{to} again, by its own image"}
            way = ways.get(made.way, f"{made.running} -> {to}")
            said.append(f"{way}, {count(made.scale)}")
    memory = _Memory(work.instance, name)
    if made.way != "none" or not there:
        if made.images:
            with work.step("Find images" if work.instance.place else "Build images") as said:
                said += work.provider.bring_images(tuple(made.images.values()), work.report)
        _turn(work, made, report)
        lone = memory.read() or (made.scale if made.doubled else None)
        if lone is not None and made.scale == lone:
            memory.write(lone)
            with work.step("Add a unit") as said:
                set_scale(work, name, lone + 1)
                said.append(f"the lone unit of {name} is not to be missed while it is replaced")
        with work.step("Refresh") as said:
            if there:
                said += ["there", ", ".join(made.images.values())]
            else:
                _refresh(work, made)
                said.append(", ".join(made.images.values()))
        with work.step(f"Go to {to}") as said:
            said.append(_follow(work, made, to, begun=there))
        if made.way == "back":
            _end_way_back(work, made)
    back = memory.read()
    if back is not None:
        with work.step("Remove the added unit") as said:
            set_scale(work, name, back)
            memory.forget()
            said.append(f"{name} has {count(back)} again")
    return made


def _control_plane_first(work: Work, status: Status, name: str, to: str) -> None:
    """Refuse to let nodes run a later release than the services that they belong to."""
    for other in releases.services_before(status, name):
        found = releases.ask(work.juju, status, other)
        if found.running < to:
            raise DaybreakError(
                f"{name} cannot run {to} while {other} runs {found.running}",
                remedy=f"Nothing was changed. First: daybreak upgrade {other} --to {to}",
            )


def _preflight(work: Work, status: Status, made: Plan, *, resumes: bool) -> None:
    """Refuse what would leave the cloud worse off than it is; one that resumes is let go on."""
    name = made.application
    if not made.images:
        raise DaybreakError(
            f"the charm of {name} names no image of a release",
            remedy=f"Pack it from this checkout: {made.archive}",
        )
    if not resumes and made.way == "forward":
        ill = _own(status, name).waiting
        if ill:
            raise DaybreakError(
                f"{name} is not well, so nothing is changed",
                details=tuple(f"{u.name}: {u.state}: {u.message}" for u in ill),
                remedy="Mend it first. `juju debug-log` shows what the charm says.",
            )
    trusted = work.juju.cli("config", name, "trust").strip()
    if trusted != "true":
        raise DaybreakError(
            f"{name} is not trusted, so it cannot hold the next unit back until one is online",
            remedy=f"juju trust {name} --scope cluster",
        )


def _own(status: Status, application: str) -> waiting.Progress:
    """The view of one application."""
    units = waiting.progress(status, (application,)).units
    return waiting.Progress(tuple(u for u in units if u.name.partition("/")[0] == application))


def _turn(work: Work, made: Plan, report: Report) -> None:
    """Keep the way back open until it is gone, or open the way on again."""
    name = made.application
    if made.way == "back" and report.moved and report.phase != "back":
        with work.step("Keep the way back open") as said:
            releases.turn(work.juju, work.status(), name, made.to)
            said.append(f"the schema is not contracted for {report.target}")
    if made.way == "back" and report.moved and made.scale == 2:
        # A refresh ends the top unit at once, also while the other one is away.
        with work.step("Wait for both units"):
            _until_both_serve(work, name)
    if made.way == "forward" and report.phase == "back" and report.target == made.to:
        with work.step("Open the way on") as said:
            releases.turn(work.juju, work.status(), name, made.to)
            said.append(f"the schema may be contracted for {made.to}")


def _end_way_back(work: Work, made: Plan) -> None:
    """Tell the charm that the upgrade is not to be expected any more, nor a schema that is ahead of its release.

    The charm cannot know: at its beginning an upgrade looks the same.
    """
    name = made.application
    with work.step("End the upgrade") as said:
        releases.turn(work.juju, work.status(), name, made.to)
        report = releases.ask(work.juju, work.status(), name)
        if report.target == made.to:
            said.append(f"the schema is that of {made.to}")
        else:
            said.append(f"the schema stays expanded for {report.target}, which does no harm")


def _until_both_serve(work: Work, name: str) -> None:
    """Wait while the lower of two units is away and the upper one serves alone."""
    started = quiet = work.clock.now()
    while (now := work.clock.now()) - started < UNIT_SECONDS:
        status = _try_status(work)
        if status is not None:
            units = _own(status, name).units
            if not units[-1].ready:
                return
            if not all(unit.ready and unit.agent == "idle" for unit in units):
                quiet = now
            if now - quiet >= QUIET_SECONDS:
                return
        work.clock.sleep(POLL_SECONDS)


def _refresh(work: Work, made: Plan) -> None:
    try:
        work.juju.refresh(made.application, path=made.archive, resources=dict(made.images))
    except jubilant.CLIError as error:
        raise DaybreakError(
            f"{made.application} could not be refreshed",
            details=tuple((error.stderr or "").strip().splitlines()),
            remedy="Nothing was changed. Correct what the lines above name, and run it again.",
        ) from error


def _follow(work: Work, made: Plan, to: str, *, begun: bool) -> str:
    """Show what happens until every unit serves with the release and nothing is owed.

    Args:
        work: Where.
        made: What was planned.
        to: The release.
        begun: Whether units may have gone before; else one has to be seen going.
    """
    name = made.application
    started = work.clock.now()
    asked = started
    away: dict[str, float] = {}
    before: waiting.Progress | None = None
    moved = busy = started
    phase = ""
    while True:
        status = _try_status(work)
        now = work.clock.now()
        if status is not None:
            seen = _own(status, name)
            changed = waiting.changes(before, seen)
            work.report.progress(seen, changed, now - started)
            begun = begun or bool(seen.waiting) or now - started > BEGIN_SECONDS
            if changed:
                moved = now
            if changed or any(u.agent != "idle" for u in seen.units):
                busy = now
            before = seen
            away = {u.name: away.get(u.name, now) for u in seen.waiting}
            _complain_if_stuck(made, seen, away, now)
            # An action waits for hooks, so it is asked only when all is quiet, or the phase may have changed.
            if seen.settled and (now - asked >= ASK_SECONDS or changed):
                asked = now
                report = _try_ask(work, status, name)
                quiet = begun and now - busy >= QUIET_SECONDS
                if report is not None and report.reached(to) and quiet:
                    return f"{count(report.planned)} of {name} serve with {to}"
                if report is not None and report.phase != phase:
                    phase, moved = report.phase, now
                    work.report.line(_phase_line(report))
            if seen.settled and now - moved > STILL_SECONDS:
                raise _stands_still(made, seen, f"nothing has changed for {STILL_SECONDS:.0f} s")
        if now - started > work.timeout:
            seen = before or waiting.Progress(())
            raise _stands_still(made, seen, f"it is not over after {work.timeout:.0f} s")
        work.clock.sleep(POLL_SECONDS)


def _try_status(work: Work) -> Status | None:
    try:
        return work.juju.status()
    except jubilant.CLIError:
        return None  # the controller is away for a moment; the roll needs none of it


def _try_ask(work: Work, status: Status, name: str) -> Report | None:
    try:
        return releases.ask(work.juju, status, name)
    except DaybreakError:
        return None  # the unit went into its turn meanwhile


def _phase_line(report: Report) -> str:
    left = [unit for unit, release in report.planned_units().items() if release != report.target]
    if report.phase == "back":
        gone = [
            unit for unit, release in report.planned_units().items() if release == report.target
        ]
        return f"back: still to come: {', '.join(sorted(gone, reverse=True)) or 'nothing'}"
    if report.phase in ("expand", "roll") and left:
        return f"{report.phase}: still to come: {', '.join(sorted(left, reverse=True))}"
    return f"{report.phase or 'done'}: all units serve with {report.target}"


def _complain_if_stuck(
    made: Plan, seen: waiting.Progress, away: dict[str, float], now: float
) -> None:
    for unit in seen.waiting:
        since = now - away[unit.name]
        if unit.needs_hand and since > BLOCKED_SECONDS:
            raise _stands_still(made, seen, f"{unit.name} waits for you")
        if since > UNIT_SECONDS:
            raise _stands_still(made, seen, f"{unit.name} has been away for {since:.0f} s")


def _stands_still(made: Plan, seen: waiting.Progress, why: str) -> DaybreakError:
    lines = [f"{u.name}: {u.state}: {u.message}" for u in seen.units]
    remedy = (
        "Units that are active go on serving. When the cause is gone the charm goes on by itself;"
        f"\nfollow it: daybreak upgrade {made.application} --to {made.to}"
    )
    if made.way == "forward" and made.running and made.running != made.to:
        remedy += (
            f"\ngo back (before the contract): daybreak upgrade {made.application}"
            f" --to {made.running}"
        )
    return DaybreakError(
        f"the upgrade of {made.application} to {made.to} does not go on: {why}",
        details=tuple(lines),
        remedy=remedy,
    )


# --- numbers of units -------------------------------------------------------------------------


def scale(work: Work, application: str, units: int) -> str:
    """Give an application a number of units, and wait until they serve.

    Returns:
        What was done, in words.

    Raises:
        DaybreakError: It is refused, or units do not become active.
    """
    if units < 1:
        raise UsageError(
            f"{application} cannot have {units} units",
            remedy=f"To remove it: juju remove-application {application}",
        )
    status = work.status()
    app = releases.there(status, application)
    described = releases.metadata(work.provider.archive(app.charm_name))
    have = len(app.units)
    if described.get("storage") and units < have:
        raise DaybreakError(
            f"{application} keeps data in its units; removing one may lose it",
            remedy=f"If that is wanted: juju scale-application {application} {units}",
        )
    with _alone(work.instance):
        if app.charm_name in releases.ORDER and have:
            report = releases.ask(work.juju, status, application)
            if report.under_way and not report.taken_back(
                releases.attached(work.juju, application)
            ):
                raise DaybreakError(
                    f"{application} is on its way from {report.running} to {report.target}",
                    remedy=f"Let it arrive: daybreak upgrade {application} --to {report.target}\n"
                    f"or go back: daybreak upgrade {application} --to {report.running}",
                )
        with work.step(f"Scale {application}") as said:
            there = set_scale(work, application, units)
            said += ["there"] if there else []
            said.append(f"{count(units)} active")
    return work.steps[-1].detail


def set_scale(work: Work, application: str, units: int) -> bool:
    """Set the number of units and wait until as many are active, and no more are there.

    Returns:
        Whether it was so already.
    """
    status = work.status()
    app = releases.there(status, application)
    same = len(app.units) == units and (app.scale in (None, units))
    if not same:
        try:
            work.juju.cli("scale-application", application, str(units))
        except jubilant.CLIError as error:
            raise DaybreakError(
                f"{application} could not be scaled",
                details=tuple((error.stderr or "").strip().splitlines()),
                remedy="Nothing was changed.",
            ) from error
    started = work.clock.now()
    before: waiting.Progress | None = None
    since: dict[str, float] = {}
    while True:
        found = _try_status(work)
        now = work.clock.now()
        if found is not None:
            seen = _own(found, application)
            work.report.progress(seen, waiting.changes(before, seen), now - started)
            before = seen
            mine = seen.waiting
            since = {u.name: since.get(u.name, now) for u in mine}
            if not mine and found.apps[application].scale in (None, units):
                return same
            blocked = [u for u in mine if u.needs_hand and now - since[u.name] > BLOCKED_SECONDS]
            if blocked or now - started > work.timeout:
                raise DaybreakError(
                    f"{application} does not have {units} active units",
                    details=tuple(f"{u.name}: {u.state}: {u.message}" for u in mine),
                    remedy="Units that are active go on serving. Run the command again to go on"
                    f" waiting, or take it back: daybreak scale {application} {len(app.units)}",
                )
        work.clock.sleep(POLL_SECONDS)


# --- what outlives this process ---------------------------------------------------------------


@dataclass(frozen=True)
class _Memory:
    """The scale that a doubled application returns to; a file, because an interrupted command goes on."""

    instance: Instance
    application: str

    @property
    def _path(self) -> Path:
        return self.instance.state / f"doubled-{self.application}.json"

    def read(self) -> int | None:
        try:
            return int(json.loads(self._path.read_text(encoding="utf-8"))["scale"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, units: int) -> None:
        self._path.write_text(json.dumps({"scale": units}), encoding="utf-8")

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(instance: Instance) -> Iterator[None]:
    """Let one change at a time be followed.

    Raises:
        DaybreakError: Another command is at it.
    """
    try:
        file = (instance.state / "change.lock").open("a")
    except OSError as error:
        raise DaybreakError(
            f"cannot write in {instance.state}: {error.strerror}",
            remedy="Run the command as root.",
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DaybreakError(
                f"another daybreak command is changing instance {instance.name}",
                remedy="Wait until it has ended; `daybreak status` and `daybreak plan upgrade`"
                " show how far it is.",
            ) from error
        yield
