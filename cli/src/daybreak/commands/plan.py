"""The command `plan`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from .. import output
from .common import add_format, work

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "show the steps of a change"
DESCRIPTION = """\
Show the steps of a change, the impact of each on users, and what is owed of it; changes nothing.
Without --to: what is left of an upgrade that was begun.
"""
EPILOG = """\
Examples:
  daybreak plan upgrade keystone --to 2026.1
  daybreak plan upgrade --to 2026.1             every service, in its order
  daybreak plan upgrade keystone                how far it is

Impact: none: users notice nothing; minor: slower, or a retry; major: an outage.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("change", choices=("upgrade",), help="the change to plan")
    parser.add_argument("application", metavar="APP", nargs="?", help="one service (default: all)")
    parser.add_argument("--to", metavar="RELEASE", help="OpenStack release, such as 2026.1")
    add_format(parser)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import upgrading

    plans = upgrading.plan(work(options, instance), options.application, options.to)
    if options.format == "json":
        output.show_json({"plans": [dataclasses.asdict(plan) for plan in plans]})
    else:
        print("\n\n".join(_plan_text(plan) for plan in plans))
    return 0


def _plan_text(plan: Any) -> str:
    units = f"{plan.scale} unit{'s' if plan.scale > 1 else ''}"
    if plan.way == "none":
        return f"{plan.application} runs {plan.to} with {units}; nothing is owed."
    word = "back to" if plan.way == "back" else "to"
    lines = [f"{plan.application}: {word} {plan.to} from {plan.running or 'unknown'}, {units}"]
    if plan.way == "back":
        lines[0] = f"{plan.application}: back to {plan.to}, {units}"
    rows = [(step.name, step.impact, step.owed, step.what) for step in plan.steps]
    if plan.doubled:
        rows.insert(0, ("double", "none", "yes", "add a second unit for the time of the change"))
        rows.append(("undouble", "none", "yes", "remove it again"))
    lines += ["", output.table(("step", "impact", "owed", "what"), rows)]
    commands = [(step.name, step.command) for step in plan.steps if step.command]
    if commands:
        lines += ["", "Commands, run by the charm in the new image:"]
        lines += [f"  {name:<9} {command}" for name, command in commands]
    return "\n".join(lines)
