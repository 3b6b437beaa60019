"""A first server, and what it does not notice: the loss of the control plane, of each container of its hypervisor.

The tests are one course and run in their order. DAYBREAK_TEST_LOST is for how many seconds the control plane is away.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ..clouds import (
    PROGRAMS,
    ROOT,
    Account,
    Cloud,
    eventually,
    issues_tokens,
    podman,
    program,
    variant,
)
from ..pods import containers
from .conftest import BUNDLE
from .guest import Guest, demo, overview

RESULTS = ROOT / ".daybreak/results/openstack.json"
LOST_SECONDS = float(os.environ.get("DAYBREAK_TEST_LOST", "60"))
NODE = ("hypervisor-", "cinder-volume-agent-", "node.")
"""Beginnings of names of containers that are a node's, or carry what runs on it."""
HYPERVISOR = (
    "nova-compute",
    "neutron-ovn-agent",
    "ovn-controller",
    "libvirtd",
    "virtlogd",
    "ovsdb-server",
    "ovs-vswitchd",
)

AGENTS = ("ovn-controller", "nova-compute", "neutron-ovn-agent")
COMPONENTS = {
    "openvswitch": ("ovsdb-server", "ovs-vswitchd"),
    "libvirt": ("virtlogd", "libvirtd"),
    **{name: (name,) for name in AGENTS},
}
"""The hypervisor's containers by the component that they are replaced with."""

pytestmark = pytest.mark.cloud


@pytest.fixture(scope="module")
def account(cloud: Cloud) -> Account:
    return cloud.account()


def status(cloud: Cloud) -> dict[str, dict[str, str]]:
    """Return what `daybreak status` says of services and agents, by name."""
    found = overview(cloud)
    return {one["name"]: one for key in ("services", "agents") for one in found[key]}


def test_a_server_has_an_address_metadata_and_a_volume(cloud: Cloud, guest: Guest):
    assert guest.pings()
    log = guest.run("ip -4 address show eth0; hostname; ls /dev/vdb; cat /sys/block/vdb/size")
    assert "inet " in log
    # Its name comes from the metadata.
    assert "demo" in log
    assert "/dev/vdb" in log


def test_a_second_demo_finds_the_first(cloud: Cloud, guest: Guest):
    again = demo(cloud)

    assert (again["server"], again["address"], again["volume"]) == (
        guest.server,
        guest.address,
        guest.volume,
    )


def test_status_shows_every_service_as_its_users_see_it(cloud: Cloud, guest: Guest):
    found = status(cloud)

    assert {"identity", "image", "placement", "network", "compute", "block-storage"} <= set(found)
    assert {"nova-compute", "neutron-ovn-agent", "ovn-controller", "cinder-volume"} <= set(found)
    assert {one["state"] for one in found.values()} == {"up"}


@pytest.mark.parametrize("name", HYPERVISOR)
def test_a_container_of_the_hypervisor_is_killed(cloud: Cloud, guest: Guest, name: str):
    """The server runs on, its connection stands, and the container comes back."""
    called, pid = next((k, v) for k, v in containers(cloud).items() if k.endswith(f"-{name}"))
    began, uptime = time.monotonic(), guest.uptime

    os.kill(pid, signal.SIGKILL)
    eventually(lambda: containers(cloud).get(called, pid) != pid, f"{name} runs again", 120)
    eventually(guest.pings, "the server answers", 30)

    assert guest.stream.alive
    assert guest.uptime > uptime
    assert guest.stream.longest_silence(began) < 30


def test_a_servers_device_that_is_down_is_brought_up(cloud: Cloud, guest: Guest):
    """As a switch in user space can leave it, see `vswitchd.sh`."""
    switch = next(pid for k, pid in containers(cloud).items() if k.endswith("-ovs-vswitchd"))
    ip = ("nsenter", f"--net=/proc/{switch}/ns/net", "ip")
    devices = json.loads(subprocess.check_output([*ip, "-json", "link", "show", "type", "tun"]))
    taps = [device["ifname"] for device in devices if device["ifname"].startswith("tap")]
    assert taps
    for tap in taps:
        subprocess.run([*ip, "link", "set", tap, "down"], check=True)

    eventually(guest.pings, "the server answers", 30)
    assert guest.stream.alive


def running(cloud: Cloud, component: str) -> dict[str, int]:
    """Return the containers of a component of the hypervisor, and their process 1."""
    ends = tuple(f"-{name}" for name in COMPONENTS[component])
    found = containers(cloud)
    return {k: pid for k, pid in found.items() if k.startswith("hypervisor-") and k.endswith(ends)}


def replaced(cloud: Cloud, component: str, before: dict[str, int]) -> bool:
    """Whether all containers of a component are new, and run."""
    after = running(cloud, component)
    return len(after) == len(before) and not set(after.values()) & set(before.values())


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_pod_of_the_hypervisor_is_deleted(cloud: Cloud, guest: Guest, name: str):
    """As an operator does who wants a new one."""
    before = running(cloud, name)
    assert len(before) == len(COMPONENTS[name])
    began, uptime = time.monotonic(), guest.uptime

    said = cloud.juju.run("hypervisor/leader", "replace-pods", {"component": name}).results
    assert f"hypervisor-{name}-" in said["pods"]
    eventually(lambda: replaced(cloud, name, before), "all its containers are new", 180, 1)
    cloud.settle("hypervisor")
    eventually(guest.pings, "the server answers", 30)

    assert guest.stream.alive
    assert guest.uptime > uptime
    assert guest.stream.longest_silence(began) < 30


def test_the_hypervisor_is_refreshed(cloud: Cloud, guest: Guest, tmp_path: Path):
    """Agents are replaced by themselves, libvirt and the switch are not."""
    path = "src/node/nova-compute.sh"
    program = (ROOT / "charms/hypervisor-k8s" / path).read_text() + "# another revision\n"
    charm = variant(tmp_path, "hypervisor-k8s", {path: program})
    before = {name: running(cloud, name) for name in COMPONENTS}
    began, uptime = time.monotonic(), guest.uptime

    cloud.juju.refresh("hypervisor", path=charm)
    for name in AGENTS:
        what = f"{name} is replaced"
        eventually(lambda name=name: replaced(cloud, name, before[name]), what, 300, 1)
    cloud.settle("hypervisor")
    for name in set(COMPONENTS) - set(AGENTS):
        assert running(cloud, name) == before[name]

    assert guest.stream.alive
    assert guest.uptime > uptime
    assert guest.stream.longest_silence(began) < 30


def test_the_control_plane_is_lost(cloud: Cloud, account: Account, guest: Guest):
    """Every API, database and queue is away; the server, its network, its disk and its lease go on."""
    assert cloud.instance
    guest.run(
        "mkdir -p /mnt/v && (grep -q /mnt/v /proc/mounts || (mke2fs -q /dev/vdb && mount /dev/vdb /mnt/v))"
    )
    lost = [name for name in containers(cloud) if not name.startswith(NODE)]
    assert any(name.startswith("mariadb-0") for name in lost)
    began, uptime = time.monotonic(), guest.uptime

    program(PROGRAMS / "daybreak-engine", "stop", instance=cloud.instance)
    try:
        names = [f"db-{cloud.instance}-{name}" for name in lost]
        podman(cloud.instance, "stop", "--time", "10", *names, timeout=180)
        assert not issues_tokens(account)
        pings: list[bool] = []
        until = time.monotonic() + LOST_SECONDS
        number = 0
        while time.monotonic() < until:
            pings.append(guest.pings())
            number += 1
            guest.run(
                f"echo {number} > /mnt/v/number && sync && kill -USR1 $(cat /run/udhcpc.eth0.pid)"
            )
            time.sleep(1)
        assert all(pings), f"{pings.count(False)} of {len(pings)} pings failed"
        assert guest.run("cat /mnt/v/number").strip() == str(number)
    finally:
        back = time.monotonic()
        program(
            *(PROGRAMS / "python", "-m", "daybreak", "bootstrap", "--bundle", BUNDLE),
            instance=cloud.instance,
        )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    seconds = {"lost": round(back - began), "back after": round(time.monotonic() - back)}
    RESULTS.write_text(json.dumps({**seconds, "pings": len(pings)}) + "\n")

    assert issues_tokens(account)
    assert guest.stream.alive
    assert guest.uptime > uptime
    assert guest.stream.longest_silence(began) < 10
    eventually(
        lambda: {one["state"] for one in status(cloud).values()} == {"up"},
        "all is up again",
        300,
        5,
    )
