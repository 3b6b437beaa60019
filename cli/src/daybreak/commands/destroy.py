"""The command `destroy`."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import TYPE_CHECKING

from .. import output, places, providers
from ..errors import DaybreakError, UsageError
from .common import add_format

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "remove a cloud"
DESCRIPTION = """\
Remove an instance: units, containers, networks, firewall rules, volumes and all its data. Works
on half-made instances too. Images stay for the next bootstrap, unless --purge is given. On a
cluster it undoes what bootstrap has made, and leaves what was there before.
"""
EPILOG = """\
Examples:
  daybreak destroy                    asks first
  daybreak destroy --yes --purge      no question, and nothing stays but the checkout
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--purge", action="store_true", help="also remove images and binaries of all instances"
    )
    add_format(parser)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import cloud, preflight

    home = places.home(os.environ)
    provider, instance = providers.of(instance, home, os.environ)
    if not options.purge:
        cloud.require(instance)
    removal = provider.removal(purge=options.purge)
    text = options.format == "text"
    if text:
        print("This removes:\n" + "".join(f"  {line}\n" for line in removal.removes), end="")
        print("This stays:\n" + "".join(f"  {line}\n" for line in removal.keeps), end="")
    if not options.yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "destroy asks before it removes, and there is no terminal to ask on",
                remedy="Add --yes to remove without a question.",
            )
        if input(f"Remove instance {instance.name}? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was removed.")
            return 1
    if provider.name != "juju" and not preflight.is_root():
        raise DaybreakError(
            "containers, networks and snaps need root",
            remedy="Run the command as root, or with sudo.",
        )
    notes = provider.destroy(output.reporter(options.format), purge=options.purge)
    if text:
        for note in notes:
            print(f"note: {note}")
        print(f"Instance {instance.name} is removed.")
    else:
        output.show_json(dataclasses.asdict(removal) | {"notes": notes})
    return 0
