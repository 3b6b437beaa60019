"""A server as its users see it: by ping, by http, and by a connection that is never made again."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..clouds import PROGRAMS, Cloud, program

PERIOD = 1.0
"""Seconds between two lines that the server sends over the connection."""


def demo(cloud: Cloud, *words: str) -> dict[str, Any]:
    """Run `daybreak demo` and return what it says."""
    assert cloud.instance
    python = PROGRAMS / "python"
    said = program(
        python, "-m", "daybreak", "demo", "--format", "json", *words, instance=cloud.instance
    )
    return json.loads(said[said.index("{") :])


def daybreak(
    cloud: Cloud, *words: str | Path, within: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a `daybreak` command that may fail.

    Args:
        cloud: Where.
        words: The command.
        within: A command that runs it.
    """
    return subprocess.run(
        [*within, PROGRAMS / "python", "-m", "daybreak", *words],
        env={**os.environ, "DAYBREAK_INSTANCE": cloud.instance or "", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )


def overview(cloud: Cloud, within: Sequence[str] = ()) -> dict[str, Any]:
    """Return what `daybreak status` says; it ends with 1 where something is not as it should be."""
    done = daybreak(cloud, "status", "--format", "json", within=within)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert found["healthy"] == (done.returncode == 0)
    return found


@dataclass
class Stream:
    """An ssh connection over which the server counts; it ends with the server, or its network.

    Attributes:
        beats: When each line came, and the server's uptime in it; seconds.
    """

    process: subprocess.Popen[str]
    beats: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def read(self) -> None:
        """Take lines until the connection ends."""
        assert self.process.stdout
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):
                self.beats.append((time.monotonic(), float(line.split()[0])))

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        return self.process.poll() is None

    def longest_silence(self, since: float) -> float:
        """Return the longest time without a line since then, in seconds, the one up to now included."""
        times = [since, *(at for at, _ in self.beats if at >= since), time.monotonic()]
        return max(after - before for before, after in itertools.pairwise(times))


@dataclass(frozen=True)
class Guest:
    """A server.

    Attributes:
        server: Its id.
        address: Its floating address.
        ssh: The command that logs in.
        volume: Id of its volume.
        stream: A connection that was made when it came.
    """

    server: str
    address: str
    ssh: str
    volume: str
    stream: Stream

    def run(self, command: str, timeout: float = 60) -> str:
        """Run a command in it."""
        done = subprocess.run(
            [*shlex.split(self.ssh), command],
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pings(self) -> bool:
        """Whether it answers one ping."""
        words = ("ping", "-c", "1", "-W", "2", self.address)
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    @property
    def uptime(self) -> float:
        """Seconds since its start."""
        return float(self.run("cat /proc/uptime").split()[0])


@contextlib.contextmanager
def first(cloud: Cloud) -> Iterator[Guest]:
    """Make the demo's server, and remove all of it afterwards."""
    made = demo(cloud)
    count = f"while cat /proc/uptime; do sleep {PERIOD:g}; done"
    with subprocess.Popen(
        [*shlex.split(made["ssh"]), count],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        stream = Stream(process)
        reader = threading.Thread(target=stream.read, daemon=True)
        reader.start()
        try:
            yield Guest(made["server"], made["address"], made["ssh"], made["volume"], stream)
        finally:
            process.terminate()
            reader.join()
            demo(cloud, "--clean-up")
