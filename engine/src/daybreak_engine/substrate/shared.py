"""Work that many ask for at the same time, done once for all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

T = TypeVar("T")


class Shared(Generic[T]):
    """Calls a function, one call at a time.

    Who asks while a call runs gets the answer of the next one, with all others who do: an answer is never
    older than its question, and however many ask, at most two calls are left to wait for.

    Args:
        work: The function. Its answer goes to several; nobody may change it.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """Return an answer of a call that begins after this one; a cancelled caller does not end it."""
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._turn(self._running))
        return await asyncio.shield(self._next)

    async def _turn(self, before: asyncio.Task[T] | None) -> T:
        if before is not None and not before.done():
            await asyncio.wait({before})
        self._running, self._next = self._next, None
        return await self._work()
