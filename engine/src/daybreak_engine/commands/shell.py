"""`juju ssh` and `juju scp`: commands and files in the containers of a unit's pod."""

import base64
import re
import shlex
from collections.abc import AsyncIterator, Iterable
from pathlib import PurePosixPath

from daybreak_engine import errors
from daybreak_engine.model import applications, units

from . import running
from .command import Call, Command
from .deps import Deps, Err, ExecResult, Exit, Out, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind

_REMOTE = re.compile(r"([a-z][a-z0-9-]*/(?:\d+|leader)):(.+)")


async def ssh(call: Call) -> AsyncIterator[Output]:
    """Run a command in a container."""
    if not call.args:
        raise UsageError("no target name specified")
    target, *words = call.args
    if not words:
        raise UsageError(
            "this engine runs commands only, no shells of a terminal",
            remedy=f"for example: juju ssh {target} 'ls /var/lib/juju'",
        )
    deps = call.model()
    name, container = _place(call, deps, target)
    # ssh hands the words over as one line, so that the shell at the other end takes it apart.
    line = " ".join(words) if len(words) > 1 else words[0]
    directory = "/var/lib/juju" if container == "charm" else "/"
    script = f"cd {shlex.quote(directory)} 2>/dev/null; {line}"
    result = await _run(deps, name, container, script, call.request.stdin)
    if result.stdout:
        yield Out(result.stdout)
    if result.stderr:
        yield Err(result.stderr)
    if result.code:
        yield Err(f"ERROR command terminated with exit code {result.code}\n")
        yield Exit(1)


def _place(call: Call, deps: Deps, target: str) -> tuple[str, str]:
    """Return the unit and the container that a command line names."""
    tx = deps.store.read()
    name = running.unit_named(tx, target)
    unit = units.find(tx, name)
    if unit is None:
        raise errors.NotFoundError(f'getting unit "{name}": unit {name} not found')
    container = call.parsed.text("container") or "charm"
    present = ("charm", *applications.meta(tx, unit.application).containers)
    if container not in present:
        raise errors.NotFoundError(f'container "{container}" must be one of {", ".join(present)}')
    return name, container


async def _run(deps: Deps, name: str, container: str, script: str, stdin: str | None) -> ExecResult:
    try:
        return await deps.exec_in(name, container, ("/bin/sh", "-c", script), stdin)
    except LookupError as error:
        raise CommandError(
            f'unit "{name}" has no running container "{container}"',
            remedy="see juju status, and juju debug-log",
        ) from error


async def scp(call: Call) -> Iterable[Output]:
    """Copy one file into a container or out of it."""
    words = [word for word in call.args if not word.startswith("-")]
    if len(words) != len(call.args) or len(words) != 2:
        if len(words) < 2:
            raise UsageError("at least two arguments required")
        raise CommandError("only one source and one destination are allowed for a k8s application")
    places = [_REMOTE.fullmatch(word) for word in words]
    source, target = places
    if (source is None) == (target is None):
        raise CommandError(
            "one side must be a file of a unit, the other a file here",
            remedy="for example: juju scp --container keystone keystone/0:/etc/hosts ./hosts",
        )
    deps = call.model()
    if target is not None:
        name, container = _place(call, deps, target[1])
        script = f"base64 -d > {shlex.quote(target[2])}"
        content = base64.b64encode(_local_bytes(call, words[0])).decode()
        result = await _run(deps, name, container, script, content)
        _check_copied(result, words[1])
        return ()
    assert source is not None
    name, container = _place(call, deps, source[1])
    result = await _run(deps, name, container, f"base64 < {shlex.quote(source[2])}", None)
    _check_copied(result, words[0])
    path = call.path(words[1])
    if path.is_dir():
        path /= PurePosixPath(source[2]).name
    try:
        path.write_bytes(base64.b64decode(result.stdout))
    except OSError as error:
        raise CommandError(f"cannot write {words[1]}: {error.strerror}") from error
    return ()


def _local_bytes(call: Call, written: str) -> bytes:
    try:
        return call.path(written).read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {written}: {error.strerror}") from error


def _check_copied(result: ExecResult, written: str) -> None:
    if result.code:
        raise CommandError(f"cannot copy {written}: {result.stderr.strip()}")


_CONTAINER = Flag("container", Kind.TEXT, "charm, or a workload container")

COMMANDS = (
    Command(
        "ssh",
        ssh,
        "<unit> <command> ...",
        "Run a command in a container of a unit.",
        """\
The default is the charm container; --container names a workload container.

    juju ssh keystone/0 'ls /var/lib/juju'
    juju ssh --container keystone keystone/0 pebble services
""",
        flags=(
            _CONTAINER,
            Flag("no-host-key-checks", Kind.BOOL, "Accepted and ignored"),
            Flag("proxy", Kind.BOOL, "Accepted and ignored"),
            Flag("pty", Kind.TEXT, "Accepted and ignored"),
            Flag("remote", Kind.BOOL, "Accepted and ignored"),
        ),
        interspersed=False,
    ),
    Command(
        "scp",
        scp,
        "<source> <destination>",
        "Copy one file into a container of a unit, or out of it.",
        """\
The unit's side is written unit:/path. The container needs a shell and base64.

    juju scp --container keystone keystone/0:/etc/keystone/keystone.conf .
    juju scp ./hosts keystone/0:/tmp/hosts
""",
        flags=(_CONTAINER, Flag("no-host-key-checks", Kind.BOOL, "Accepted and ignored")),
        interspersed=False,
    ),
)
