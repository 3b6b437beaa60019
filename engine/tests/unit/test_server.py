"""The socket of the hook tools, over a real socket."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak_engine.hooktools.context import HookContext
from daybreak_engine.hooktools.server import HookToolServer
from daybreak_engine.model.operation import Operation
from daybreak_engine.model.unitstate import UnitState

if TYPE_CHECKING:
    from .conftest import Cloud


async def ask(path: Path, request: object) -> dict[str, Any]:
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        where = f"/proc/self/fd/{directory}/{path.name}"
        reader, writer = await asyncio.open_unix_connection(where, limit=2**24)
    finally:
        os.close(directory)
    writer.write(json.dumps(request).encode() + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answer


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
        request = {"context": context.id, "tool": "is-leader", "args": [], "files": {}}
        right = {"code": 0, "stdout": "True\n", "stderr": ""}
        assert await ask(first, request) == right
        content = "y" * 1_000_000
        large = {
            "context": context.id,
            "tool": "secret-add",
            "args": ["password#file=/x"],
            "files": {"/x": content},
        }
        assert (await ask(first, large))["code"] == 0
        other = {**request, "context": "old"}
        expected = f'ERROR bad request: expected context id "{context.id}", got "old"\n'
        assert (await ask(first, other))["stderr"] == expected
        assert (await ask(second, request))["code"] == 1, "another unit's context"
        assert (await ask(first, [1]))["stderr"] == "ERROR bad request: not a JSON object\n"
        server.unregister(context)
        assert "unknown context" in (await ask(first, request))["stderr"]
        await server.close()

    asyncio.run(talk())
    assert [new.content["password"][:1] for new in context.pending.added.values()] == ["y"]
