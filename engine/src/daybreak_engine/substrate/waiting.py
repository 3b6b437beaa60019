"""Waiting for an event, for a limited time."""

from __future__ import annotations

import asyncio


async def is_set(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait until an event is set, for at most `seconds` (None: for ever); tell whether it was.

    Not `asyncio.wait_for`: before Python 3.12 that loses a cancellation which comes in the same turn as the
    event (https://github.com/python/cpython/issues/86296), and a task that was cancelled goes on for ever.
    """
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
