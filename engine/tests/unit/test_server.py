"""The socket of the hook tools, over a real socket."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak_engine.hooktools import wire
from daybreak_engine.hooktools.context import HookContext
from daybreak_engine.hooktools.server import HookToolServer
from daybreak_engine.model.operation import Operation
from daybreak_engine.model.unitstate import UnitState

if TYPE_CHECKING:
    from .conftest import Cloud


async def send(path: Path, message: bytes) -> dict[str, str]:
    """Send a message and return the fields of the answer."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        where = f"/proc/self/fd/{directory}/{path.name}"
        reader, writer = await asyncio.open_unix_connection(where)
    finally:
        os.close(directory)
    writer.write(message)
    writer.write_eof()
    answer = dict(wire.decode(await reader.read()))
    writer.close()
    await writer.wait_closed()
    return answer


async def ask(path: Path, context: str, tool: str, *fields: tuple[str, str]) -> dict[str, str]:
    return await send(path, wire.encode(iter((("c", context), ("t", tool), *fields))))


def test_tools_over_the_socket(cloud: Cloud, tmp_path: Path) -> None:
    cloud.deploy("a", 2)
    context = HookContext(cloud.store, "a/0", Operation(kind="install"), UnitState())
    # Longer than the 107 bytes that the name of a socket may have.
    first, second = (tmp_path / ("x" * 100) / f"{n}" / "agent.socket" for n in "01")

    async def talk() -> None:
        server = HookToolServer()
        await server.listen("a/0", first)
        await server.listen("a/1", second)
        server.register(context)
        right = {"o": "True\n", "e": "", "x": "0"}
        assert await ask(first, context.id, "is-leader") == right
        large = (("a", "password#file=/x"), ("p", "/x"), ("f", "y" * 1_000_000))
        assert (await ask(first, context.id, "secret-add", *large))["x"] == "0"
        expected = f'ERROR bad request: expected context id "{context.id}", got "old"\n'
        assert (await ask(first, "old", "is-leader"))["e"] == expected
        assert (await ask(second, context.id, "is-leader"))["x"] == "1", "another unit's context"
        for wrong in (b"[1]", b"c3", b"c9:x", b"cx:", b"z1:x", b"c1:x"):
            assert (await send(first, wrong))["e"].startswith("ERROR bad request: ")
        # The client of the warm interpreter, which is no tool that a charm has called.
        for seconds, code in (("0.25", "0"), ("-1", "0"), ("0.5", "0"), ("x", "1")):
            assert (await ask(first, context.id, "python3", ("a", seconds)))["x"] == code
        usage = server.unregister(context)
        assert (usage.cpu, usage.calls) == (0.75, {"is-leader": 1, "secret-add": 1})
        assert "unknown context" in (await ask(first, context.id, "is-leader"))["e"]
        await server.close()

    asyncio.run(talk())
    assert [new.content["password"][:1] for new in context.pending.added.values()] == ["y"]
