"""podman with a configuration of our own, computed from the machine.

The machine's default configuration is never used: it may belong to somebody else's containers, and
its defaults do not start everywhere (limits above the hard limit of a machine without
CAP_SYS_RESOURCE; crun on hybrid cgroups).
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import command
from .files import remove_tree, write_if_changed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..instance import Instance

CONTAINERS_CONF = "containers.conf"
STORAGE_CONF = "storage.conf"

# What a pod gets on Kubernetes (containerd's default set), so that charms and images meet the same
# rights.
_CAPABILITIES = (
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
)
_NOFILE = 1048576
_NPROC = 32768


@dataclass(frozen=True)
class Machine:
    """What of the machine decides podman's configuration.

    Args:
        nofile: Hard limit of open files.
        nproc: Hard limit of processes.
        runtime: OCI runtime to use.
    """

    nofile: int
    nproc: int
    runtime: str


def machine() -> Machine:
    """Look at this machine."""

    def hard(limit: int, most: int) -> int:
        value = resource.getrlimit(limit)[1]
        return most if value == resource.RLIM_INFINITY else min(value, most)

    # runc works on every cgroup layout; crun refuses hybrid ones.
    runtime = "runc" if shutil.which("runc") else "crun"
    return Machine(
        hard(resource.RLIMIT_NOFILE, _NOFILE), hard(resource.RLIMIT_NPROC, _NPROC), runtime
    )


def containers_conf(instance: Instance, host: Machine) -> str:
    """Return the text of containers.conf."""
    graphroot = instance.podman_graphroot
    values: dict[str, dict[str, object]] = {
        "containers": {
            # podman's own defaults exceed the hard limits of some machines and no container would
            # start.
            "default_ulimits": [
                f"nofile={host.nofile}:{host.nofile}",
                f"nproc={host.nproc}:{host.nproc}",
            ],
            "default_capabilities": list(_CAPABILITIES),
            # Otherwise the machine's /etc/hosts leaks into containers.
            "base_hosts_file": "none",
            "log_driver": "k8s-file",
            "log_size_max": 10_000_000,
        },
        "engine": {
            # systemd may not run, and where it does its manager would move our groups about.
            "cgroup_manager": "cgroupfs",
            "events_logger": "file",
            "runtime": host.runtime,
            "tmp_dir": str(instance.podman_runroot / "libpod"),
            "static_dir": str(graphroot / "libpod"),
            "volume_path": str(graphroot / "volumes"),
            # podman's shared memory has one name for the whole machine, with one size: another user
            # of podman there would make every call fail.
            "lock_type": "file",
        },
        "network": {
            "network_backend": "netavark",
            "network_config_dir": str(graphroot / "networks"),
        },
    }
    return _toml(values)


def storage_conf(instance: Instance) -> str:
    """Return the text of storage.conf."""
    return _toml(
        {
            "storage": {
                "driver": "overlay",
                "graphroot": str(instance.podman_graphroot),
                "runroot": str(instance.podman_runroot),
            },
            "storage.options.overlay": {"mountopt": "nodev"},
        }
    )


def environment(instance: Instance) -> dict[str, str]:
    """Return the variables that make podman use our configuration."""
    return {
        "CONTAINERS_CONF": str(instance.podman_conf / CONTAINERS_CONF),
        "CONTAINERS_STORAGE_CONF": str(instance.podman_conf / STORAGE_CONF),
        # Since 5.0 podman warns about cgroup v1 on every call.
        "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
    }


def write_configuration(instance: Instance, host: Machine | None = None) -> dict[str, str]:
    """Write both files where they differ and return `environment`."""
    directory = instance.podman_conf
    directory.mkdir(parents=True, exist_ok=True)
    write_if_changed(directory / CONTAINERS_CONF, containers_conf(instance, host or machine()))
    write_if_changed(directory / STORAGE_CONF, storage_conf(instance))
    return environment(instance)


@dataclass(frozen=True)
class Podman:
    """Runs podman for one instance. Make it with `podman_for`.

    Args:
        instance: Whose containers.
        env: Whole environment of podman.
    """

    instance: Instance
    env: Mapping[str, str]

    async def __call__(
        self, *args: str, stdin: str | None = None, check: bool = True
    ) -> command.Result:
        """Run ``podman args``.

        Raises:
            MissingProgramError: podman is not installed.
            CommandError: podman failed and `check` is set.
        """
        return await command.run("podman", *args, stdin=stdin, env=self.env, check=check)


def podman_for(instance: Instance, environ: Mapping[str, str] = os.environ) -> Podman:
    """Write the configuration and return a runner that uses it."""
    # A closed list: variables such as CONTAINER_HOST or STORAGE_DRIVER would lead podman elsewhere.
    kept = {
        key: environ[key]
        for key in ("PATH", "HOME", "TMPDIR", "LANG", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
        if key in environ
    }
    kept.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return Podman(instance, kept | write_configuration(instance))


def shell_exports(instance: Instance) -> str:
    """Return `environment` as lines for a POSIX shell's ``eval``."""
    return "".join(
        f"export {key}='{value}'\n" for key, value in sorted(write_configuration(instance).items())
    )


def _toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Write tables of strings, numbers and lists as TOML, whose values look like JSON for these."""
    lines = ["# Written by the engine; changes are overwritten."]
    for table, values in tables.items():
        lines.append(f"[{table}]")
        lines.extend(f"{key} = {json.dumps(value)}" for key, value in values.items())
    return "\n".join(lines) + "\n"


async def release(podman: Podman) -> bool:
    """Unmount what podman keeps mounted for its store and remove its volatile state; images stay.

    Nothing happens while a container exists, of whatever instance: all share one store.

    Returns:
        Whether it was released.
    """
    instance = podman.instance
    if (await podman("ps", "--all", "--quiet")).stdout.strip():
        return False
    overlay = instance.podman_graphroot / "overlay"
    if overlay.is_mount():
        # Busy while somebody builds an image; podman unmounts it at the next occasion.
        await command.run("umount", str(overlay), check=False)
    await asyncio.to_thread(remove_tree, instance.podman_runroot)
    return True
