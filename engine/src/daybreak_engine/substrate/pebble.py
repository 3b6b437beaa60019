"""Client of the Pebble in a container, for what the engine itself asks of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import aiohttp

from .errors import PebbleError
from .files import short_socket_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from types import TracebackType

Level = Literal["alive", "ready"]
WorkloadEventKind = Literal["custom-notice", "check-failed", "check-recovered"]

_TIMEOUT = 5.0
_LONG_POLL = 30.0


@dataclass(frozen=True)
class SystemInfo:
    """Who answers.

    Args:
        version: Pebble's version.
        boot_id: Changes with every start of the container.
    """

    version: str
    boot_id: str


@dataclass(frozen=True)
class Notice:
    """A notice of Pebble.

    Args:
        id: Its number, as text.
        type: ``custom`` or ``change-update``.
        key: ``example.com/path`` or the number of a change.
        last_repeated: Time stamp as Pebble writes it; the next question asks for notices after it.
        data: Last data.
    """

    id: str
    type: str
    key: str
    last_repeated: str
    data: dict[str, str]


@dataclass(frozen=True)
class Change:
    """A change of Pebble.

    Args:
        id: Its number, as text.
        kind: ``perform-check``, ``replan``, ...
        status: ``Do``, ``Doing``, ``Done``, ``Error``, ...
        check: Name of the check for kinds about checks, else empty.
    """

    id: str
    kind: str
    status: str
    check: str


@dataclass(frozen=True)
class WorkloadEvent:
    """What a notice means to a charm.

    Args:
        kind: Name of the hook without the container.
        notice: The notice it comes from.
        check: Name of the check, empty for custom notices.
    """

    kind: WorkloadEventKind
    notice: Notice
    check: str = ""


def translate(notice: Notice, change: Change | None) -> WorkloadEvent | None:
    """Decide which hook a notice is, as Juju does.

    Args:
        notice: The notice.
        change: The change that a ``change-update`` is about, as it is now; None when Pebble has
            pruned it.

    Returns:
        None when it is no hook.
    """
    if notice.type == "custom":
        return WorkloadEvent("custom-notice", notice)
    if notice.type != "change-update":
        return None
    kind = notice.data.get("kind", "")
    check = notice.data.get("check-name", "")
    if kind == "perform-check" and (change is None or change.status == "Error"):
        return WorkloadEvent("check-failed", notice, check)
    if kind == "recover-check" and (change is None or change.status == "Done"):
        return WorkloadEvent("check-recovered", notice, check)
    return None


class PebbleClient:
    """One container's Pebble. Use as an async context manager, or call `close`.

    Args:
        socket: Path of its socket on this machine.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._stack = contextlib.ExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> PebbleClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._stack.close()

    async def system_info(self) -> SystemInfo:
        """Return version and boot id."""
        result = await self._call("GET", "/v1/system-info")
        return SystemInfo(str(result.get("version", "")), str(result.get("boot-id", "")))

    async def health(self, level: Level, *, timeout: float = 1.0) -> bool:
        """Tell whether all checks of `level` are up; no answer in `timeout` seconds means no."""
        try:
            await self._call("GET", "/v1/health", params={"level": level}, timeout=timeout)
        except PebbleError:
            return False
        return True

    async def notices(self, after: str = "", *, wait: float = 0.0) -> tuple[Notice, ...]:
        """Return the notices of all users that (re)occurred after a time stamp, oldest first.

        Args:
            after: `Notice.last_repeated` of the last one seen; empty for all.
            wait: Seconds to wait for one when there is none.
        """
        params = {"users": "all"}
        if after:
            params["after"] = after
        if wait > 0:
            params["timeout"] = f"{wait:.3f}s"
        found = await self._call("GET", "/v1/notices", params=params, timeout=wait + _TIMEOUT)
        return tuple(_notice(item) for item in found or ())

    async def change(self, number: str) -> Change | None:
        """Return a change, None when Pebble does not know it (any more)."""
        try:
            found = await self._call("GET", f"/v1/changes/{number}")
        except PebbleError as error:
            if error.status == 404:
                return None
            raise
        data: dict[str, Any] = {}
        for task in found.get("tasks") or ():
            data |= task.get("data") or {}
        return Change(
            str(found["id"]),
            str(found["kind"]),
            str(found["status"]),
            str(data.get("check-name", "")),
        )

    async def notify(self, key: str, data: dict[str, str] | None = None) -> str:
        """Add a custom notice and return its id."""
        body = {"action": "add", "type": "custom", "key": key, "data": data or {}}
        result = await self._call("POST", "/v1/notices", body=body)
        return str(result["id"])

    async def add_layer(self, label: str, layer: str) -> None:
        """Add or combine a layer given as YAML."""
        body = {
            "action": "add",
            "combine": True,
            "label": label,
            "format": "yaml",
            "layer": layer,
        }
        await self._call("POST", "/v1/layers", body=body)

    async def replan(self) -> str:
        """Start what the plan says and return the number of the change."""
        return str(await self._call("POST", "/v1/services", body={"action": "replan"}))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: object = None,
        timeout: float = _TIMEOUT,
    ) -> Any:
        """Return the result of a call, or the number of the change that it started.

        Raises:
            PebbleError: Pebble said no, or nothing.
        """
        try:
            session = self._open()
            async with session.request(
                method,
                f"http://localhost{path}",
                params=params,
                json=body,
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as response:
                answer: dict[str, Any] = json.loads(await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError) as error:
            raise PebbleError(f"no answer from Pebble at {self.socket}: {error}") from error
        result: Any = answer.get("result")
        match answer.get("type"):
            case "error":
                raise PebbleError(
                    str(result.get("message", "")),
                    status=int(answer.get("status-code", 0)),
                    kind=str(result.get("kind", "")),
                )
            case "async":
                return answer["change"]
            case _:
                if path == "/v1/health" and not (result and result["healthy"]):
                    raise PebbleError("unhealthy", status=int(answer.get("status-code", 0)))
                return result

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            path = self._stack.enter_context(short_socket_path(self.socket))
            self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(path))
        return self._session


async def wait_until_up(socket: Path, *, timeout: float, period: float = 0.1) -> SystemInfo:
    """Return as soon as the Pebble of a starting container answers.

    Args:
        socket: Its socket.
        timeout: Seconds after which to give up.
        period: Seconds between two tries; a try on a missing socket costs microseconds.

    Raises:
        TimeoutError: It did not answer in time.
    """
    async with asyncio.timeout(timeout):
        while True:
            if socket.exists():
                # A new client each time: the directory may have been replaced.
                async with PebbleClient(socket) as client:
                    with contextlib.suppress(PebbleError):
                        return await client.system_info()
            await asyncio.sleep(period)


async def watch_notices(client: PebbleClient, after: str = "") -> AsyncIterator[WorkloadEvent]:
    """Yield what a charm must hear, as it happens, serially, until Pebble does not answer any more.

    Notices that occurred before are replayed unless `after` says up to where they are known (Juju
    replays all of them when its agent starts). The next notice is read when the consumer asks for
    it.

    Raises:
        PebbleError: Pebble is gone.
    """
    while True:
        for notice in await client.notices(after, wait=_LONG_POLL):
            after = notice.last_repeated
            change = None
            if notice.type == "change-update":
                if notice.data.get("kind") not in ("perform-check", "recover-check"):
                    continue
                change = await client.change(notice.key)
            event = translate(notice, change)
            if event is not None:
                yield event


def _notice(item: dict[str, Any]) -> Notice:
    data: dict[str, Any] = item.get("last-data") or {}
    return Notice(
        id=str(item["id"]),
        type=str(item["type"]),
        key=str(item["key"]),
        last_repeated=str(item["last-repeated"]),
        data={str(key): str(value) for key, value in data.items()},
    )
