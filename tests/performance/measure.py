#!/usr/bin/env python3
"""Measure a bootstrap against the bare shell script, and what a hook costs.

Each round runs bare.sh and `./daybreak bootstrap` in turn, both with the images built, and removes
what they made. Writes all numbers as JSON and the tables into docs/reference/performance.md.

    tests/performance/measure.py --rounds 3
    tests/performance/measure.py --rounds 3 --from-nothing    also once without images and programs

Needs root, and nothing else that keeps the machine busy. Every figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/reference/performance.md"
RESULTS = ROOT / "results/performance.json"
INSTANCE = "measure"
LIMIT = 1.5
"""How many times the bare script a bootstrap may take."""
NOOP_HOOKS = 5


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


_HOOK_FIELDS = tuple(Hook.__dataclass_fields__)


@dataclass(frozen=True)
class Round:
    """One bare run and one bootstrap, in seconds, by step."""

    bare: dict[str, float]
    daybreak: dict[str, float]
    hooks: tuple[Hook, ...]

    @property
    def ratio(self) -> float:
        """How many times the bare script's time the bootstrap took."""
        return self.daybreak["total"] / self.bare["total"]


@dataclass(frozen=True)
class Results:
    """Everything measured."""

    machine: str
    date: str
    rounds: tuple[Round, ...]
    noop: tuple[Hook, ...] = ()
    parts: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds of the parts of one hook process."""
    from_nothing: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def ratio(self) -> float:
        """The ratio of the medians."""
        return median(r.daybreak["total"] for r in self.rounds) / median(
            r.bare["total"] for r in self.rounds
        )


def median(values: Iterable[float]) -> float:
    """Return the median of some numbers."""
    return statistics.median(list(values))


# --- running


def run(*argv: str | Path, **variables: str) -> str:
    """Run a program and return its standard output; ends this program when it fails."""
    done = subprocess.run(
        [str(word) for word in argv],
        env={**os.environ, **variables},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        sys.exit(f"{argv} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def daybreak(*words: str) -> str:
    """Run the launcher for the measured instance."""
    return run(ROOT / "daybreak", *words, "--instance", INSTANCE)


def juju(*words: str) -> str:
    """Run the engine's `juju` for the measured instance."""
    return run(ROOT / ".daybreak/venv/bin/juju", *words, DAYBREAK_INSTANCE=INSTANCE)


def bare() -> dict[str, float]:
    """Run the bare script once; returns seconds by step, and `total`."""
    steps: dict[str, float] = {}
    for line in run(ROOT / "tests/performance/bare.sh").splitlines():
        name, seconds, *_ = line.split()
        steps[name] = float(seconds)
    return steps


def bootstrap() -> dict[str, float]:
    """Bootstrap once; returns seconds by step, and `total` as seen from outside."""
    started = time.monotonic()
    report = json.loads(daybreak("bootstrap", "--format", "json"))
    total = time.monotonic() - started
    steps = {step["title"]: step["seconds"] or 0.0 for step in report["steps"]}
    return {"Start the command": total - report["seconds"], **steps, "total": total}


def hooks() -> list[Hook]:
    """Return the hooks that the engine has recorded for the measured instance."""
    path = Path("/var/lib/daybreak", INSTANCE, "hooks.jsonl")
    if not path.exists():
        return []
    return [
        Hook(*(entry[key] for key in _HOOK_FIELDS))
        for entry in map(json.loads, path.read_text().splitlines())
    ]


def destroy() -> None:
    """Remove the measured instance, if it is there."""
    if Path("/var/lib/daybreak", INSTANCE).exists():
        daybreak("destroy", "--yes")


def noop_hooks(wait: Callable[[float], None] = time.sleep) -> tuple[Hook, ...]:
    """Let the settled Keystone run update-status a few times, and return those hooks."""

    def found() -> list[Hook]:
        return [h for h in hooks() if h.unit == "keystone/0" and h.hook == "update-status"]

    before = len(found())
    juju("model-config", "update-status-hook-interval=10s")
    deadline = time.monotonic() + 120
    while len(found()) < before + NOOP_HOOKS and time.monotonic() < deadline:
        wait(2)
    juju("model-config", "update-status-hook-interval=5m")
    # The first may still have something to do.
    return tuple(found()[before + 1 :])


_IMPORTS = ("pass", "import ops", "import ops, daybreak_charm", "import ops, daybreak_charm, charm")
_PARTS = """
import json, os, subprocess, sys, time
charm = os.environ.get("JUJU_CHARM_DIR") or os.environ["CHARM_DIR"]
paths = [f"{charm}/src", f"{charm}/lib"]
for found, names, _ in os.walk(f"{charm}/venv"):
    if found.endswith("site-packages"):
        paths.append(found)
env = {**os.environ, "PYTHONPATH": ":".join(paths)}
def seconds(code):
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], env=env, cwd=charm, check=True)
        times.append(time.perf_counter() - begun)
    return min(times)  # a busy machine only adds
print(json.dumps({code: seconds(code) for code in sys.argv[1:]}))
"""


def parts() -> dict[str, float]:
    """Return what an interpreter takes to be ready for a hook of Keystone, in seconds, cumulative."""
    text = juju("exec", "--unit", "keystone/0", "--", "python3", "-c", _PARTS, *_IMPORTS)
    found = re.search(r"\{.*\}", text)
    return json.loads(found[0]) if found else {}


def measure(rounds: int, *, from_nothing: bool = False) -> Results:
    """Run everything and return the numbers; leaves no instance behind."""
    destroy()
    nothing: dict[str, float] = {}
    if from_nothing:
        daybreak("destroy", "--yes", "--purge")
        run("rm", "-rf", ROOT / ".daybreak", ROOT / "dist")
        nothing = bootstrap()
    else:
        bootstrap()  # builds what is missing, and warms the same caches for both
    noop, cost = noop_hooks(), parts()
    destroy()
    measured: list[Round] = []
    for number in range(rounds):
        ours = theirs = {}
        # Each goes first in every second round: neither always finds the caches of the other.
        if number % 2 == 0:
            theirs = bare()
        ours = bootstrap()
        record = tuple(hooks())
        destroy()
        if number % 2:
            theirs = bare()
        measured.append(Round(theirs, ours, record))
        print(
            f"round {number + 1}: bare {theirs['total']:.1f} s, daybreak {ours['total']:.1f} s,"
            f" ratio {ours['total'] / theirs['total']:.2f}",
            flush=True,
        )
    return Results(
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()},"
        f" Python {platform.python_version()}",
        time.strftime("%d %B %Y", time.gmtime()),
        tuple(measured),
        noop,
        cost,
        nothing,
    )


# --- printing


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def steps(of: Sequence[Mapping[str, float]]) -> list[tuple[str, str]]:
    """Return name and median of each step."""
    return [(name, f"{median(one.get(name, 0.0) for one in of):.2f}") for name in of[0]]


def tables(results: Results) -> str:
    """Return the measured part of the document."""
    rounds = results.rounds
    text = [f"Measured on {results.date}: {results.machine}; {len(rounds)} rounds, medians.", ""]
    text += ["### A bootstrap and the bare script, images built", ""]
    text += table(
        ("", "seconds", "of the rounds"),
        [
            _totals("bare.sh", [r.bare["total"] for r in rounds]),
            _totals("./daybreak bootstrap", [r.daybreak["total"] for r in rounds]),
            ("**ratio** (limit 1.5)", f"**{results.ratio:.2f}**",
             ", ".join(f"{r.ratio:.2f}" for r in rounds)),
        ],
    )  # fmt: skip
    text += ["Steps of the bootstrap:", ""]
    text += table(("step", "seconds"), steps([r.daybreak for r in rounds]))
    text += ["Steps of bare.sh:", ""]
    text += table(("step", "seconds"), steps([r.bare for r in rounds]))
    if results.from_nothing:
        text += ["### From nothing", ""]
        text += ["No images, no packed charms, no virtual environment, no Pebble.", ""]
        text += table(("step", "seconds"), steps([results.from_nothing]))
    if any(r.hooks for r in rounds):
        text += _hooks_of_bootstrap(rounds)
    if results.noop:
        text += _noop(results)
    return "\n".join(text).rstrip() + "\n"


def _totals(name: str, values: list[float]) -> tuple[str, str, str]:
    return f"`{name}`", f"{median(values):.1f}", ", ".join(f"{value:.1f}" for value in values)


def _hooks_of_bootstrap(rounds: Sequence[Round]) -> list[str]:
    by_unit: dict[str, list[tuple[int, float, float, int]]] = defaultdict(list)
    totals: list[tuple[int, float, float, int]] = []
    for one in rounds:
        mine: dict[str, list[Hook]] = defaultdict(list)
        for hook in one.hooks:
            mine[hook.unit].append(hook)
        for unit, found in mine.items():
            by_unit[unit].append(_sums(found))
        totals.append(_sums(one.hooks))
    rows = [(unit, *_medians(values)) for unit, values in sorted(by_unit.items())]
    return [
        "### Hooks of a bootstrap",
        "",
        *table(
            ("unit", "hooks", "seconds", "CPU seconds", "hook-tool calls"),
            [*rows, ("all", *_medians(totals))],
        ),
    ]


def _sums(hooks: Sequence[Hook]) -> tuple[int, float, float, int]:
    return (
        len(hooks),
        sum(h.seconds for h in hooks),
        sum(h.cpu for h in hooks),
        sum(h.tools for h in hooks),
    )


def _medians(values: Sequence[tuple[int, float, float, int]]) -> tuple[str, str, str, str]:
    count, seconds, cpu, tools = (median(column) for column in zip(*values, strict=True))
    return f"{count:.0f}", f"{seconds:.1f}", f"{cpu:.1f}", f"{tools:.0f}"


def _noop(results: Results) -> list[str]:
    noop = results.noop
    text = ["### A hook of Keystone that changes nothing (update-status)", ""]
    text += table(
        ("hooks", "seconds", "CPU seconds", "hook-tool calls"),
        [
            (
                str(len(noop)),
                f"{median(h.seconds for h in noop):.2f}",
                f"{median(h.cpu for h in noop):.2f}",
                f"{median(h.tools for h in noop):.0f}",
            )
        ],
    )
    if len(results.parts) == len(_IMPORTS):
        python, ops, library, charm = results.parts.values()
        answers = median(h.tool_seconds for h in noop)
        rest = median(h.seconds for h in noop) - (charm - library) - answers
        text += ["Where it goes:", ""]
        text += table(
            ("part", "seconds"),
            [
                ("importing the charm's own modules", f"{charm - library:.3f}"),
                ("the engine's answers to hook tools", f"{answers:.3f}"),
                (
                    "the loop, starting the hook tools, and Pebble's answers",
                    f"{max(rest, 0):.3f}",
                ),
            ],
        )
        text += ["What the unit's warm interpreter does once, for all hooks until it ends:", ""]
        text += table(
            ("part", "seconds"),
            [
                ("starting Python", f"{python:.3f}"),
                ("importing ops", f"{ops - python:.3f}"),
                ("importing the charms' library", f"{library - ops:.3f}"),
            ],
        )
    return text


def write(document: Path, measured: str) -> None:
    """Put the tables between the document's markers."""
    begin, end = "<!-- measured: begin -->", "<!-- measured: end -->"
    head, _, rest = document.read_text(encoding="utf-8").partition(begin)
    _, _, tail = rest.partition(end)
    document.write_text(f"{head}{begin}\n{measured}{end}{tail}", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, and say whether the limit is kept."""
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--from-nothing",
        action="store_true",
        help="first remove images, programs and charms, and bootstrap once",
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="the document to fill")
    options = parser.parse_args(argv)
    if os.geteuid() != 0:
        sys.exit("measure.py makes containers: run it as root")
    results = measure(max(1, options.rounds), from_nothing=options.from_nothing)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    write(options.document, tables(results))
    print(f"ratio {results.ratio:.2f} (limit {LIMIT}); {options.output}, {options.document}")
    return 0 if results.ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
