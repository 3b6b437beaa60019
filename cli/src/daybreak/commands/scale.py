"""The command `scale`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .. import output
from .common import add_format, add_timeout, work

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "give an application more or fewer units"
DESCRIPTION = """\
Give an application a number of units, and wait until they serve. Units that are removed finish
their requests first. An application that is on its way to another release is not scaled.
"""
EPILOG = """\
Examples:
  daybreak scale keystone 3
  daybreak scale gateway 2
  daybreak scale keystone 1
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("application", metavar="APP")
    parser.add_argument("units", metavar="N", type=int, help="number of units")
    add_timeout(parser)
    add_format(parser)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import upgrading

    change = work(options, instance)
    upgrading.scale(change, options.application, options.units)
    if options.format == "json":
        output.show_json({"steps": [dataclasses.asdict(step) for step in change.steps]})
    return 0
