"""Disk images: what a file is, seen from its own bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DaybreakError

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
HEAD = 0x8006
"""Bytes from the start of a file that tell what it is: the mark of a CD is the last of them."""
_QCOW2 = b"QFI\xfb"
_BOOT = b"\x55\xaa"
_CONVERT = "Convert it: qemu-img convert -O qcow2 FILE disk.qcow2"
_OTHERS = (
    (0, b"\x1f\x8b", "compressed by gzip", "Unpack it: gunzip FILE"),
    (0, b"\xfd7zXZ\x00", "compressed by xz", "Unpack it: unxz FILE"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd", "Unpack it: unzstd FILE"),
    (0, b"BZh", "compressed by bzip2", "Unpack it: bunzip2 FILE"),
    (0, b"PK\x03\x04", "a zip archive", "Unpack it: unzip FILE"),
    (0, b"KDMV", "a disk of VMware", _CONVERT),
    (0, b"# Disk DescriptorFile", "the description of a disk of VMware", _CONVERT),
    (0, b"vhdxfile", "a disk of Hyper-V", _CONVERT),
    (0, b"conectix", "a disk of Hyper-V", _CONVERT),
    (0, b"<<< Oracle VM VirtualBox", "a disk of VirtualBox", _CONVERT),
    (257, b"ustar", "a tar archive", "Unpack it: tar -xf FILE"),
    (0x8001, b"CD001", "an installation CD", "Take the system's image for clouds, not its installer."),
)  # fmt: skip


@dataclass(frozen=True)
class Disk:
    """A disk image that servers can start from.

    Attributes:
        path: Where it is.
        format: `qcow2` or `raw`, as Glance calls it.
        size: Of the disk that a server sees, in bytes.
    """

    path: Path
    format: str
    size: int

    @property
    def gigabytes(self) -> int:
        """The size as flavours count it: whole GiB, at least 1."""
        return max(1, -(-self.size // GIB))


def look(path: Path) -> Disk:
    """Return what a file is.

    Raises:
        DaybreakError: It cannot be read, or no server can start from it; says what it is instead.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD)
            length = stream.seek(0, 2)
    except OSError as error:
        raise DaybreakError(
            f"the image {path} cannot be read: {error.strerror}",
            remedy="Give the path of a disk image, qcow2 or raw.",
        ) from error
    kind, size = recognise(str(path), head, length)
    return Disk(path, kind, size)


def recognise(name: str, head: bytes, length: int) -> tuple[str, int]:
    """Return the format of a disk image, and the size in bytes of the disk in it.

    Args:
        name: The file's, for errors.
        head: Its first `HEAD` bytes, fewer if it is shorter.
        length: Its whole length in bytes.

    Raises:
        DaybreakError: It is no disk image that a server can start from.
    """
    if head.startswith(_QCOW2):
        return "qcow2", _qcow2(name, head, length)
    for place, mark, what, remedy in _OTHERS:
        if head[place : place + len(mark)] == mark:
            raise _wrong(name, f"it is {what}", remedy.replace("FILE", name))
    if head.lstrip()[:14].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise _wrong(name, "it is a web page", "The download went wrong: look at its address.")
    if head[510:512] == _BOOT:
        return "raw", length
    what = "it is empty" if not length else "it is neither qcow2 nor a disk with a boot sector"
    raise _wrong(
        name, what, "Give a disk image, qcow2 or raw, such as a distribution's for clouds."
    )


def _qcow2(name: str, head: bytes, length: int) -> int:
    """Return the size of the disk in a qcow2 image (docs/interop/qcow2.txt of QEMU)."""
    whole = "Download it again."
    if len(head) < 72:
        raise _wrong(name, "it ends within its header", whole)
    backing = int.from_bytes(head[8:16], "big")
    table = int.from_bytes(head[40:48], "big")
    version = int.from_bytes(head[4:8], "big")
    features = int.from_bytes(head[72:80], "big") if version >= 3 else 0
    if backing or features & 4:
        raise _wrong(
            name,
            "it is only a part of a disk, and needs another file",
            _CONVERT.replace("FILE", name),
        )
    if table >= length:
        raise _wrong(name, "it ends before its own table", whole)
    return int.from_bytes(head[24:32], "big")


def _wrong(name: str, what: str, remedy: str) -> DaybreakError:
    return DaybreakError(f"no server can start from {name}: {what}", remedy=remedy)
