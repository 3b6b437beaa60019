"""The cloud as its users see it, and its end."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jubilant

from . import access, probe, programs, tools, waiting
from .errors import DaybreakError
from .places import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jubilant.statustypes import Status

    from .output import Reporter
    from .places import Home, Instance
    from .waiting import UnitView

END_SECONDS = 60
"""How long the charms may take to end their work."""

ROLES = {
    "keystone-k8s": "identity",
    "gateway-k8s": "gateway",
    "mariadb-k8s": "database",
    "memcached-k8s": "cache",
    "certificates-k8s": "certificates",
}


@dataclass(frozen=True)
class Service:
    """One service: whether it works, seen from outside where that is possible.

    Attributes:
        name: What it is for users.
        application: The application that gives it.
        state: `up`, `down`, or `waiting` while its units are not active.
        detail: The answer of its API, or what it waits for.
        url: Where users reach it; empty for what only services use.
        seconds: Time of the answer; None where nothing was asked.
    """

    name: str
    application: str
    state: str
    detail: str
    url: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Overview:
    """Everything that `daybreak status` reports."""

    instance: str
    services: tuple[Service, ...]
    units: tuple[UnitView, ...]

    @property
    def healthy(self) -> bool:
        """Whether all services work and no unit waits."""
        return (
            bool(self.services)
            and all(service.state == "up" for service in self.services)
            and all(unit.ready for unit in self.units)
        )


def overview(
    instance: Instance,
    juju: jubilant.Juju,
    ask: Callable[[str, str], probe.Answer] = probe.identity,
) -> Overview:
    """Look at an instance.

    Raises:
        DaybreakError: Its engine or controller does not answer.
    """
    try:
        status = juju.status()
    except jubilant.CLIError as error:
        if "not found" in (error.stderr or ""):
            raise DaybreakError(
                f"instance {instance.name} has no cloud yet",
                remedy=f"Make it: daybreak bootstrap --instance {instance.name}",
            ) from error
        if instance.place is not None:
            raise DaybreakError(
                f"the controller of instance {instance.name} does not answer",
                details=tuple((error.stderr or "").strip().splitlines()),
                remedy=f"Look at it: juju show-controller {str(juju.model).partition(':')[0]}; on"
                " MicroK8s: microk8s status",
            ) from error
        raise DaybreakError(
            f"the engine of instance {instance.name} does not answer",
            details=tuple((error.stderr or "").strip().splitlines()),
            remedy=f"Start it: daybreak-engine --instance {instance.name} start; its log is"
            f" {instance.state}/logs/supervisor.log",
        ) from error
    progress = waiting.progress(status)
    services = tuple(
        _service(juju, status, name, app.charm_name, progress, ask)
        for name, app in status.apps.items()
        if app.charm_name in ROLES
    )
    order = list(ROLES.values())
    return Overview(
        instance.name,
        tuple(sorted(services, key=lambda service: order.index(service.name))),
        progress.units,
    )


def require(instance: Instance) -> None:
    """Do nothing if the instance exists.

    Raises:
        DaybreakError: It does not; names those that do.
    """
    if instance.exists:
        return
    parent = instance.state.parent
    others = sorted(path.name for path in parent.iterdir()) if parent.is_dir() else []
    raise DaybreakError(
        f'there is no instance "{instance.name}"',
        remedy=(f"There is: {', '.join(others)} (--instance). " if others else "")
        + f"To make it: daybreak bootstrap --instance {instance.name}",
    )


def _service(
    juju: jubilant.Juju,
    status: Status,
    application: str,
    charm: str,
    progress: waiting.Progress,
    ask: Callable[[str, str], probe.Answer],
) -> Service:
    role = ROLES[charm]
    mine = [u for u in progress.units if u.name.partition("/")[0] == application]
    behind = [unit for unit in mine if not unit.ready]
    if charm == access.KEYSTONE:
        found = access.public_url(juju, status)
        if found is None:
            reason = behind[0].message if behind else "no public URL yet"
            return Service(role, application, "waiting", reason)
        answer = ask(*found)
        state = "up" if answer.ok else "down"
        return Service(role, application, state, answer.detail, found[0], answer.seconds)
    if not mine:
        return Service(role, application, "down", "scaled to 0 units")
    ready = len(mine) - len(behind)
    if ready == 0:
        return Service(role, application, "waiting", behind[0].message)
    return Service(role, application, "up", f"{ready} of {len(mine)} units active")


@dataclass(frozen=True)
class Removal:
    """What a destroy removes and what stays."""

    instance: str
    removes: tuple[str, ...]
    keeps: tuple[str, ...]


def removal(instance: Instance, *, purge: bool) -> Removal:
    """Return what :func:`destroy` would do; looks only at what is there."""
    removes = [
        f"instance {instance.name}: all units, containers, networks and firewall rules",
        f"its data, databases and secrets included: {instance.state}",
        f"its sockets: {instance.run}",
    ]
    keeps: list[str] = []
    if purge:
        removes.append(f"images and binaries shared by all instances: {instance.cache}")
    elif instance.cache.exists():
        keeps.append(f"images and binaries: {instance.cache} (removed with --purge)")
    keeps.append("packages that were installed by apt, and this checkout")
    return Removal(instance.name, tuple(removes), tuple(keeps))


def others(instance: Instance) -> tuple[str, ...]:
    """Return the names of the machine's other instances."""
    parent = instance.state.parent
    if not parent.is_dir():
        return ()
    return tuple(sorted(p.name for p in parent.iterdir() if p.is_dir() and p.name != instance.name))


def destroy(instance: Instance, home: Home, report: Reporter, *, purge: bool) -> tuple[str, ...]:
    """Remove an instance, also one that was only half made; what is not there is no error.

    Returns:
        Notes about what did not go the ordinary way.

    Raises:
        DaybreakError: Something is left over; or other instances need what *purge* would remove.
    """
    if purge and others(instance):
        raise DaybreakError(
            "other instances use the images: " + ", ".join(others(instance)),
            remedy="Destroy them first, or leave out --purge.",
        )
    notes: list[str] = []
    if (instance.run / "engine.sock").exists():
        with _step(report, "End the model"):
            notes += _end_model(home, report)
    shared: list[Path] = []
    if purge:
        shared = [instance.cache, Path(tools.engine_paths(instance, home)["podman_runroot"])]
    with _step(report, "Remove the instance"):
        tools.remove_engine(instance, home)
    for directory in shared:
        with _step(report, f"Remove {directory}"):
            _remove_tree(directory)
    left = [path for path in (instance.state, instance.run, *shared) if path.exists()]
    if left:
        raise DaybreakError(
            "left over: " + ", ".join(map(str, left)),
            remedy="Run the command again; if it stays, look for mounts below these directories.",
        )
    return tuple(notes)


@contextlib.contextmanager
def _step(report: Reporter, title: str) -> Iterator[None]:
    started = time.monotonic()
    report.begin(title)
    mark = "failed"
    try:
        yield
        mark = "done"
    finally:
        report.end(mark, title, "", time.monotonic() - started)


def _end_model(home: Home, report: Reporter) -> Iterator[str]:
    """Let charms and storage end in Juju's way; what resists is removed with the instance."""
    words = ("--no-prompt", "--destroy-storage", "--force", "--timeout", f"{END_SECONDS}s")
    try:
        programs.follow(
            [home.program("juju"), "destroy-model", MODEL, *words],
            report.line,
            what="end the model",
            remedy="",
        )
    except DaybreakError as error:
        text = "\n".join(error.details)
        if "not found" not in text:
            yield f"the model was not removed in an orderly way: {text}"


def _remove_tree(directory: Path) -> None:
    """Remove a directory of podman's, after what is still mounted below it."""
    for mount in sorted(_mounts(directory), reverse=True):
        programs.capture(["umount", mount], timeout=30)
    if not _mounts(directory):
        shutil.rmtree(directory, ignore_errors=True)


def _mounts(directory: Path) -> list[Path]:
    table = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    points = [Path(line.split()[4]) for line in table.splitlines()]
    return [point for point in points if point.is_relative_to(directory)]
