"""How a process leaves without failing a request: the program `drain.sh`, and times that fit together.

When a pod ends, Kubernetes signals its containers and Pebble stops the processes; no charm and no hook can come first.
So each process that takes requests runs under `drain`: on SIGTERM the unit's health turns red, those who send
requests have the detection time to see it, and only then is the process told to end what it has. The same happens
at every restart.
"""

import shlex
from pathlib import Path

from daybreak_charm.description import Check, Drain, Folder, Process

RUN = "/run/daybreak"
PROGRAM = f"{RUN}/drain"
SCRIPT = (Path(__file__).with_name("drain.sh")).read_text(encoding="utf-8")

# Seconds. How the gateway asks the units for their health:
CHECK_INTERVAL = 1.0
CHECK_FAST = 0.5
"""Interval after a first failure."""
CHECK_FALL = 2
"""So many failures take a unit out: one may be a check that found no processor in time."""
CHECK_TIMEOUT = 2.0
# and Kubernetes the pod, with Juju's values:
PROBE_PERIOD = 5.0
PROBE_TIMEOUT = 1.0
SERVING_PERIOD = 1.0
"""Between two looks of Pebble at the flag."""
SERVING_TIMEOUT = 0.9
SERVING_THRESHOLD = 2
"""One look may find no processor in time."""

DETECTION = 9
"""Seconds in which all of them have noticed."""
LIMIT = 16
"""Seconds for the requests in flight; longer ones are cut off."""
MARGIN = 3
"""Seconds for the shell's own steps."""
GRACE = 30
"""Seconds between a pod's SIGTERM and its SIGKILL."""


def folder(process: Process) -> Folder:
    """Where the process' flag is; its user makes it there."""
    return Folder(
        f"{RUN}/{process.name}",
        user=process.user or "root",
        group=process.group or "root",
        container=process.container,
    )


def flag(name: str) -> str:
    """Path of the file that is there while the process `name` is leaving."""
    return f"{RUN}/{name}/draining"


def alone(name: str) -> str:
    """Path of the file that is there while nobody else takes the requests of the process `name`.

    A file, because the number of units changes while the process runs.
    """
    return f"{RUN}/{name}/alone"


def command(process: Process) -> str:
    """What Pebble runs for a process."""
    drain = process.drain
    if drain is None:
        return process.command
    times = f"{drain.detection} {drain.limit}"
    signal = shlex.quote(drain.signal.removeprefix("SIG"))
    return f"/bin/sh {PROGRAM} {folder(process).path} {signal} {times} -- {process.command}"


def kill_delay(process: Process) -> str:
    """How long Pebble waits before it kills a process."""
    drain = process.drain
    if drain is None:
        return process.kill_delay
    return f"{drain.detection + drain.limit + MARGIN}s"


def check(process: Process) -> Check:
    """What takes the unit out of its service address while the process is leaving."""
    return Check(
        f"{process.name}-serving",
        command=f"test ! -e {flag(process.name)}",
        level="ready",
        period=f"{SERVING_PERIOD:g}s",
        timeout=f"{SERVING_TIMEOUT:g}s",
        threshold=SERVING_THRESHOLD,
    )


DEFAULT = Drain(detection=DETECTION, limit=LIMIT)
