"""Waiting for an event."""

import asyncio

from daybreak_engine.substrate import waiting


def test_cancellation_is_not_lost_when_the_event_comes_in_the_same_turn() -> None:
    async def run() -> bool:
        event = asyncio.Event()

        async def work() -> None:
            while True:
                await waiting.is_set(event, 5.0)
                event.clear()

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        event.set()
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        return task.cancelled()

    assert asyncio.run(run())


def test_limit_ends_the_wait() -> None:
    assert not asyncio.run(waiting.is_set(asyncio.Event(), 0.0))
