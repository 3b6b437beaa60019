"""Images out of the store, as an OCI image layout that they share their layers in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import base
from .spec import Image, ImageError
from .store import Store

REF = "org.opencontainers.image.ref.name"
KEYS = "keys.json"
"""Which content each image of a layout has, so that an unchanged one costs nothing."""


def write(store: Store, images: Sequence[Image], target: Path, say: Callable[[str], None]) -> None:
    """Bring a layout up to date with the store for these images; others in it stay.

    Raises:
        ImageError: An image is not built, or podman failed.
    """
    keys = store.keys()
    base_key = base.key(base.sources_for(*base.machine_sources()))
    stale = [image.short for image in images if keys.get(image.reference) != image.key(base_key)]
    if stale:
        raise ImageError(
            f"not built, or of older sources: {', '.join(stale)}; first: daybreak images build {' '.join(stale)}"
        )
    target.mkdir(parents=True, exist_ok=True)
    there = _kept(target)
    for image in images:
        key = keys[image.reference]
        if there.get(image.reference) == key:
            say(f"{image.short}: up to date")
            continue
        say(f"{image.short}: exporting")
        _drop(target, image.reference)
        store.run(["podman", "push", "--quiet", image.reference, f"oci:{target}:{image.reference}"])
        there[image.reference] = key
        (target / KEYS).write_text(json.dumps(there, indent=1, sort_keys=True))
    _sweep(target)


def _kept(target: Path) -> dict[str, str]:
    try:
        listed = {entry["annotations"][REF] for entry in _index(target)["manifests"]}
        keys: dict[str, str] = json.loads((target / KEYS).read_text())
    except (OSError, ValueError, KeyError, TypeError):
        # Half a layout is worth less than a new one.
        shutil.rmtree(target)
        target.mkdir()
        return {}
    return {name: key for name, key in keys.items() if name in listed}


def _index(target: Path) -> dict[str, Any]:
    return json.loads((target / "index.json").read_text())


def _drop(target: Path, reference: str) -> None:
    """Take a name out of the index: podman would add a second entry for it."""
    if not (target / "index.json").exists():
        return
    index = _index(target)
    index["manifests"] = [m for m in index["manifests"] if m["annotations"].get(REF) != reference]
    (target / "index.json").write_text(json.dumps(index))


def _sweep(target: Path) -> None:
    """Remove the blobs that no image names any more."""
    blobs = target / "blobs/sha256"
    used: set[str] = set()
    for entry in _index(target)["manifests"]:
        manifest = json.loads((blobs / entry["digest"].partition(":")[2]).read_text())
        parts = [entry, manifest["config"], *manifest["layers"]]
        used |= {part["digest"].partition(":")[2] for part in parts}
    for path in blobs.iterdir():
        if path.name not in used:
            path.unlink()
