"""Nodes: what stands for a machine of a cluster on this one.

A node is a container with namespaces of its own (network, processes, host name, IPC, control
groups) and a file tree. Pods that ask for the host's get those of the node, so that what they leave
running, mounted or written is the node's, and is gone with it: the end of the container's process 1
is the end of the node. The machine's own network and control groups are never touched.

Besides its way into the instance (``eth0``, with an address) a node has a link to a physical
network (``eth1``, without one). All of these meet at a bridge in the router's namespace, which has
the address `addresses.Plan.external_gateway`: the way of the machine to what a node has there.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ..instance import Instance, short_hash
from . import network
from .command import run
from .errors import SubstrateError
from .specs import ContainerSpec, Mount, PodSpec

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from . import addresses

CONTAINER = "node"
_BRIDGE = "external"
_PHYSICAL = "eth1"
# Emptied when a node starts, as on a machine.
_VOLATILE = "run"
_MODULES = Path("/lib/modules")


def unit(name: str) -> str:
    """Return the name by which pods of the substrate know a node; no unit has it."""
    return f"node.{name}"


def root(instance: Instance, name: str) -> Path:
    """Return the file tree of a node."""
    return instance.nodes / name


def on_machine(tree: Path, path: str) -> Path | None:
    """Return where a path of a node is on this machine.

    None for what every privileged container has from its namespaces: processes, devices of the
    network, control groups.
    """
    top = path.rstrip("/") + "/"
    if top.startswith(("/proc/", "/sys/")):
        return None
    if top.startswith("/dev/") or (top.startswith(f"{_MODULES}/") and _MODULES.exists()):
        return Path(path)
    return tree / path.lstrip("/")


def spec(instance: Instance, name: str, image: str) -> PodSpec:
    """Return the container that is a node; its process 1 only waits and reaps."""
    return PodSpec(
        unit=unit(name),
        hostname=name,
        netns=network.NETNS_DIRECTORY / instance.pod_netns(unit(name)),
        containers=(
            ContainerSpec(
                name=CONTAINER,
                image=image,
                argv=("/charm/bin/pebble", "run", "--create-dirs", "--hold"),
                mounts=(Mount(instance.pebble, "/charm/bin/pebble", read_only=True),),
                # A group of its own, at whose top its pods see themselves.
                namespaces={"cgroup": 0},
                # Which devices a group may use is at most what the group above it may.
                privileged=True,
                uid=0,
            ),
        ),
    )


async def prepare(
    instance: Instance, plan: addresses.Plan, name: str, address: IPv4Address
) -> None:
    """Make network and file tree of a node whose container does not run."""
    await network.ensure_pod(instance, plan, unit(name), address)
    await _join_physical(instance, plan, name)
    tree = root(instance, name)
    await _unmount(tree)
    shutil.rmtree(tree / _VOLATILE, ignore_errors=True)
    for directory in ("etc", "lib/modules", _VOLATILE, "var/lib", "var/log"):
        (tree / directory).mkdir(parents=True, exist_ok=True)
    # A mount of its own, so that what pods mount below becomes visible to the node's other pods.
    await run("mount", "--bind", str(tree), str(tree))
    await run("mount", "--make-shared", str(tree))


async def remove(instance: Instance, name: str) -> None:
    """Remove the file tree of a node whose container is gone.

    Raises:
        SubstrateError: Something is still mounted there; nothing was removed.
    """
    tree = root(instance, name)
    await _unmount(tree)
    if tree.exists():
        shutil.rmtree(tree)


async def remove_all(instance: Instance) -> None:
    """Remove the file trees of all nodes; their containers are gone."""
    if instance.nodes.exists():
        for tree in sorted(instance.nodes.iterdir()):
            await remove(instance, tree.name)


async def _join_physical(instance: Instance, plan: addresses.Plan, name: str) -> None:
    """Give a node its link to the physical network, and that its bridge."""
    router = ("ip", "-n", instance.netns)
    if (await run(*router, "link", "show", _BRIDGE, check=False)).code != 0:
        await run(*router, "link", "add", _BRIDGE, "type", "bridge")
    gateway = f"{plan.external_gateway}/{plan.external.prefixlen}"
    await run(*router, "address", "replace", gateway, "dev", _BRIDGE)
    await run(*router, "link", "set", _BRIDGE, "up")
    netns, link = instance.pod_netns(unit(name)), f"x{short_hash(unit(name), length=12)}"
    if (await run("ip", "-n", netns, "link", "show", _PHYSICAL, check=False)).code != 0:
        await run(*router, "link", "delete", link, check=False)
        await run(
            *(*router, "link", "add", link, "type", "veth"),
            *("peer", "name", _PHYSICAL, "netns", netns),
        )
    await run(*router, "link", "set", link, "master", _BRIDGE, "up")
    await run("ip", "-n", netns, "link", "set", _PHYSICAL, "up")


async def _unmount(tree: Path) -> None:
    """Unmount a file tree with all that is mounted below it, the last first."""
    for point in reversed(_mounted(tree)):
        await run("umount", point, check=False)
    for point in reversed(_mounted(tree)):
        # Busy: whoever has it open keeps it, but nothing leads there any more.
        await run("umount", "--lazy", point, check=False)
    left = _mounted(tree)
    if left:
        raise SubstrateError(
            f"{left[0]} cannot be unmounted",
            remedy="see who holds it: `fuser -vm PATH`; nothing below was removed",
        )


def _mounted(tree: Path) -> list[str]:
    """Return what is mounted at or below a directory, in the order of mounting."""
    found: list[str] = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point == str(tree) or point.startswith(f"{tree}/"):
            found.append(point)
    return found
