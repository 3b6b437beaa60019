from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from daybreak_engine.substrate import dispatch
from daybreak_engine.substrate.errors import SubstrateError

from .conftest import Site, start

pytestmark = pytest.mark.pods

ENV = {"PATH": "/bin", "JUJU_CONTEXT_ID": "alpha/0-install-1"}


async def run(
    pid: int, script: str, *, timeout: float | None = 20, **options: int
) -> tuple[dispatch.Outcome, list[tuple[str, str]]]:
    lines: list[tuple[str, str]] = []
    outcome = await dispatch.execute(
        pid,
        dispatch.Process(("/bin/sh", "-c", script), ENV, "/var/lib/juju", **options),
        lambda stream, line: lines.append((stream, line)),
        timeout=timeout,
    )
    return outcome, lines


def inside(pid: int) -> set[str]:
    """Command lines of all processes of a container."""
    namespace = Path(f"/proc/{pid}/ns/pid").readlink()
    found: set[str] = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "ns/pid").readlink() == namespace:
                found.add((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_exactly_the_given_environment_directory_and_input(
    clean: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPERATOR_DISPATCH", "leaks")

    async def main() -> None:
        pid = (await start(clean, "alpha/0"))[1].containers["charm"].pid
        lines: list[str] = []
        env = {"JUJU_HOOK_NAME": "", "LANG": "C.UTF-8", "PATH": "/bin"}
        outcome = await dispatch.execute(
            pid,
            dispatch.Process(("/bin/env",), env, "/var/lib/juju"),
            lambda _, line: lines.append(line),
        )
        assert outcome.ok
        assert sorted(lines) == ["JUJU_HOOK_NAME=", "LANG=C.UTF-8", "PATH=/bin"]
        outcome, seen = await run(pid, "pwd; readlink /proc/self/fd/0; hostname; id -u; id -g")
        assert [line for _, line in seen] == ["/var/lib/juju", "/dev/null", "alpha-0", "0", "0"]
        _, seen = await run(pid, "id -u; id -g", uid=170, gid=170)
        assert [line for _, line in seen] == ["170", "170"]

    asyncio.run(main())


def test_lines_come_as_they_are_written_and_the_last_needs_no_newline(clean: Site) -> None:
    async def main() -> None:
        pid = (await start(clean, "alpha/0"))[1].containers["charm"].pid
        await run(pid, "mkfifo /tmp/fifo")
        seen: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        script = "echo first; read x < /tmp/fifo; printf '\\377last' >&2; exit 3"
        running = asyncio.create_task(
            dispatch.execute(
                pid,
                dispatch.Process(("/bin/sh", "-c", script), ENV, "/"),
                lambda stream, line: seen.put_nowait((stream, line)),
            )
        )
        assert await asyncio.wait_for(seen.get(), 5) == ("stdout", "first")
        assert not running.done()
        await run(pid, "echo > /tmp/fifo")
        outcome = await running
        assert (outcome.code, outcome.signal, outcome.timed_out) == (3, None, False)
        assert seen.get_nowait() == ("stderr", "�last")

    asyncio.run(main())


def test_much_output_is_complete(clean: Site) -> None:
    async def main() -> None:
        pid = (await start(clean, "alpha/0"))[1].containers["charm"].pid
        outcome, seen = await run(pid, "seq 1 20000")
        assert outcome.ok
        assert [line for _, line in seen] == [str(i) for i in range(1, 20001)]

    asyncio.run(main())


def test_time_over_kills_the_whole_group(clean: Site) -> None:
    async def main() -> None:
        pid = (await start(clean, "alpha/0"))[1].containers["charm"].pid
        before = inside(pid)
        started = time.monotonic()
        outcome, seen = await run(
            pid, "trap '' TERM; echo up; sleep 1001 & sleep 1002", timeout=0.5
        )
        assert outcome.timed_out
        assert outcome.signal == signal.SIGKILL
        assert ("stdout", "up") in seen
        assert time.monotonic() - started < 5
        assert not {line for line in inside(pid) - before if "sleep" in line}

    asyncio.run(main())


def test_a_cancelled_caller_leaves_no_process(clean: Site) -> None:
    async def main() -> None:
        pid = (await start(clean, "alpha/0"))[1].containers["charm"].pid
        up = asyncio.Event()
        task = asyncio.create_task(
            dispatch.execute(
                pid,
                dispatch.Process(("/bin/sh", "-c", "echo up; sleep 1003"), ENV, "/"),
                lambda *_: up.set(),
            )
        )
        await asyncio.wait_for(up.wait(), 5)
        assert any("sleep 1003" in line for line in inside(pid))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any("sleep 1003" in line for line in inside(pid))

    asyncio.run(main())


def test_a_daemon_left_behind_does_not_hold_the_hook(clean: Site) -> None:
    async def main() -> None:
        pid = (await start(clean, "alpha/0"))[1].containers["charm"].pid
        outcome, seen = await run(pid, "setsid sleep 1004 & echo done")
        assert outcome.ok
        assert seen == [("stdout", "done")]
        assert outcome.wall < 5

    asyncio.run(main())


def test_signals_and_cpu_time_are_reported(clean: Site) -> None:
    async def main() -> None:
        pid = (await start(clean, "alpha/0"))[1].containers["charm"].pid
        outcome, _ = await run(pid, "kill -TERM $$")
        assert (outcome.code, outcome.signal) == (None, signal.SIGTERM)
        busy, _ = await run(pid, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
        idle, _ = await run(pid, "sleep 0.3")
        assert busy.cpu > idle.cpu * 3
        assert idle.wall >= 0.3

    asyncio.run(main())


def test_the_services_of_a_pod_have_the_processors_first(clean: Site) -> None:
    async def main() -> None:
        pid = (await start(clean, "alpha/0"))[1].containers["charm"].pid
        # field 19 of the line: the nice value
        _, lines = await run(pid, "set -- $(cat /proc/self/stat); shift 18; echo $1")
        assert lines == [("stdout", str(min(os.nice(0) + 5, 19)))]

    asyncio.run(main())


def test_a_container_that_is_gone_is_an_error(clean: Site) -> None:
    async def main() -> None:
        pid = (await start(clean, "alpha/0"))[1].containers["charm"].pid
        await clean.pods.remove("alpha/0")
        with pytest.raises(SubstrateError, match="gone"):
            await run(pid, "true")

    asyncio.run(main())


def test_hooks_of_an_earlier_daemon_are_ended(clean: Site) -> None:
    async def main() -> None:
        pid = (await start(clean, "alpha/0"))[1].containers["charm"].pid
        argv = ["nsenter", "-t", str(pid), "-m", "-p", "--", "/bin/sh", "-c", "sleep 1005; true"]
        stray = subprocess.Popen(argv, env=ENV)
        deadline = time.monotonic() + 5
        while not any("sleep 1005" in line for line in inside(pid)):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert await dispatch.kill_strays(pid) == 2
        await asyncio.to_thread(stray.wait, 5)
        assert not any("sleep 1005" in line for line in inside(pid))
        assert await dispatch.kill_strays(pid) == 0
        assert (await clean.pods.observe())["alpha-0"].running

    asyncio.run(main())
