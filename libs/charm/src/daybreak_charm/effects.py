"""The edges of the loop that are not Juju: time, probes, database connections.

A charm's tests replace them (see `daybreak_charm.testing`); everything else in the library is a
function of
what Juju and Pebble say.
"""

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ops

    from daybreak_charm.description import Check, DatabaseAddress


class Connection(Protocol):
    """A database connection, as far as the library uses one."""

    def query(self, sql: str, *args: object) -> list[tuple[object, ...]]:
        """Rows of a SELECT."""
        ...

    def execute(self, sql: str, *args: object) -> int:
        """Number of rows that a statement changed; it is committed."""
        ...


class DatabaseUnreachableError(Exception):
    """The database did not accept a connection, or refused a statement for its own state; it may later.

    Attributes:
        said: What the server said of its state, such as a disk that is full; empty when it said nothing.
    """

    def __init__(self, text: str, said: str = ""):
        super().__init__(text)
        self.said = said


def probe(check: "Check", container: "ops.Container") -> bool:
    """Ask a check's question once, now; the charm shares the network of its containers."""
    if check.http:
        where = urlsplit(check.http)
        kind = http.client.HTTPConnection if where.scheme == "http" else http.client.HTTPSConnection
        try:
            connection = kind(where.hostname or "127.0.0.1", where.port, timeout=2)
            connection.request("GET", where.path or "/")
            return 200 <= connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
    if check.tcp:
        try:
            socket.create_connection(("127.0.0.1", check.tcp), timeout=2).close()
        except OSError:
            return False
        return True
    from ops import pebble

    try:
        container.exec(["/bin/sh", "-c", check.command or "true"], timeout=5).wait_output()
    except (pebble.Error, TimeoutError):
        return False
    return True


def settled(container: "ops.Container", name: str) -> bool:
    """Whether Pebble is through with stopping and starting a process."""
    from ops import pebble

    return not container.pebble.get_changes(pebble.ChangeState.IN_PROGRESS, name)


def look_now(container: "ops.Container", check: str) -> bool:
    """Have Pebble make a check at once, whatever its period.

    Returns:
        Whether Pebble can do that (since 1.20).
    """
    from ops import pebble

    try:
        container.exec(["/charm/bin/pebble", "check", check, "--refresh"], timeout=5).wait_output()
    except (pebble.Error, TimeoutError):
        return False
    return True


def connect(address: "DatabaseAddress") -> AbstractContextManager[Connection]:
    """Open a connection to a MySQL-protocol database.

    Raises:
        DatabaseUnreachableError: It refused or did not answer within 5 s.
    """
    from daybreak_charm import mysql

    return mysql.connect(address)


def kubernetes(
    method: str, path: str, body: Mapping[str, Any] | None = None, kind: str = "application/json"
) -> dict[str, Any]:
    """Ask the API server of the cluster; see `daybreak_charm.kube.request`."""
    from daybreak_charm import kube

    return kube.request(method, path, body, kind)


@dataclass(frozen=True)
class Effects:
    """What the loop does besides calling Juju and Pebble.

    Attributes:
        now: Seconds since the epoch.
        sleep: Waits so many seconds.
        probe: Asks a check's question once.
        settled: Whether nothing is stopping or starting a process.
        look_now: Makes a check at once; whether that is possible.
        connect: Opens a database connection.
        kubernetes: Asks the API server of the cluster.
        owner: User and group of a listed file; None where they cannot be known.
    """

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    probe: "Callable[[Check, ops.Container], bool]" = probe
    settled: "Callable[[ops.Container, str], bool]" = settled
    look_now: "Callable[[ops.Container, str], bool]" = look_now
    connect: "Callable[[DatabaseAddress], AbstractContextManager[Connection]]" = connect
    kubernetes: Callable[..., dict[str, Any]] = kubernetes
    owner: "Callable[[ops.pebble.FileInfo], tuple[str | None, str | None]]" = lambda info: (
        info.user,
        info.group,
    )
