"""The daemon's socket for the `juju` command: one request a command, its output as it comes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from daybreak_engine.commands import deps, dispatch

if TYPE_CHECKING:
    from daybreak_engine.instance import Instance


async def serve(instance: Instance, engine: deps.Engine) -> web.AppRunner:
    """Listen on the instance's socket until the returned runner is cleaned up."""
    application = web.Application(client_max_size=64 << 20)

    async def command(request: web.Request) -> web.StreamResponse:
        return await _command(request, engine)

    application.router.add_post("/v1/command", command)
    # A client that goes away (Ctrl-C) must end what its command waits for.
    runner = web.AppRunner(
        application, handler_cancellation=True, access_log=None, shutdown_timeout=1.0
    )
    await runner.setup()
    instance.daemon_socket.unlink(missing_ok=True)
    await web.UnixSite(runner, os.fspath(instance.daemon_socket)).start()
    instance.daemon_socket.chmod(0o600)
    return runner


async def _command(request: web.Request, engine: deps.Engine) -> web.StreamResponse:
    body: dict[str, Any] = await request.json()
    line = deps.Request(
        argv=tuple(body["argv"]),
        cwd=Path(body["cwd"]),
        stdin=body.get("stdin"),
        tty=bool(body.get("tty")),
        env=dict(body.get("env") or {}),
    )
    response = web.StreamResponse()
    response.content_type = "application/x-ndjson"
    await response.prepare(request)
    async for output in dispatch.execute(line, engine):
        await response.write(json.dumps(_frame(output)).encode() + b"\n")
    await response.write_eof()
    return response


def _frame(output: deps.Output) -> dict[str, object]:
    if isinstance(output, deps.Exit):
        return {"exit": output.code}
    stream = "stdout" if isinstance(output, deps.Out) else "stderr"
    return {"stream": stream, "data": output.data}
