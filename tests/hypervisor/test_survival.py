"""A server and its network go on while every container of its hypervisor is killed, deleted and replaced."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .node import Node, bootable, wait

pytestmark = [
    pytest.mark.pods,
    pytest.mark.skipif(os.geteuid() != 0, reason="the engine needs root"),
]

import components  # noqa: E402  # the charm's, found by `node`

OPENVSWITCH = "localhost:32000/daybreak/openvswitch:3.5"
LIBVIRT = "localhost:32000/daybreak/libvirt:11.3"
# Says B once, then a dot with each tick of the BIOS' clock, 18 times a second:
# mov dx,0x3f8; mov al,'B'; out dx,al; 1: sti; hlt; mov al,'.'; out dx,al; jmp 1b
TICKER = bootable([0xBA, 0xF8, 0x03, 0xB0, 0x42, 0xEE, 0xFB, 0xF4, 0xB0, 0x2E, 0xEE, 0xEB, 0xF9])
DOMAIN = """
<domain type='qemu'>
  <name>ticker</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/>
      <source file='/var/lib/nova/ticker.img'/><target dev='hda' bus='ide'/></disk>
    <interface type='bridge'><source bridge='br-int'/><virtualport type='openvswitch'/>
      <model type='e1000'/><rom enabled='no'/></interface>
    <serial type='pty'><log file='/var/lib/nova/console.log' append='on'/></serial>
  </devices>
</domain>
"""
SWITCH = """
ovs-vsctl --may-exist add-br br-int -- set Bridge br-int datapath_type=$(
    ovs-vsctl get Open_vSwitch . external_ids:daybreak-datapath) fail-mode=standalone
ovs-vsctl add-port br-int v0
ip address add 192.0.2.1/24 dev br-int
ip link set br-int up
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with libvirt, Open vSwitch, one server and a neighbour at its switch."""
    name = f"hv-{os.getpid() % 10000}"
    patch = pytest.MonkeyPatch()
    patch.setenv("DAYBREAK_INSTANCE", name)
    made = Node(name, tmp_path_factory.mktemp("charm"))
    try:
        made.start()
        made.apply(components.openvswitch(), OPENVSWITCH)
        made.apply(components.libvirt(certificates(tmp_path_factory.mktemp("tls")), "hv"), LIBVIRT)
        neighbour(made)
        made.inside("ovs-vswitchd", "sh", "-ec", SWITCH)
        (made.tree / "var/lib/daybreak-hypervisor/nova/ticker.img").write_bytes(TICKER)
        domain = made.tree / "var/lib/daybreak-hypervisor/nova/ticker.xml"
        domain.write_text(DOMAIN)
        virsh(made, "create", "/var/lib/nova/ticker.xml")
        wait(lambda: ticks(made) > 0, what="the server does not run")
        yield made
    finally:
        made.remove()
        patch.undo()


def neighbour(node: Node) -> None:
    """A network namespace with a cable to the node."""
    own, its = f"db-{node.name}.node.node-0", f"db-{node.name}.peer"
    for line in (
        f"netns add {its}",
        f"-n {own} link add v0 type veth peer name eth0 netns {its}",
        f"-n {own} link set v0 up",
        f"-n {its} address add 192.0.2.2/24 dev eth0",
        f"-n {its} link set eth0 up",
    ):
        subprocess.run(["ip", *line.split()], check=True)


def certificates(directory: Path) -> dict[str, str]:
    """A certificate and its authority, as the charm's files."""
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    signed = ("-CA", "ca", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE")
    named = ("-addext", "subjectAltName=DNS:node-0")
    for words in (
        ("-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca"),
        ("-subj", "/CN=hv", *signed, *named, "-keyout", "key", "-out", "crt"),
    ):
        subprocess.run(["openssl", *new, *words], check=True, capture_output=True, cwd=directory)
    return {
        name: (directory / file).read_text()
        for name, file in (("tls.key", "key"), ("tls.crt", "crt"), ("ca.pem", "ca"))
    }


def virsh(node: Node, *words: str) -> str:
    """Ask libvirt."""
    return node.inside("libvirtd", "virsh", "--connect", components.SOCKET, *words)


def console(node: Node) -> str:
    """What the server has written."""
    path = node.tree / "var/lib/daybreak-hypervisor/nova/console.log"
    return path.read_text(errors="replace") if path.exists() else ""


def ticks(node: Node) -> int:
    """Dots that the server has written."""
    return console(node).count(".")


ECHO = """
import socket
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end.bind(("192.0.2.2", 7))
while True:
    end.sendto(*end.recvfrom(99))
"""
ASK = """
import select, socket, sys
asked = answered = 0
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end.settimeout(0.5)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    asked += 1
    end.sendto(b"%d" % asked, ("192.0.2.2", 7))
    try:
        while end.recv(99) != b"%d" % asked:
            pass
        answered += 1
    except TimeoutError:
        pass
print(asked, asked - answered)
"""


class Questions:
    """Asks the neighbour ten times a second, through the switch."""

    def __init__(self, node: Node) -> None:
        self._echo = self._python(f"db-{node.name}.peer", ECHO)
        self._ask = self._python(f"db-{node.name}.node.node-0", ASK)

    @staticmethod
    def _python(network: str, program: str) -> subprocess.Popen[str]:
        argv = ["nsenter", f"--net=/run/netns/{network}", sys.executable, "-c", program]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self) -> tuple[int, int]:
        """Return how often it asked and how often there was no answer."""
        said, _ = self._ask.communicate("", timeout=10)
        self._echo.kill()
        self._echo.communicate()
        asked, lost = said.split()
        return int(asked), int(lost)


OUTLIVE = ("qemu-system-x86_64", "virtlogd", "ovs-vswitchd", "ovsdb-server")


def test_the_server_does_not_notice_the_end_of_any_container(node: Node) -> None:
    before = {name: node.process(name) for name in OUTLIVE}
    questions = Questions(node)

    for _, container, pid in node.containers():
        os.kill(pid, signal.SIGKILL)
        restarted(node, container, pid)
    for pod in node.pods():
        node.delete(pod["metadata"]["name"])
        wait(
            lambda uid=pod["metadata"]["uid"]: all(
                item["metadata"]["uid"] != uid for item in node.pods()
            )
        )
    for component in ("openvswitch", "libvirt"):
        node.settle(component)

    counted = ticks(node)
    wait(lambda: ticks(node) > counted + 20, what="the server does not tick any more")
    asked, lost = questions.end()
    assert {name: node.process(name) for name in OUTLIVE} == before
    assert console(node).count("B") == 1
    assert asked > 50
    assert lost == 0
    # Its new libvirt knows it and commands it.
    assert "running" in virsh(node, "domstate", "ticker")
    virsh(node, "suspend", "ticker")
    quiet = ticks(node)
    time.sleep(0.5)
    assert ticks(node) <= quiet + 1
    virsh(node, "resume", "ticker")
    wait(lambda: ticks(node) > quiet + 5)


def test_libvirt_remembers_what_qemu_can(node: Node) -> None:
    """A device that it can open and QEMU cannot lets it ask QEMU in every call."""

    def asked() -> str:
        virsh(node, "domcapabilities")
        return node.inside(
            "libvirtd", "sh", "-c", "stat -c '%n %i %.Z' /var/cache/libvirt/qemu/capabilities/*"
        )

    assert asked() == asked()


def test_another_image_replaces_nothing_by_itself(node: Node) -> None:
    before = {name: node.process(name) for name in OUTLIVE}
    pods = {item["metadata"]["uid"] for item in node.pods()}
    component = components.openvswitch()
    first = component.containers[0]
    changed = dataclasses.replace(
        component, containers=(dataclasses.replace(first, period=9), *component.containers[1:])
    )
    node.apply(changed, OPENVSWITCH)
    assert {item["metadata"]["uid"] for item in node.pods()} == pods
    assert {name: node.process(name) for name in OUTLIVE} == before


def test_a_daemon_that_dies_is_started_again(node: Node) -> None:
    server = node.process("qemu-system-x86_64")
    for name in ("libvirtd", "ovsdb-server", "ovs-vswitchd"):
        before = node.process(name)
        os.kill(before[0], signal.SIGKILL)
        wait(lambda name=name, before=before: began(node, name) not in (None, before))
    for component in ("openvswitch", "libvirt"):
        node.settle(component)
    assert node.process("qemu-system-x86_64") == server
    assert "running" in virsh(node, "domstate", "ticker")
    questions = Questions(node)
    time.sleep(2)
    asked, lost = questions.end()
    assert asked > lost


def began(node: Node, name: str) -> tuple[int, str] | None:
    """The process of a name, None when there is none."""
    try:
        return node.process(name)
    except AssertionError:
        return None


def restarted(node: Node, container: str, pid: int) -> None:
    """Wait until a container runs again as another process."""

    def done() -> bool:
        return any(name == container and now != pid for _, name, now in node.containers())

    wait(done, what=f"{container} was not restarted")
