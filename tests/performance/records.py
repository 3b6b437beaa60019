"""What is measured, as values."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUEST = "guests"
"""The part of the memory that users' servers take: of no sum."""
OWN = ("engine", "Pebble", "podman (conmon)", "charms", "shells that watch")
"""What runs the services, and is none itself: conmon is the script's, too."""


@dataclass(frozen=True)
class Subject:
    """What is measured: a bundle against a shell script.

    Attributes:
        bundle: Its name.
        script: Starts the same programs with nothing in between.
        server: Whether it goes on until a first server has booted, and to what memory it takes then.
    """

    bundle: str
    script: Path
    server: bool = False

    @property
    def results(self) -> Path:
        """Where the numbers are written."""
        return (
            ROOT
            / f"results/performance{'' if self.bundle == 'identity' else '-' + self.bundle}.json"
        )


HERE = Path(__file__).parent
SUBJECTS = {
    "identity": Subject("identity", HERE / "bare.sh"),
    "openstack": Subject("openstack", HERE / "openstack/bare.sh", server=True),
}


@dataclass(frozen=True)
class Hook:
    """One line of the engine's record of hooks; seconds and CPU seconds."""

    unit: str
    hook: str
    seconds: float
    cpu: float
    tools: int
    tool_seconds: float
    exit: int


@dataclass(frozen=True)
class Run:
    """One bare run or one bootstrap.

    Attributes:
        steps: Seconds by step, and `total`.
        memory: MiB by service when it was idle; empty where it is not measured.
    """

    steps: dict[str, float]
    memory: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def total(self) -> float:
        """Seconds of all."""
        return self.steps["total"]

    @property
    def memory_sum(self) -> float:
        """MiB of all services."""
        return sum(value for name, value in self.memory.items() if name != GUEST)


@dataclass(frozen=True)
class Round:
    """One bare run and one bootstrap."""

    bare: Run
    daybreak: Run
    hooks: tuple[Hook, ...]

    @property
    def ratio(self) -> float:
        """How many times the bare script's time the bootstrap took."""
        return self.daybreak.total / self.bare.total

    @property
    def memory_ratio(self) -> float:
        """How many times the bare script's memory it takes; 0 where it is not measured."""
        return self.daybreak.memory_sum / self.bare.memory_sum if self.bare.memory else 0.0


@dataclass(frozen=True)
class Results:
    """Everything measured."""

    bundle: str
    machine: str
    date: str
    rounds: tuple[Round, ...]
    noop: tuple[Hook, ...] = ()
    parts: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds of the parts of one hook process."""
    from_nothing: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def ratio(self) -> float:
        """The ratio of the medians of the times."""
        return median(r.daybreak.total for r in self.rounds) / median(
            r.bare.total for r in self.rounds
        )

    @property
    def memory_ratio(self) -> float:
        """The ratio of the medians of the memory; 0 where it is not measured."""
        if not self.rounds[0].bare.memory:
            return 0.0
        return median(r.daybreak.memory_sum for r in self.rounds) / median(
            r.bare.memory_sum for r in self.rounds
        )

    @property
    def hook_cpu(self) -> float:
        """CPU seconds of all hooks of a bootstrap, the median of the rounds."""
        return median(sum(hook.cpu for hook in r.hooks) for r in self.rounds)


@dataclass(frozen=True)
class Limit:
    """What is promised of a figure.

    Attributes:
        name: The figure, in words.
        value: As measured.
        most: As promised.
    """

    name: str
    value: float
    most: float

    @property
    def kept(self) -> bool:
        """Whether it is kept."""
        return self.value <= self.most


def limits(results: Results) -> tuple[Limit, ...]:
    """Return what is promised of a bundle, with what was measured."""
    time = Limit("ratio of the times", results.ratio, 1.5)
    if results.bundle != "openstack":
        return (time,)
    return (
        time,
        Limit("ratio of the memory", results.memory_ratio, 1.2),
        Limit("CPU seconds of all hooks", results.hook_cpu, 60.0),
    )


def median(values: Iterable[float]) -> float:
    """Return the median of some numbers."""
    return statistics.median(list(values))
