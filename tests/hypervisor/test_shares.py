"""Volumes that are files of a node: mounted by one container, opened by QEMU in another, there when both end."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

import pytest

from daybreak_charm.nodes import Component, Container, Resources, shares

from .node import Node, wait

pytestmark = [
    pytest.mark.pods,
    pytest.mark.skipif(os.geteuid() != 0, reason="the engine needs root"),
]

import components  # noqa: E402  # the charm's, found by `node`

LIBVIRT = "localhost:32000/daybreak/libvirt:11.3"
BASE = "/var/lib/nova/mnt"
POINT = f"{BASE}/0123"
SHARE = shares.local("volumes")
FOLDER = f"{shares.FOLDER}/volumes"
WAIT = "exec tail -f /dev/null\n"
SCRIPTS = {
    "keeper.sh": f"#!/bin/sh\ninstall -d {FOLDER}\ntruncate -s 8M {FOLDER}/disk\n{WAIT}",
    "mounter.sh": f"#!/bin/sh\n/opt/daybreak/shares.sh {BASE} libvirt-qemu\n{WAIT}",
}
DOMAIN = """
<domain type='qemu'>
  <name>server</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
</domain>
"""


def container(name: str, *paths: str) -> Component:
    """A component like Cinder's and Nova's: what mounts, and what has the folder."""
    made = Container(
        *(name, f"{name}.sh", (*paths, shares.FOLDER), ("test", "-d", shares.FOLDER)),
        Resources(cpu=50, memory_mb=64),
    )
    return Component(name, name, (made,), "RollingUpdate", joined=False)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with libvirt, one server, a container that keeps volumes and one that mounts them."""
    name = f"sh-{os.getpid() % 10000}"
    patch = pytest.MonkeyPatch()
    patch.setenv("DAYBREAK_INSTANCE", name)
    made = Node(name, tmp_path_factory.mktemp("charm"))
    scripts = {**made.owner.scripts, **SCRIPTS}
    made.owner = dataclasses.replace(made.owner, scripts=scripts)
    libvirt = components.libvirt(dict.fromkeys(("tls.key", "tls.crt", "ca.pem"), ""), "hv")
    conf = libvirt.files["libvirtd.conf"].replace("listen_tls = 1", "listen_tls = 0")
    try:
        made.start()
        files = {**libvirt.files, "libvirtd.conf": conf}
        made.apply(dataclasses.replace(libvirt, files=files), LIBVIRT)
        made.apply(container("keeper"), LIBVIRT)
        made.apply(container("mounter", "/var/lib/nova"), LIBVIRT)
        (made.tree / "var/lib/daybreak-hypervisor/nova/server.xml").write_text(DOMAIN)
        virsh(made, "create", "/var/lib/nova/server.xml")
        yield made
    finally:
        made.remove()
        patch.undo()


def virsh(node: Node, *words: str) -> str:
    """Ask libvirt."""
    return node.inside("libvirtd", "virsh", "--connect", components.SOCKET, *words)


def mounted(node: Node, container: str = "mounter") -> bool:
    """Whether a share is mounted, found out as Python's `os.path.ismount` does, which the drivers ask."""
    here, above = node.inside(container, "stat", "-c", "%d", POINT, BASE).split()
    return here != above


def test_a_running_server_opens_a_volume_that_another_container_mounts(node: Node) -> None:
    node.inside("mounter", "mkdir", POINT)
    assert not mounted(node)
    node.inside("mounter", "mount", "-t", "nfs", "-o", "vers=4,minorversion=2", SHARE, POINT)
    assert mounted(node)
    assert mounted(node, "libvirtd")
    virsh(node, "attach-disk", "server", f"{POINT}/disk", "vda", "--driver", "qemu")
    assert f"{POINT}/disk" in virsh(node, "domblklist", "server")


def test_it_stays_when_the_container_that_mounted_it_ends(node: Node) -> None:
    (pod,) = (item for item in node.pods() if "mounter" in item["metadata"]["name"])
    node.delete(pod["metadata"]["name"])
    uid = pod["metadata"]["uid"]
    wait(lambda: all(item["metadata"]["uid"] != uid for item in node.pods()))
    node.settle("mounter")
    assert mounted(node)
    assert "running" in virsh(node, "domstate", "server")
    assert node.inside("keeper", "stat", "-c", "%U", f"{FOLDER}/disk").strip() == "libvirt-qemu"


def test_nobody_else_of_the_node_comes_to_it(node: Node) -> None:
    assert node.inside("mounter", "stat", "-c", "%a %U", BASE).strip() == "700 libvirt-qemu"


def test_it_is_unmounted_for_everybody(node: Node) -> None:
    virsh(node, "destroy", "server")
    node.inside("mounter", "umount", POINT)
    assert not mounted(node)
    assert not mounted(node, "libvirtd")
    assert node.inside("keeper", "ls", FOLDER).split() == ["disk"]


def test_a_folder_of_another_node_is_refused(node: Node) -> None:
    said = node.inside(
        "mounter", "sh", "-c", f"mount -t nfs local:/other {POINT} 2>&1", check=False
    )
    assert "folder of another node" in said
    assert not mounted(node)
