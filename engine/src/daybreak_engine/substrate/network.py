"""Network namespaces of an instance: one router, one namespace per pod.

The router's namespace has one link to the machine and one to each pod. Nothing is bridged: pods
have /32 addresses and reach each other through the router, so every packet passes its connection
tracking in both directions. That is why a pod sees the real address of its clients even behind a
service address. The machine gets one interface and one route; its sysctls and firewall are not
touched. Deleting the namespaces and that interface removes everything.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import signal
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..instance import Instance, unit_file_name
from . import addresses
from .command import run
from .errors import SubstrateError
from .files import write_if_changed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NETNS_DIRECTORY = Path("/run/netns")
_UPLINK = "host"
_TABLE = "daybreak"


async def reserve_subnet(instance: Instance) -> addresses.Plan:
    """Choose the instance's subnet, once: it is kept in the state directory.

    Raises:
        RefusedError: No subnet is free.
    """
    stored = load_subnet(instance)
    if stored is not None:
        return stored
    taken = await _routed() + _reserved_by_others(instance)
    plan = addresses.Plan(addresses.choose_subnet(instance.name, taken))
    instance.state.mkdir(parents=True, exist_ok=True)
    write_if_changed(instance.network_file, json.dumps({"subnet": str(plan.subnet)}) + "\n")
    return plan


def load_subnet(instance: Instance) -> addresses.Plan | None:
    """Return the stored subnet, None before `reserve_subnet`."""
    try:
        text = instance.network_file.read_text()
    except FileNotFoundError:
        return None
    return addresses.Plan(ipaddress.IPv4Network(json.loads(text)["subnet"]))


async def ensure_router(instance: Instance, plan: addresses.Plan) -> None:
    """Make the router's namespace and the machine's link to it; repairs what is half there.

    Raises:
        CommandError: `ip` refused (usually: not root).
    """
    await _ensure_netns(instance.netns)
    await _ip(instance.netns, "link", "set", "lo", "up")
    # On lo, so that every pod reaches it on its own link.
    await _ip(instance.netns, "address", "replace", f"{plan.gateway}/32", "dev", "lo")
    # A namespace's forwarding is its own; the machine's stays as it is.
    await run(
        *_inside(instance.netns),
        *("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"),
    )
    if not await _has_link(instance.netns, _UPLINK):
        await run("ip", "link", "delete", instance.host_interface, check=False)
        await _ip(
            None,
            *("link", "add", instance.host_interface, "type", "veth"),
            *("peer", "name", _UPLINK, "netns", instance.netns),
        )
    await _ip(instance.netns, "link", "set", _UPLINK, "up")
    await _ip(instance.netns, "route", "replace", f"{plan.host}/32", "dev", _UPLINK)
    await _ip(None, "link", "set", instance.host_interface, "up")
    await _ip(None, "address", "replace", f"{plan.host}/32", "dev", instance.host_interface)
    await _ip(
        None,
        *("route", "replace", str(plan.subnet), "via", str(plan.gateway)),
        *("dev", instance.host_interface, "onlink", "src", str(plan.host)),
    )


async def remove_router(instance: Instance) -> None:
    """Remove the router, all pods' namespaces and the machine's link, whatever of it exists."""
    for name in _netns_of(instance):
        await run("ip", "netns", "delete", name, check=False)
    # A process that is still inside keeps the namespace and so the link alive.
    await run("ip", "link", "delete", instance.host_interface, check=False)


async def ensure_pod(
    instance: Instance, plan: addresses.Plan, unit: str, address: IPv4Address
) -> Path:
    """Make the namespace of `unit` with a link to the router, and return its path."""
    name = instance.pod_netns(unit)
    link = instance.pod_interface(unit)
    await _ensure_netns(name)
    if not (await _has_link(name, "eth0") and await _has_link(instance.netns, link)):
        await run(*_ip_in(instance.netns), "link", "delete", link, check=False)
        await run(*_ip_in(name), "link", "delete", "eth0", check=False)
        await _ip(
            instance.netns,
            "link",
            "add",
            link,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            name,
        )
    await _batch(
        name,
        "link set lo up",
        "link set eth0 up",
        f"address replace {address}/32 dev eth0",
        f"route replace {plan.gateway} dev eth0 scope link",
        f"route replace default via {plan.gateway} src {address}",
    )
    await _batch(instance.netns, f"link set {link} up", f"route replace {address}/32 dev {link}")
    return NETNS_DIRECTORY / name


async def remove_pod(instance: Instance, unit: str) -> None:
    """Remove the namespace of `unit` and its link; nothing to do is fine."""
    if (NETNS_DIRECTORY / instance.netns).exists():
        link = instance.pod_interface(unit)
        await run(*_ip_in(instance.netns), "link", "delete", link, check=False)
    name = instance.pod_netns(unit)
    if (NETNS_DIRECTORY / name).exists():
        await run("ip", "netns", "delete", name, check=False)


# -- names


@dataclass(frozen=True)
class Host:
    """One line of the hosts file: the first name is also the answer to a reverse question."""

    address: IPv4Address
    names: tuple[str, ...]


@dataclass(frozen=True)
class PodName:
    """A pod as names know it.

    Args:
        unit: ``keystone/0`` or ``keystone-0``.
        application: ``keystone``.
        address: Its address, whether it is ready or not.
    """

    unit: str
    application: str
    address: IPv4Address


def cluster_hosts(
    model: str, pods: Iterable[PodName], services: Mapping[str, IPv4Address]
) -> tuple[Host, ...]:
    """Return the names of a model's pods and services, as Kubernetes would answer them.

    Args:
        model: Namespace.
        pods: All pods, also those that are not ready.
        services: Service address by Service name.
    """
    zone = f"{model}.svc.cluster.local"
    hosts = [
        Host(
            pod.address,
            (
                f"{unit_file_name(pod.unit)}.{pod.application}-endpoints.{zone}",
                f"{pod.application}-endpoints.{zone}",
            ),
        )
        for pod in pods
    ]
    hosts.extend(Host(address, (f"{name}.{zone}",)) for name, address in services.items())
    return tuple(sorted(hosts, key=lambda host: (host.address, host.names)))


def write_hosts(instance: Instance, hosts: Iterable[Host]) -> bool:
    """Write the hosts file atomically and make a running dnsmasq read it, if it changed.

    Returns:
        Whether it changed.
    """
    instance.run.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{host.address} {' '.join(host.names)}\n" for host in hosts)
    changed = write_if_changed(instance.hosts_file, text)
    if changed:
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int(instance.dnsmasq_pid_file.read_text()), signal.SIGHUP)
    return changed


def dnsmasq_command(instance: Instance, plan: addresses.Plan) -> tuple[str, ...]:
    """Return the command line of the instance's name server, to be kept running in the foreground.

    It answers from the hosts file only, NXDOMAIN for the rest of ``cluster.local``, and asks the
    machine's own name servers about other names (from inside the namespace, so that usually ends in
    no answer).
    """
    return (
        *_inside(instance.netns),
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--log-facility=-",
        "--user=root",
        f"--pid-file={instance.dnsmasq_pid_file}",
        "--no-hosts",
        f"--addn-hosts={instance.hosts_file}",
        "--no-resolv",
        "--local=/cluster.local/",
        f"--local=/{_reverse_zone(plan.subnet)}/",
        "--bind-interfaces",
        f"--listen-address={plan.gateway}",
        # Addresses move between pods: an answer must not outlive its pod in a client's cache.
        "--local-ttl=0",
        "--cache-size=0",
    )


def resolv_conf(model: str, plan: addresses.Plan) -> str:
    """Return the resolv.conf of a pod of `model`."""
    return (
        f"nameserver {plan.gateway}\n"
        f"search {model}.svc.cluster.local svc.cluster.local cluster.local\n"
        "options ndots:5\n"
    )


def netns_path(instance: Instance) -> Path:
    """Return the path of the router's namespace, for `setns`."""
    return NETNS_DIRECTORY / instance.netns


# -- details


def _netns_of(instance: Instance) -> list[str]:
    if not NETNS_DIRECTORY.exists():
        return []
    prefix = f"{instance.netns}."
    names = sorted(path.name for path in NETNS_DIRECTORY.iterdir())
    return [name for name in names if name == instance.netns or name.startswith(prefix)]


def _inside(netns: str) -> tuple[str, ...]:
    # Not `ip netns exec`: that remounts /sys and hides the cgroups.
    return ("nsenter", f"--net={NETNS_DIRECTORY / netns}", "--")


def _ip_in(netns: str | None) -> tuple[str, ...]:
    return ("ip",) if netns is None else ("ip", "-n", netns)


async def _ip(netns: str | None, *args: str) -> None:
    await run(*_ip_in(netns), *args, remedy="root is needed, and the package iproute2")


async def _batch(netns: str, *lines: str) -> None:
    await run(*_ip_in(netns), "-batch", "-", stdin="\n".join(lines) + "\n")


async def _ensure_netns(name: str) -> None:
    path = NETNS_DIRECTORY / name
    if path.exists():
        # Path.is_mount says no for every file (Python 3.11).
        if os.path.ismount(path):
            return
        # The file without its mount: a creation or a removal was interrupted.
        await run("ip", "netns", "delete", name, check=False)
        path.unlink(missing_ok=True)
    await _ip(None, "netns", "add", name)


async def _has_link(netns: str, name: str) -> bool:
    return (await run(*_ip_in(netns), "link", "show", name, check=False)).code == 0


async def _routed() -> list[IPv4Network]:
    """Return the networks that this machine has a route for, the default route left out."""
    result = await run("ip", "-json", "-4", "route", "show", "table", "all")
    try:
        routes: list[dict[str, Any]] = json.loads(result.stdout or "[]")
    except json.JSONDecodeError as error:
        raise SubstrateError("cannot read the routes of this machine: `ip -json route`") from error
    return [
        ipaddress.IPv4Network(route["dst"])
        for route in routes
        if route["dst"] != "default" and route.get("type") != "broadcast"
    ]


def _reserved_by_others(instance: Instance) -> list[IPv4Network]:
    return [
        IPv4Network(json.loads(path.read_text())["subnet"])
        for path in sorted(instance.state.parent.glob(f"*/{instance.network_file.name}"))
        if path != instance.network_file
    ]


def _reverse_zone(subnet: IPv4Network) -> str:
    # dnsmasq takes whole octets here; the first two of a /20 are enough, nothing else in there is
    # ours to answer.
    first, second = str(subnet.network_address).split(".")[:2]
    return f"{second}.{first}.in-addr.arpa"
