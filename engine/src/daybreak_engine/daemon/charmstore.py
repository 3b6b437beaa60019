"""Charm archives, stored by content, and the charm directories that units get of them.

Archives are kept with the instance. Their unpacked trees, with compiled bytecode, are kept in the cache that
all instances share, because both cost seconds; a unit's charm directory is a tree of hard links, which costs
milliseconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from daybreak_engine import errors
from daybreak_engine.instance import Instance

KEPT_TREES = 32
"""How many unpacked charms the cache keeps, some 20 MB each."""

_DISTRIBUTION = Path("/usr/lib/python3/dist-packages")
"""Where the charm container's Debian or Ubuntu puts Python modules of its own."""

Compile = Callable[[Path], Awaitable[None]]
"""Compiles the Python of a directory with the interpreter that will run it."""


def store(instance: Instance, archive: Path, suffix: str) -> tuple[str, Path]:
    """Copy a file into the instance's store; return its SHA-256 in hex and its place there.

    Raises:
        OSError: It cannot be read or written.
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = instance.charms / f"{digest}{suffix}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}.partial")
        shutil.copyfile(archive, partial)
        partial.rename(target)
    return digest, target


async def unpacked(
    instance: Instance, archive: Path, digest: str, python: str, compile_: Compile
) -> Path:
    """Return the directory with the content of an archive, unpacking it the first time.

    Args:
        instance: Whose cache.
        archive: The stored archive.
        digest: Its SHA-256.
        python: Version of the interpreter in the charm container, such as `3.13`.
        compile_: Makes the bytecode of the new tree.

    Raises:
        errors.CharmError: The archive is damaged or leaves its own directory.
    """
    target = instance.cache / "charms" / f"{digest}-python{python}"
    if target.is_dir():
        os.utime(target)
        return target
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _extract(archive, partial)
    _fit_interpreter(partial, python)
    await compile_(partial)
    try:
        partial.rename(target)
    except OSError:
        # Another instance was quicker; its tree is the same.
        shutil.rmtree(partial)
        if not target.is_dir():
            raise
    await asyncio.to_thread(_prune, target.parent)
    return target


def _prune(directory: Path) -> None:
    """Remove the trees that were not used for longest; units keep the files that they link."""
    trees = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in trees[KEPT_TREES:]:
        shutil.rmtree(path, ignore_errors=True)


def populate(tree: Path, charm_directory: Path) -> None:
    """Make a unit's charm directory, replacing what is there.

    Files are hard links: charms write beside their code, not into it.
    """
    shutil.rmtree(charm_directory, ignore_errors=True)
    try:
        shutil.copytree(tree, charm_directory, symlinks=True, copy_function=os.link)
    except shutil.Error:
        # The cache lies on another file system.
        shutil.rmtree(charm_directory, ignore_errors=True)
        shutil.copytree(tree, charm_directory, symlinks=True)


def _extract(archive: Path, directory: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            for item in file.infolist():
                path = directory / item.filename
                if not path.resolve().is_relative_to(directory.resolve()):
                    raise errors.CharmError(
                        f"{item.filename!r} leads out of the charm {archive.name}"
                    )
                mode = item.external_attr >> 16
                if stat.S_ISLNK(mode):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.symlink_to(file.read(item).decode())
                    continue
                file.extract(item, directory)
                if mode & 0o111 and path.is_file():
                    path.chmod(0o755)
    except zipfile.BadZipFile as error:
        raise errors.CharmError(
            f"{archive} is damaged: {error}", remedy="pack the charm again"
        ) from error


def _fit_interpreter(tree: Path, python: str) -> None:
    # A charm is packed for the Python of its base. Pure Python and abi3 modules run on ours as well, but a
    # virtual environment looks below the directory of its own version only.
    library = tree / "venv" / "lib"
    wanted = library / f"python{python}"
    packed = sorted(library.glob("python3.*"))
    if packed and not wanted.exists():
        wanted.symlink_to(packed[0].name)
        _lend_modules(packed[0] / "site-packages", python)


def _lend_modules(site: Path, python: str) -> None:
    # Other compiled modules are those of the container's distribution, where it has them: cffi's backend, which
    # cryptography loads without the rest of cffi, and PyYAML's C part, without which YAML is read ten times slower
    # (5 ms more for the three files that ops reads in each hook). To an import a link that leads nowhere is no file.
    for module in sorted(site.rglob("*.cpython-3*.so")):
        name, tag, rest = module.name.partition(".cpython-3")
        other = f"{name}{tag}{python.removeprefix('3.')}-{rest.partition('-')[2]}"
        beside = module.with_name(other)
        if not beside.exists():
            beside.symlink_to(_DISTRIBUTION / module.relative_to(site).with_name(other))
