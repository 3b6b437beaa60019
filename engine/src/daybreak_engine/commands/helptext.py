"""Help: for one command, and for all of them."""

from collections.abc import Sequence

from .command import CONTROLLER_FLAGS, GLOBAL_FLAGS, MODEL_FLAGS, Command
from .flags import Flag, Kind
from .output import table

_START = """\
Daybreak's engine: the `juju` command for models that run on this machine alone.

It runs the same charms and bundles as Juju {version} on Kubernetes, as podman pods, and takes the
same command lines. There is one controller, no users and no machines.

Usage: juju <command> [options] [arguments]

To begin:

    juju add-model openstack            make a model
    juju deploy ./bundle.yaml --trust   deploy a bundle of packed charms
    juju status --relations             what runs, and how it is
    juju debug-log --tail               what charms say
    juju run keystone/0 ACTION          run a charm's action
    juju destroy-model openstack        remove everything again

"juju help commands" lists all commands, "juju help deploy" explains one.
"""


def overview(commands: Sequence[Command], version: str) -> str:
    """Return the text of `juju help`."""
    names = ", ".join(command.name for command in commands)
    return _START.format(version=version) + f"\nCommands: {names}\n"


def listing(commands: Sequence[Command]) -> str:
    """Return all commands with their summaries."""
    rows = sorted(
        (name, command.summary if name == command.name else f"Alias for '{command.name}'.")
        for command in commands
        for name in (command.name, *command.aliases)
    )
    return table(rows)


def of(command: Command) -> str:
    """Return the help of one command."""
    parts = [f"Usage: juju {command.name} [options] {command.usage}".rstrip(), "", "Summary:"]
    parts += [command.summary, ""]
    own = (*command.flags, *(MODEL_FLAGS if command.on_model else CONTROLLER_FLAGS))
    if command.details:
        parts += ["Details:", command.details.strip("\n"), ""]
    parts += ["Options:", table([_row(flag) for flag in sorted(own, key=lambda f: f.name)])]
    parts += ["Global options:", table([_row(flag) for flag in GLOBAL_FLAGS])]
    if command.aliases:
        parts += [f"Aliases: {', '.join(command.aliases)}", ""]
    return "\n".join(parts)


def _row(flag: Flag) -> tuple[str, str]:
    value = {
        Kind.BOOL: "",
        Kind.INT: " N",
        Kind.SECONDS: " DURATION",
        Kind.CSV: " A,B",
        Kind.LIST: " VALUE",
    }.get(flag.kind, " FORMAT" if flag.choices else " VALUE")
    short = f"-{flag.short}, " if flag.short else ""
    more = f" (default {flag.default})" if flag.default not in (None, "", False) else ""
    repeated = " (may be repeated)" if flag.kind is Kind.LIST else ""
    dashes = "-" if len(flag.name) == 1 else "--"
    return f"  {short}{dashes}{flag.name}{value}", flag.help + repeated + more
