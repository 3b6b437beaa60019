"""Faults of the engine's own parts: each is killed with SIGKILL, and heals with no command."""

from __future__ import annotations

import json
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..clouds import PROGRAMS, Account, Cloud, eventually, issues_tokens, podman, program

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.embedded

SERVICES = ("mariadb", "memcached", "keystone", "gateway")


@dataclass(frozen=True)
class Process:
    """One process, told from a later one with the same number by when it began."""

    pid: int
    started: str
    command: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return _process(self.pid) == self


def _process(pid: int) -> Process | None:
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return None
    state, *fields = line.rpartition(")")[2].split()
    return None if state == "Z" else Process(pid, fields[18], command.strip())


def _containers(cloud: Cloud) -> dict[str, int]:
    """Return the running containers of the instance: name and process id of their process 1."""
    assert cloud.instance
    listed = json.loads(podman(cloud.instance, "ps", "--format", "json"))
    return {
        name.removeprefix(f"db-{cloud.instance}-"): entry["Pid"]
        for entry in listed
        for name in entry["Names"]
        if name.startswith(f"db-{cloud.instance}-")
    }


def _children(pid: int) -> Iterator[Process]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            process = _process(int(child))
            if process is not None:
                yield process
                yield from _children(process.pid)


def _heals(cloud: Cloud, account: Account, victim: Process) -> None:
    eventually(lambda: not victim.alive, f"{victim.command} is dead", timeout=10)
    eventually(lambda: issues_tokens(account), "tokens are issued again", timeout=90)
    cloud.settle(timeout=120)


@pytest.mark.parametrize("application", SERVICES)
def test_each_process_of_a_workload_comes_back(settled: Cloud, account: Account, application: str):
    names = [n for n in _containers(settled) if n.startswith(f"{application}-0-")]
    workloads = [name for name in names if not name.endswith("-charm")]
    assert workloads, names
    for name in workloads:
        kinds = {process.command for process in _children(_containers(settled)[name])}
        assert kinds, f"{name} runs nothing"
        for kind in sorted(kinds):
            victim = next(
                (p for p in _children(_containers(settled)[name]) if p.command == kind), None
            )
            if victim is None:
                continue  # it ended with one killed before it, and came back under another name
            os.kill(victim.pid, signal.SIGKILL)
            _heals(settled, account, victim)


@pytest.mark.parametrize("application", [*SERVICES, "certificates"])
def test_each_container_comes_back(settled: Cloud, account: Account, application: str):
    for name in [n for n in _containers(settled) if n.startswith(f"{application}-0-")]:
        victim = _process(_containers(settled)[name])
        assert victim is not None
        os.kill(victim.pid, signal.SIGKILL)
        eventually(
            lambda name=name, dead=victim.pid: _containers(settled).get(name, dead) != dead,
            f"container {name} runs again",
            timeout=60,
            period=1,
        )
        _heals(settled, account, victim)


def _paths(cloud: Cloud) -> dict[str, str]:
    assert cloud.instance
    return json.loads(program(PROGRAMS / "daybreak-engine", "paths", instance=cloud.instance))


def _peer(path: str) -> int | None:
    """Return the process behind a unix socket, without asking it for anything."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little")


def test_the_daemon_comes_back_and_pods_outlive_it(settled: Cloud, account: Account):
    sock = _paths(settled)["daemon_socket"]
    pods = _containers(settled)
    daemon = _process(_peer(sock) or 0)
    assert daemon is not None

    os.kill(daemon.pid, signal.SIGKILL)

    assert issues_tokens(account), "users need no engine"
    eventually(lambda: _peer(sock) not in (None, daemon.pid), "a new daemon answers")
    settled.settle()
    assert _containers(settled) == pods


def test_the_supervisor_comes_back(settled: Cloud, account: Account):
    paths = _paths(settled)
    sock = f"{paths['supervisor']}/.pebble.socket"
    supervisor = _process(_peer(sock) or 0)
    assert supervisor is not None

    os.kill(supervisor.pid, signal.SIGKILL)

    eventually(lambda: _peer(sock) not in (None, supervisor.pid), "a new supervisor answers")
    eventually(lambda: _peer(paths["daemon_socket"]), "a daemon answers")
    settled.settle()
    assert issues_tokens(account)


def test_names_resolve_again_after_the_name_server_is_killed(settled: Cloud, account: Account):
    pid = int((Path(_paths(settled)["run"]) / "dnsmasq.pid").read_text())
    victim = _process(pid)
    assert victim is not None

    os.kill(pid, signal.SIGKILL)

    eventually(lambda: not victim.alive, "the name server is dead", timeout=10)
    eventually(lambda: "1" in _resolves(settled), "a unit resolves the database's name", timeout=30)
    assert issues_tokens(account)


def _resolves(cloud: Cloud) -> str:
    code = (
        "import socket\n"
        "try: print(len(socket.getaddrinfo('mariadb', 3306, type=socket.SOCK_STREAM)))\n"
        "except OSError: print('none')"
    )
    return cloud.juju.exec("python3", "-c", code, unit="keystone/0").stdout


def test_a_daemon_killed_in_the_middle_of_a_change_goes_on(settled: Cloud, account: Account):
    sock = _paths(settled)["daemon_socket"]
    settled.juju.config("keystone", {"config-overrides": "token: {expiration: 4321}"})
    os.kill(_peer(sock) or 0, signal.SIGKILL)

    eventually(lambda: _peer(sock), "a new daemon answers")
    settled.settle()
    value = settled.juju.config("keystone")["config-overrides"]
    assert "4321" in str(value)
    assert issues_tokens(account)
