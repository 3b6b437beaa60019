"""What an upgrade is made of: the charm's own report, its archive, and the plan; nothing changes."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import jubilant
import yaml

from . import access
from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jubilant.statustypes import AppStatus, Status


ORDER = (
    "keystone-k8s",
    "placement-k8s",
    "glance-k8s",
    "neutron-k8s",
    "nova-k8s",
    "cinder-k8s",
    "cinder-volume-k8s",
    "hypervisor-k8s",
)
"""Charms that have releases, in the order in which their services are upgraded."""
AFTER = {"cinder-volume-k8s": ("cinder-k8s",), "hypervisor-k8s": ("nova-k8s", "neutron-k8s")}
"""What runs on nodes, and the services that may not be of an older release."""
ACTION = "upgrade-status"
TURN = "upgrade-turn"
"""Action that decides at which of its two releases an upgrade under way ends."""
_RELEASE_TAG = re.compile(r"(?P<name>.+):(?P<tag>\d{4}\.[12])")


@dataclass(frozen=True)
class Step:
    """One step, as the charm describes it, and what is left of it.

    Attributes:
        impact: What users notice: `none`, `minor` or `major`.
        owed: `yes`, `done`, or how far it is.
    """

    name: str
    phase: str
    what: str
    command: str
    impact: str
    owed: str


@dataclass(frozen=True)
class Report:
    """What the charm says of its releases.

    Attributes:
        running: Release whose upgrade was finished last.
        target: Release that is gone to; `running` when no upgrade was begun.
        phase: Phase that has begun, empty when none; `back` when it shall not be finished.
        units: Release that each unit serves with, empty where it does not yet.
        planned: Number of units that there shall be.
        refused: Why the release that was asked about cannot be gone to; empty when it can.
        steps: The charm's steps, as it gives them.
        missed: Whether users miss a unit while it is replaced.
    """

    running: str
    target: str
    phase: str
    units: Mapping[str, str]
    planned: int
    refused: str
    steps: tuple[Mapping[str, str], ...]
    missed: bool = True

    @property
    def under_way(self) -> bool:
        """Whether an upgrade was begun and neither finished nor taken back by all units."""
        begun = self.running != self.target and self.phase not in ("", "back")
        return self.moved or begun

    def planned_units(self) -> dict[str, str]:
        """The units that stay, and their releases."""
        return {
            name: release
            for name, release in self.units.items()
            if int(name.rpartition("/")[2]) < self.planned
        }

    @property
    def moved(self) -> bool:
        """Whether a unit serves with the release that is gone to."""
        return self.running != self.target and self.target in self.planned_units().values()

    def taken_back(self, images: Mapping[str, str]) -> bool:
        """Whether an upgrade was left by hand before its first unit served with it: all have what they had, and shall.

        Args:
            images: Those that the application has, by the name of their resource.
        """
        tags = {image.rpartition(":")[2] for image in images.values()}
        wanted = self.running in tags and self.target not in tags
        return self.phase in ("expand", "roll") and wanted and self.reached(self.running)

    def reached(self, release: str) -> bool:
        """Whether nothing is left to do for a release."""
        units = self.planned_units()
        return (
            self.running == release
            and len(units) == self.planned
            and all(served == release for served in units.values())
        )


@dataclass(frozen=True)
class Plan:
    """How one application gets to a release.

    Attributes:
        way: `forward`, `back`, or `none` when nothing is left to do.
        doubled: Whether a lone unit gets a second one for the time of the change.
        images: The release's image by resource.
    """

    application: str
    running: str
    to: str
    way: str
    scale: int
    doubled: bool
    steps: tuple[Step, ...]
    images: Mapping[str, str]
    archive: str


def charms_with_releases(status: Status, application: str | None) -> tuple[str, ...]:
    """Return the applications to upgrade, in their order.

    Raises:
        DaybreakError: The one that was named is not there or has no releases.
    """
    found = {
        name: ORDER.index(app.charm_name)
        for name, app in status.apps.items()
        if app.charm_name in ORDER
    }
    if application is None:
        if not found:
            raise DaybreakError(
                "this cloud has nothing that has OpenStack releases",
                remedy="Deploy a bundle that has: daybreak bootstrap --bundle identity",
            )
        return tuple(sorted(found, key=lambda name: found[name]))
    there(status, application)
    if application not in found:
        raise DaybreakError(
            f"{application} has no OpenStack releases",
            remedy=f"These have: {', '.join(sorted(found)) or 'none here'}. A new image or charm for"
            f" another application: juju refresh {application} --path ... --resource ...",
        )
    return (application,)


def services_before(status: Status, application: str) -> tuple[str, ...]:
    """Return the applications that may not be of an older release than this one."""
    charms = AFTER.get(status.apps[application].charm_name, ())
    return tuple(name for name, app in status.apps.items() if app.charm_name in charms)


def there(status: Status, application: str) -> AppStatus:
    """Return an application.

    Raises:
        DaybreakError: It is not in the model; names those that are.
    """
    if application in status.apps:
        return status.apps[application]
    raise DaybreakError(
        f'there is no application "{application}"',
        remedy=f"There are: {', '.join(sorted(status.apps)) or 'none'}.",
    )


def ask(juju: jubilant.Juju, status: Status, application: str, to: str = "") -> Report:
    """Ask a charm how its releases stand.

    Args:
        juju: The model.
        status: Its status; a unit that answers is chosen by it.
        application: Whom to ask.
        to: Release to judge.

    Raises:
        DaybreakError: No unit answers, or the charm does not know the action.
    """
    results = access.action(
        juju,
        able(status, application),
        ACTION,
        {"release": to} if to else None,
        remedy="See `daybreak status` for what it waits for, and try again. A charm that does not know"
        " this action is older than this command: refresh it first.",
    )
    found = cast("dict[str, Any]", json.loads(str(results.get("report", "{}"))))
    return Report(
        running=str(found.get("running", "")),
        target=str(found.get("target", "")),
        phase=str(found.get("phase", "")),
        units=found.get("units", {}),
        planned=int(found.get("planned", 0)),
        refused=str(found.get("refused", "")),
        steps=tuple(found.get("steps", ())),
        missed=bool(found.get("missed", True)),
    )


def able(status: Status, application: str) -> str:
    """Return a unit that answers.

    Raises:
        DaybreakError: There is no unit.
    """
    units = there(status, application).units
    # Any unit knows it. One whose pod is away would let the action wait.
    found = sorted(units, key=lambda n: (units[n].workload_status.current != "active", n))
    if not found:
        raise DaybreakError(f"{application} has no units", remedy="See `daybreak status`.")
    return found[0]


def turn(juju: jubilant.Juju, status: Status, application: str, to: str) -> None:
    """Let an upgrade under way end at one of its two releases.

    Raises:
        DaybreakError: It cannot; says how to go on.
    """
    remedy = f"Nothing was changed. Go on: daybreak upgrade {application} --to the other release."
    access.action(juju, able(status, application), TURN, {"release": to}, remedy=remedy)


def metadata(path: Path) -> Mapping[str, Any]:
    """Read the metadata of a packed charm; empty when there is none.

    Raises:
        DaybreakError: The file is no packed charm.
    """
    if not path.exists():
        return {}
    try:
        with zipfile.ZipFile(path) as packed:
            return yaml.safe_load(packed.read("metadata.yaml"))
    except (zipfile.BadZipFile, KeyError, yaml.YAMLError) as error:
        raise DaybreakError(
            f"{path} is no packed charm", remedy="Remove it; it is packed again when it is needed."
        ) from error


def images(described: Mapping[str, Any], release: str) -> dict[str, str]:
    """Return the image of each resource that comes in releases, for one of them."""
    result: dict[str, str] = {}
    for name, resource in (described.get("resources") or {}).items():
        match = _RELEASE_TAG.fullmatch(str(resource.get("upstream-source", "")))
        if match:
            result[name] = f"{match['name']}:{release}"
    return result


def attached(juju: jubilant.Juju, application: str) -> dict[str, str]:
    """Return the images that an application has; empty where Juju does not tell (a store's charm)."""
    try:
        found = json.loads(juju.cli("resources", application, "--format", "json"))
    except (jubilant.CLIError, ValueError):
        return {}
    return {
        str(item["name"]): str(item["value"])
        for item in found.get("resources", ())
        if item.get("value")
    }


def make_plan(
    application: str,
    app: AppStatus,
    report: Report,
    to: str,
    described: Mapping[str, Any],
    path: Path,
) -> Plan:
    """Return how an application gets to a release; decides, changes nothing."""
    if report.reached(to) and not report.under_way:
        way = "none"
    else:
        way = "back" if to == report.running and report.target != to else "forward"
    scale = report.planned or len(app.units)
    lone = scale == 1 and report.missed
    doubled = lone and not described.get("storage") and way != "none"
    return Plan(
        application=application,
        running=report.running,
        to=to,
        way=way,
        scale=scale,
        doubled=doubled,
        steps=tuple(_steps(report, to, way, lone=lone and not doubled)),
        images=images(described, to),
        archive=str(path),
    )


def _steps(report: Report, to: str, way: str, *, lone: bool) -> list[Step]:
    phases = ("check", "expand", "roll", "contract", "online")
    begun = report.target == to and report.under_way
    now = phases.index(report.phase) if begun and report.phase in phases else -1
    units = report.planned_units()
    moved = sum(release == to for release in units.values())
    steps: list[Step] = []
    for given in report.steps:
        phase = given.get("phase", "")
        if way == "back" and phase != "roll":
            continue
        owed = "yes"
        if way == "none" or (begun and phase in phases and phases.index(phase) < now):
            owed = "done"
        elif phase == "roll" and moved:
            owed = f"{report.planned - moved} of {report.planned} units"
        impact = given.get("impact", "")
        if phase == "roll" and lone:
            impact = "major"
        steps.append(
            Step(
                given.get("name", ""),
                phase,
                given.get("what", ""),
                given.get("command", ""),
                impact,
                owed,
            )
        )
    return steps
