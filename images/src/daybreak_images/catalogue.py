"""The option and policy catalogue of a release, asked of the image itself."""

from __future__ import annotations

from .spec import ROOT, Image, ImageError
from .store import Store


def catalogue(store: Store, image: Image) -> str:
    """Return the catalogue of ``image`` as JSON text.

    Raises:
        ImageError: The image has none (it is not OpenStack), or is not built.
    """
    if not image.namespaces:
        raise ImageError(f"{image.short} has no option catalogue: it is not an OpenStack service")
    if image.reference not in store.keys():  # noqa: SIM118 - a method that asks podman, not a mapping
        raise ImageError(f"{image.short} is not built; first: daybreak-images build {image.short}")
    return store.run(
        [
            "podman",
            "run",
            "--rm",
            "--pull=never",
            "--network=none",
            f"--volume={ROOT / 'shared'}:/build:ro",
            image.reference,
            "python",
            "/build/catalogue",
            image.name,
            image.tag,
            f"--policies={image.policies}",
            *(f"--privsep={module}" for module in image.privsep),
            *(f"--unlisted={where}" for where in image.unlisted),
            *image.namespaces,
        ]
    )
