"""What a pod shall be and what it is: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..instance import short_hash

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Mount:
    """A bind mount.

    Args:
        source: Path on the machine; must exist.
        target: Path in the container.
        read_only: Whether the container may only read.
        propagation: ``rslave`` shows the container what is mounted below later, ``rshared`` also
            the machine what the container mounts; None for neither.
    """

    source: Path
    target: str
    read_only: bool = False
    propagation: Literal["rslave", "rshared"] | None = None


@dataclass(frozen=True)
class ContainerSpec:
    """One container of a pod.

    Args:
        name: ``charm`` or the name in the charm's metadata.
        image: Reference that podman knows.
        argv: Process 1 and its arguments; replaces the image's entrypoint. Empty for that.
        args: More arguments; with an empty `argv` they replace the image's command.
        env: Added to the image's environment; no secrets, podman shows it.
        mounts: Bind mounts.
        uid: User of process 1, None for the image's.
        gid: Group of process 1, None for the image's.
        groups: Supplementary groups.
        privileged: All rights and devices.
        capabilities: Added to the usual ones.
        namespaces: Namespaces to share instead of having new ones: of ``pid``, ``ipc``, ``cgroup``
            to the process that has them; 0 makes one that is shown to no other (``cgroup`` only).
        host_pid: Share the machine's process namespace.
        memory: Limit in bytes, without any swap.
        cpus: Limit in CPUs.
        shm_size: Size of ``/dev/shm`` in bytes; None for podman's 64 MiB.
        workdir: Working directory.
        devices: Device nodes of the machine to give, such as ``/dev/net/tun``.
    """

    name: str
    image: str
    argv: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    mounts: tuple[Mount, ...] = ()
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    privileged: bool = False
    capabilities: tuple[str, ...] = ()
    namespaces: Mapping[str, int] = field(default_factory=dict[str, int])
    host_pid: bool = False
    memory: int | None = None
    cpus: float | None = None
    shm_size: int | None = None
    workdir: str | None = None
    devices: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Stable hash of the whole; tells whether a running container is as wanted."""
        return short_hash(repr((self, sorted(self.env.items()))), length=16)


@dataclass(frozen=True)
class Directory:
    """A directory of the unit's shared part, relative to `Instance.pod`.

    Args:
        path: Relative path.
        mode: Its permission bits.
        uid: Its owner.
        gid: Its group.
    """

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class File:
    """A small file of the unit's shared part.

    The content may be secret, so it has no representation.

    Args:
        path: Relative path.
        content: Text.
        mode: Its permission bits.
        uid: Its owner.
        gid: Its group.
    """

    path: str
    content: str = field(repr=False)
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Link:
    """A symbolic link of the unit's shared part; `target` is a path inside the container."""

    path: str
    target: str


@dataclass(frozen=True)
class Layout:
    """What the unit's shared directory holds when its containers start.

    Args:
        directories: Parents before children.
        files: Written anew on each `ensure`.
        links: Made anew on each `ensure`.
        copies: Programs, hard-linked or copied: relative path to source.
    """

    directories: tuple[Directory, ...] = ()
    files: tuple[File, ...] = ()
    links: tuple[Link, ...] = ()
    copies: Mapping[str, Path] = field(default_factory=dict[str, Path])


@dataclass(frozen=True)
class PodSpec:
    """A unit's pod.

    Args:
        unit: ``keystone/0``.
        hostname: ``keystone-0``.
        netns: Path of its network namespace (`network.ensure_pod` makes it).
        containers: The charm container first.
        layout: Its shared directory.
        labels: Labels of all containers, besides our own.
    """

    unit: str
    hostname: str
    netns: Path
    containers: tuple[ContainerSpec, ...]
    layout: Layout = Layout()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    def container(self, name: str) -> ContainerSpec:
        """Return the container called `name`.

        Raises:
            KeyError: There is none.
        """
        for container in self.containers:
            if container.name == name:
                return container
        raise KeyError(name)


ContainerStatus = Literal["created", "running", "exited"]


@dataclass(frozen=True)
class ContainerState:
    """A container as it is.

    Args:
        id: podman's id; a replaced container has another one.
        name: ``charm`` or the workload's.
        status: What it does. A container whose process is gone is ``exited`` even before podman
            knows.
        pid: Process 1 as seen by the machine, 0 unless running.
        exit_code: Of an exited container, None when nobody saw it.
        image: Reference that it was made from.
        started: Seconds since the epoch, 0 when it never ran.
        digest: `ContainerSpec.digest` of what it was made from.
    """

    id: str
    name: str
    status: ContainerStatus
    pid: int
    exit_code: int | None
    image: str
    started: float
    digest: str


@dataclass(frozen=True)
class PodState:
    """A unit's containers as they are, by name.

    Args:
        unit: ``keystone-0``, as in paths and names.
        containers: Existing containers by name.
    """

    unit: str
    containers: Mapping[str, ContainerState]

    @property
    def running(self) -> bool:
        """Whether there are containers and all of them run."""
        return bool(self.containers) and all(
            container.status == "running" for container in self.containers.values()
        )


@dataclass(frozen=True)
class Exit:
    """A container's process has ended.

    Args:
        unit: ``keystone-0``.
        container: Its name.
        id: podman's id of the container that ended.
    """

    unit: str
    container: str
    id: str
