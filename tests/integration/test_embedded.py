"""Faults of the engine's own parts: each is killed with SIGKILL, and heals with no command."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ..clouds import Account, Cloud, eventually, issues_tokens
from ..pods import Process, children, containers, paths, peer, process

pytestmark = pytest.mark.embedded

SERVICES = ("mariadb", "memcached", "keystone", "gateway")


def _heals(cloud: Cloud, account: Account, victim: Process) -> None:
    eventually(lambda: not victim.alive, f"{victim.command} is dead", timeout=10)
    eventually(lambda: issues_tokens(account), "tokens are issued again", timeout=90)
    cloud.settle(timeout=120)


@pytest.mark.parametrize("application", SERVICES)
def test_each_process_of_a_workload_comes_back(settled: Cloud, account: Account, application: str):
    names = [n for n in containers(settled) if n.startswith(f"{application}-0-")]
    workloads = [name for name in names if not name.endswith("-charm")]
    assert workloads, names
    for name in workloads:
        kinds = {p.command for p in children(containers(settled)[name])}
        assert kinds, f"{name} runs nothing"
        for kind in sorted(kinds):
            victim = next(
                (p for p in children(containers(settled)[name]) if p.command == kind), None
            )
            if victim is None:
                continue  # it ended with one killed before it, and came back under another name
            os.kill(victim.pid, signal.SIGKILL)
            _heals(settled, account, victim)


@pytest.mark.parametrize("application", [*SERVICES, "certificates"])
def test_each_container_comes_back(settled: Cloud, account: Account, application: str):
    for name in [n for n in containers(settled) if n.startswith(f"{application}-0-")]:
        victim = process(containers(settled)[name])
        assert victim is not None
        os.kill(victim.pid, signal.SIGKILL)
        eventually(
            lambda name=name, dead=victim.pid: containers(settled).get(name, dead) != dead,
            f"container {name} runs again",
            timeout=60,
            period=1,
        )
        _heals(settled, account, victim)


def test_the_daemon_comes_back_and_pods_outlive_it(settled: Cloud, account: Account):
    sock = paths(settled)["daemon_socket"]
    pods = containers(settled)
    daemon = process(peer(sock) or 0)
    assert daemon is not None

    os.kill(daemon.pid, signal.SIGKILL)

    assert issues_tokens(account), "users need no engine"
    eventually(lambda: peer(sock) not in (None, daemon.pid), "a new daemon answers")
    settled.settle()
    assert containers(settled) == pods


def test_the_supervisor_comes_back(settled: Cloud, account: Account):
    where = paths(settled)
    sock = f"{where['supervisor']}/.pebble.socket"
    supervisor = process(peer(sock) or 0)
    assert supervisor is not None

    os.kill(supervisor.pid, signal.SIGKILL)

    eventually(lambda: peer(sock) not in (None, supervisor.pid), "a new supervisor answers")
    eventually(lambda: peer(where["daemon_socket"]), "a daemon answers")
    settled.settle()
    assert issues_tokens(account)


def test_names_resolve_again_after_the_name_server_is_killed(settled: Cloud, account: Account):
    pid = int((Path(paths(settled)["run"]) / "dnsmasq.pid").read_text())
    victim = process(pid)
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
    sock = paths(settled)["daemon_socket"]
    settled.juju.config("keystone", {"config-overrides": "token: {expiration: 4321}"})
    os.kill(peer(sock) or 0, signal.SIGKILL)

    eventually(lambda: peer(sock), "a new daemon answers")
    settled.settle()
    value = settled.juju.config("keystone")["config-overrides"]
    assert "4321" in str(value)
    assert issues_tokens(account)
