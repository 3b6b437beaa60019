"""Sockets in another network namespace."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from typing import TYPE_CHECKING, TypeVar

from .errors import SubstrateError

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address
    from pathlib import Path

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_BACKLOG = 128


def listen(netns: Path, address: IPv4Address, port: int) -> socket.socket:
    """Return a TCP socket that listens in a network namespace.

    A socket stays in the namespace it was made in, so a server of the machine can answer pods without
    an address, a route or a firewall rule of the machine in between.

    Raises:
        SubstrateError: The namespace is gone, or the address is taken.
    """
    try:
        return inside(netns, lambda: socket.create_server((str(address), port), backlog=_BACKLOG))
    except OSError as error:
        raise SubstrateError(
            f"cannot listen on {address}:{port} in {netns}: {error}",
            remedy="another daemon of this instance may still run",
        ) from error


def connect(netns: Path, address: tuple[str, int], timeout: float) -> socket.socket:
    """Return a TCP socket that is connected from inside a network namespace.

    Raises:
        OSError: Nobody listens there, or does not answer within `timeout` seconds.
    """
    sock = inside(netns, lambda: socket.create_connection(address, timeout=timeout))
    sock.setblocking(False)
    return sock


def inside(netns: Path, function: Callable[[], T]) -> T:
    """Return what a short function returns that runs in a network namespace.

    Raises:
        OSError: The namespace cannot be entered, or the function's own.
    """
    results: list[T] = []
    errors: list[OSError] = []

    def work() -> None:
        # A thread has a network namespace of its own; this one ends with the function.
        try:
            _enter(netns)
            results.append(function())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=work, name=f"netns-{netns.name}")
    thread.start()
    thread.join()
    for error in errors:
        raise error
    return results[0]


def _enter(netns: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)
