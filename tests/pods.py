"""Behind the engine: the processes of an instance's pods, for faults that no `juju` command makes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .clouds import PROGRAMS, Cloud, podman, program


@dataclass(frozen=True)
class Process:
    """One process, told from a later one with the same number by when it began."""

    pid: int
    started: str
    command: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return process(self.pid) == self


def process(pid: int) -> Process | None:
    """Return a running process; None when there is none, or only its exit status is left."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return None
    state, *fields = line.rpartition(")")[2].split()
    return None if state == "Z" else Process(pid, fields[18], command.strip())


def children(pid: int) -> Iterator[Process]:
    """Yield all processes below one."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found = process(int(child))
            if found is not None:
                yield found
                yield from children(found.pid)


def _instance(cloud: Cloud) -> str:
    assert cloud.instance, "this looks behind the engine"
    return cloud.instance


def containers(cloud: Cloud) -> dict[str, int]:
    """Return the running containers of an instance, such as `keystone-0-charm`, and their process 1."""
    instance = _instance(cloud)
    listed = json.loads(podman(instance, "ps", "--format", "json"))
    return {
        name.removeprefix(f"db-{instance}-"): entry["Pid"]
        for entry in listed
        for name in entry["Names"]
        if name.startswith(f"db-{instance}-")
    }


def paths(cloud: Cloud) -> dict[str, str]:
    """Return where the engine keeps what belongs to an instance."""
    return json.loads(program(PROGRAMS / "daybreak-engine", "paths", instance=_instance(cloud)))


def peer(path: str) -> int | None:
    """Return the process behind a unix socket, without asking it for anything."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little")


def kill(cloud: Cloud, unit: str) -> None:
    """End everything of a unit's pod at once with SIGKILL."""
    for name, pid in containers(cloud).items():
        if name.startswith(f"{unit.replace('/', '-')}-"):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def frozen(cloud: Cloud) -> Iterator[None]:
    """Stop the engine's daemon without ending it, so that nothing starts another one."""
    here = paths(cloud)
    stopped = [
        pid
        for pid in (peer(f"{here['supervisor']}/.pebble.socket"), peer(here["daemon_socket"]))
        if pid
    ]
    assert len(stopped) == 2, "supervisor and daemon run"
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)
