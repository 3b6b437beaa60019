"""Work that many ask for at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from daybreak_engine.substrate.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Slow:
    """A program that ends when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.at_once = 0
        self.most = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        if number == 3:
            raise OSError("no store")
        return number


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(test: Coroutine[None, None, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(5):
            await test

    asyncio.run(limited())


def test_who_asks_while_one_runs_shares_the_next() -> None:
    async def test() -> None:
        work = Slow()
        ask = Shared(work)
        first = [asyncio.create_task(ask()) for _ in range(3)]
        await turns()
        assert work.begun == 1
        later = [asyncio.create_task(ask()) for _ in range(100)]
        await turns()
        assert work.begun == 1, "a store that is locked is waited for once"
        work.gate.set()
        assert await asyncio.gather(*first) == [1, 1, 1]
        assert set(await asyncio.gather(*later)) == {2}, "no answer is older than its question"
        assert (work.begun, work.most) == (2, 1)

    run(test())


def test_a_failure_or_a_caller_that_goes_away_spoils_nothing_for_the_next() -> None:
    async def test() -> None:
        work = Slow()
        ask = Shared(work)
        gone = asyncio.create_task(ask())
        await turns()
        gone.cancel()
        other = asyncio.create_task(ask())
        await turns()
        assert gone.cancelled()
        work.gate.set()
        assert await other == 2
        failed = await asyncio.gather(ask(), ask(), return_exceptions=True)
        assert [str(error) for error in failed] == ["no store", "no store"]
        assert await ask() == 4

    run(test())
