"""Probes of a DaemonSet's containers, as Kubernetes' kubelet asks them."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from . import netns
from .command import run
from .part import part, words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Kind = Literal["startup", "liveness", "readiness"]
_FIELDS: Mapping[Kind, str] = {
    "startup": "startupProbe",
    "liveness": "livenessProbe",
    "readiness": "readinessProbe",
}


@dataclass(frozen=True)
class Question:
    """One probe of a container, with Kubernetes' defaults.

    Args:
        kind: What its answer decides.
        command: Program that must exit with 0, or empty.
        port: TCP port that must accept, or that answers `path`.
        path: Path of an HTTP GET that must answer 2xx or 3xx, or empty.
        scheme: ``HTTP`` or ``HTTPS`` (whose certificate is not looked at, as in Kubernetes).
        host: Where, instead of the node's own address.
        delay: Seconds after the container's start.
        period: Seconds between two questions.
        timeout: No answer for that long is a failure, in seconds.
        successes: In a row, until it counts as one that succeeds.
        failures: In a row, until it counts as one that fails.
    """

    kind: Kind
    command: tuple[str, ...] = ()
    port: int = 0
    path: str = ""
    scheme: str = "HTTP"
    host: str = ""
    delay: float = 0
    period: float = 10
    timeout: float = 1
    successes: int = 1
    failures: int = 3


@dataclass(frozen=True)
class Tally:
    """Answers of a probe in a row.

    Args:
        good: Whether the last ones were good.
        count: How many.
    """

    good: bool = False
    count: int = 0


def questions(container: Mapping[str, Any]) -> dict[Kind, Question]:
    """Return the probes of a container of a pod template."""
    return {
        kind: _question(kind, container[field])
        for kind, field in _FIELDS.items()
        if container.get(field)
    }


def _question(kind: Kind, probe: Mapping[str, Any]) -> Question:
    web, tcp = part(probe, "httpGet"), part(probe, "tcpSocket")
    return Question(
        kind,
        command=words(part(probe, "exec"), "command"),
        port=int(web.get("port") or tcp.get("port") or 0),
        path=web.get("path") or ("/" if web else ""),
        scheme=web.get("scheme") or "HTTP",
        host=web.get("host") or tcp.get("host") or "",
        delay=probe.get("initialDelaySeconds") or 0,
        period=probe.get("periodSeconds") or 10,
        timeout=probe.get("timeoutSeconds") or 1,
        successes=probe.get("successThreshold") or 1,
        failures=probe.get("failureThreshold") or 3,
    )


def counted(tally: Tally, *, good: bool) -> Tally:
    """Return the tally after one more answer."""
    return replace(tally, count=tally.count + 1) if tally.good == good else Tally(good, 1)


def verdict(question: Question, tally: Tally) -> bool | None:
    """Return what the answers so far mean; None when they change nothing."""
    needed = question.successes if tally.good else question.failures
    return tally.good if tally.count >= needed else None


@dataclass(frozen=True)
class Target:
    """The container that is asked.

    Args:
        pid: Its process 1.
        network: Its network namespace.
        address: Of its node.
        env: Its environment, for programs.
    """

    pid: int
    network: Path
    address: str
    env: Mapping[str, str]


async def ask(question: Question, target: Target) -> bool:
    """Ask once."""
    try:
        async with asyncio.timeout(question.timeout):
            if question.command:
                return await _execute(question.command, target)
            return await _connect(question, target)
    except (OSError, TimeoutError, ssl.SSLError, EOFError):
        return False


async def _execute(command: tuple[str, ...], target: Target) -> bool:
    # Not `podman exec`, which takes thirty times as long.
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, **target.env}
    result = await run(
        "nsenter", f"--target={target.pid}", "--all", "--", *command, env=environment, check=False
    )
    return result.code == 0


async def _connect(question: Question, target: Target) -> bool:
    address = (question.host or target.address, question.port)
    sock = await asyncio.to_thread(netns.connect, target.network, address, question.timeout)
    tls = None
    if question.path and question.scheme == "HTTPS":
        tls = ssl.create_default_context()
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    name = address[0] if tls else None
    reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name)
    try:
        if not question.path:
            return True
        host = f"{address[0]}:{address[1]}"
        request = f"GET {question.path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        words = (await reader.readline()).split()
        return len(words) > 1 and 200 <= int(words[1]) < 400
    except ValueError:
        return False
    finally:
        writer.close()


class Health:
    """Asks the probes of one running container until it is closed.

    Args:
        container: As in the pod template.
        target: Where it runs.
        on_change: Called when `ready` or `started` changed.
        on_dead: Called once when the container has to be restarted.
    """

    def __init__(
        self,
        container: Mapping[str, Any],
        target: Target,
        on_change: Callable[[], None],
        on_dead: Callable[[], None],
    ) -> None:
        self._questions = questions(container)
        self._target = target
        self._on_change = on_change
        self._on_dead = on_dead
        self.started = "startup" not in self._questions
        self.ready = self.started and "readiness" not in self._questions
        self._tasks = [asyncio.create_task(self._run())]

    async def close(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        startup = self._questions.get("startup")
        if startup is not None and not await self._until_started(startup):
            self._on_dead()
            return
        await asyncio.gather(
            *(
                self._follow(question)
                for kind, question in self._questions.items()
                if kind != "startup"
            )
        )

    async def _until_started(self, question: Question) -> bool:
        tally = Tally()
        await asyncio.sleep(question.delay)
        while True:
            tally = counted(tally, good=await ask(question, self._target))
            decided = verdict(question, tally)
            if decided is not None:
                self.started = decided
                self.ready = decided and "readiness" not in self._questions
                self._on_change()
                return decided
            await asyncio.sleep(question.period)

    async def _follow(self, question: Question) -> None:
        tally = Tally()
        await asyncio.sleep(question.delay)
        while True:
            tally = counted(tally, good=await ask(question, self._target))
            decided = verdict(question, tally)
            if question.kind == "readiness" and decided is not None and decided != self.ready:
                self.ready = decided
                self._on_change()
            if question.kind == "liveness" and decided is False:
                self._on_dead()
                return
            await asyncio.sleep(question.period)
