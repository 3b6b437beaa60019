"""Sockets in another network namespace."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from typing import TYPE_CHECKING

from .errors import SubstrateError

if TYPE_CHECKING:
    from ipaddress import IPv4Address
    from pathlib import Path

_CLONE_NEWNET = 0x40000000
_BACKLOG = 128


def listen(netns: Path, address: IPv4Address, port: int) -> socket.socket:
    """Return a TCP socket that listens in a network namespace.

    A socket stays in the namespace it was made in, so a server of the machine can answer pods without
    an address, a route or a firewall rule of the machine in between.

    Raises:
        SubstrateError: The namespace is gone, or the address is taken.
    """
    made: list[socket.socket | OSError] = []

    def make() -> None:
        # A thread has a network namespace of its own; this one ends with the function.
        try:
            _enter(netns)
            made.append(socket.create_server((str(address), port), backlog=_BACKLOG))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make, name=f"listen-{address}")
    thread.start()
    thread.join()
    result = made[0]
    if isinstance(result, OSError):
        raise SubstrateError(
            f"cannot listen on {address}:{port} in {netns}: {result}",
            remedy="another daemon of this instance may still run",
        ) from result
    return result


def _enter(netns: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)
