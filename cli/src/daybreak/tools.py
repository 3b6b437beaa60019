"""The checkout's own programs: image builder, packer and engine, each started as a program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from . import programs
from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .places import Home, Instance

CHARM_BASE = "localhost/daybreak/charm-base:24.04"


def missing_images(place: Home, images: Sequence[str]) -> tuple[str, ...]:
    """Return those images that are not there.

    Raises:
        DaybreakError: The builder does not know an image, or failed.
    """
    output = programs.capture(
        [place.program("python"), "-m", "daybreak_images", "list", *images], cwd=place.path
    )
    if not output.ok:
        raise DaybreakError(
            "the image builder cannot say which images are there",
            details=tuple((output.stderr or output.stdout).strip().splitlines()),
            remedy="If the bundle names an image that is not Daybreak's, it must not begin with"
            " localhost:32000/daybreak/; else run ./daybreak again to repair the installation.",
        )
    rows = [line.split() for line in output.stdout.splitlines()]
    there = {row[-1] for row in rows if "built" in row}
    return tuple(image for image in images if image not in there)


def build_images(place: Home, images: Sequence[str], on_line: Callable[[str], None]) -> int:
    """Build what is missing or has changed, and return how many images were built.

    Raises:
        DaybreakError: A build failed.
    """
    built: list[str] = []

    def look(line: str) -> None:
        if ": built" in line:
            built.append(line)
        if not line.endswith(": up to date"):
            on_line(line)

    programs.follow(
        [place.program("python"), "-m", "daybreak_images", "build", *images],
        look,
        what="build the images",
        remedy="Correct what the lines above name (often the network) and run the command again;"
        " finished images are kept.",
        cwd=place.path,
    )
    return len(built)


def pack_charms(place: Home, charms: Sequence[str], on_line: Callable[[str], None]) -> int:
    """Pack charms into `dist/`, unchanged ones at no cost, and return how many were packed.

    Raises:
        DaybreakError: A charm could not be packed.
    """
    packed: list[str] = []

    def look(line: str) -> None:
        if ": packed" in line:
            packed.append(line)
        if not line.endswith(": up to date"):
            on_line(line)

    programs.follow(
        [place.program("python"), place.path / "tools/pack", *charms],
        look,
        what="pack the charms",
        remedy="Correct what the lines above name and run the command again.",
        cwd=place.path,
    )
    return len(packed)


def start_engine(instance: Instance, place: Home) -> None:
    """Start the engine, or find it running.

    Raises:
        DaybreakError: It does not start.
    """
    _engine(instance, place, "start", what="start the engine")


def remove_engine(instance: Instance, place: Home) -> None:
    """Remove everything of an instance, running or half-made.

    Raises:
        DaybreakError: Something could not be removed.
    """
    _engine(instance, place, "remove", what="remove the instance")


def engine_paths(instance: Instance, place: Home) -> dict[str, str]:
    """Return the engine's own list of its paths and names.

    Raises:
        DaybreakError: The engine's program failed.
    """
    return json.loads(_engine(instance, place, "paths", what="ask the engine for its paths"))


def engine_network(instance: Instance, place: Home) -> dict[str, str]:
    """Return the instance's ranges of addresses, `external` and `external_gateway` among them.

    Raises:
        DaybreakError: The instance has no network yet.
    """
    return json.loads(_engine(instance, place, "network", what="ask the engine for its network"))


def _engine(instance: Instance, place: Home, *words: str, what: str) -> str:
    output = programs.capture(
        [place.program("daybreak-engine"), "--instance", instance.name, *words]
    )
    if not output.ok:
        raise DaybreakError(
            f"could not {what}",
            details=tuple((output.stderr or output.stdout).strip().splitlines()),
            remedy="The lines above are the engine's own; its log is "
            f"{instance.state}/logs/supervisor.log",
        )
    return output.stdout
