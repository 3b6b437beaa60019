"""Where an instance and the checkout keep their things."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_INSTANCE = "daybreak"
MODEL = "openstack"
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,18}[a-z0-9])?")


@dataclass(frozen=True)
class Instance:
    """One cloud on this machine; everything it owns derives from its name."""

    name: str
    root: Path = Path("/")
    cache: Path = Path("/var/cache/daybreak")
    """Images and binaries, shared by all instances of the machine."""
    place: Path | None = None
    """Where a cloud on a cluster keeps its files; None for one of the engine's."""

    @property
    def state(self) -> Path:
        """What lasts: the model, the units' files, volumes."""
        return self.place or self.kept

    @property
    def kept(self) -> Path:
        """The directory that belongs to root."""
        return self.root / "var/lib/daybreak" / self.name

    @property
    def run(self) -> Path:
        """What ends with the machine: sockets."""
        return self.root / "run/daybreak" / self.name

    @property
    def ca_file(self) -> Path:
        """The certificate authority's certificate that `openrc` names."""
        return self.state / "ca.crt"

    @property
    def exists(self) -> bool:
        """Whether anything of the instance is there."""
        return any(path.exists() for path in (self.state, self.kept, self.run))


def instance(name: str | None, environ: Mapping[str, str]) -> Instance:
    """Return the instance that an option or the environment names.

    Args:
        name: Value of `--instance`, if given.
        environ: Read for `DAYBREAK_INSTANCE`, `DAYBREAK_ROOT` and `DAYBREAK_CACHE`.

    Raises:
        UsageError: The name cannot be the name of an instance.
    """
    chosen = name or environ.get("DAYBREAK_INSTANCE") or DEFAULT_INSTANCE
    if not _NAME.fullmatch(chosen):
        raise UsageError(
            f'"{chosen}" cannot be the name of an instance',
            remedy="Use at most 20 lower-case letters, digits and hyphens, a letter first and no"
            " hyphen last (--instance, or DAYBREAK_INSTANCE).",
        )
    root = Path(environ.get("DAYBREAK_ROOT") or "/")
    return Instance(
        chosen, root, Path(environ.get("DAYBREAK_CACHE") or root / "var/cache/daybreak")
    )


@dataclass(frozen=True)
class Home:
    """The directory that holds bundles, charms and tools, and the programs installed for it."""

    path: Path
    programs: Path

    @property
    def bundles(self) -> Path:
        """The bundles that have a name."""
        return self.path / "bundles"

    @property
    def overlays(self) -> Path:
        """The overlays on bundles that have a name."""
        return self.bundles / "overlays"

    @property
    def sources(self) -> bool:
        """Whether charms and images can be made here, as in a checkout."""
        return (self.path / "charms").is_dir()

    @property
    def links(self) -> Path:
        """A directory for PATH with only the programs meant for people."""
        return self.programs.parent / "operator"

    def program(self, name: str) -> Path:
        """Return the path of a program installed beside this one; it need not exist."""
        return self.programs / name


def home(environ: Mapping[str, str]) -> Home:
    """Find the checkout: `DAYBREAK_HOME`, else above this file or the virtual environment.

    Raises:
        DaybreakError: There is none, so nothing could be deployed.
    """
    snap = _snap(environ)
    programs = snap / "bin" if snap else Path(sys.executable).absolute().parent
    given = environ.get("DAYBREAK_HOME")
    candidates = [Path(given)] if given else [*Path(__file__).resolve().parents, *programs.parents]
    for candidate in candidates:
        if (candidate / "bundles").is_dir():
            return Home(candidate, programs)
    raise DaybreakError(
        "the directory with Daybreak's bundles and charms was not found",
        remedy="Run ./daybreak from a checkout, or set DAYBREAK_HOME to one.",
    )


def _snap(environ: Mapping[str, str]) -> Path | None:
    """Return where this program's own snap is mounted; a shell of another snap has the variable, too."""
    inside = environ.get("SNAP_NAME") == "daybreak" and environ.get("SNAP")
    return Path(inside) if inside else None


def command(environ: Mapping[str, str]) -> str:
    """Return how a person starts this program."""
    return "daybreak" if _snap(environ) else "./daybreak"


def operator_path(place: Home) -> Path:
    """Make the directory of links that `daybreak env` puts on PATH, and return it.

    The virtual environment's own directory would also put its `python` in front of the machine's. The
    snap has the directory ready; its path there is the one that outlives a refresh.

    Raises:
        DaybreakError: The directory cannot be written.
    """
    snap = _snap(os.environ)
    if snap is not None:
        return snap.parent / "current/operator"
    try:
        place.links.mkdir(exist_ok=True)
        for name in ("juju", "openstack", "daybreak", "daybreak-engine", "daybreak-images"):
            link = place.links / name
            if place.program(name).exists() and not link.is_symlink():
                link.symlink_to(os.path.relpath(place.program(name), place.links))
    except FileExistsError:
        pass  # another command made the link between the test and the call
    except OSError as error:
        raise DaybreakError(
            f"cannot write {place.links}: {error.strerror}", remedy="Run the command as root."
        ) from error
    return place.links
