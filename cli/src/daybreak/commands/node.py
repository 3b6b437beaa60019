"""The command `node`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from .. import output, places
from ..errors import DaybreakError, UsageError
from .common import add_format

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "show, add or remove nodes of the embedded cluster"
DESCRIPTION = """\
Show, add or remove nodes of the embedded cluster: what stands for a machine, with a network, a
file tree and processes of its own. Pods of DaemonSets run on nodes; which ones is decided by
labels. Every instance has the node node-0. On a Kubernetes of your own nodes are its machines.
"""
EPILOG = """\
Examples:
  daybreak node list
  daybreak node add node-1 openstack.daybreak/compute=true
  daybreak node remove node-1      ends at once what runs there, like a machine without power
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("verb", choices=("list", "add", "remove"))
    parser.add_argument("name", metavar="NODE", nargs="?", help="its name, for add and remove")
    parser.add_argument("labels", metavar="KEY=VALUE", nargs="*", help="labels, for add")
    add_format(parser)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    import jubilant

    from .. import cloud

    _check(options)
    cloud.require(instance)
    juju = jubilant.Juju(model=places.MODEL, cli_binary=places.home(os.environ).program("juju"))
    try:
        if options.verb == "add":
            juju.cli("add-node", options.name, *options.labels)
        elif options.verb == "remove":
            juju.cli("remove-node", options.name)
        nodes: dict[str, Any] = json.loads(juju.cli("nodes", "--format", "json"))
    except jubilant.CLIError as error:
        message, _, remedy = (error.stderr or "").strip().partition("\n")
        raise DaybreakError(message.removeprefix("ERROR "), remedy=remedy) from error
    if options.format == "json":
        output.show_json(nodes)
        return 0
    rows = [
        (name, node["address"], " ".join(node["pods"]), " ".join(_own(node["labels"])))
        for name, node in nodes.items()
    ]
    output.show(output.table(("node", "address", "pods", "labels"), rows))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse a line whose words do not fit together.

    Raises:
        UsageError: It is one.
    """
    if (options.verb == "list") == bool(options.name):
        raise UsageError(
            f"`node {options.verb}` takes {'no name' if options.name else 'the name of a node'}"
        )
    if options.labels and options.verb != "add":
        raise UsageError("labels are given to a node when it is added")


def _own(labels: dict[str, str]) -> list[str]:
    """Return the labels that were given, as on the command line."""
    return [
        f"{key}={value}"
        for key, value in sorted(labels.items())
        if not key.startswith("kubernetes.io/")
    ]
