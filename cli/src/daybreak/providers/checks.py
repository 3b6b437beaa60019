"""What a cluster needs of a machine and of a Juju, each check a value with a remedy."""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import platform
import re
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import preflight, programs
from ..preflight import GIB, Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..bundles import Application
    from .steps import Call

MICROK8S_PORTS = (16443, 10250, 10257, 10259, 19001, 25000)
"""API server, kubelet, controller manager, scheduler, dqlite, cluster agent (MicroK8s' list of ports)."""
JUJU_OLDEST = (3, 6)
JUJU_NEWEST_MAJOR = 4
SECONDS = 60.0
"""How long a question to snapd, MicroK8s or a controller may take."""


def root(command: str) -> Finding:
    """Whether snaps and groups can be changed."""
    if preflight.is_root():
        return Finding("root", Level.OK, "running as root")
    return Finding(
        "root",
        Level.ERROR,
        "snaps and groups are changed as root",
        f"Run it through sudo, as the user that the cloud is for: sudo {command}",
    )


def processors(needed: int) -> Finding:
    """Whether there are enough; fewer are slow, not impossible."""
    count = len(os.sched_getaffinity(0))
    if count < needed:
        return Finding(
            "processors",
            Level.WARNING,
            f"{count}, at least {needed} are advised: Kubernetes, a controller and the cloud share them",
            "Give the machine more, or be patient: --timeout makes the waits longer.",
        )
    return Finding("processors", Level.OK, str(count))


def memory(needed: int) -> Finding:
    """Whether the machine has the memory, bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    detail = f"{total / GIB:.1f} GiB"
    # What a machine sells as 8 GiB shows a little less.
    if total < needed * 0.95:
        return Finding(
            "memory",
            Level.ERROR,
            f"{detail}, {needed / GIB:.0f} GiB needed",
            "Give the machine more memory.",
        )
    return Finding("memory", Level.OK, detail)


def disk(path: Path, needed: int) -> Finding:
    """Whether a file system has the space, bytes."""
    place = next(parent for parent in (path, *path.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    detail = f"{free / GIB:.1f} GiB free below {place}"
    if free < needed:
        return Finding(
            "disk",
            Level.ERROR,
            f"{detail}, {needed / GIB:.0f} GiB needed",
            f"Free some space, or mount a bigger disk at {path}; then run the command again.",
        )
    return Finding("disk", Level.OK, detail)


def ports() -> Finding:
    """Whether what MicroK8s listens on is free; to be asked only before it is installed."""
    taken = [str(port) for port in MICROK8S_PORTS if _taken(port)]
    if taken:
        return Finding(
            "ports",
            Level.ERROR,
            f"in use by another program: {', '.join(taken)}",
            f"End it (ss -ltnp shows which one it is: ss -ltnp 'sport = :{taken[0]}'), or use the"
            " Kubernetes that is there: --provider juju",
        )
    return Finding("ports", Level.OK, f"{len(MICROK8S_PORTS)} are free")


def _taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104  asked, not served
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def snapd() -> Finding:
    """Whether snapd answers."""
    output = programs.capture(["snap", "version"], timeout=SECONDS)
    if output.code == programs.NOT_FOUND:
        return Finding(
            "snapd",
            Level.ERROR,
            "this machine has no snapd",
            "Ubuntu has it; on Debian, as root: apt-get install snapd. Without it: use a Kubernetes and"
            " Juju that are there (--provider juju), or Daybreak's own engine (--provider embedded).",
        )
    version = _field(output.stdout, "snapd")
    if not output.ok or version in ("", "unavailable"):
        return Finding(
            "snapd",
            Level.ERROR,
            "snapd does not answer" + (f": {output.stderr.strip()}" if output.stderr else ""),
            "Start it: systemctl enable --now snapd.socket snapd.apparmor; then run the command again.",
        )
    return Finding("snapd", Level.OK, version)


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}\s+(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def apparmor(sysfs: Path = Path("/sys")) -> bool:
    """Whether the kernel's AppArmor is on."""
    try:
        return (sysfs / "module/apparmor/parameters/enabled").read_text().strip() == "Y"
    except OSError:
        return False


def confinement() -> Finding:
    """Whether the kernel can confine snaps; MicroK8s as Juju needs it is a confined one."""
    if apparmor():
        return Finding("confinement", Level.OK, "AppArmor is on")
    return Finding(
        "confinement",
        Level.WARNING,
        "AppArmor is off, so snaps are confined in part only",
        "Add apparmor=1 security=apparmor to the kernel's command line and restart the machine.",
    )


def modules(needed: Mapping[str, Iterable[str]], lib: Path = Path("/lib/modules")) -> Finding:
    """Whether kernel modules are loaded; a confined snap cannot load them.

    Args:
        needed: Modules by application.
        lib: Where the kernel's modules are.
    """
    wanted = sorted({module for names in needed.values() for module in names})
    there = Path("/sys/module")
    builtin = lib / platform.release() / "modules.builtin"
    text = builtin.read_text() if builtin.exists() else ""
    missing = [name for name in wanted if not (there / name).exists() and f"/{name}.ko" not in text]
    if missing:
        who = sorted(app for app, names in needed.items() if set(names) & set(missing))
        lines = "\\n".join(missing)
        return Finding(
            "kernel modules",
            Level.ERROR,
            f"not loaded: {', '.join(missing)} (for {', '.join(who)})",
            f"As root: modprobe --all {' '.join(missing)};"
            f" printf '{lines}\\n' > /etc/modules-load.d/daybreak.conf",
        )
    return Finding("kernel modules", Level.OK, ", ".join(wanted) or "none needed")


def devices(needed: Mapping[str, Iterable[str]]) -> Finding:
    """Whether device files are there, by application."""
    missing = sorted(
        {path for paths in needed.values() for path in paths if not Path(path).exists()}
    )
    if missing:
        return Finding(
            "devices",
            Level.WARNING,
            f"not there: {', '.join(missing)}; servers are emulated, many times slower",
            "Turn virtualization on in the firmware; in a virtual machine, nested virtualization.",
        )
    return Finding(
        "devices",
        Level.OK,
        ", ".join(sorted({p for v in needed.values() for p in v})) or "none needed",
    )


def shared_mounts(applications: Iterable[str]) -> Finding:
    """Whether a strictly confined MicroK8s can run a bundle; it cannot share mounts with its machine.

    Args:
        applications: Those whose containers do. (A container with `mountPropagation: Bidirectional` does not
            start there: https://github.com/canonical/microk8s/issues/3424.)
    """
    names = sorted(applications)
    if names:
        return Finding(
            "host paths",
            Level.ERROR,
            f"{', '.join(names)} shares mounts with its machine, which a strictly confined MicroK8s does not allow",
            "Use a Kubernetes of another kind, with a Juju that knows it: --provider juju (docs/how-to/on-juju.md);"
            " or a bundle without it",
        )
    return Finding("host paths", Level.OK, "none is shared")


def nodes(applications: Iterable[Application]) -> Finding:
    """Say what a bundle needs of a cluster's nodes, which cannot be looked at from here."""
    found = [app for app in applications if app.modules or app.devices or app.shares_mounts]
    if not found:
        return Finding("nodes", Level.OK, "nothing special is needed of them")
    needs = [
        f"{app.name} needs "
        + ", ".join(
            [
                *(f"kernel module {name}" for name in app.modules),
                *(f"device {path}" for path in app.devices),
                *(["privileged containers that share mounts"] if app.shares_mounts else []),
            ]
        )
        for app in found
    ]
    modules = " ".join(sorted({name for app in found for name in app.modules}))
    return Finding(
        "nodes",
        Level.WARNING,
        f"not looked at from here: {'; '.join(needs)}",
        f"On each node that runs them, as root: modprobe --all {modules}" if modules else "",
    )


def addresses(text: str, *, needed: bool, dry_run: bool) -> Finding:
    """Whether a range for load balancers is given and can be one, as MetalLB writes it."""
    if not text and not needed:
        return Finding("load balancer", Level.OK, "MetalLB is there, with its own range")
    if not text:
        return Finding(
            "load balancer",
            Level.WARNING if dry_run else Level.ERROR,
            "no addresses are given for the cloud's public APIs",
            "Give a range of this network that nothing else uses:"
            " --metallb 192.168.1.240-192.168.1.250",
        )
    try:
        first, last = address_range(text)
    except ValueError as error:
        return Finding(
            "load balancer",
            Level.ERROR,
            f"--metallb {text}: {error}",
            "Give two addresses or a network: 192.168.1.240-192.168.1.250, or 192.168.1.240/28",
        )
    return Finding("load balancer", Level.OK, f"{first} to {last}")


def address_range(text: str) -> tuple[Any, Any]:
    """Return the first and last address of a range.

    Raises:
        ValueError: It is none; says why.
    """
    if "/" in text:
        network = ipaddress.ip_network(text)
        return network[0], network[-1]
    first, dash, last = text.partition("-")
    if not dash:
        raise ValueError("it has no end")
    ends = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
    if ends[0].version != ends[1].version or int(ends[0]) > int(ends[1]):
        raise ValueError("its end comes before its beginning")
    return ends


def snaps() -> dict[str, dict[str, str]]:
    """Return the installed snaps by name, with `version`, `tracking` and `notes`."""
    output = programs.capture(["snap", "list"], timeout=SECONDS)
    found: dict[str, dict[str, str]] = {}
    for line in output.stdout.splitlines()[1:]:
        words = line.split()
        if len(words) >= 6:
            found[words[0]] = {"version": words[1], "tracking": words[3], "notes": words[5]}
    return found


def store(name: str, channel: str) -> Finding:
    """Whether the snap store has a snap's channel for this machine."""
    output = programs.capture(["snap", "info", name], timeout=SECONDS)
    if not output.ok:
        why = (output.stderr or output.stdout).strip().splitlines() or ["no answer"]
        return Finding(
            f"snap {name}",
            Level.ERROR,
            f"the snap store does not answer: {why[-1]}",
            "Check the network and the proxy (snap set system proxy.https=...). Without internet: fetch"
            f" it elsewhere (snap download {name} --channel={channel}), then here: snap ack {name}_*.assert"
            f" && snap install {name}_*.snap; and run the command again.",
        )
    track, _, risk = channel.rpartition("/")
    known = re.findall(r"^\s+(\S+):\s+(?!--|\^)\S", output.stdout, re.MULTILINE)
    if channel not in known and f"{track or 'latest'}/{risk}" not in known:
        near = [entry for entry in known if ("strict" in entry) == ("strict" in channel)]
        return Finding(
            f"snap {name}",
            Level.ERROR,
            f"the store has no channel {channel}",
            f"Choose one of: {', '.join(near[:6]) or ', '.join(known[:6])} (--{name}-channel)",
        )
    return Finding(f"snap {name}", Level.OK, f"the store has {channel}")


def microk8s(installed: Mapping[str, str] | None) -> Finding:
    """Whether the MicroK8s that is there can be used by Juju's snap."""
    if installed is None:
        return Finding("MicroK8s", Level.OK, "not installed yet")
    if "classic" in installed["notes"].split(","):
        return Finding(
            "MicroK8s",
            Level.ERROR,
            f"a classic MicroK8s {installed['version']} is installed; Juju works with a strict one only",
            "Keep it and hand it to a Juju of yours: --provider juju (see `juju add-k8s`). Or remove it"
            " with everything in it: snap remove --purge microk8s; then run the command again.",
        )
    return Finding("MicroK8s", Level.OK, f"{installed['version']} from {installed['tracking']}")


def juju_client(binary: str | None, output: programs.Output | None) -> Finding:
    """Whether a `juju` is one that Daybreak's charms run with.

    Args:
        binary: Its path; None when there is none yet.
        output: What `juju version` printed.
    """
    if binary is None or output is None:
        return Finding("Juju", Level.OK, "not installed yet")
    found = re.match(r"(\d+)\.(\d+)", output.stdout.strip())
    if not output.ok or not found:
        return Finding(
            "Juju",
            Level.ERROR,
            f"{binary} does not say its version: {output.stderr.strip() or output.stdout.strip()}",
            "Install it anew: snap install juju --channel=3.6/stable; or name another one: --juju PATH",
        )
    version = (int(found[1]), int(found[2]))
    if version < JUJU_OLDEST or version[0] > JUJU_NEWEST_MAJOR:
        return Finding(
            "Juju",
            Level.ERROR,
            f"{binary} is {found[0]}; the charms need 3.6 or 4",
            "snap refresh juju --channel=3.6/stable (controllers of 2.9 are upgraded or left to their own"
            " client first); or name another one: --juju PATH",
        )
    return Finding("Juju", Level.OK, f"{binary} {found[0]}")


def controller(name: str, client: str, models: programs.Output) -> Iterator[Finding]:
    """Yield whether a controller answers, is on Kubernetes, and is of the client's major version.

    Args:
        name: The controller.
        client: What `juju version` printed.
        models: What `juju models --format json` printed.
    """
    if not models.ok:
        why = models.stderr.strip().splitlines() or ["no answer"]
        yield Finding(
            "controller",
            Level.ERROR,
            f"{name} does not answer: {why[-1]}",
            f"Look at it: juju show-controller {name}. If it is gone for good: juju unregister {name}; then"
            " name another one (--controller), or make one: juju bootstrap",
        )
        return
    listed: list[dict[str, Any]] = json.loads(models.stdout or "{}").get("models") or []
    own = next(
        (model for model in listed if model.get("is-controller")), listed[0] if listed else {}
    )
    version = str(own.get("agent-version", ""))
    if version and version.split(".")[0] != client.strip().split(".")[0]:
        yield Finding(
            "controller",
            Level.ERROR,
            f"{name} is Juju {version}, the client is {client.strip()}",
            "Use the client of its version: --juju PATH, or"
            f" snap refresh juju --channel={'.'.join(version.split('.')[:2])}/stable",
        )
        return
    yield Finding("controller", Level.OK, f"{name} answers, Juju {version or 'of unknown version'}")
    if own and own.get("model-type") != "caas":
        yield Finding(
            "cluster",
            Level.WARNING,
            f"controller {name} itself does not run on Kubernetes",
            "Add the cluster (juju add-k8s NAME --controller ...) and name it: --cloud NAME",
        )


def ask(call: Call, timeout: float = SECONDS) -> programs.Output:
    """Ask a program something, as whoever is to."""
    return programs.capture(call.argv, timeout=timeout)
