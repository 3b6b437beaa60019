"""Volumes in files: shares of an NFS server, and folders of a node that are mounted as if they were one.

Cinder's and Nova's drivers are the same for both: they run `mount -t nfs SHARE`. `mount.nfs` of this package takes the
shares that are a node's, and leaves the others to the kernel.
"""

import re
from pathlib import Path

from daybreak_charm.nodes.objects import HostPath, scripts

FOLDER = "/var/lib/daybreak/volumes"
HOST_PATHS = {FOLDER: HostPath("/var/lib/daybreak-volumes")}
"""Where a node keeps the shares that are folders of its own, seen by whoever mounts shares."""
SCRIPTS = scripts(Path(__file__).parent / "programs")
_LOCAL = "local"
_SHARE = re.compile(r"(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):/[^\s'\"\\]*")


def local(name: str) -> str:
    """The share that is a folder of the node on which it is mounted."""
    return f"{_LOCAL}:/{name}"


def fault(share: str) -> str | None:
    """What is wrong with the name of a server's share; None when nothing is."""
    found = _SHARE.fullmatch(share)
    if found is None:
        return f"{share!r} is not SERVER:/PATH"
    return f"{_LOCAL} is no server's name here" if found["host"] == _LOCAL else None
