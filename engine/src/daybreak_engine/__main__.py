"""The program `daybreak-engine`: what the daemon's own tools need beside the `juju` command."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import TYPE_CHECKING

from daybreak_engine import errors
from daybreak_engine.instance import Instance, instance_from

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[Instance], None] = options.command
    try:
        command(instance_from(options.instance))
    except errors.EngineError as error:
        print(f"ERROR {error.message}", file=sys.stderr)
        if error.remedy:
            print(error.remedy, file=sys.stderr)
        return error.code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="daybreak-engine", description="Run and inspect the embedded engine of one instance."
    )
    parser.add_argument(
        "--instance", help="the instance's name (default: $DAYBREAK_INSTANCE or 'daybreak')"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("start", _start, "make sure that the daemon runs; it goes on after this command"),
        ("stop", _stop, "end the daemon; pods go on running"),
        ("remove", _remove, "end and remove everything of the instance: pods, network, files"),
        ("run", _run, "be the daemon, in the foreground (the supervisor calls this)"),
        ("paths", _paths, "print every path and name of the instance as JSON"),
        ("network", _network, "print the ranges of addresses of the instance as JSON"),
        ("podman-env", _podman_env, "print the exports that make podman use the engine's images"),
    ):
        commands.add_parser(name, help=text, description=text).set_defaults(command=command)
    return parser


def _start(instance: Instance) -> None:
    from daybreak_engine import daemon

    daemon.start(instance)


def _stop(instance: Instance) -> None:
    from daybreak_engine import daemon

    daemon.stop(instance)


def _remove(instance: Instance) -> None:
    from daybreak_engine.daemon import removal

    asyncio.run(removal.remove(instance))


def _run(instance: Instance) -> None:
    from daybreak_engine.daemon import engine

    asyncio.run(engine.run(instance))


def _paths(instance: Instance) -> None:
    print(json.dumps(instance.paths(), indent=2))


def _network(instance: Instance) -> None:
    from daybreak_engine.substrate import network

    plan = network.load_subnet(instance)
    if plan is None:
        raise errors.RefusedError(
            f"instance {instance.name} has no network yet", remedy="start it: daybreak-engine start"
        )
    print(json.dumps(plan.ranges(), indent=2))


def _podman_env(instance: Instance) -> None:
    from daybreak_engine.substrate import podman

    print(podman.shell_exports(instance), end="")


if __name__ == "__main__":
    sys.exit(main())
