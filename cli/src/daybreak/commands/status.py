"""The command `status`."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from .. import output, places, providers
from .common import add_format

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "show services and units"
DESCRIPTION = """\
Show the services as users see them: the API is asked over its public URL, through the gateway,
with its certificate verified; then the units, and what waits for what.
"""
EPILOG = """\
Examples:
  daybreak status
  daybreak status --format json | jq '.services[] | {name, state}'

The exit code is 0 when everything works and 1 when not.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_format(parser)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import cloud

    provider, instance = providers.of(instance, places.home(os.environ), os.environ)
    cloud.require(instance)
    overview = cloud.overview(instance, provider.juju())
    if options.format == "json":
        output.show_json(dataclasses.asdict(overview) | {"healthy": overview.healthy})
        return 0 if overview.healthy else 1
    services = [
        (s.name, s.state, s.detail + (f", {s.seconds * 1000:.0f} ms" if s.seconds else ""), s.url)
        for s in overview.services
    ]
    units = [(unit.name, unit.state, unit.agent, unit.message) for unit in overview.units]
    output.show(
        output.table(("service", "state", "detail", "url"), services)
        if services
        else "No services are deployed."
    )
    print()
    output.show(
        output.table(("unit", "state", "agent", "message"), units) if units else "No units."
    )
    return 0 if overview.healthy else 1
