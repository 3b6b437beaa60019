"""The agent's side of the hook tools' socket: one question in, one answer out."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak_engine.hooktools import wire
from daybreak_engine.hooktools.tools import handle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daybreak_engine.hooktools.context import HookContext

# A secret may have 1 MiB, and files of others beside it.
_LIMIT = 16 * 1024 * 1024


@dataclass(slots=True)
class Usage:
    """What the tools of one context have cost.

    Attributes:
        calls: Calls by tool.
        seconds: Time in the server for them.
        cpu: CPU seconds of the process itself, where it was forked from a warm interpreter.
    """

    calls: Counter[str] = field(default_factory=Counter[str])
    seconds: float = 0.0
    cpu: float = 0.0


class HookToolServer:
    """Serves the tools of all units, one socket per unit, to the contexts that are registered."""

    def __init__(self) -> None:
        self._contexts: dict[str, HookContext] = {}
        self._servers: dict[str, asyncio.Server] = {}
        self._usage: dict[str, Usage] = {}

    def register(self, context: HookContext) -> None:
        """Let the tools of a process use a context from now on."""
        self._contexts[context.id] = context
        self._usage[context.id] = Usage()

    def unregister(self, context: HookContext) -> Usage:
        """Refuse a context from now on, because its process has ended; return what it cost."""
        self._contexts.pop(context.id, None)
        return self._usage.pop(context.id, Usage())

    async def listen(self, unit: str, path: Path) -> None:
        """Serve a unit on a socket file (replaced when it exists; parents are made).

        The mode is 0666: the directory is the pod's own, and a charm may run without root.
        """
        await self.close(unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # A socket's path has at most 107 bytes; through the open directory it is always short.
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._servers[unit] = await asyncio.start_unix_server(
                lambda reader, writer: self._serve(unit, reader, writer),
                f"/proc/self/fd/{directory}/{path.name}",
            )
        finally:
            os.close(directory)
        path.chmod(0o666)

    async def close(self, unit: str | None = None) -> None:
        """Stop to serve a unit, or all."""
        for name in [unit] if unit is not None else list(self._servers):
            server = self._servers.pop(name, None)
            if server is not None:
                server.close()
                await server.wait_closed()

    def answer(self, unit: str, question: wire.Question) -> wire.Answer:
        """Return the answer to one question of a unit's socket."""
        context = self._contexts.get(question.context)
        if context is None or context.unit != unit:
            return _failure(self._unknown(unit, question.context))
        if question.tool == "python3":
            self._usage[context.id].cpu += _seconds(question.args)
            return wire.Answer(0)
        started = time.perf_counter()
        code, out, error = handle(
            context, question.tool, list(question.args), question.stdin, question.files
        )
        usage = self._usage[context.id]
        usage.calls[question.tool] += 1
        usage.seconds += time.perf_counter() - started
        return wire.Answer(code, out, error)

    def _unknown(self, unit: str, given: str) -> str:
        expected = [c.id for c in self._contexts.values() if c.unit == unit]
        if expected:
            return f'bad request: expected context id "{expected[0]}", got "{given}"'
        return f'bad request: unknown context "{given}"'

    async def _serve(
        self, unit: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            message = await _whole(reader)
            if not message:
                return
            try:
                answer = self.answer(unit, wire.question(message))
            except wire.WireError as error:
                answer = _failure(f"bad request: {error}")
            writer.write(wire.answer_bytes(answer))
            await writer.drain()
        except ConnectionError:
            # The client is gone: nobody is left to be told.
            return
        finally:
            writer.close()


def _seconds(args: Sequence[str]) -> float:
    """Return the CPU seconds that the client of the warm interpreter tells (tools/hooktool/python.c)."""
    try:
        return max(0.0, float(args[0]))
    except (IndexError, ValueError):
        raise wire.WireError("python3 tells seconds") from None


async def _whole(reader: asyncio.StreamReader) -> bytes:
    """Return what a client sent until it closed its direction; nothing when it was too much."""
    parts: list[bytes] = []
    left = _LIMIT
    while part := await reader.read(2**16):
        parts.append(part)
        left -= len(part)
        if left < 0:
            return b""
    return b"".join(parts)


def _failure(message: str) -> wire.Answer:
    return wire.Answer(1, stderr=f"ERROR {message}\n")
