"""Bundles: finding one by name or file, and what the CLI has to know of it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT = "openstack"
"""Name of the bundle that is a whole cloud."""
_CHOSEN = "bundle"
"""File of an instance's state: the bundle that it is made of."""
IMAGE_PREFIX = "localhost:32000/daybreak/"
CHARM_MEMORY = 64 << 20
"""Bytes that Juju asks for beside a unit's workloads, for its agent (juju/juju, caas/constants.go)."""
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([MGTP]?)")
"""As Juju reads it (core/constraints/constraints.go)."""
OVERLAY = "images.yaml"
"""Name of the overlay that says which images a cluster pulls."""


@dataclass(frozen=True)
class Application:
    """One application of a bundle."""

    name: str
    charm: str
    scale: int
    images: tuple[str, ...]
    trust: bool
    resources: Mapping[str, str] = field(default_factory=dict[str, str])
    """Images by resource."""
    modules: tuple[str, ...] = ()
    """Kernel modules that its containers need of each machine (annotation `kernel-modules`)."""
    devices: tuple[str, ...] = ()
    """Device files that they need (annotation `devices`)."""
    shares_mounts: bool = False
    """Whether they share mounts with the machine (annotation `host-paths: shared`)."""
    memory: int = 0
    """Bytes that a cluster keeps for each workload container, and the most that it may use (constraint `mem`)."""

    @property
    def charm_name(self) -> str:
        """The charm's name without the path of its archive: `keystone-k8s`."""
        return Path(self.charm).name.removesuffix(".charm")

    @property
    def local(self) -> bool:
        """Whether the charm is a file, not a name in a store."""
        return self.charm.startswith((".", "/"))


@dataclass(frozen=True)
class Bundle:
    """A bundle as far as bootstrap needs it; `juju deploy` reads the file itself."""

    path: Path
    applications: tuple[Application, ...]
    relations: frozenset[frozenset[str]]
    """Each relation as its two sides, `application:endpoint` or `application`."""

    @property
    def images(self) -> tuple[str, ...]:
        """Every image named, sorted, each once."""
        return tuple(sorted({image for app in self.applications for image in app.images}))

    @property
    def own_images(self) -> tuple[str, ...]:
        """The images that Daybreak builds itself."""
        return tuple(image for image in self.images if image.startswith(IMAGE_PREFIX))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the applications, in the bundle's order."""
        return tuple(app.name for app in self.applications)

    def own_charms(self, checkout: Path) -> tuple[str, ...]:
        """Return the names of the charms whose sources are in the checkout."""
        names = {app.charm_name for app in self.applications if app.local}
        return tuple(sorted(name for name in names if (checkout / "charms" / name).is_dir()))


def known(directory: Path) -> tuple[str, ...]:
    """Return the names of the bundles in a directory."""
    return tuple(sorted(path.stem for path in directory.glob("*.yaml")))


def find(wanted: str, directory: Path, kind: str = "bundle") -> Path:
    """Return the file of a bundle, or an overlay on one, that is given by name or by path.

    Raises:
        DaybreakError: There is no such file; lists those that there are.
    """
    names = ", ".join(known(directory)) or "none"
    if "/" in wanted or wanted.endswith((".yaml", ".yml")):
        path = Path(wanted).absolute()
        if path.is_dir():
            path = path / "bundle.yaml"
        if not path.is_file():
            raise DaybreakError(
                f"{kind} file {path} does not exist",
                remedy=f"Give the path of a file, or the name of one of the {kind}s: {names}",
            )
        return path
    if wanted in known(directory):
        return directory / f"{wanted}.yaml"
    near = difflib.get_close_matches(wanted, known(directory), n=1)
    raise DaybreakError(
        f'there is no {kind} "{wanted}"',
        remedy=(f"Did you mean {near[0]}? " if near else "")
        + f"Known {kind}s: {names}. One of your own is given by its path: ./mine.yaml",
    )


def chosen(state: Path) -> str:
    """Return the bundle that an instance is made of, by name or path; empty when none was chosen yet."""
    try:
        return (state / _CHOSEN).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def choose(state: Path, bundle: Bundle, directory: Path) -> None:
    """Note which bundle an instance is made of, so that whoever goes on need not say it again.

    Args:
        state: The instance's.
        bundle: The bundle.
        directory: Where bundles are that have names.
    """
    name = bundle.path.stem if bundle.path.parent == directory else str(bundle.path)
    (state / _CHOSEN).write_text(f"{name}\n", encoding="utf-8")


def load(path: Path) -> Bundle:
    """Read a bundle.

    Raises:
        DaybreakError: The file cannot be read, is no YAML, or is no bundle of applications.
    """
    documents = _documents(path)
    base = documents[0] if documents else None
    if not isinstance(base, dict):
        raise _not_a_bundle(path, "it has no applications")
    content = cast("dict[str, Any]", base)
    if content.get("bundle") != "kubernetes":
        raise _not_a_bundle(path, 'it does not say "bundle: kubernetes"')
    applications = content.get("applications")
    if not isinstance(applications, dict) or not applications:
        raise _not_a_bundle(path, "it has no applications")
    return Bundle(
        path,
        tuple(
            _application(path, name, fields)
            for name, fields in cast("dict[str, Any]", applications).items()
        ),
        frozenset(_relations(path, content.get("relations") or [])),
    )


def _documents(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
        return list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (OSError, UnicodeDecodeError) as error:
        raise DaybreakError(
            f"cannot read bundle {path}: {error}", remedy="Check the file and its mode."
        ) from error
    except yaml.YAMLError as error:
        raise DaybreakError(
            f"bundle {path} is not valid YAML",
            details=tuple(str(error).splitlines()),
            remedy="Correct the file at the place named above.",
        ) from error


def _not_a_bundle(path: Path, why: str) -> DaybreakError:
    return DaybreakError(
        f"{path} is not a bundle: {why}",
        remedy="bundles/identity.yaml shows the form; it is the one that `juju deploy` reads.",
    )


def _application(path: Path, name: str, fields: Any) -> Application:
    if not isinstance(fields, dict) or not isinstance(fields.get("charm"), str):
        raise _not_a_bundle(path, f'application "{name}" names no charm')
    resources = fields.get("resources") or {}
    if not isinstance(resources, dict):
        raise _not_a_bundle(path, f'the resources of application "{name}" are no mapping')
    values = cast("dict[str, Any]", resources).values()
    scale = fields.get("scale", fields.get("num_units", 1))
    if not isinstance(scale, int):
        raise _not_a_bundle(path, f'the scale of application "{name}" is no number')
    annotations = cast("dict[str, str]", fields.get("annotations") or {})
    return Application(
        name,
        fields["charm"],
        scale,
        tuple(sorted(value for value in values if isinstance(value, str))),
        bool(fields.get("trust", False)),
        {key: value for key, value in resources.items() if isinstance(value, str)},
        tuple(str(annotations.get("kernel-modules", "")).split()),
        tuple(str(annotations.get("devices", "")).split()),
        annotations.get("host-paths") == "shared",
        _memory(path, name, str(fields.get("constraints") or "")),
    )


def _memory(path: Path, name: str, constraints: str) -> int:
    for word in constraints.split():
        key, _, size = word.partition("=")
        if key == "mem":
            found = _SIZE.fullmatch(size)
            if found is None:
                raise _not_a_bundle(path, f'application "{name}" has {word}: mem=1G is meant')
            return int(float(found[1]) * 2 ** (20 + 10 * "MGTP".index(found[2] or "M")))
    return 0


def resources(overlay: Path, application: str) -> Mapping[str, str]:
    """Return the images that an overlay gives an application, by resource.

    Raises:
        DaybreakError: It cannot be read.
    """
    fields = _applications(overlay).get(application) or {}
    return cast("dict[str, str]", fields.get("resources") or {})


def units(bundle: Bundle, overlays: Iterable[Path]) -> int:
    """Return how many units a bundle with overlays on it has.

    Raises:
        DaybreakError: An overlay cannot be read, or is none.
    """
    return sum(_scales(bundle, overlays).values())


def memory(bundle: Bundle, overlays: Iterable[Path]) -> int:
    """Return how much memory, bytes, a cluster keeps for a bundle with overlays on it.

    Juju asks for so much for every container, whatever that uses. Each image counts as a container: where several
    share one it is a little more, where an image is for nodes something else.

    Raises:
        DaybreakError: An overlay cannot be read, or is none.
    """
    scales = _scales(bundle, overlays)
    return sum(
        scales[app.name] * (CHARM_MEMORY + app.memory * len(app.resources))
        for app in bundle.applications
    )


def _scales(bundle: Bundle, overlays: Iterable[Path]) -> dict[str, int]:
    scales = {app.name: app.scale for app in bundle.applications}
    for path in overlays:
        for name, fields in _applications(path).items():
            scale = (fields or {}).get("scale")
            if isinstance(scale, int) and name in scales:
                scales[name] = scale
    return scales


def _applications(overlay: Path) -> dict[str, Any]:
    content = next(iter(_documents(overlay)), None)
    applications = content.get("applications") if isinstance(content, dict) else None
    if not isinstance(applications, dict):
        raise DaybreakError(
            f"{overlay} is no overlay on a bundle: it has no applications",
            remedy="bundles/overlays/single.yaml shows the form.",
        )
    return cast("dict[str, Any]", applications)


def _relations(path: Path, relations: Any) -> Iterable[frozenset[str]]:
    for relation in relations:
        if (
            not isinstance(relation, list)
            or len(relation) != 2
            or not all(isinstance(side, str) for side in relation)
        ):
            raise _not_a_bundle(path, f"relation {relation!r} is no pair of endpoints")
        yield frozenset(cast("list[str]", relation))
