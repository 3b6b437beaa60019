"""A program that runs once, outside the hook: as a Pebble service that leaves its result in a file.

It survives a restart of the agent, and minutes of it block no other event of the unit. Its output
goes to Pebble's log of the service too.
"""

import logging
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ops
from ops import pebble

from daybreak_charm import containers, drain
from daybreak_charm.outcome import Waiter, Waiting

if TYPE_CHECKING:
    from daybreak_charm.context import Context

logger = logging.getLogger(__name__)

IN_HOOK = 20.0
"""Seconds that the hook itself follows a program: an ordinary one is over in 3 to 10."""
STEP = 0.2
LOOK = "5s"
"""Between two looks at a program that takes long. Each starts three programs, and one that is not answered in its
time on a busy machine would be an event of nothing."""
AGAIN = 200.0
"""Seconds after which a program that still runs wakes the loop, which renews what it holds for it."""
PAUSE = 8.0
"""Seconds before a program that failed is tried again; a little less than the timer of a retry."""
FOLDER = f"{drain.RUN}/once"
LAYER = "daybreak-once"
TEXT = 200
"""Characters of a program's words that fit a status."""
# oslo.log puts time, process, level and logger before each line of a traceback.
_PREFIX = re.compile(r"\d{4}-\d\d-\d\d [\d:.]+ \d+ [A-Z]+ [\w.]+ ?(\[[^\]]*\] )?")
_EXCEPTION = re.compile(r"(\w+\.)+[A-Z]\w+: |\w*(Error|Exception): ")

# The result is renamed into place, so that whoever sees it sees all of it.
_SCRIPT = (
    'out=$1; shift; "$@" >"$out.log" 2>&1; code=$?; cat "$out.log"; '
    'echo "$code" >"$out.tmp"; mv "$out.tmp" "$out.code"'
)


@dataclass(frozen=True)
class Program:
    """What to run.

    Attributes:
        name: Name of the Pebble service, unique in the container.
        command: Program and arguments; never a secret among them.
        user: User it runs as.
        environment: Added to its environment; may hold secrets.
    """

    name: str
    command: tuple[str, ...]
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True)
class Ended:
    """How it ended.

    Attributes:
        code: Exit code.
        said: Its last line, cut to what fits a status.
        at: When, in seconds since the epoch.
    """

    code: int
    said: str
    at: float = 0.0


def run(
    context: "Context", container: ops.Container, program: Program, doing: str
) -> Ended | Waiting:
    """Start a program, or go on following the one that runs.

    A success is handed out once; a further call starts the program again, so it must be safe to
    repeat. A failure is handed out for `PAUSE` seconds, however many events come meanwhile.

    Args:
        context: This dispatch.
        container: Where it runs.
        program: What runs.
        doing: What the unit does meanwhile, for its status.
    """
    ended = _collect(container, program.name)
    if ended and ended.code and context.effects.now() - ended.at > PAUSE:
        ended = None
    if ended is None and not _runs(container, program.name):
        context.charm.unit.status = ops.MaintenanceStatus(doing)
        _launch(container, program)
    waited = 0.0
    while ended is None and waited < IN_HOOK:
        ended = _collect(container, program.name)
        if ended is None and waited and not _runs(container, program.name):
            # Killed before it could say anything.
            ended = _collect(container, program.name) or Ended(-1, "it was killed")
        if ended is None:
            context.effects.sleep(STEP)
            waited += STEP
    if ended is None:
        lasts = _lasts(context, container, program.name)
        return Waiting(doing, Waiter(program.name, command=lasts, period=LOOK, fails=True))
    logger.info("%s ended with %d", program.name, ended.code)
    return ended


def failure(container: ops.Container, name: str) -> Ended | None:
    """How a program failed that has not been started since."""
    ended = _read(container, name)
    return ended if ended and ended.code else None


def _lasts(context: "Context", container: ops.Container, name: str) -> str:
    """What fails when the program has ended, or has run for another while.

    Not one word about the result: a program that was killed leaves none.
    """
    path = f"{FOLDER}/{name}.again"
    try:
        due = float(containers.read_text(container, path))
    except pebble.PathError:
        due = 0.0
    now = context.effects.now()
    if due <= now:
        container.push(path, f"{now + AGAIN:.0f}\n")
    active = f"/charm/bin/pebble services {name} | grep -qw active"
    return f"/bin/sh -c '{active} && test $(date +%s) -lt $(cat {path})'"


def _launch(container: ops.Container, program: Program) -> None:
    container.remove_path(f"{FOLDER}/{program.name}.code", recursive=True)
    container.remove_path(f"{FOLDER}/{program.name}.again", recursive=True)
    container.make_dir(FOLDER, make_parents=True, user=program.user, group=program.user)
    value: pebble.ServiceDict = {
        "override": "replace",
        "summary": "runs once",
        "command": shlex.join(
            ["/bin/sh", "-c", _SCRIPT, "once", f"{FOLDER}/{program.name}", *program.command]
        ),
        "startup": "disabled",
        "on-success": "ignore",
        "on-failure": "ignore",
        "environment": dict(program.environment),
    }
    if program.user:
        value["user"] = program.user
    container.add_layer(LAYER, {"services": {program.name: value}}, combine=True)
    try:
        container.start(program.name)
    except pebble.ChangeError:
        # Pebble calls every end within the first second an error; the file knows better.
        logger.info("%s ended within a second", program.name)


def _collect(container: ops.Container, name: str) -> Ended | None:
    """The result, if there is one; a success is removed with its reading."""
    ended = _read(container, name)
    if ended and ended.code == 0:
        container.remove_path(f"{FOLDER}/{name}.code")
    return ended


def _read(container: ops.Container, name: str) -> Ended | None:
    path = f"{FOLDER}/{name}"
    try:
        code = int(containers.read_text(container, f"{path}.code").strip() or "-1")
        at = container.list_files(f"{path}.code", itself=True)[0].last_modified.timestamp()
    except pebble.PathError:
        return None
    try:
        said = last_words(containers.read_text(container, f"{path}.log").splitlines())
    except (pebble.PathError, UnicodeDecodeError):
        said = ""
    return Ended(code, said, at)


def last_words(lines: Sequence[str]) -> str:
    """What says most about an end: the check that failed, the last error of a traceback, a last line."""
    told = [text for line in lines if (text := _PREFIX.sub("", line).strip("|+- \t"))]
    errors = [line for line in told if _EXCEPTION.match(line)]
    errors = errors or [line for line in told if "Error" in line or "ERROR" in line]
    # oslo.upgradecheck's table names check, result and details in lines of their own.
    refused = [n for n, line in enumerate(told) if line == "Result: Failure" and n]
    if refused:
        errors = [" ".join(told[refused[0] - 1 : refused[0] + 3 : 2])]
    text = (errors or told or ["it said nothing"])[-1]
    return text if len(text) <= TEXT else f"{text[: TEXT - 3]}..."


def _runs(container: ops.Container, service: str) -> bool:
    info = container.get_services(service).get(service)
    return info is not None and info.is_running()
