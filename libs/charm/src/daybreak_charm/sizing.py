"""One table for workers, threads, pools and time limits, so that they fit together."""

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


@dataclass(frozen=True)
class Machine:
    """What a unit may count on."""

    cpus: int
    memory_mb: int


def memory_limit(text: str) -> int | None:
    """A memory limit in bytes from the file of a control group, None without one.

    Version 2 says `max` (`memory.max`); version 1 a number near 2**63 (`memory.limit_in_bytes`).
    """
    text = text.strip()
    if not text.isdecimal() or int(text) >= 2**60:
        return None
    return int(text)


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


def api(machine: Machine) -> ApiSize:
    """Sizes of an API unit.

    One control plane has about ten APIs on a machine, so that one of them takes a worker for each
    two
    processors and a sixteenth of the memory; threads do the rest (bcrypt and the database release
    the
    interpreter's lock).
    """
    by_memory = max(1, machine.memory_mb // 16 // WORKER_MB)
    workers = max(1, min(MAX_WORKERS, (machine.cpus + 1) // 2, by_memory))
    return ApiSize(workers=workers, threads=THREADS, pool_size=THREADS // 2, max_overflow=THREADS)
