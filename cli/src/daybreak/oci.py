"""Images as files: an OCI image layout, read and put into one tar file (OCI image-layout 1.0).

A layout is a directory: `index.json` names images, `blobs/sha256/` holds manifests, configurations and
layers, each under the digest of its content, so that images share what they have in common.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

REF = "org.opencontainers.image.ref.name"
CONTAINERD_REF = "io.containerd.image.name"
"""Where containerd looks first, and takes the name as it stands."""
LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'


@dataclass(frozen=True)
class Layout:
    """An OCI image layout in a directory."""

    path: Path

    def images(self) -> dict[str, dict[str, Any]]:
        """Return the descriptor of each image's manifest, by the image's name.

        Raises:
            DaybreakError: It is no layout.
        """
        try:
            index = json.loads((self.path / "index.json").read_text(encoding="utf-8"))
            return {entry["annotations"][REF]: entry for entry in index["manifests"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DaybreakError(
                f"{self.path} holds no images: {error}",
                remedy="Make it anew: daybreak images export",
            ) from error

    def digests(self) -> dict[str, str]:
        """Return the manifests' digests by name."""
        return {name: entry["digest"] for name, entry in self.images().items()}

    def blob(self, digest: str) -> Path:
        """Return the file of a blob."""
        return self.path / "blobs" / digest.replace(":", "/")

    def manifest(self, digest: str) -> dict[str, Any]:
        """Return a manifest."""
        return json.loads(self.blob(digest).read_text(encoding="utf-8"))

    def parts(self, digest: str) -> list[dict[str, Any]]:
        """Return the descriptors of what a manifest names: its configuration and its layers."""
        manifest = self.manifest(digest)
        return [manifest["config"], *manifest["layers"]]

    def blobs(self, names: Iterable[str]) -> list[str]:
        """Return the digests of all blobs of some images, each once, manifests after their parts.

        Raises:
            DaybreakError: An image is not in the layout.
        """
        digests, found = self.digests(), dict[str, None]()
        for name in names:
            if name not in digests:
                raise DaybreakError(
                    f"{self.path} has no image {name}",
                    remedy=f"It has: {', '.join(sorted(digests)) or 'none'}.",
                )
            found |= dict.fromkeys(part["digest"] for part in self.parts(digests[name]))
            found[digests[name]] = None
        return list(found)

    def damaged(self, names: Iterable[str]) -> list[str]:
        """Return the digests of blobs that are missing or whose content is another."""
        return [digest for digest in self.blobs(names) if digest != _digest(self.blob(digest))]


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:
        return ""


def index(layout: Layout, names: Iterable[str]) -> bytes:
    """Return an index.json of some of a layout's images, with the names that importers want."""
    images = layout.images()
    entries = [
        {**images[name], "annotations": {REF: name, CONTAINERD_REF: name}} for name in sorted(names)
    ]
    content = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries,
    }
    return json.dumps(content, indent=1, sort_keys=True).encode()


def write_tar(layout: Layout, names: Iterable[str], target: Path) -> None:
    """Write some images as one tar file; the same images give the same bytes.

    Raises:
        OSError: The file cannot be written.
    """
    names = list(names)
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        add_bytes(archive, "oci-layout", LAYOUT)
        add_bytes(archive, "index.json", index(layout, names))
        for digest in sorted(layout.blobs(names)):
            add_file(archive, f"blobs/{digest.replace(':', '/')}", layout.blob(digest))


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file with a given content."""
    entry = _entry(name, len(content))
    archive.addfile(entry, io.BytesIO(content))


def add_file(archive: tarfile.TarFile, name: str, path: Path) -> None:
    """Add a file; nothing of the machine's owners and times goes with it."""
    with path.open("rb") as file:
        archive.addfile(_entry(name, path.stat().st_size), file)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o644, 0
    return entry
