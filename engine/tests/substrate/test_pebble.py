from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from daybreak_engine.substrate import dispatch, pebble, podspec, probes
from daybreak_engine.substrate.errors import PebbleError

from .conftest import Site, start

CHECK = """
checks:
  up:
    override: replace
    level: {level}
    period: 100ms
    timeout: 90ms
    threshold: 1
    exec: {{command: test -e /tmp/healthy}}
"""


def notice(type_: str, **data: str) -> pebble.Notice:
    return pebble.Notice("1", type_, "7", "2026-01-01T00:00:00Z", dict(data))


@pytest.mark.parametrize(
    ("kind", "change_status", "expected"),
    [
        ("perform-check", "Error", "check-failed"),
        ("perform-check", "Doing", None),
        ("perform-check", None, "check-failed"),
        ("recover-check", "Done", "check-recovered"),
        ("recover-check", "Doing", None),
        ("replan", "Done", None),
    ],
)
def test_notices_become_hooks_as_juju_does_it(
    kind: str, change_status: str | None, expected: str | None
) -> None:
    change = change_status and pebble.Change("7", kind, change_status, "up")
    update = notice("change-update", kind=kind, **{"check-name": "up"})
    event = pebble.translate(update, change or None)
    assert (event and (event.kind, event.check)) == (expected and (expected, "up"))


def test_custom_notices_are_hooks_and_others_are_not() -> None:
    event = pebble.translate(notice("custom"), None)
    assert event is not None
    assert event.kind == "custom-notice"
    assert pebble.translate(notice("warning"), None) is None


def test_startup_liveness_and_their_limits() -> None:
    timing = probes.Timing(startup_limit=30, live_failures=3, live_period=5)
    probe = probes.Probe(since=0)
    assert probes.after_startup(probe, alive=False, now=29, timing=timing) == (probe, False)
    assert probes.after_startup(probe, alive=False, now=30, timing=timing)[1]
    started, dead = probes.after_startup(probe, alive=True, now=1, timing=timing)
    assert (started.started, started.live_at, dead) == (True, 6, False)
    assert (started.ready, started.ready_at) == (False, 2), "checks have been made once by then"
    for expected in (False, False, True):
        started, dead = probes.after_liveness(started, alive=False, now=9, timing=timing)
        assert dead is expected
    assert not started.started
    twice = replace(started, started=True, failures=2)
    assert probes.after_liveness(twice, alive=True, now=9, timing=timing)[0].failures == 0


@pytest.mark.pods
def test_events_of_a_real_pebble_arrive_at_once(clean: Site) -> None:
    async def main() -> None:
        _, state = await start(clean, "alpha/0")
        socket = podspec.pebble_socket(clean.instance, "alpha/0", "app")
        await pebble.wait_until_up(socket, timeout=10)
        pid = state.containers["app"].pid
        async with pebble.PebbleClient(socket) as client:
            events: asyncio.Queue[pebble.WorkloadEvent] = asyncio.Queue()

            async def watch() -> None:
                async for event in pebble.watch_notices(client):
                    events.put_nowait(event)

            watching = asyncio.create_task(watch())
            async with asyncio.timeout(15):
                identity = await client.notify("example.com/made", {"a": "b"})
                event = await events.get()
                assert (event.kind, event.notice.key, event.notice.id, event.notice.data) == (
                    *("custom-notice", "example.com/made", identity),
                    {"a": "b"},
                )
                await client.add_layer("test", CHECK.format(level="ready"))
                event = await events.get()
                assert (event.kind, event.check) == ("check-failed", "up")
                assert not await client.health("ready")
                assert await client.health("alive")
                await sh(pid, "touch /tmp/healthy")
                event = await events.get()
                assert (event.kind, event.check) == ("check-recovered", "up")
                # Nobody reports the end of a container but the watch itself.
                await clean.pods.stop("alpha/0", 5)
                with pytest.raises(PebbleError):
                    await watching
            assert events.empty()

    asyncio.run(main())


@pytest.mark.pods
def test_readiness_and_liveness_follow_pebbles_checks(clean: Site) -> None:
    async def main() -> None:
        _, state = await start(clean, "alpha/0")
        sockets = {
            name: podspec.pebble_socket(clean.instance, "alpha/0", name)
            for name in ("charm", "app")
        }
        seen: asyncio.Queue[bool | str] = asyncio.Queue()
        timing = probes.Timing(
            startup_period=0.05, ready_period=0.1, unready_period=0.1, live_period=0.1
        )
        prober = probes.Prober(sockets, seen.put_nowait, seen.put_nowait, timing)
        running = asyncio.create_task(prober.run())
        pid = state.containers["app"].pid
        async with asyncio.timeout(20), pebble.PebbleClient(sockets["app"]) as client:
            assert await seen.get() is True
            await sh(pid, "touch /tmp/healthy")
            await client.add_layer("test", CHECK.format(level="ready"))
            await sh(pid, "rm /tmp/healthy")
            assert await seen.get() is False
            await sh(pid, "touch /tmp/healthy")
            assert await seen.get() is True
            await client.add_layer("test", CHECK.format(level="alive"))
            await sh(pid, "rm /tmp/healthy")
            assert await seen.get() is False
            assert await seen.get() == "app"
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(main())


@pytest.mark.pods
def test_a_socket_with_a_long_path_is_reached(clean: Site) -> None:
    async def main() -> None:
        unit = f"{'a' * 60}/0"
        await start(clean, unit)
        socket = podspec.pebble_socket(clean.instance, unit, "app")
        assert len(str(socket)) > 108
        assert (await pebble.wait_until_up(socket, timeout=10)).boot_id

    asyncio.run(main())


def test_no_pebble_is_an_error_and_no_health(tmp_path: Path) -> None:
    async def main() -> None:
        async with pebble.PebbleClient(tmp_path / "none.socket") as client:
            assert not await client.health("alive")
            with pytest.raises(PebbleError, match="no answer"):
                await client.system_info()
        with pytest.raises(TimeoutError):
            await pebble.wait_until_up(tmp_path / "none.socket", timeout=0.05, period=0.01)

    asyncio.run(main())


async def sh(pid: int, script: str) -> None:
    process = dispatch.Process(("/bin/sh", "-c", script), {"PATH": "/bin"}, "/")
    outcome = await dispatch.execute(pid, process, lambda *_: None, timeout=10)
    assert outcome.ok
