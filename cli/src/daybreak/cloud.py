"""An instance as a whole: whether it is there, and its end."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import programs, tools
from .errors import DaybreakError
from .places import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .output import Reporter
    from .places import Home, Instance

END_SECONDS = 60
"""How long the charms may take to end their work."""


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
