"""Images in podman's local store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ImageMissingError

if TYPE_CHECKING:
    from .podman import Podman


@dataclass(frozen=True)
class Image:
    """An image in the local store.

    Args:
        id: Changes with every rebuild.
        digest: Of its manifest.
        user: User that it names for its process, often empty.
    """

    id: str
    digest: str
    user: str


def is_local(reference: str) -> bool:
    """Tell whether a reference names an image built here, which no registry has.

    ``localhost:32000`` is the registry of MicroK8s, so that the same names are valid there.
    """
    return reference.split("/", 1)[0].split(":", 1)[0] == "localhost"


async def inspect(podman: Podman, reference: str) -> Image | None:
    """Return the image with this name and tag or digest, None when it is absent."""
    result = await podman("image", "inspect", reference, check=False)
    if result.code != 0:
        return None
    found: dict[str, Any] = json.loads(result.stdout)[0]
    config: dict[str, Any] = found.get("Config") or {}
    return Image(
        id=str(found["Id"]),
        digest=str(found.get("Digest") or ""),
        user=str(config.get("User") or ""),
    )


async def ensure(podman: Podman, reference: str, *, pull: bool = False) -> Image:
    """Return the image, pulled when it is absent and can be pulled.

    Args:
        podman: Runner.
        reference: Name with tag or digest.
        pull: Ask the registry even for names under ``localhost``.

    Raises:
        ImageMissingError: It is not here and could not be pulled.
    """
    found = await inspect(podman, reference)
    if found is not None:
        return found
    if is_local(reference) and not pull:
        raise ImageMissingError(
            reference,
            "it is not in the local store, and nothing else has it",
            remedy="build it: ./daybreak bootstrap builds every image that a bundle names",
        )
    result = await podman("pull", "--quiet", reference, check=False)
    found = await inspect(podman, reference) if result.code == 0 else None
    if found is None:
        raise ImageMissingError(
            reference,
            result.stderr.strip().splitlines()[-1] if result.stderr.strip() else "pull failed",
            remedy="check the name and the network, or load it: podman load --input FILE",
        )
    return found
