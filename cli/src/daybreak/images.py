"""Images for a cluster: which a bundle needs, where they come from, and how they get there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import yaml

from . import bundles, oci, programs, tools
from .errors import DaybreakError
from .oci import Layout
from .preflight import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from .bundles import Bundle
    from .places import Home


def buildable(home: Home) -> bool:
    """Whether images can be built here: a snap has no sources of them."""
    return (home.path / "images/images.toml").is_file()


def require_sources(home: Home) -> None:
    """Refuse what needs images that are built here.

    Raises:
        DaybreakError: None can be built; says where they come from.
    """
    if not buildable(home):
        raise DaybreakError(
            "images are built in a checkout of Daybreak; here is none",
            remedy="Use an archive that a checkout has exported: daybreak images push REGISTRY --from"
            " ARCHIVE, or daybreak bootstrap --from ARCHIVE",
        )


def finding(home: Home, bundle: Bundle, layout: Path | None, overlay: Path | None) -> Finding:
    """Return whether the bundle's images are at hand for a cluster without a registry."""
    wanted = bundle.own_images
    if overlay is not None or not wanted:
        return Finding("images", Level.OK, "pulled from where the bundle or its overlay says")
    if layout is not None:
        missing = sorted(set(wanted) - set(Layout(layout).digests()))
        if not missing:
            return Finding("images", Level.OK, f"{len(wanted)} in the archive")
        return Finding(
            "images",
            Level.ERROR,
            f"not in the archive: {', '.join(missing)}",
            "Export the archive again for this bundle: daybreak images export --bundle ...",
        )
    if not buildable(home):
        return Finding(
            "images",
            Level.ERROR,
            "there are none here to import",
            "Give an archive that a checkout has exported (--from ARCHIVE, daybreak images export), or"
            " say where the cluster pulls them from (--overlay FILE, daybreak images push)",
        )
    try:
        missing = tools.missing_images(home, wanted)
    except DaybreakError as error:
        return Finding("images", Level.ERROR, "; ".join(error.details), error.remedy)
    if missing:
        names = " ".join(image.rpartition("/")[2] for image in missing)
        return Finding(
            "images", Level.ERROR, f"not built: {names}", f"daybreak images build {names}"
        )
    return Finding("images", Level.OK, f"{len(wanted)} built")


def of_bundle(path: Path) -> tuple[str, ...]:
    """Return Daybreak's own images of a bundle file; none when there is no such file."""
    return bundles.load(path).own_images if path.is_file() else ()


def layout_of(
    home: Home, cache: Path, images: Sequence[str], layout: Path | None, say: Callable[[str], None]
) -> Layout:
    """Return a layout that has these images: the one given, else one made from the store.

    Raises:
        DaybreakError: An image is not there, or is damaged.
    """
    if layout is None:
        require_sources(home)
        layout = cache / "oci"
        programs.follow(
            [home.program("python"), "-m", "daybreak_images", "layout", layout, *images],
            lambda line: None if line.endswith(": up to date") else say(line),
            what="export the images",
            remedy="Correct what the lines above name and run the command again; finished images are"
            " kept.",
            cwd=home.path,
        )
    found = Layout(layout)
    damaged = found.damaged(images)
    if damaged:
        raise DaybreakError(
            f"{layout} is damaged: {', '.join(damaged)}",
            remedy="Copy or export it again.",
        )
    return found


def overlay(bundle: Bundle, digests: Mapping[str, str]) -> str:
    """Return the overlay that makes a bundle pull its images by digest.

    Args:
        bundle: The bundle.
        digests: Pullable name with digest, by the bundle's own name of an image.
    """
    applications = {
        app.name: {
            "resources": {
                key: digests[image] for key, image in app.resources.items() if image in digests
            }
        }
        for app in bundle.applications
        if set(app.resources.values()) & set(digests)
    }
    head = (
        f"# The images of bundle {bundle.path.stem} by digest, written by `daybreak images push`.\n"
        "#   daybreak bootstrap --provider juju --overlay THIS-FILE\n"
        "#   juju deploy BUNDLE --overlay THIS-FILE --trust\n"
    )
    return head + yaml.safe_dump({"applications": applications}, sort_keys=False)


def write_file(path: Path, content: str) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        DaybreakError: It cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(content, encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise DaybreakError(
            f"cannot write {path}: {error.strerror}", remedy="Choose another place for it."
        ) from error
    finally:
        scratch.unlink(missing_ok=True)


def choose(bundle_files: Iterable[Path]) -> tuple[str, ...]:
    """Return Daybreak's own images of several bundles, sorted, each once."""
    return tuple(sorted({image for path in bundle_files for image in of_bundle(path)}))


def tar(layout: Layout, names: Iterable[str], target: Path) -> None:
    """Write images as one tar file that containerd imports.

    Raises:
        OSError: It cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    oci.write_tar(layout, names, target)
