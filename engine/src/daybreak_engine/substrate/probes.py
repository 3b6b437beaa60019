"""Startup, liveness and readiness of pods, as Kubernetes' kubelet decides them.

The questions are those of Juju's probes (Pebble's health of level ``alive`` and ``ready``), asked
over the unix socket instead of HTTP: the same answer without leaving the machine's network
namespace.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import waiting
from .errors import PebbleError
from .pebble import Level, PebbleClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Timing:
    """When to ask, in seconds.

    Juju's values, with two exceptions. While a pod is not ready it is asked every second instead of
    every five, because somebody is waiting for it. A start is looked at every 0.2 s, for 30 s as
    there; but readiness is not asked sooner than there, so that the checks which Pebble finds in its
    folder when it starts have been made once.

    Args:
        startup_period: Between two looks at a container that has not answered yet.
        startup_limit: A container that does not answer for that long is restarted.
        ready_delay: From the first answer to the first question about readiness.
        ready_period: Between two questions to a ready pod.
        unready_period: Between two questions to a pod that is not ready.
        live_period: Between two questions about liveness.
        live_failures: So many failures in a row restart the container.
        timeout: No answer for that long is a failure.
    """

    startup_period: float = 0.2
    startup_limit: float = 30.0
    ready_delay: float = 1.0
    ready_period: float = 5.0
    unready_period: float = 1.0
    live_period: float = 5.0
    live_failures: int = 3
    timeout: float = 1.0


@dataclass(frozen=True)
class Probe:
    """What is known of one container.

    Args:
        since: When it began to start.
        started: It has answered once.
        ready: Its last answer about readiness.
        failures: Failures of liveness in a row.
        live_at: When liveness is asked next.
        ready_at: When readiness is asked first.
    """

    since: float
    started: bool = False
    ready: bool = False
    failures: int = 0
    live_at: float = 0.0
    ready_at: float = 0.0


def after_startup(probe: Probe, *, alive: bool, now: float, timing: Timing) -> tuple[Probe, bool]:
    """Return the next state of a starting container, and whether it must be restarted."""
    if alive:
        begun = replace(probe, started=True, live_at=now + timing.live_period)
        return replace(begun, ready_at=now + timing.ready_delay), False
    if now - probe.since >= timing.startup_limit:
        return Probe(since=now), True
    return probe, False


def after_liveness(probe: Probe, *, alive: bool, now: float, timing: Timing) -> tuple[Probe, bool]:
    """Return the next state of a started container, and whether it must be restarted."""
    failures = 0 if alive else probe.failures + 1
    if failures >= timing.live_failures:
        return Probe(since=now), True
    return replace(probe, failures=failures, live_at=now + timing.live_period), False


class Prober:
    """Probes the containers of one pod and reports changes only; `run` is for a task.

    Args:
        sockets: Pebble's socket of each container, by container name.
        on_ready: Gets True when all containers are ready, False when one is not any more.
        on_dead: Gets the name of a container that must be restarted (the pod is then not ready).
        timing: When to ask.
        known: Containers that have been running for a while, such as those that an earlier daemon started:
            their readiness is asked at once.
    """

    def __init__(
        self,
        sockets: Mapping[str, Path],
        on_ready: Callable[[bool], None],
        on_dead: Callable[[str], None],
        timing: Timing | None = None,
        known: Iterable[str] = (),
    ) -> None:
        self._known = set(known)
        self._sockets = dict(sockets)
        self._on_ready = on_ready
        self._on_dead = on_dead
        self._timing = timing or Timing()
        self._probes: dict[str, Probe] = {}
        self._clients: dict[str, PebbleClient] = {}
        self._nudge = asyncio.Event()
        self._ready = False

    @property
    def ready(self) -> bool:
        """What was reported last."""
        return self._ready

    def nudge(self) -> None:
        """Ask now: a check of Pebble changed, or a container started."""
        self._nudge.set()

    async def restarted(self, container: str) -> None:
        """Begin anew with a container that was replaced or ended."""
        self._known.discard(container)
        self._probes.pop(container, None)
        await self._drop(container)
        self._report()
        self.nudge()

    async def run(self) -> None:
        """Probe until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._nudge.clear()
                now = loop.time()
                await asyncio.gather(*(self._ask(name, now) for name in self._sockets))
                self._report()
                await waiting.is_set(self._nudge, self._period())
        finally:
            for name in list(self._clients):
                await self._drop(name)

    def _period(self) -> float:
        if len(self._probes) < len(self._sockets) or not all(
            probe.started for probe in self._probes.values()
        ):
            return self._timing.startup_period
        return self._timing.ready_period if self._ready else self._timing.unready_period

    def _report(self) -> None:
        ready = len(self._probes) == len(self._sockets) and all(
            probe.started and probe.ready for probe in self._probes.values()
        )
        if ready != self._ready:
            self._ready = ready
            self._on_ready(ready)

    async def _ask(self, name: str, now: float) -> None:
        before = probe = self._probes.setdefault(name, Probe(since=now))
        dead = False
        if not probe.started:
            alive = self._sockets[name].exists() and await self._health(name, "alive")
            probe, dead = after_startup(probe, alive=alive, now=now, timing=self._timing)
            if name in self._known:
                probe = replace(probe, ready_at=now)
        elif now >= probe.live_at:
            alive = await self._health(name, "alive")
            probe, dead = after_liveness(probe, alive=alive, now=now, timing=self._timing)
        if probe.started and now >= probe.ready_at:
            probe = replace(probe, ready=await self._health(name, "ready"))
        if self._probes.get(name) is not before:
            return  # `restarted` came in between: this was the old container's answer
        self._probes[name] = probe
        if dead:
            await self._drop(name)
            self._report()
            self._on_dead(name)

    async def _health(self, name: str, level: Level) -> bool:
        """Ask; no answer counts when there is none a second time.

        The time runs out for all at once when it is this daemon that got no processor.
        """
        client = self._clients.setdefault(name, PebbleClient(self._sockets[name]))
        for _ in range(2):
            try:
                return await client.health(level, timeout=self._timing.timeout)
            except PebbleError:
                continue
        return False

    async def _drop(self, name: str) -> None:
        client = self._clients.pop(name, None)
        if client is not None:
            await client.close()
