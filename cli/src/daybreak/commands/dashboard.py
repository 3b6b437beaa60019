"""The command `dashboard`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .. import output
from .common import add_format, work

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "print the dashboard's address"
DESCRIPTION = """\
Print where the dashboard is, and the administrator's account for it. A browser does not know the
cloud's own certificate authority: import its certificate, or accept the warning.
"""
EPILOG = """\
Examples:
  daybreak dashboard
  daybreak dashboard --show-password
  daybreak dashboard --format json | jq -r .url
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--show-password", action="store_true", help="print the password, too")
    add_format(parser)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import dashboard

    task = work(options, instance)
    found = dashboard.find(task.juju, task.status(), task.instance)
    fields = dataclasses.asdict(found)
    if not options.show_password:
        del fields["password"]
    if options.format == "json":
        output.show_json(fields)
        return 0
    password = found.password if options.show_password else "(daybreak dashboard --show-password)"
    rows = [
        ("URL", found.url),
        ("domain", found.domain),
        ("user name", found.username),
        ("password", password),
        *([("authority", found.ca_file)] if found.ca_file else []),
    ]
    for name, value in rows:
        print(f"{name:<10} {value}")
    return 0
