"""The command `upgrade`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .. import output
from . import plan
from .common import add_format, add_timeout, work

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "go to another release"
DESCRIPTION = """\
Bring services to another OpenStack release while they serve: look whether that is possible, build
the image, refresh the charm, and follow what the charm does: its first new unit asks the new
release's own upgrade check and expands the schema before it serves, the units are replaced one by
one, the last one contracts the schema. A lone unit gets a second one for the time of the change.

Interrupted or failed, it goes on where it was when it is run again; the charm goes on without it,
too. Until the last unit is replaced, the release before is the way back: --to that.

On a cluster charms come from where the last bootstrap has staged them, and images from the registry
that its overlay names, or MicroK8s' own store: run `daybreak bootstrap` of the new version first.
"""
EPILOG = """\
Examples:
  daybreak upgrade keystone --to 2026.1 --dry-run     the plan, changing nothing
  daybreak upgrade keystone --to 2026.1
  daybreak upgrade keystone --to 2025.1               back, before the contract
  daybreak upgrade --to 2026.1                        every service, in its order
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("application", metavar="APP", nargs="?", help="one service (default: all)")
    parser.add_argument(
        "--to", metavar="RELEASE", required=True, help="OpenStack release, such as 2026.1"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan, and change nothing")
    add_timeout(parser)
    add_format(parser)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import upgrading

    if options.dry_run:
        code = plan.run(options, instance)
        if options.format == "text":
            print("\nNothing was changed.")
        return code
    change = work(options, instance)
    plans = upgrading.upgrade(change, options.application, options.to)
    if options.format == "json":
        report = {
            "plans": [dataclasses.asdict(plan) for plan in plans],
            "steps": [dataclasses.asdict(step) for step in change.steps],
        }
        output.show_json(report)
    return 0
