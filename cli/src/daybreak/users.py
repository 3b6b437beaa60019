"""Who asked for a command: under sudo it is not the user that this process runs as."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class User:
    """A user of this machine."""

    name: str
    uid: int
    gid: int
    home: Path


def invoking(environ: Mapping[str, str]) -> User:
    """Return who runs the command: who called sudo, else the user of this process."""
    name = environ.get("SUDO_USER") if os.geteuid() == 0 else None
    return named(name) if name else _from(pwd.getpwuid(os.geteuid()))


def named(name: str) -> User:
    """Return a user by name.

    Raises:
        DaybreakError: There is none of that name.
    """
    try:
        return _from(pwd.getpwnam(name))
    except KeyError:
        raise DaybreakError(
            f"there is no user {name} on this machine",
            remedy="Run the command with sudo as the user that the cloud is for.",
        ) from None


def _from(entry: pwd.struct_passwd) -> User:
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))


def become(user: User) -> None:
    """Give up root for good: from here on this process and what it starts are the user's.

    The groups are those that the user has now, with the ones that an earlier step has added.
    """
    if os.geteuid() != 0 or user.uid == 0:
        return
    os.initgroups(user.name, user.gid)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    os.environ.update(HOME=os.fspath(user.home), USER=user.name, LOGNAME=user.name)
    # root's: sockets and configuration there are not for this user
    for variable in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        os.environ.pop(variable, None)
    # the directory of root's shell may be closed to the user
    os.chdir(user.home if user.home.is_dir() else "/")
