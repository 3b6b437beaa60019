"""The command `status`."""

from __future__ import annotations

import contextlib
import functools
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .. import output, places, providers
from ..errors import DaybreakError
from .common import add_format

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "show services, agents and units"
DESCRIPTION = """\
Show the cloud as its users see it: every API of the catalogue is asked over its public URL, through
the gateway, with its certificate verified; the agents that Nova, Neutron and Cinder command; what
carries them; the units; and for whatever is not as it should be, cause and remedy.
"""
EPILOG = """\
Examples:
  daybreak status
  daybreak status --format json | jq '.services[] | {name, state}'
  daybreak status --format json | jq '.troubles[]'

The exit code is 0 when everything works and 1 when not.
"""


HOSTS = 6
"""How many hosts are named of a kind of agent that is well."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_format(parser)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import bundles, cloud, overview, preflight

    home = places.home(os.environ)
    provider, instance = providers.of(instance, home, os.environ)
    cloud.require(instance)
    whole = None
    with contextlib.suppress(DaybreakError):  # a directory of bundles of one's own may lack it
        whole = bundles.load(bundles.find("openstack", home.bundles))
    # the engine's networks are this machine's, and its nodes open this machine's devices
    machine = (
        functools.partial(preflight.running, instance) if provider.name == "embedded" else None
    )
    found = overview.overview(instance, provider.juju(), whole, machine, now=datetime.now(UTC))
    if options.format == "json":
        output.show_json(overview.as_json(found))
    else:
        _show(found)
    return 0 if found.healthy else 1


def _show(found: Any) -> None:
    services = [
        (s.name, s.state, s.detail + (f", {s.seconds * 1000:.0f} ms" if s.seconds else ""), s.url)
        for s in found.services
    ]
    units = [(unit.name, unit.state, unit.agent, unit.message) for unit in found.units]
    output.show(
        output.table(("service", "state", "detail", "url"), services)
        if services
        else "No services are deployed."
    )
    if found.agents:
        rows = [(agent.name, agent.state, _hosts(agent)) for agent in found.agents]
        print()
        output.show(output.table(("agent", "state", "hosts"), rows))
    print()
    output.show(
        output.table(("unit", "state", "agent", "message"), units) if units else "No units."
    )
    for remedy in dict.fromkeys(trouble.remedy for trouble in found.troubles):
        print()
        for trouble in found.troubles:
            if trouble.remedy == remedy:
                print(f"{trouble.name} is {trouble.state}: {trouble.cause}")
        print(f"-> {remedy}")


def _hosts(agent: Any) -> str:
    """Return on which hosts agents are: those that want attention by name, of many others some."""
    up = " ".join(agent.up[:HOSTS]) + (" ..." if len(agent.up) > HOSTS else "")
    words = [f"{len(agent.up)} of {len(agent.up) + len(agent.down)}: {up}".rstrip(": ")]
    for name, hosts in (("down", agent.down), ("disabled", agent.disabled)):
        if hosts:
            words.append(f"{name}: {' '.join(hosts)}")
    return "; ".join(words)
