"""`juju ssh`: a command in a container of a unit's pod."""

import shlex
from collections.abc import AsyncIterator

from daybreak_engine import errors
from daybreak_engine.model import applications, units

from . import running
from .command import Call, Command
from .deps import Err, Exit, Out, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind


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
    tx = deps.store.read()
    name = running.unit_named(tx, target)
    unit = units.find(tx, name)
    if unit is None:
        raise errors.NotFoundError(f'getting unit "{name}": unit {name} not found')
    container = call.parsed.text("container") or "charm"
    present = ("charm", *applications.meta(tx, unit.application).containers)
    if container not in present:
        raise errors.NotFoundError(f'container "{container}" must be one of {", ".join(present)}')
    # ssh hands the words over as one line, so that the shell at the other end takes it apart.
    line = " ".join(words) if len(words) > 1 else words[0]
    directory = "/var/lib/juju" if container == "charm" else "/"
    script = f"cd {shlex.quote(directory)} 2>/dev/null; {line}"
    try:
        result = await deps.exec_in(name, container, ("/bin/sh", "-c", script), call.request.stdin)
    except LookupError as error:
        raise CommandError(
            f'unit "{name}" has no running container "{container}"',
            remedy="see juju status, and juju debug-log",
        ) from error
    if result.stdout:
        yield Out(result.stdout)
    if result.stderr:
        yield Err(result.stderr)
    if result.code:
        yield Err(f"ERROR command terminated with exit code {result.code}\n")
        yield Exit(1)


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
            Flag("container", Kind.TEXT, "charm, or a workload container"),
            Flag("no-host-key-checks", Kind.BOOL, "Accepted and ignored"),
            Flag("proxy", Kind.BOOL, "Accepted and ignored"),
            Flag("pty", Kind.TEXT, "Accepted and ignored"),
            Flag("remote", Kind.BOOL, "Accepted and ignored"),
        ),
        interspersed=False,
    ),
)
