"""What keeps volumes: the drivers that this charm has, and the one that the operator's options choose; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from daybreak_charm import ini
from daybreak_charm.nodes import shares
from daybreak_charm.nodes.objects import FILES

MOUNTS = "/var/lib/cinder/mnt"


class InvalidError(ValueError):
    """An option cannot be used; the message says which and what to write."""


@dataclass(frozen=True)
class Backend:
    """A driver of Cinder with what it needs.

    Attributes:
        name: Its section of cinder.conf, and a part of the volume service's name in Cinder's database: it stays.
        options: Of that section.
        files: Of the node's container, by name.
        mounts: Number of shares that are mounted below `MOUNTS` while it works.
        folder: Name of the folder of the node that volumes are in; empty for those that are not on the node.
    """

    name: str
    options: Mapping[str, ini.Value]
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    mounts: int = 0
    folder: str = ""


def choose(app: str, config: Mapping[str, bool | int | float | str]) -> Backend:
    """Return the back end that the charm's options ask for.

    Args:
        app: Name of the application, which its volume types and its folder are called by.
        config: The options.

    Raises:
        InvalidError: One of them cannot be used.
    """
    names = tuple(str(config["shares"]).split())
    options = str(config["mount-options"]).strip()
    for name in names:
        if fault := shares.fault(name):
            raise InvalidError(f"shares: {fault}")
    if any(letter.isspace() for letter in options):
        raise InvalidError("mount-options: write them without blanks, such as vers=4.2,nconnect=4")
    if not names:
        return _files(app, (shares.local(app),), folder=app)
    return _files(app, tuple(f"{name} -o {options}" if options else name for name in names))


def _files(app: str, lines: tuple[str, ...], folder: str = "") -> Backend:
    """Volumes as files of shares: Cinder's NFS driver."""
    return Backend(
        name="nfs",
        options={
            "volume_driver": "cinder.volume.drivers.nfs.NfsDriver",
            "volume_backend_name": app,
            "nfs_shares_config": f"{FILES}/nfs_shares",
            "nfs_mount_point_base": MOUNTS,
            # The driver writes a volume that is made of an image as it is, whatever format it is to have, and tells
            # Nova the other one when a server is moved, resized or rebooted (cinder/api/v3/attachments.py).
            "nfs_qcow2_volumes": False,
            "nfs_snapshot_support": True,
            # The service is root, and QEMU somebody else. Who may come to the files is a matter of their folder.
            "nas_secure_file_operations": False,
            "nas_secure_file_permissions": False,
        },
        files={"nfs_shares": "".join(f"{line}\n" for line in lines)},
        mounts=len(lines),
        folder=folder,
    )
