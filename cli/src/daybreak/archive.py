"""One file with everything that a cloud is made of, for sites without internet.

A tar file: `manifest.json` first, with the digest of each file; then `bundles/`, `dist/` with the
charms, and `images/`, an OCI image layout. Unpacked it is a directory as `DAYBREAK_HOME` can name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from . import bundles, oci
from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import IO

    from .bundles import Bundle
    from .oci import Layout

MANIFEST = "manifest.json"
FORMAT = 1
_CHUNK = 1 << 20


def write(target: Path, chosen: Mapping[str, Bundle], layout: Layout, version: str) -> None:
    """Write an archive of bundles with their charms and images; it appears whole or not at all.

    Raises:
        DaybreakError: A charm is not packed, or the disk does not take the archive.
    """
    files = dict(_files(chosen, layout))
    missing = [
        name for name, source in files.items() if isinstance(source, Path) and not source.is_file()
    ]
    if missing:
        raise DaybreakError(
            f"not there: {', '.join(missing)}", remedy="Pack the charms first: tools/pack"
        )
    manifest = {
        "format": FORMAT,
        "version": version,
        "images": {
            name: layout.digests()[name]
            for name in sorted({i for bundle in chosen.values() for i in bundle.own_images})
        },
        "files": {name: _digest(source) for name, source in sorted(files.items())},
    }
    scratch = target.with_name(f".{target.name}.new")
    try:
        with tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT) as archive:
            oci.add_bytes(archive, MANIFEST, json.dumps(manifest, indent=1).encode())
            for name, source in sorted(files.items()):
                if isinstance(source, Path):
                    oci.add_file(archive, name, source)
                else:
                    oci.add_bytes(archive, name, source)
        scratch.replace(target)
    except OSError as error:
        raise DaybreakError(
            f"cannot write {target}: {error.strerror}",
            remedy="Free some space, or choose another place for the archive.",
        ) from error
    finally:
        scratch.unlink(missing_ok=True)


def _files(chosen: Mapping[str, Bundle], layout: Layout) -> Iterator[tuple[str, Path | bytes]]:
    images = {image for bundle in chosen.values() for image in bundle.own_images}
    for name, bundle in chosen.items():
        yield f"bundles/{name}.yaml", bundle.path
        for overlay in sorted((bundle.path.parent / "overlays").glob("*.yaml")):
            yield f"bundles/overlays/{overlay.name}", overlay
        for app in bundle.applications:
            if app.local:
                yield f"dist/{Path(app.charm).name}", (bundle.path.parent / app.charm).resolve()
    yield "images/oci-layout", oci.LAYOUT
    yield "images/index.json", oci.index(layout, images)
    for digest in layout.blobs(images):
        yield f"images/blobs/{digest.replace(':', '/')}", layout.blob(digest)


def _digest(source: Path | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, directory: Path, say: Callable[[str], None]) -> Path:
    """Unpack an archive below a directory and return where; once per content.

    Raises:
        DaybreakError: It is no archive of ours, is damaged, or the disk is full.
    """
    try:
        with tarfile.open(archive, "r:") as opened:
            first = opened.next()
            head = opened.extractfile(first) if first and first.name == MANIFEST else None
            if head is None:
                raise _not_ours(archive, "it does not begin with a manifest")
            text = head.read()
            manifest = _manifest(archive, text)
            target = directory / hashlib.sha256(text).hexdigest()[:16]
            if target.is_dir():
                return target
            say(f"unpacking {archive} into {target}")
            directory.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=directory, prefix=".unpack-"))
            try:
                _unpack(opened, manifest["files"], scratch, archive)
                (scratch / MANIFEST).write_bytes(text)
                scratch.chmod(0o755)
                scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            return target
    except tarfile.TarError as error:
        raise _not_ours(archive, str(error)) from error
    except OSError as error:
        raise DaybreakError(
            f"cannot unpack {archive} into {directory}: {error.strerror or error}",
            remedy=f"It needs its own size ({_size(archive)}) there: free some space, or let"
            " DAYBREAK_CACHE name a directory on another disk.",
        ) from error


def _size(archive: Path) -> str:
    return f"{archive.stat().st_size / 1e9:.1f} GB" if archive.exists() else "which cannot be read"


def _manifest(archive: Path, text: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(text)
        if manifest["format"] != FORMAT:
            raise _not_ours(
                archive, f"its format is {manifest['format']}, this program reads {FORMAT}"
            )
        safe = all(
            not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
            for name in manifest["files"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _not_ours(archive, f"its manifest cannot be read: {error}") from error
    if not safe:
        raise _not_ours(archive, "it would write outside its directory")
    return manifest


def _unpack(opened: tarfile.TarFile, files: Mapping[str, str], target: Path, archive: Path) -> None:
    """Write the files that the manifest names, and no others, each with the content it names."""
    left = dict(files)
    for member in opened:
        if member.name not in left:
            continue
        source = opened.extractfile(member) if member.isfile() else None
        if source is None:
            raise _not_ours(archive, f"{member.name} is no file")
        path = target / member.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if _copy(source, path) != left.pop(member.name):
            raise _not_ours(archive, f"{member.name} is damaged")
    if left:
        raise _not_ours(archive, f"it ends before {next(iter(left))}")


def _copy(source: IO[bytes], path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _not_ours(archive: Path, why: str) -> DaybreakError:
    return DaybreakError(
        f"{archive} is no archive of Daybreak: {why}",
        remedy="Copy it again, or make it anew: daybreak images export FILE",
    )


def load_bundles(names: list[str], directory: Path) -> dict[str, Bundle]:
    """Return bundles by name; all of a directory when none is named.

    Raises:
        DaybreakError: One of them is not there, or is no bundle.
    """
    chosen = names or list(bundles.known(directory))
    found = [bundles.load(bundles.find(name, directory)) for name in chosen]
    return {bundle.path.stem: bundle for bundle in found}


def cache(environ: Mapping[str, str], shared: Path) -> Path:
    """Return where archives are unpacked: the machine's cache when we may write there."""
    if os.geteuid() == 0:
        return shared / "archives"
    home = Path(environ.get("HOME", "/"))
    return Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "daybreak/archives"
