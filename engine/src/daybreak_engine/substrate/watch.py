"""Noticing the end of containers, also of those that an earlier daemon started."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from .specs import Exit, PodState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Watcher:
    """Reports the end of containers within milliseconds, by pidfd, without polling.

    Tell it with `watch` what runs, after each `Pods.observe`; it keeps what it knows already.

    Args:
        on_exit: Called once in the event loop for each container that ends.
    """

    def __init__(self, on_exit: Callable[[Exit], None]) -> None:
        self._on_exit = on_exit
        self._handles: dict[str, int] = {}

    def watch(self, pods: Mapping[str, PodState]) -> None:
        """Watch the containers of `pods` that run and forget others that do not exist any more."""
        running = {
            container.id: (unit, container)
            for unit, pod in pods.items()
            for container in pod.containers.values()
            if container.status == "running"
        }
        for container_id in self._handles.keys() - running.keys():
            self._forget(container_id)
        for container_id, (unit, container) in running.items():
            if container_id not in self._handles:
                self._open(Exit(unit, container.name, container_id), container.pid)

    def close(self) -> None:
        """Stop watching. The containers go on."""
        for container_id in list(self._handles):
            self._forget(container_id)

    def _open(self, ending: Exit, pid: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            loop.call_soon(self._on_exit, ending)
            return
        # The number may have been given to another process since podman reported it.
        if not _belongs(pid, ending.id):
            os.close(handle)
            loop.call_soon(self._on_exit, ending)
            return
        self._handles[ending.id] = handle
        loop.add_reader(handle, self._ended, ending)

    def _ended(self, ending: Exit) -> None:
        self._forget(ending.id)
        self._on_exit(ending)

    def _forget(self, container_id: str) -> None:
        handle = self._handles.pop(container_id)
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


def _belongs(pid: int, container_id: str) -> bool:
    try:
        return container_id in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False
