"""Running a process inside a container that runs already: hooks, actions, ``juju exec``.

By nsenter (8 ms) and not by ``podman exec`` (250 ms). The process gets exactly the environment that
it is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .command import missing_program
from .errors import SubstrateError

if TYPE_CHECKING:
    import resource

_NSENTER = "/usr/bin/nsenter"
# Users come first: of busy processors a hook gets a sixth of what all pods of a machine with two get (335 of 2048, see
# sched(7) and `pods.share_processors`).
_LATER = ("/usr/bin/nice", "-n", "5")
_LINE_LIMIT = 1 << 20
_CHUNK = 1 << 16
# After the process ended a daemon that it left behind may hold its output open for ever.
_DRAIN_SECONDS = 0.5

Stream = Literal["stdout", "stderr"]
OnLine = Callable[[Stream, str], None]


@dataclass(frozen=True)
class Process:
    """What to run.

    Args:
        argv: Program (a path inside the container) and arguments.
        env: Its whole environment.
        cwd: Working directory inside the container.
        uid: User to run as.
        gid: Group to run as.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Outcome:
    """How it ended.

    Args:
        code: Exit status, None when a signal ended it.
        signal: Number of the signal that ended it, None otherwise.
        timed_out: It was killed because its time was over.
        cpu: CPU seconds, user and system, of it and of the children it waited for.
        wall: Seconds from start to end.
    """

    code: int | None
    signal: int | None
    timed_out: bool
    cpu: float
    wall: float

    @property
    def ok(self) -> bool:
        """Whether it ended with status 0."""
        return self.code == 0


async def execute(
    pid: int, process: Process, on_line: OnLine, *, timeout: float | None = None
) -> Outcome:
    """Run `process` in all namespaces of `pid`, process 1 of a container, to its end.

    Lines go to `on_line` as they come, without their newline; undecodable bytes are replaced. A
    cancelled caller kills the process group, waits until it is gone, and is cancelled.

    Args:
        pid: Process whose namespaces are entered.
        process: What to run.
        on_line: Gets each line of its output.
        timeout: Seconds after which the process group is killed.

    Raises:
        SubstrateError: The container is gone.
    """
    if not Path(f"/proc/{pid}/ns/mnt").exists():
        raise SubstrateError(f"cannot enter the container of process {pid}: it is gone")
    loop = asyncio.get_running_loop()
    started = loop.time()
    child = _spawn(pid, process)
    assert child.stdout is not None
    assert child.stderr is not None
    readers = [
        asyncio.create_task(_lines(child.stdout.fileno(), "stdout", on_line)),
        asyncio.create_task(_lines(child.stderr.fileno(), "stderr", on_line)),
    ]
    timed_out = False
    try:
        ended = asyncio.ensure_future(_ended(child.pid))
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(ended)
        except TimeoutError:
            timed_out = True
            _kill_group(child.pid)
            await ended
        except asyncio.CancelledError:
            _kill_group(child.pid)
            await ended
            raise
        finally:
            # A hook of a warm interpreter is in a group of its own: that is gone when nobody holds its output.
            await asyncio.wait(readers, timeout=_DRAIN_SECONDS)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        usage = _reap(child)
        child.stdout.close()
        child.stderr.close()
    for reader in readers:
        if reader.done() and not reader.cancelled() and reader.exception() is not None:
            raise reader.exception() or AssertionError
    code = child.returncode
    killed = code is not None and code < 0
    return Outcome(
        code=None if killed else code,
        signal=-code if killed and code is not None else None,
        timed_out=timed_out,
        cpu=usage,
        wall=loop.time() - started,
    )


async def kill_strays(pid: int) -> int:
    """Kill the hooks that an earlier daemon left running in the container of process `pid`.

    A daemon that was killed cannot end its hooks, and the same hook must not run twice at once.
    Known by their environment (only hooks have a context, and the warm interpreter that they are
    forked from) and by sharing the container's process namespace.

    Returns:
        How many were killed.
    """
    namespace = _namespace(pid)
    killed = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == pid:
            continue
        with contextlib.suppress(OSError):
            if _namespace(int(entry.name)) != namespace:
                continue
            if b"\0JUJU_CONTEXT_ID=" in b"\0" + (entry / "environ").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
                killed += 1
    return killed


def _spawn(pid: int, process: Process) -> subprocess.Popen[bytes]:
    identity: Sequence[str] = ()
    if process.uid or process.gid:
        identity = (f"--setuid={process.uid}", f"--setgid={process.gid}")
    argv = (
        *_LATER,
        _NSENTER,
        *(f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"),
        f"--wdns={process.cwd}",
        *identity,
        "--",
        *process.argv,
    )
    if not os.access(_NSENTER, os.X_OK):
        raise missing_program("nsenter")
    return subprocess.Popen(
        argv,
        env=dict(process.env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        # One group for nsenter, its child in the other process namespace, and the child's
        # children.
        start_new_session=True,
    )


async def _ended(pid: int) -> None:
    """Return when the process has ended; it stays a zombie, for `_reap`."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    handle = os.pidfd_open(pid)
    loop.add_reader(handle, lambda: ended.done() or ended.set_result(None))
    try:
        await ended
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _reap(child: subprocess.Popen[bytes]) -> float:
    if child.returncode is not None:
        return 0.0
    try:
        _, status, usage = os.wait4(child.pid, 0)
    except ChildProcessError:
        child.returncode = 0
        return 0.0
    child.returncode = os.waitstatus_to_exitcode(status)
    return _seconds(usage)


def _seconds(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


async def _lines(fd: int, stream: Stream, on_line: OnLine) -> None:
    """Hand on the lines of `fd` until its end. A line longer than 1 MiB is cut there."""
    os.set_blocking(fd, False)
    pending = bytearray()
    try:
        while chunk := await _read(fd):
            pending += chunk
            *complete, rest = pending.split(b"\n")
            for line in complete:
                on_line(stream, line.decode(errors="replace"))
            pending = bytearray(rest)
            if len(pending) > _LINE_LIMIT:
                on_line(stream, pending.decode(errors="replace"))
                pending.clear()
    finally:
        if pending:
            on_line(stream, pending.decode(errors="replace"))


async def _read(fd: int) -> bytes:
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(fd, _CHUNK)
        except BlockingIOError:
            readable = loop.create_future()
            loop.add_reader(fd, lambda f=readable: f.done() or f.set_result(None))
            try:
                await readable
            finally:
                loop.remove_reader(fd)
