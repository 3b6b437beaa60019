"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

# struct sockaddr_un holds 108 bytes, the last of them zero.
_SOCKET_PATH_LIMIT = 107


def write_if_changed(
    path: Path, content: str, *, mode: int = 0o644, uid: int = -1, gid: int = -1
) -> bool:
    """Make `path` hold `content` with that mode and owner, atomically.

    Returns:
        Whether the content was different.
    """
    try:
        stat = path.stat()
        if path.read_text() == content:
            _settle(path, stat, mode, uid, gid)
            return False
    except FileNotFoundError:
        pass
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(content)
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return True


def _settle(path: Path, stat: os.stat_result, mode: int, uid: int, gid: int) -> None:
    if (uid, gid) != (-1, -1) and (
        (uid != -1 and stat.st_uid != uid) or (gid != -1 and stat.st_gid != gid)
    ):
        os.chown(path, uid, gid)
    if stat.st_mode & 0o7777 != mode:
        path.chmod(mode)


@contextlib.contextmanager
def short_socket_path(path: Path) -> Generator[str, None, None]:
    """Yield a path to the socket `path` that fits into a socket address.

    Long application names or roots exceed the 107 bytes that the kernel allows; then the socket is
    reached through a descriptor of its directory. Valid for binding and connecting, only inside the
    context.

    Raises:
        FileNotFoundError: The directory does not exist (only seen for long paths).
    """
    if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def remove_tree(path: Path) -> None:
    """Remove a directory and what is in it; a missing one is fine, and so is somebody else who removes it, too."""
    while path.exists():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
