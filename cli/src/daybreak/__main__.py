"""The command line: parses, calls a command, says what went wrong."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from . import __version__, places
from .commands import COMMANDS, RESUMED
from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .commands import Command

_EPILOG = """\
First steps:
  ./daybreak bootstrap                  a cloud on this machine, up to its first token
  eval "$(./daybreak env)"              juju and openstack on PATH
  eval "$(./daybreak openrc)"           the administrator's account
  openstack token issue
  ./daybreak destroy                    leaves the machine as it was

Environment: DAYBREAK_INSTANCE is the default of --instance; NO_COLOR keeps the output plain.
Exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted.
"""


def _help_format(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="daybreak",
        description="Run an OpenStack control plane made of Juju charms.",
        epilog=_EPILOG,
        formatter_class=_help_format,
    )
    parser.add_argument("--version", action="version", version=f"daybreak {__version__}")
    parser.add_argument("--instance", metavar="NAME", dest="early_instance", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        command.arguments(_add(commands, name, command))
    return parser


def _add(commands: Any, name: str, command: Command) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=command.SUMMARY,
        description=command.DESCRIPTION,
        epilog=command.EPILOG,
        formatter_class=_help_format,
    )
    parser.add_argument(
        "--instance",
        metavar="NAME",
        help="which cloud of this machine (default: $DAYBREAK_INSTANCE, else daybreak)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = build_parser().parse_args(argv)
    try:
        instance = places.instance(options.instance or options.early_instance, os.environ)
        # juju and the engine find their instance here
        os.environ["DAYBREAK_INSTANCE"] = instance.name
        return COMMANDS[options.command].run(options, instance)
    except DaybreakError as trouble:
        _complain(trouble)
        return trouble.exit_code
    except KeyboardInterrupt:
        text = "daybreak: interrupted"
        if options.command in RESUMED:
            text += f"; run `daybreak {options.command}` again to go on from here"
        print(text, file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader has gone (daybreak status | head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _complain(trouble: DaybreakError) -> None:
    print(f"daybreak: {trouble.message}", file=sys.stderr)
    for line in trouble.details:
        print(f"  {line}", file=sys.stderr)
    for line in trouble.remedy.splitlines():
        print(f"-> {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
