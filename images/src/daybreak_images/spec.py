"""What can be built: images.toml as values, and the content key of each image."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# images/: the builder runs from the checkout (or a copy of it) beside its data.
ROOT = Path(__file__).resolve().parents[2]
# The address of MicroK8s' registry, so that a bundle names the same image there and here.
REGISTRY = "localhost:32000"


class ImageError(Exception):
    """A build cannot be done; the message says why and what to do."""


@dataclass(frozen=True)
class Image:
    """One image that can be built.

    Args:
        name: Name without registry, for example ``keystone``.
        tag: Version of what is inside.
        registry: Registry part of the reference.
        containerfile: Path of its Containerfile below `root`.
        arguments: Build arguments.
        sources: Files whose content decides the result.
        namespaces: oslo.config namespaces; empty for what is not OpenStack.
        policies: oslo.policy namespace.
        privsep: Modules with privsep contexts.
        unlisted: Options that are in no namespace: a section, and the module and name of their list, as
            ``SECTION=MODULE:NAME``.
    """

    name: str
    tag: str
    registry: str
    containerfile: Path
    arguments: tuple[tuple[str, str], ...]
    sources: tuple[Path, ...]
    namespaces: tuple[str, ...] = ()
    policies: str = ""
    privsep: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The name podman and Juju know it by."""
        return f"{self.registry}/daybreak/{self.name}:{self.tag}"

    @property
    def short(self) -> str:
        """The name for people."""
        return f"{self.name}:{self.tag}"

    def key(self, base: str) -> str:
        """Return the hash of everything that decides the content; ``base`` is the base's key."""
        digest = hashlib.sha256(f"{base}\0{self.reference}\0{self.arguments}".encode())
        for source in self.sources:
            digest.update(f"\0{source.name}\0".encode())
            digest.update(source.read_bytes())
        return digest.hexdigest()


def load(root: Path = ROOT) -> tuple[Image, ...]:
    """Return all images of ``root``/images.toml, oldest tag of each name first."""
    tables = tomllib.loads((root / "images.toml").read_text())
    return tuple(
        _image(root, name, tag, table) for name, table in tables.items() for tag in table["tags"]
    )


def _image(root: Path, name: str, tag: str, table: dict[str, Any]) -> Image:
    kind = table["containerfile"]
    containerfile = root / "containerfiles" / f"{kind}.Containerfile"
    schemas = ",".join(
        f"{database}={package}" for database, package in table.get("schemas", {}).items()
    )
    arguments = {
        "NAME": name,
        "TAG": tag,
        "USER": table.get("user"),
        "UID": table.get("uid"),
        "SCHEMAS": schemas,
        "PACKAGE": table.get("package"),
        "DEBIAN": " ".join(table.get("debian", ())),
        "STEP": table.get("step"),
        "STATIC": table.get("static"),
    }
    text = containerfile.read_text()
    lock = root / "locks" / f"{name}-{tag}.txt"
    used = [*sorted((root / "shared").iterdir()), *([lock] if lock.exists() else [])]
    # A helper that is not called decides nothing about this image.
    sources = [
        path
        for path in used
        if f"/build/shared/{path.name}" in text or path == lock or path.name == table.get("step")
    ]
    if "folder" in table:
        sources += sorted((root / table["folder"]).iterdir())
    return Image(
        name=name,
        tag=tag,
        registry=table.get("registry", REGISTRY),
        containerfile=containerfile,
        arguments=tuple(
            (key, str(value)) for key, value in arguments.items() if value and key in text
        ),
        sources=(containerfile, *sources),
        namespaces=tuple(table.get("namespaces", ())),
        policies=table.get("policies", ""),
        privsep=tuple(table.get("privsep", ())),
        unlisted=tuple(table.get("unlisted", ())),
    )


def choose(images: Sequence[Image], names: Iterable[str]) -> tuple[Image, ...]:
    """Return the images that ``names`` mean, each once.

    A name is ``keystone`` (its newest tag), ``keystone:2025.1`` or a whole reference as in a bundle.

    Raises:
        ImageError: A name that means nothing; the message lists what exists.
    """
    found: dict[str, Image] = {}
    for name in names:
        matches = [image for image in images if name in (image.name, image.short, image.reference)]
        if not matches:
            known = ", ".join(image.short for image in images)
            raise ImageError(f"there is no image {name!r}; these can be built: {known}")
        found[matches[-1].reference] = matches[-1]
    return tuple(found.values())
