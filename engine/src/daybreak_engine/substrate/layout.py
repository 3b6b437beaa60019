"""The directory that the containers of a unit share, on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from .errors import SubstrateError
from .files import write_if_changed

if TYPE_CHECKING:
    from pathlib import Path

    from .specs import Layout


def write_layout(root: Path, layout: Layout) -> None:
    """Make the directory `root` hold `layout`; what else is there stays."""
    root.mkdir(parents=True, exist_ok=True)
    for directory in layout.directories:
        path = root / directory.path
        path.mkdir(exist_ok=True)
        os.chown(path, directory.uid, directory.gid)
        # chmod and not mkdir's mode, which the umask would narrow.
        path.chmod(directory.mode)
    for relative, source in layout.copies.items():
        _place(source, root / relative)
    for file in layout.files:
        write_if_changed(root / file.path, file.content, mode=file.mode, uid=file.uid, gid=file.gid)
    for link in layout.links:
        path = root / link.path
        if not (path.is_symlink() and str(path.readlink()) == link.target):
            path.unlink(missing_ok=True)
            path.symlink_to(link.target)


def _place(source: Path, target: Path) -> None:
    """Hard-link a program, or copy it where that is not possible."""
    with contextlib.suppress(FileNotFoundError):
        if target.samefile(source):
            return
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(source)
    except FileNotFoundError as error:
        raise SubstrateError(
            f"{source} is missing", remedy="run `./daybreak bootstrap`, which builds it"
        ) from error
    except OSError:
        shutil.copy2(source, temporary)
    temporary.rename(target)
