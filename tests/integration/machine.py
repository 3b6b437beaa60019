"""What a machine carries that a cloud may leave behind: a picture to compare before with after."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

FILE_ROOTS = ("/etc", "/run", "/var/lib", "/var/log", "/root", "/opt", "/usr/local")
DEPTH = 4
# Written by the programs that the tests themselves start, on any machine; and podman's lock files, which belong
# to the store that all instances share and go with the last container of any of them.
NOISE = re.compile(
    r"^/(run/(systemd|udev|user|log|daybreak-podman[^/]*/libpod/locks)|var/lib/(apt|dpkg|systemd)"
    r"|root/\.(cache|local|config)"
    r"|var/log/(journal|apt))\b"
)

Picture = dict[str, frozenset[str]]


def picture() -> Picture:
    """Return the machine's namespaces, links, routes, rules, mounts, processes and files."""
    return {
        "network namespaces": _names("ip", "-json", "netns", "list", key="name"),
        "links": _names("ip", "-json", "link", "show", key="ifname"),
        "routes": _lines("ip", "route", "show", "table", "all"),
        "rules": _lines("ip", "rule", "show"),
        "firewall": _lines("nft", "list", "ruleset"),
        "mounts": frozenset(
            line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        "control groups": frozenset(str(path) for path in Path("/sys/fs/cgroup").glob("*/*")),
        "processes": _processes(),
        "files": frozenset(_files()),
        "settings": frozenset(
            [f"ip_forward={Path('/proc/sys/net/ipv4/ip_forward').read_text().strip()}"]
        ),
    }


def left_over(before: Picture, after: Picture, instance: str) -> dict[str, list[str]]:
    """Return what is there now and was not before, by kind.

    On a machine that others use at the same time (DAYBREAK_TEST_SHARED), only what bears the
    instance's name counts.
    """
    found = {kind: sorted(after[kind] - before[kind]) for kind in after}
    if os.environ.get("DAYBREAK_TEST_SHARED"):
        name = re.compile(rf"(?<![a-z0-9]){re.escape(instance)}(?![a-z0-9])")
        found = {kind: [x for x in items if name.search(x)] for kind, items in found.items()}
    return {kind: items for kind, items in found.items() if items}


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, encoding="utf-8", check=False)
    return done.stdout


def _lines(*argv: str) -> frozenset[str]:
    # counters and expiry times change without anybody's doing
    text = re.sub(r"expires \d+sec|packets \d+ bytes \d+", "", _run(*argv))
    return frozenset(line.strip() for line in text.splitlines() if line.strip())


def _names(*argv: str, key: str) -> frozenset[str]:
    return frozenset(entry[key] for entry in json.loads(_run(*argv) or "[]"))


def _processes() -> frozenset[str]:
    """Return the command lines of what an engine starts; a machine's others come and go."""
    ours = re.compile(r"pebble|conmon|dnsmasq|daybreak|podman|runc|db-")
    found: set[str] = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it has just ended
        if ours.search(line) and "pytest" not in line:
            found.add(f"{path.parent.name} {line}")
    return frozenset(found)


def _files() -> list[str]:
    found: list[str] = []
    for root in FILE_ROOTS:
        top = root.rstrip("/").count("/")
        for directory, names, files in os.walk(root):
            if directory.count("/") - top >= DEPTH:
                names.clear()
            found += [
                path
                for path in (f"{directory}/{name}" for name in (*names, *files))
                if not NOISE.match(path)
            ]
    return found
