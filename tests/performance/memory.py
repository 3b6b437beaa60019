#!/usr/bin/env python3
"""Memory of each service, as the sum of its processes' proportional set sizes (PSS).

A page that several processes share counts for each with its part of it, so sums are true (proc(5), smaps_rollup).
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

GUEST = "guests"
"""What users' servers take; no part of any sum."""
# The first that is found in a command line names the service.
_NAMES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"\bqemu-system", GUEST),
        (r"/bin/conmon\b", "podman (conmon)"),
        (r"\bpebble run\b", "Pebble"),
        (r"/juju/agents/unit-|\bdispatch\b", "charms"),
        (r"\bdaybreak_engine\b|\bdnsmasq\b", "engine"),
        (r"/run/daybreak/drain\b|/daybreak/keep\.sh\b", "shells that watch"),
        (r"\bprivsep-helper\b", "privsep helpers"),
        (r"^keystone uWSGI|/keystone/\w+\.ini", "keystone"),
        (r"^glance-api uWSGI|/glance/[\w-]+\.ini", "glance-api"),
        (r"^placement uWSGI|/placement/\w+\.ini", "placement"),
        (r"^horizon uWSGI|/horizon/\w+\.ini", "horizon"),
        (r"^nova-metadata uWSGI|/nova/nova-metadata\.ini", "nova-metadata"),
        (r"^nova-api uWSGI|/nova/nova-api\.ini", "nova-api"),
        (r"^neutron uWSGI|/neutron/\w+\.ini", "neutron-api"),
        (r"^cinder(-api)? uWSGI|/cinder/[\w-]+\.ini", "cinder-api"),
        (r"\bnova-conductor\b", "nova-conductor"),
        (r"\bnova-scheduler\b", "nova-scheduler"),
        (r"\bnova-novncproxy\b", "nova-novncproxy"),
        (r"\bnova-compute\b", "nova-compute"),
        (r"\bneutron-periodic-workers\b|: Periodic worker", "neutron-periodic"),
        (r"\bneutron-ovn-maintenance|: maintenance worker", "neutron-ovn-maintenance"),
        (r"\bneutron-ovn-agent\b", "neutron-ovn-agent"),
        (r"\bcinder-scheduler\b", "cinder-scheduler"),
        (r"\bcinder-volume\b", "cinder-volume"),
        (r"\bmariadbd\b", "mariadb"),
        (r"\bbeam\.smp\b|\brabbitmq|\bepmd\b", "rabbitmq"),
        (r"\bmemcached\b", "memcached"),
        (r"\bhaproxy\b.*/daybreak\.cfg", "proxy of the database"),
        (r"\bhaproxy\b.*\b(ovnmeta|ovn-metadata-proxy)\b", "proxies of metadata"),
        (r"\bhaproxy\b", "gateway"),
        (r"\bovsdb-server\b.*/etc/openvswitch/", "ovsdb-server of the switch"),
        (r"\bovsdb-server\b", "OVN's databases"),
        (r"\bovn-northd\b", "ovn-northd"),
        (r"\bovn-controller\b", "ovn-controller"),
        (r"\bovs-vswitchd\b", "ovs-vswitchd"),
        (r"\blibvirtd\b", "libvirtd"),
        (r"\bvirtlogd\b", "virtlogd"),
    )
)


@dataclass(frozen=True)
class Process:
    """A process at one moment.

    Attributes:
        parent: Number of its parent.
        command: Its command line, words separated by blanks.
        kibibytes: Its proportional set size.
    """

    parent: int
    command: str
    kibibytes: int


def named(pid: int, processes: Mapping[int, Process]) -> str:
    """Return the service that a process belongs to: by its command, or else by its parent's."""
    seen: set[int] = set()
    while pid in processes and pid not in seen:
        seen.add(pid)
        for pattern, name in _NAMES:
            if pattern.search(processes[pid].command):
                return name
        pid = processes[pid].parent
    return "other"


def services(processes: Mapping[int, Process], roots: Iterable[int]) -> dict[str, float]:
    """Return the memory of each service among some processes and all that descend from them, in MiB."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid, process in processes.items():
        children[process.parent].append(pid)
    left = [pid for pid in roots if pid in processes]
    found: set[int] = set()
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children[pid]
    ours = {pid: processes[pid] for pid in found}
    total: Counter[str] = Counter()
    for pid, process in ours.items():
        total[named(pid, ours)] += process.kibibytes
    return {name: kibibytes / 1024 for name, kibibytes in total.items()}


def running() -> dict[int, Process]:
    """Return all processes of this machine that have memory."""
    found: dict[int, Process] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            memory = re.search(r"^Pss:\s+(\d+)", (entry / "smaps_rollup").read_text(), re.MULTILINE)
        except OSError:
            continue  # it has ended, or is the kernel's
        if memory:
            found[int(entry.name)] = Process(parent, command.strip(), int(memory[1]))
    return found


def of_containers(prefix: str) -> list[int]:
    """Return the first processes of podman's containers with such names, and of what podman runs for each."""
    names = subprocess.run(
        ["podman", "ps", "--format", "{{.Names}}"], capture_output=True, text=True, check=True
    ).stdout.split()
    chosen = [name for name in names if name.startswith(prefix)]
    if not chosen:
        return []
    pids = subprocess.run(
        ["podman", "inspect", "--format", "{{.State.Pid}} {{.State.ConmonPid}}", *chosen],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [int(word) for word in pids.split()]


def of_instance(name: str) -> list[int]:
    """Return the supervisor of an instance of the engine, and all in the control group of its containers.

    What outlives its container or the engine descends from neither any more.
    """
    engine = int(Path("/run/daybreak", name, "engine.pid").read_text())
    return [running()[engine].parent, *_in_group(f"/daybreak-{name}/")]


def _in_group(part: str) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            inside = part in (entry / "cgroup").read_text()
        except OSError:
            continue  # it has ended
        if inside:
            found.append(int(entry.name))
    return found


def main() -> int:
    """Print a line for each service, the largest first: MiB and name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--containers", metavar="PREFIX", help="podman's, by their names")
    chosen.add_argument("--instance", metavar="NAME", help="an instance of the engine")
    options = parser.parse_args()
    if options.containers:
        roots = of_containers(options.containers)
    else:
        roots = of_instance(options.instance)
    found = services(running(), roots)
    for name, mebibytes in sorted(found.items(), key=lambda item: -item[1]):
        print(f"memory {mebibytes:8.1f} {name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
