"""Pods: the containers of a unit, in one network namespace, by podman.

There is no podman pod behind a pod: its infra container would only cost time and memory. Labels say
which containers belong together, and the network namespace is ours (`network`). Containers outlive
the daemon; a new daemon finds them by their labels and watches their processes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..instance import (
    CONTAINER_LABEL,
    INSTANCE_LABEL,
    SPEC_LABEL,
    UNIT_LABEL,
    Instance,
    unit_file_name,
)
from . import network, waiting
from .errors import CommandError, ImageMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .podman import Podman
from .files import remove_tree
from .layout import write_layout
from .shared import Shared
from .specs import (
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    Directory,
    Exit,
    File,
    Layout,
    Link,
    Mount,
    PodSpec,
    PodState,
)
from .watch import Watcher

__all__ = [
    "ContainerSpec",
    "ContainerState",
    "ContainerStatus",
    "Directory",
    "Exit",
    "File",
    "Layout",
    "Link",
    "Mount",
    "PodSpec",
    "PodState",
    "Pods",
    "Watcher",
    "container_state",
    "remove_cgroups",
    "remove_tree",
    "run_arguments",
    "write_layout",
]


# The clean-up takes 0.2 s on a quiet machine; one that hangs is nobody's concern.
_CLEANUP_SECONDS = 5.0
_WEIGHTS = {"cpu.shares": 1024, "cpu.weight": 100}
"""What a single process weighs, by the file that says it of a group: of the first hierarchy, of the second."""


class Pods:
    """The pods of one instance. All operations may be repeated after any interruption.

    Args:
        podman: Runner for the instance.
    """

    def __init__(self, podman: Podman) -> None:
        self.instance: Instance = podman.instance
        self._podman = podman
        self._list = Shared(self._observe)
        self._turns: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    async def ensure(self, spec: PodSpec) -> PodState:
        """Make the shared directory and start the containers that do not run, in parallel.

        A container that exited is replaced by a new one with a fresh root file system, as
        Kubernetes does. A running one is left alone, even if it was made from another specification
        (compare `ContainerState.digest`).

        Raises:
            ImageMissingError: An image is not in the local store.
            CommandError: podman refused; containers that could be started run.
        """
        await asyncio.to_thread(write_layout, self.instance.pod(spec.unit), spec.layout)
        state = (await self.observe()).get(unit_file_name(spec.unit))
        existing: Mapping[str, ContainerState] = state.containers if state else {}
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

    async def stop(
        self, unit: str, grace: float, *, only: Callable[[str], bool] = lambda name: True
    ) -> None:
        """End containers of `unit`: SIGTERM to all at once, SIGKILL after `grace` seconds.

        The containers stay, exited, until `remove`.

        Args:
            unit: Whose.
            grace: Seconds.
            only: Tells by its name whether a container is meant.
        """
        state = (await self.observe()).get(unit_file_name(unit))
        if state is not None:
            meant = [c for name, c in state.containers.items() if only(name)]
            await _all(_end(container.pid, grace) for container in meant)

    async def restart_container(self, spec: PodSpec, name: str, grace: float = 30) -> None:
        """Replace one container of a pod: SIGTERM, SIGKILL after `grace`, then a new one."""
        state = (await self.observe()).get(unit_file_name(spec.unit))
        old = state.containers.get(name) if state else None
        if old is not None:
            await _end(old.pid, grace)
            await self._remove([old.id])
        await self._start(spec, spec.container(name))

    async def remove(self, unit: str) -> None:
        """Remove containers, network namespace and shared directory of `unit`, if there.

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
        """Return the pods that exist, by unit (``keystone-0``), from one call of podman.

        One runs at a time, and those who wait share the next one: podman waits while somebody else has its
        store, and every unit asks at each step.
        """
        return dict(await self._list())

    async def _observe(self) -> dict[str, PodState]:
        result = await self._podman(
            *("ps", "--all", "--filter", f"label={INSTANCE_LABEL}={self.instance.name}"),
            *("--format", "json"),
        )
        pods: dict[str, dict[str, ContainerState]] = {}
        entries: list[dict[str, Any]] = json.loads(result.stdout or "[]") or []
        for entry in entries:
            labels: Mapping[str, str] = entry.get("Labels") or {}
            if UNIT_LABEL in labels and CONTAINER_LABEL in labels:
                container = container_state(entry)
                pods.setdefault(labels[UNIT_LABEL], {})[container.name] = container
        return {unit: PodState(unit, containers) for unit, containers in pods.items()}

    async def exit_code(self, container_id: str) -> int:
        """Return how a container ended; waits for its end."""
        result = await self._podman("wait", container_id, check=False)
        # One that is not there any more was killed.
        return int(result.stdout) if result.code == 0 else 137

    async def _start(self, spec: PodSpec, container: ContainerSpec) -> None:
        log = self.instance.logs / unit_file_name(spec.unit)
        log.mkdir(parents=True, exist_ok=True)
        try:
            async with self._turn():
                await self._podman(*run_arguments(self.instance, spec, container))
        except CommandError as error:
            if "image not known" in error.stderr or "no such image" in error.stderr.lower():
                raise ImageMissingError(
                    container.image,
                    "it is not in the local store",
                    remedy=f"build it, or pull it: podman pull {container.image}",
                ) from error
            raise
        share_processors(self.instance)

    def _turn(self) -> asyncio.Semaphore:
        """Return what lets as many containers start at once as there are processors, in the order of asking.

        So what was deployed first is there first: with many at once all of them are late, and those that the others
        wait for, too. It belongs to an event loop, and there may be one after another.
        """
        loop = asyncio.get_running_loop()
        if self._turns is None or self._turns[0] is not loop:
            self._turns = (loop, asyncio.Semaphore(max(2, os.cpu_count() or 1)))
        return self._turns[1]

    async def _remove(self, ids: Iterable[str]) -> None:
        wanted = list(ids)
        if wanted:
            command = ("rm", "--force", "--ignore", "--time", "0", "--volumes", *wanted)
            if (await self._podman(*command, check=False)).code != 0:
                # A container that lost its supervisor: the first attempt finds out that it does
                # not run any more, the second removes it.
                await self._podman(*command)
            # conmon starts a clean-up of its own when a container ends, which mounts podman's
            # store once more.
            await _all(_gone(pid, _CLEANUP_SECONDS) for pid in _supervisors(wanted))


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
    args += _rights(container)
    if container.memory is not None:
        # podman would allow as much swap again. Where the kernel does not account for it, it only says so.
        args += [f"--memory={container.memory}", f"--memory-swap={container.memory}"]
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
        if mount.propagation:
            options.append(f"bind-propagation={mount.propagation}")
        args.append(f"--mount={','.join(options)}")
    if container.argv:
        args.append(f"--entrypoint={json.dumps([container.argv[0]])}")
    args += [container.image, *container.argv[1:], *container.args]
    return tuple(args)


def _rights(container: ContainerSpec) -> list[str]:
    """Return the arguments that decide what a container may do, and what it shares."""
    args = [f"--cap-add={capability}" for capability in container.capabilities]
    if container.privileged:
        args.append("--privileged")
    if container.host_pid:
        args.append("--pid=host")
    for namespace, pid in sorted(container.namespaces.items()):
        option = "cgroupns" if namespace == "cgroup" else namespace
        args.append(f"--{option}=ns:/proc/{pid}/ns/{namespace}" if pid else f"--{option}=private")
    return args


def container_state(entry: Mapping[str, Any]) -> ContainerState:
    """Read one element of ``podman ps --format json``."""
    labels: Mapping[str, str] = entry["Labels"]
    pid = int(entry.get("Pid") or 0)
    status: ContainerStatus
    match entry["State"]:
        case "running" | "paused" | "stopping":
            # podman learns of an exit from conmon, a little later than it happens, or never if
            # conmon was killed.
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


def share_processors(instance: Instance) -> None:
    """Give all containers together the weight of one process for each processor.

    Else they have the weight of a single process: a busy program beside the pods would get as much as the whole
    cloud. Kubernetes does the same for its pods (`pkg/kubelet/cm/node_container_manager_linux.go`).
    """
    count = os.cpu_count() or 1
    for group in _cgroups(instance):
        for name, weight in _WEIGHTS.items():
            # Not there: another controller's hierarchy, or one without this controller.
            with contextlib.suppress(OSError), (group / name).open("r+") as file:
                file.write(str(count * weight))


def _cgroups(instance: Instance) -> list[Path]:
    """Where the control group of the instance may be, on any layout of the hierarchy."""
    base = Path("/sys/fs/cgroup")
    name = instance.cgroup.lstrip("/")
    return [base / name, *base.glob(f"*/{name}")]


def remove_cgroups(instance: Instance) -> None:
    """Remove the empty control groups of the instance."""
    for top in _cgroups(instance):
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()


def _supervisors(container_ids: Iterable[str]) -> list[int]:
    """Return the processes that look after containers: conmon, and podman's clean-up."""
    marks = [container_id.encode() for container_id in container_ids]
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                program, _, arguments = (entry / "cmdline").read_bytes().partition(b"\0")
                if program.endswith((b"conmon", b"podman")) and any(
                    mark in arguments for mark in marks
                ):
                    found.append(int(entry.name))
    return found


async def _end(pid: int, grace: float) -> None:
    """End process `pid`: SIGTERM, SIGKILL after `grace` seconds; return when it is gone."""
    if grace <= 0 or not await _gone(pid, grace, first=signal.SIGTERM):
        await _gone(pid, None, first=signal.SIGKILL)


async def _gone(pid: int, seconds: float | None, *, first: signal.Signals | None = None) -> bool:
    """Send a signal to a process, wait for its end, and return whether it ended in time."""
    if pid <= 0:
        return True
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(handle, gone.set)
    try:
        if first is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, first)
        return await waiting.is_set(gone, seconds)
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def _all(coroutines: Iterable[Any]) -> None:
    """Run all to their end, then raise the first error: nothing is left running."""
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
