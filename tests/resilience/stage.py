"""A change under load: what a scenario is made of, and one run of it."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jubilant

from ..clouds import ROOT, Account, Cloud, eventually
from .load import Load
from .measures import Record, fault

RESULTS = ROOT / ".daybreak/results/resilience"
RELEASES = {"2025.1": "27.", "2026.1": "29."}
"""Beginning of Keystone's version in each release."""
UNITS = {"keystone": 3, "gateway": 2}
"""Units with which each scenario begins; the other applications have one."""
BEFORE_SECONDS = 12.0
"""Load before the change: the baseline of a fault."""
AFTER_SECONDS = 8.0
"""Load after the change is over."""
LEAST_SECONDS = 56.0
"""Load of a planned change, however quick it is: sixteen of them make ten thousand requests."""
CHANGE_SECONDS = 300.0
"""How long a change may take until it is over."""
POLL_SECONDS = 1.0
PLANNED = ("none", "in flight")
"""What may fail in a planned change."""


@dataclass
class Stage:
    """A deployed cloud that a scenario changes.

    Attributes:
        cloud: It.
        account: The users' account.
        directory: For files that a change needs.
        load: The users, while they run.
        began: When services of units had started before the change, by application and unit.
        notes: What a change wants to have in the results.
    """

    cloud: Cloud
    account: Account
    directory: Path
    load: Load | None = None
    began: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    notes: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def juju(self) -> jubilant.Juju:
        """Its model."""
        return self.cloud.juju

    def since(self, application: str) -> dict[str, str]:
        """Return when the service of each unit of an application has started; empty text: it is down."""
        found: dict[str, str] = {}
        for unit in self.juju.status().apps[application].units:
            try:
                lines = self.juju.ssh(
                    unit, "/charm/bin/pebble", "services", "--abs-time", container=application
                )
            except jubilant.CLIError:
                lines = ""  # its pod is being replaced
            rows = [line.split() for line in lines.splitlines()[1:]]
            found[unit] = " ".join(row[3] for row in rows if row[2:3] == ["active"])
        return found


def quiet(stage: Stage) -> bool:
    """Whether all is active and no hook runs."""
    status = stage.juju.status()
    return jubilant.all_active(status) and jubilant.all_agents_idle(status)


@dataclass(frozen=True)
class Scenario:
    """One change under load.

    Attributes:
        name: Its name, as tests and documents have it.
        says: What is changed, for the document.
        change: Does it.
        over: Whether all that it entails has happened; beside it all must be active and idle.
        restarts: Applications whose services must all have started again since the change.
        failures: What may fail: `none` for a planned change; `in flight` for one in which something is
            killed: what had begun before (`killed at` among the notes), nothing afterwards; `some` for a fault,
            which is measured; `proof` for the change that must show failures.
        published: Figures of others for the same fault, with their source.
        release: Release that Keystone must have before; empty: any.
        units: Units of applications at the beginning.
        prepare: Brings the cloud to where the scenario begins, without load; the same services
            start again as in the change.
        tidy: Takes away what `prepare` has brought.
    """

    name: str
    says: str
    change: Callable[[Stage], None]
    over: Callable[[Stage], bool] = quiet
    restarts: tuple[str, ...] = ()
    failures: str = "none"
    published: str = ""
    release: str = ""
    units: Mapping[str, int] = field(default_factory=lambda: UNITS)
    prepare: Callable[[Stage], None] | None = None
    tidy: Callable[[Stage], None] | None = None


def run(stage: Stage, scenario: Scenario, tell: Callable[[Record, float], None]) -> dict[str, Any]:
    """Run a scenario; returns what was measured, also written below RESULTS.

    Args:
        stage: The cloud.
        scenario: What to do to it.
        tell: Called with each failure when it happens.
    """
    stage.notes = {}
    stage.began = {name: stage.since(name) for name in scenario.restarts}
    before, loadavg = _versions(stage), os.getloadavg()[0]
    with Load(stage.account, tell=tell) as load:
        stage.load = load
        load.wait(BEFORE_SECONDS)
        at = load.now
        scenario.change(stage)
        took = _until_over(stage, load, scenario, at)
        least = LEAST_SECONDS if scenario.failures == "none" else 0.0
        load.wait(max(AFTER_SECONDS, least - load.now))
    stage.load = None
    if scenario.tidy:
        scenario.tidy(stage)
    report = load.report()
    result = {
        "name": scenario.name,
        "failures allowed": scenario.failures,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "load average before": round(loadavg, 2),
        "applications": {"before": before, "after": _versions(stage)},
        "change": {"at": round(at, 2), "seconds": round(took, 1), **stage.notes},
        "fault": fault(load.records, at),
        **report,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1) + "\n"
    (RESULTS / f"{scenario.name}.json").write_text(text, encoding="utf-8")
    return result


def prepare(stage: Stage, scenario: Scenario) -> None:
    """Bring the cloud to where a scenario begins, whatever the one before it did.

    Raises:
        UnsettledError: It does not settle.
    """
    apps = stage.juju.status().apps
    for name, number in scenario.units.items():
        if len(apps[name].units) != number:
            stage.juju.cli("scale-application", name, str(number))
    stage.cloud.settle(timeout=CHANGE_SECONDS)
    if scenario.prepare:
        stage.began = {name: stage.since(name) for name in scenario.restarts}
        scenario.prepare(stage)
        eventually(
            lambda: quiet(stage) and all(_restarted(stage, name) for name in scenario.restarts),
            f"{scenario.name} is prepared",
            timeout=CHANGE_SECONDS,
            period=POLL_SECONDS,
        )


def _until_over(stage: Stage, load: Load, scenario: Scenario, at: float) -> float:
    """Wait until a scenario is over, twice in a row; returns the seconds that it took."""
    seen = 0
    while seen < 2 and load.now - at < CHANGE_SECONDS:
        load.wait(POLL_SECONDS)
        seen = seen + 1 if _over(stage, scenario) else 0
    if seen < 2:
        stage.notes["not over"] = stage.juju.cli("status")
    return load.now - at


def _over(stage: Stage, scenario: Scenario) -> bool:
    return (
        quiet(stage)
        and scenario.over(stage)
        and all(_restarted(stage, application) for application in scenario.restarts)
    )


def _restarted(stage: Stage, application: str) -> bool:
    before = stage.began[application]
    return all(now and now != before.get(unit) for unit, now in stage.since(application).items())


def _versions(stage: Stage) -> dict[str, dict[str, Any]]:
    return {
        name: {"version": app.version, "units": len(app.units), "charm revision": app.charm_rev}
        for name, app in stage.juju.status().apps.items()
    }


def machine() -> str:
    """Return what the numbers were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB,"
        f" Linux {platform.release()}, Python {platform.python_version()}"
    )
