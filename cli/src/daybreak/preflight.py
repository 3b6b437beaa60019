"""What has to be true of the machine before anything is made: each check a value with a remedy."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from . import programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .places import Home, Instance

GIB = 1 << 30
_APT = "apt-get install --no-install-recommends"


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str
    level: Level
    detail: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.level is Level.OK


# program -> Debian package
PROGRAMS = {
    "podman": "podman",
    "runc": "runc",
    "conmon": "conmon",
    "ip": "iproute2",
    "nft": "nftables",
    "dnsmasq": "dnsmasq-base",
    "nsenter": "util-linux",
}
TUN = Path("/dev/net/tun")
BUILD_PROGRAMS = {"mmdebstrap": "mmdebstrap"}


def is_root() -> bool:
    """Whether this process may make containers and networks."""
    return os.geteuid() == 0


def machine(instance: Instance, place: Home, memory: int) -> Iterator[Finding]:
    """Yield what running a cloud needs of the machine; all findings, also after an error.

    Args:
        instance: The instance to run.
        place: Where this program's companions are installed.
        memory: Bytes that the bundle's containers need.
    """
    yield _root()
    yield _programs(PROGRAMS)
    yield _installed(place)
    yield from _memory(memory)
    yield _disk(instance, 1)
    if is_root():
        yield _namespaces()
    yield from _addresses(instance)


def tunnels(device: Path = TUN) -> Finding:
    """Whether servers can be connected to a switch: each of them, and the switch itself, opens this device."""
    try:
        with device.open("r+b", buffering=0):
            return Finding("tunnels", Level.OK, f"{device} can be opened")
    except OSError as error:
        return Finding(
            "tunnels",
            Level.ERROR,
            f"{device} cannot be opened, so servers get no network: {error.strerror}",
            f"On a machine: modprobe tun. In a container: give it the device, such as --device {device}.",
        )


def running(instance: Instance, servers: bool) -> Iterator[Finding]:
    """Yield what a cloud that runs needs of the machine all the while.

    Args:
        instance: Which.
        servers: Whether its servers run here.
    """
    yield from _addresses(instance)
    if servers:
        yield tunnels()


def building(instance: Instance, images: int) -> Iterator[Finding]:
    """Yield what building this many images needs besides."""
    yield _programs(BUILD_PROGRAMS)
    yield _disk(instance, 1 + images)
    yield _network()


def _root() -> Finding:
    if is_root():
        return Finding("root", Level.OK, "running as root")
    return Finding(
        "root",
        Level.ERROR,
        "containers and networks need root",
        "Run the command as root, or through sudo: sudo ./daybreak bootstrap",
    )


def _search_path() -> str:
    # a login shell of an ordinary user has no sbin, and sudo or su may keep it so
    return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


def _programs(needed: Mapping[str, str]) -> Finding:
    path = _search_path() + ":/usr/libexec/podman:/usr/lib/podman"
    missing = {
        name: package for name, package in needed.items() if not shutil.which(name, path=path)
    }
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        return Finding(
            "programs",
            Level.ERROR,
            "missing: " + ", ".join(sorted(missing)),
            f"Run ./daybreak as root, which installs them, or: {_APT} {packages}",
        )
    return Finding("programs", Level.OK, ", ".join(needed))


def _installed(place: Home) -> Finding:
    missing = [
        name
        for name in ("juju", "daybreak-engine", "openstack")
        if not place.program(name).exists()
    ]
    if missing:
        return Finding(
            "own programs",
            Level.ERROR,
            f"not installed in {place.programs}: " + ", ".join(missing),
            "Start the command as ./daybreak from the checkout; it installs what is missing.",
        )
    return Finding("own programs", Level.OK, "juju, daybreak-engine, openstack")


def _memory(needed: int) -> Iterator[Finding]:
    meminfo = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text() if meminfo.exists() else "")
    if not found:
        return
    available = int(found[1]) * 1024
    if available < needed:
        yield Finding(
            "memory",
            Level.ERROR,
            f"{_gib(available)} available, {_gib(needed)} needed",
            "End other programs or give the machine more memory.",
        )
    else:
        yield Finding("memory", Level.OK, f"{_gib(available)} available")


def _disk(instance: Instance, gibibytes: int) -> Finding:
    needed = gibibytes * GIB
    place = _existing(instance.cache)
    free = shutil.disk_usage(place).free
    if free < needed:
        return Finding(
            "disk",
            Level.ERROR,
            f"{_gib(free)} free below {place}, {_gib(needed)} needed",
            "Free some space, or let DAYBREAK_CACHE name a directory on another disk.",
        )
    return Finding("disk", Level.OK, f"{_gib(free)} free below {place}")


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _namespaces() -> Finding:
    # One call proves both: a new network namespace, and nftables working in it.
    output = programs.capture(
        [
            "unshare",
            "--net",
            "nft",
            "add table ip daybreak;"
            " add chain ip daybreak nat { type nat hook prerouting priority -100; }",
        ],
        env={"PATH": _search_path()},
        timeout=10,
    )
    if output.ok:
        return Finding("network namespaces", Level.OK, "usable, with nftables")
    why = (output.stderr.strip().splitlines() or ["unshare or nft failed"])[0]
    return Finding(
        "network namespaces",
        Level.ERROR,
        why,
        "The machine must allow new network namespaces with nftables: in a container give it"
        " CAP_SYS_ADMIN and CAP_NET_ADMIN; on a machine load the module nf_tables.",
    )


def _addresses(instance: Instance) -> Iterator[Finding]:
    """Compare the range an existing instance keeps with the machine's other routes."""
    try:
        kept = json.loads((instance.state / "network.json").read_text())
        subnet = ipaddress.ip_network(kept["subnet"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # a new instance chooses a range that is free
    output = programs.capture(
        ["ip", "-json", "route", "show"], env={"PATH": _search_path()}, timeout=10
    )
    if not output.ok:
        return
    for route in json.loads(output.stdout or "[]"):
        if route.get("dst") in (None, "default") or str(route.get("dev", "")).startswith("dbh"):
            continue
        other = ipaddress.ip_network(route["dst"], strict=False)
        if other.overlaps(subnet):
            yield Finding(
                "addresses",
                Level.ERROR,
                f"the instance's range {subnet} overlaps the route {route['dst']}"
                f" dev {route.get('dev', '?')}",
                "Remove that route, or make the instance anew with a free range:"
                f" daybreak destroy --instance {instance.name}",
            )
            return
    yield Finding("addresses", Level.OK, f"{subnet} is free")


def _network() -> Finding:
    mirror = package_mirror(Path("/etc/apt"))
    if mirror is None:
        return Finding(
            "network", Level.WARNING, "no package source found in /etc/apt; building may fail"
        )
    try:
        with urllib.request.urlopen(mirror, timeout=10):  # noqa: S310  the machine's own source
            pass
    except urllib.error.HTTPError:
        pass  # an answer, whichever, is a network
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        return Finding(
            "network",
            Level.ERROR,
            f"images have to be built, but the package source does not answer: {why}",
            "Check the network, the proxy variables and /etc/apt/sources.list; or bring"
            " /var/cache/daybreak from a machine that has built the images.",
        )
    return Finding("network", Level.OK, "the package source answers")


def package_mirror(directory: Path) -> str | None:
    """Return the first http address of a package source below /etc/apt."""
    files = [directory / "sources.list", *sorted(directory.glob("sources.list.d/*"))]
    for path in files:
        if not path.is_file():
            continue
        found = re.search(
            r"^(?:deb\s+(?:\[[^]]*\]\s+)?|URIs:\s*)(https?://\S+)",
            path.read_text(encoding="utf-8", errors="replace"),
            re.MULTILINE,
        )
        if found:
            return found[1]
    return None
