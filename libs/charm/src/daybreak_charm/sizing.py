"""One table for workers, threads, pools and time limits, so that they fit together."""

import math
from dataclasses import dataclass

MAX_WORKERS = 8
THREADS = 8
WORKER_MB = 130
"""Memory of one worker of a Python API (measured: about 110 to 125 MB)."""

# Time limits in seconds, from the outside in: whoever asks waits longer than whoever answers.
GATEWAY_TIMEOUT = 120
RPC_TIMEOUT = 60
DATABASE_TIMEOUT = 30
CONNECT_TIMEOUT = 5
LONG_TIMEOUT = 3600
"""Consoles, uploads."""


PARTS = 16
"""Without a limit of its own a container shares the machine with about so many others."""


@dataclass(frozen=True)
class Machine:
    """What a container may count on.

    Attributes:
        cpus: Processors: the machine's, or fewer where the container may not use all of them.
        memory_mb: Memory of the machine.
        limit_mb: What the container may use of it; None without a limit.
    """

    cpus: int
    memory_mb: int
    limit_mb: int | None = None

    def budget_mb(self, *, parts: int = PARTS, least: int = 0) -> int:
        """Memory to plan with: the limit, else one of so many parts of the machine, or at least so much."""
        return max(least, self.memory_mb // parts) if self.limit_mb is None else self.limit_mb


def memory_limit(text: str) -> int | None:
    """A memory limit in bytes from the file of a control group, None without one.

    Version 2 says `max` (`memory.max`); version 1 a number near 2**63 (`memory.limit_in_bytes`).
    """
    text = text.strip()
    if not text.isdecimal() or int(text) >= 2**60:
        return None
    return int(text)


def cpu_limit(text: str) -> int | None:
    """Processors that a control group is worth, rounded up; None without a limit.

    Args:
        text: Quota and period in microseconds, as version 2 has them in one file (`cpu.max`) and version 1 in two.
            No limit is `max`, or -1.
    """
    words = text.split()
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return None
    return max(1, math.ceil(int(words[0]) / int(words[1])))


@dataclass(frozen=True)
class ApiSize:
    """Sizes of one unit of an HTTP API.

    Attributes:
        workers: Processes.
        threads: Threads of each; every one may hold one database connection.
        pool_size: Connections that a process keeps.
        max_overflow: Connections that it may open beyond.
    """

    workers: int
    threads: int
    pool_size: int
    max_overflow: int

    @property
    def concurrency(self) -> int:
        """Requests that the unit works on at the same time."""
        return self.workers * self.threads

    @property
    def connections(self) -> int:
        """The most connections that the unit can hold."""
        return self.workers * (self.pool_size + self.max_overflow)


def api(machine: Machine, *, scaled: int = 1, alone: int = 1) -> ApiSize:
    """Sizes of a unit whose processes are APIs.

    One control plane has about ten APIs on a machine, so that one of them takes a worker for each two processors and
    its part of the memory; threads do the rest (bcrypt and the database release the interpreter's lock).

    Args:
        machine: What the container may count on.
        scaled: Programs in it that have so many workers each.
        alone: Processes of a worker's size beside these; what starts an API's workers is one.
    """
    by_memory = (machine.budget_mb() // WORKER_MB - (alone if machine.limit_mb else 0)) // scaled
    workers = max(1, min(MAX_WORKERS, (machine.cpus + 1) // 2, by_memory))
    return ApiSize(workers=workers, threads=THREADS, pool_size=THREADS // 2, max_overflow=THREADS)
