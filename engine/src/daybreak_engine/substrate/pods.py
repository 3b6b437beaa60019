"""Pods: the containers of a unit, in one network namespace, by podman.

There is no podman pod behind a pod: its infra container would only cost time and memory. Labels say which containers
belong together, and the network namespace is ours (`network`). Containers outlive the daemon; a new daemon finds them
by their labels and watches their processes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..instance import (
    CONTAINER_LABEL,
    INSTANCE_LABEL,
    SPEC_LABEL,
    UNIT_LABEL,
    Instance,
    short_hash,
    unit_file_name,
)
from . import network
from .errors import CommandError, ImageMissingError, SubstrateError
from .files import write_if_changed
from .podman import Podman

_SIGNALS = {"TERM": signal.SIGTERM, "KILL": signal.SIGKILL}


@dataclass(frozen=True)
class Mount:
    """A bind mount.

    Args:
        source: Path on the machine; must exist.
        target: Path in the container.
        read_only: Whether the container may only read.
    """

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """One container of a pod.

    Args:
        name: ``charm`` or the name in the charm's metadata.
        image: Reference that podman knows.
        argv: Process 1 and its arguments; replaces the image's entrypoint.
        env: Added to the image's environment; no secrets, podman shows it.
        mounts: Bind mounts.
        uid: User of process 1, None for the image's.
        gid: Group of process 1, None for the image's.
        groups: Supplementary groups.
        privileged: All rights and devices.
        host_pid: Share the machine's process namespace.
        memory: Limit in bytes.
        cpus: Limit in CPUs.
        shm_size: Size of ``/dev/shm`` in bytes; None for podman's 64 MiB.
        workdir: Working directory.
        devices: Device nodes of the machine to give, such as ``/dev/net/tun``.
    """

    name: str
    image: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    mounts: tuple[Mount, ...] = ()
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    privileged: bool = False
    host_pid: bool = False
    memory: int | None = None
    cpus: float | None = None
    shm_size: int | None = None
    workdir: str | None = None
    devices: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Stable hash of the whole specification; tells whether a running container is as wanted."""
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
    """A small file of the unit's shared part. The content may be secret, so it has no representation.

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
        status: What it does. A container whose process is gone is ``exited`` even before podman knows.
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
        unit: ``keystone-0``: as in paths, since podman's names and labels cannot be trusted with slashes.
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


class Pods:
    """The pods of one instance. All operations may be repeated after any interruption.

    Args:
        podman: Runner for the instance.
    """

    def __init__(self, podman: Podman) -> None:
        self.instance: Instance = podman.instance
        self._podman = podman

    async def ensure(self, spec: PodSpec) -> PodState:
        """Make the shared directory and start the containers that do not run, in parallel.

        A container that exited is replaced by a new one with a fresh root file system, as Kubernetes does. A running one
        is left alone, even if it was made from another specification (compare `ContainerState.digest`).

        Raises:
            ImageMissingError: An image is not in the local store.
            CommandError: podman refused; containers that could be started run.
        """
        await asyncio.to_thread(write_layout, self.instance.pod(spec.unit), spec.layout)
        state = (await self.observe()).get(unit_file_name(spec.unit))
        existing = state.containers if state else {}
        missing = [
            container
            for container in spec.containers
            if container.name not in existing or existing[container.name].status != "running"
        ]
        stale = [existing[c.name].id for c in missing if c.name in existing]
        if stale:
            await self._remove(stale)
        await _all(self._start(spec, container) for container in missing)
        return (await self.observe())[unit_file_name(spec.unit)]

    async def stop(self, unit: str, grace: float) -> None:
        """End all containers of `unit`: SIGTERM to all at once, SIGKILL to what runs after `grace` seconds.

        The containers stay, exited, until `remove`.
        """
        state = (await self.observe()).get(unit_file_name(unit))
        if state is not None:
            await _all(_end(container.pid, grace) for container in state.containers.values())

    async def restart_container(self, spec: PodSpec, name: str, grace: float = 30) -> None:
        """Replace one container of a pod: SIGTERM, SIGKILL after `grace`, then a new one."""
        state = (await self.observe()).get(unit_file_name(spec.unit))
        old = state.containers.get(name) if state else None
        if old is not None:
            await _end(old.pid, grace)
            await self._remove([old.id])
        await self._start(spec, spec.container(name))

    async def remove(self, unit: str) -> None:
        """Remove containers, network namespace and shared directory of `unit`; what is missing is fine.

        Running containers are killed. Storage stays.
        """
        state = (await self.observe()).get(unit_file_name(unit))
        if state is not None:
            # Killed while the network is there, so that the kernel ends their connections properly.
            await _all(_end(container.pid, 0) for container in state.containers.values())
            await self._remove([container.id for container in state.containers.values()])
        await network.remove_pod(self.instance, unit)
        await asyncio.to_thread(remove_tree, self.instance.pod(unit))

    async def remove_all(self) -> None:
        """Remove every container of the instance and its control group; for `destroy`."""
        states = await self.observe()
        containers = [c for state in states.values() for c in state.containers.values()]
        await _all(_end(container.pid, 0) for container in containers)
        await self._remove([container.id for container in containers])
        remove_cgroups(self.instance)

    async def observe(self) -> dict[str, PodState]:
        """Return the pods that exist, by unit (``keystone-0``), from one call of podman."""
        result = await self._podman(
            *("ps", "--all", "--filter", f"label={INSTANCE_LABEL}={self.instance.name}"),
            *("--format", "json"),
        )
        pods: dict[str, dict[str, ContainerState]] = {}
        for entry in json.loads(result.stdout or "[]") or []:
            labels: Mapping[str, str] = entry.get("Labels") or {}
            if UNIT_LABEL in labels and CONTAINER_LABEL in labels:
                container = container_state(entry)
                pods.setdefault(labels[UNIT_LABEL], {})[container.name] = container
        return {unit: PodState(unit, containers) for unit, containers in pods.items()}

    async def _start(self, spec: PodSpec, container: ContainerSpec) -> None:
        log = self.instance.logs / unit_file_name(spec.unit)
        log.mkdir(parents=True, exist_ok=True)
        try:
            await self._podman(*run_arguments(self.instance, spec, container))
        except CommandError as error:
            if "image not known" in error.stderr or "no such image" in error.stderr.lower():
                raise ImageMissingError(
                    container.image,
                    "it is not in the local store",
                    remedy=f"build it, or pull it: podman pull {container.image}",
                ) from error
            raise

    async def _remove(self, ids: Iterable[str]) -> None:
        wanted = list(ids)
        if wanted:
            await self._podman("rm", "--force", "--ignore", "--time", "0", "--volumes", *wanted)


def run_arguments(instance: Instance, spec: PodSpec, container: ContainerSpec) -> tuple[str, ...]:
    """Return podman's arguments that start `container`."""
    unit = unit_file_name(spec.unit)
    labels = {
        **spec.labels,
        INSTANCE_LABEL: instance.name,
        UNIT_LABEL: unit,
        CONTAINER_LABEL: container.name,
        SPEC_LABEL: container.digest,
    }
    args = ["run", "--detach", "--pull=never", f"--name={instance.container(unit, container.name)}"]
    args += [f"--label={key}={value}" for key, value in sorted(labels.items())]
    args += [
        f"--network=ns:{spec.netns}",
        f"--hostname={spec.hostname}",
        f"--cgroup-parent={instance.cgroup}",
        "--no-hosts",
        "--restart=no",
        # An image's own HEALTHCHECK would need systemd timers.
        "--no-healthcheck",
        f"--log-opt=path={instance.logs / unit / container.name}.log",
    ]
    if container.uid is not None or container.gid is not None:
        args.append(f"--user={container.uid or 0}:{container.gid or 0}")
    args += [f"--group-add={group}" for group in container.groups]
    if container.privileged:
        args.append("--privileged")
    if container.host_pid:
        args.append("--pid=host")
    if container.memory is not None:
        args += [f"--memory={container.memory}"]
    if container.cpus is not None:
        args.append(f"--cpus={container.cpus}")
    if container.shm_size is not None:
        args.append(f"--shm-size={container.shm_size}")
    if container.workdir is not None:
        args.append(f"--workdir={container.workdir}")
    args += [f"--device={device}" for device in container.devices]
    args += [f"--env={key}={value}" for key, value in sorted(container.env.items())]
    for mount in container.mounts:
        options = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
        if mount.read_only:
            options.append("readonly=true")
        args.append(f"--mount={','.join(options)}")
    args += [
        f"--entrypoint={json.dumps([container.argv[0]])}",
        container.image,
        *container.argv[1:],
    ]
    return tuple(args)


def container_state(entry: Mapping[str, Any]) -> ContainerState:
    """Read one element of ``podman ps --format json``."""
    labels: Mapping[str, str] = entry["Labels"]
    pid = int(entry.get("Pid") or 0)
    status: ContainerStatus
    match entry["State"]:
        case "running" | "paused" | "stopping":
            # podman learns of an exit from conmon, a little later than it happens, or never if conmon was killed.
            status = "running" if _runs(pid) else "exited"
        case "created" | "configured" | "initialized":
            status = "created"
        case _:
            status = "exited"
    known = status == "exited" and entry["State"] in ("exited", "stopped")
    return ContainerState(
        id=str(entry["Id"]),
        name=labels[CONTAINER_LABEL],
        status=status,
        pid=pid if status == "running" else 0,
        exit_code=int(entry.get("ExitCode") or 0) if known else None,
        image=str(entry.get("Image") or ""),
        started=float(entry.get("StartedAt") or 0),
        digest=labels.get(SPEC_LABEL, ""),
    )


class Watcher:
    """Reports the end of containers within milliseconds, by pidfd, without polling.

    Tell it with `watch` what runs, after each `Pods.observe`; it keeps what it knows already.

    Args:
        on_exit: Called once in the event loop for each container that ends.
    """

    def __init__(self, on_exit: Callable[[Exit], None]) -> None:
        self._on_exit = on_exit
        self._handles: dict[str, int] = {}

    def watch(self, pods: Mapping[str, PodState]) -> None:
        """Watch the containers of `pods` that run and forget others that do not exist any more."""
        running = {
            container.id: (unit, container)
            for unit, pod in pods.items()
            for container in pod.containers.values()
            if container.status == "running"
        }
        for container_id in self._handles.keys() - running.keys():
            self._forget(container_id)
        for container_id, (unit, container) in running.items():
            if container_id not in self._handles:
                self._open(Exit(unit, container.name, container_id), container.pid)

    def close(self) -> None:
        """Stop watching. The containers go on."""
        for container_id in list(self._handles):
            self._forget(container_id)

    def _open(self, ending: Exit, pid: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            loop.call_soon(self._on_exit, ending)
            return
        # The number may have been given to another process since podman reported it.
        if not _belongs(pid, ending.id):
            os.close(handle)
            loop.call_soon(self._on_exit, ending)
            return
        self._handles[ending.id] = handle
        loop.add_reader(handle, self._ended, ending)

    def _ended(self, ending: Exit) -> None:
        self._forget(ending.id)
        self._on_exit(ending)

    def _forget(self, container_id: str) -> None:
        handle = self._handles.pop(container_id)
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


def write_layout(root: Path, layout: Layout) -> None:
    """Make the directory `root` hold `layout`; what else is there stays."""
    root.mkdir(parents=True, exist_ok=True)
    for directory in layout.directories:
        path = root / directory.path
        path.mkdir(exist_ok=True)
        os.chown(path, directory.uid, directory.gid)
        # chmod and not mkdir's mode, which the umask would narrow.
        path.chmod(directory.mode)
    for relative, source in layout.copies.items():
        _place(source, root / relative)
    for file in layout.files:
        write_if_changed(root / file.path, file.content, mode=file.mode, uid=file.uid, gid=file.gid)
    for link in layout.links:
        path = root / link.path
        if not (path.is_symlink() and os.readlink(path) == link.target):
            path.unlink(missing_ok=True)
            path.symlink_to(link.target)


def remove_tree(path: Path) -> None:
    """Remove a directory and what is in it; a missing one is fine."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def remove_cgroups(instance: Instance) -> None:
    """Remove the empty control groups of the instance, on any layout of the hierarchy."""
    base = Path("/sys/fs/cgroup")
    name = instance.cgroup.lstrip("/")
    for top in (base / name, *base.glob(f"*/{name}")):
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()


def _place(source: Path, target: Path) -> None:
    """Hard-link a program, or copy it where that is not possible."""
    with contextlib.suppress(FileNotFoundError):
        if target.samefile(source):
            return
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(source)
    except FileNotFoundError as error:
        raise SubstrateError(
            f"{source} is missing", remedy="run `./daybreak bootstrap`, which builds it"
        ) from error
    except OSError:
        shutil.copy2(source, temporary)
    temporary.rename(target)


async def _end(pid: int, grace: float) -> None:
    """End process `pid`: SIGTERM, and SIGKILL when it runs after `grace` seconds; return when it is gone."""
    if pid <= 0:
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(handle, gone.set)
    try:
        if grace > 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(gone.wait(), grace)
        if not gone.is_set():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def _all(coroutines: Iterable[Any]) -> None:
    """Run all to their end, then raise the first error, so that nothing goes on behind the caller's back."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _runs(pid: int) -> bool:
    """Tell whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return pid > 0 and stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def _belongs(pid: int, container_id: str) -> bool:
    try:
        return container_id in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False
