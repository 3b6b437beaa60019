"""Running what is measured: the bare scripts, bootstraps, a first server; each leaves nothing behind."""

from __future__ import annotations

import ipaddress
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .records import HERE, ROOT, Hook, Results, Round, Run, Subject

INSTANCE = "measure"
YARD = "db-yardstick"
STATE = Path("/var/lib/daybreak", INSTANCE)
PROGRAMS = ROOT / ".daybreak/venv/bin"
NOOP_HOOKS = 5
IDLE_SECONDS = 60
"""Between the first server's boot and the look at the memory, here as in the script."""
BOOTSTRAP_SECONDS = 1800
_HOOK_FIELDS = tuple(Hook.__dataclass_fields__)


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
    return run(PROGRAMS / "juju", *words, DAYBREAK_INSTANCE=INSTANCE)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def read_run(text: str) -> Run:
    """Return what a bare script or `memory.py` has printed: seconds by step, MiB by service."""
    steps: dict[str, float] = {}
    memory: dict[str, float] = {}
    for line in text.splitlines():
        first, second, *rest = line.split()
        if first == "memory":
            memory[" ".join(rest)] = float(second)
        else:
            steps[first] = float(second)
    return Run(steps, memory)


def bare(subject: Subject, guest: Path) -> Run:
    """Run the bare script once; one that somebody has kept running under its usual name stays."""
    _say(f"{subject.script.relative_to(ROOT)}")
    return read_run(run(subject.script, *((guest,) if subject.server else ()), NAME=YARD))


def bootstrap(subject: Subject, guest: Path) -> tuple[Run, tuple[Hook, ...]]:
    """Bootstrap once, with a first server if the subject has one.

    Returns:
        The run, whose `total` is as seen from outside, and the hooks until the bootstrap had ended.
    """
    _say(f"./daybreak bootstrap --bundle {subject.bundle}")
    started = time.monotonic()
    words = ("--bundle", subject.bundle, "--timeout", str(BOOTSTRAP_SECONDS), "--format", "json")
    report = json.loads(daybreak("bootstrap", *words))
    total = time.monotonic() - started
    steps = {step["title"]: step["seconds"] or 0.0 for step in report["steps"]}
    steps = {"Start the command": total - report["seconds"], **steps}
    record = tuple(hooks())
    if not subject.server:
        return Run({**steps, "total": total}), record
    if not guest.exists():  # the programs are there since the bootstrap
        run(PROGRAMS / "daybreak-images", "guest", "--output", guest)
    _say(f"a first server after {total:.1f} s")
    account = daybreak("openrc")
    started = time.monotonic()
    server = read_run(first_server(account, guest))
    total += time.monotonic() - started
    time.sleep(IDLE_SECONDS)
    memory = read_run(run(sys.executable, HERE / "memory.py", "--instance", INSTANCE)).memory
    return Run({**steps, **server.steps, "total": total}, memory), record


def first_server(account: str, guest: Path) -> str:
    """Make a first server by the program that the bare script runs, too; return what it printed.

    Args:
        account: The exports of the administrator's account.
        guest: The server's disk.
    """
    subnet = json.loads((STATE / "network.json").read_text())["subnet"]
    external = list(ipaddress.IPv4Network(subnet).subnets(new_prefix=24))[-1]
    program = HERE / "openstack/first_server.py"
    words = (PROGRAMS / "python", program, "--guest", guest, "--external", str(external))
    return run("sh", "-ec", f'{account}\nexec "$@"', "sh", *words)


def hooks() -> list[Hook]:
    """Return the hooks that the engine has recorded for the measured instance."""
    path = STATE / "hooks.jsonl"
    if not path.exists():
        return []
    return [
        Hook(*(entry[key] for key in _HOOK_FIELDS))
        for entry in map(json.loads, path.read_text().splitlines())
    ]


def destroy() -> None:
    """Remove the measured instance, if it is there."""
    if STATE.exists():
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


IMPORTS = ("pass", "import ops", "import ops, daybreak_charm", "import ops, daybreak_charm, charm")
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
    text = juju("exec", "--unit", "keystone/0", "--", "python3", "-c", _PARTS, *IMPORTS)
    found = re.search(r"\{.*\}", text)
    return json.loads(found[0]) if found else {}


def measure(subject: Subject, rounds: int, *, from_nothing: bool = False) -> Results:
    """Run everything and return the numbers; leaves no instance behind."""
    with tempfile.TemporaryDirectory(prefix="daybreak-measure-") as directory:
        try:
            return _measure(
                subject, Path(directory) / "guest.qcow2", rounds, from_nothing=from_nothing
            )
        finally:
            destroy()
            run(subject.script, "remove", NAME=YARD)


def _measure(subject: Subject, guest: Path, rounds: int, *, from_nothing: bool) -> Results:
    destroy()
    nothing: dict[str, float] = {}
    if from_nothing:
        daybreak("destroy", "--yes", "--purge")
        run("rm", "-rf", ROOT / ".daybreak", ROOT / "dist")
    # Builds what is missing, and warms the same caches for both.
    first, _ = bootstrap(subject, guest)
    if from_nothing:
        nothing = first.steps
    noop = () if subject.server else noop_hooks()
    cost = {} if subject.server else parts()
    destroy()
    measured: list[Round] = []
    for number in range(rounds):
        theirs = Run({})
        # Each goes first in every second round: neither always finds the caches of the other.
        if number % 2 == 0:
            theirs = bare(subject, guest)
        ours, record = bootstrap(subject, guest)
        destroy()
        if number % 2:
            theirs = bare(subject, guest)
        one = Round(theirs, ours, record)
        measured.append(one)
        memory = f", of the memory {one.memory_ratio:.2f}" if theirs.memory else ""
        print(
            f"round {number + 1}: bare {theirs.total:.1f} s, daybreak {ours.total:.1f} s,"
            f" ratio {one.ratio:.2f}{memory}",
            flush=True,
        )
    return Results(
        subject.bundle,
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()},"
        f" Python {platform.python_version()}",
        time.strftime("%d %B %Y", time.gmtime()),
        tuple(measured),
        noop,
        cost,
        nothing,
    )
