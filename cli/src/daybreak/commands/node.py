"""The command `node`."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

from .. import output, places, providers
from ..errors import DaybreakError, UsageError
from .common import add_format, seconds

if TYPE_CHECKING:
    import argparse

    from ..places import Instance
    from ..providers import Provider

SUMMARY = "show, add or remove nodes"
DESCRIPTION = """\
Show, add or remove nodes. In the embedded cluster a node is what stands for a machine, with a
network, a file tree and processes of its own; every instance has node-0. On MicroK8s a node is a
machine: `add` prints what to run on the new one and waits until it has joined, `remove` moves
units away first, `list` also says what the number of machines does not protect from. Pods of
DaemonSets run on nodes; which ones is decided by labels. Nodes of another Kubernetes are added by
its own means.
"""
EPILOG = """\
Examples:
  daybreak node list
  daybreak node add node-1 openstack.daybreak/compute=true
  daybreak node remove node-1      ends at once what runs there, like a machine without power

On MicroK8s, as root:
  daybreak node add openstack.daybreak/compute=true
  daybreak node add --worker       it carries units, not Kubernetes' control plane
  daybreak node remove rack2-7     moves its units away first
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("verb", choices=("list", "add", "remove"))
    parser.add_argument(
        "name",
        metavar="NODE",
        nargs="?",
        help="its name; MicroK8s learns that of a new one by itself",
    )
    parser.add_argument("labels", metavar="KEY=VALUE", nargs="*", help="labels, for add")
    add_format(parser)
    machines = parser.add_argument_group("on MicroK8s")
    machines.add_argument(
        "--worker", action="store_true", help="add: without a control plane of Kubernetes"
    )
    machines.add_argument(
        "--lose-volumes",
        action="store_true",
        help="remove: volumes that are only there may be lost",
    )
    machines.add_argument(
        "--gone", action="store_true", help="remove: the machine does not answer any more"
    )
    machines.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=900.0,
        help="how long to wait (default: 900)",
    )


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import cloud

    provider, instance = providers.of(instance, places.home(os.environ), os.environ)
    labels = [word for word in (options.name, *options.labels) if word and "=" in word]
    name = options.name if options.name and "=" not in options.name else None
    machines = provider.name == "microk8s"
    _check(options.verb, name, labels, machines=machines)
    cloud.require(instance)
    if machines:
        return _machines(options, provider, name, labels)
    if provider.name == "juju":
        raise DaybreakError(
            "nodes of this cluster are not Daybreak's",
            remedy="Add and remove them by the means of that Kubernetes: kubectl get nodes",
        )
    return _embedded(options, provider, name, labels)


def _check(verb: str, name: str | None, labels: list[str], *, machines: bool) -> None:
    """Refuse a line whose words do not fit together.

    Raises:
        UsageError: It is one.
    """
    named = {"list": False, "add": not machines, "remove": True}[verb]
    if named is not bool(name):
        raise UsageError(f"`node {verb}` takes {'the name of a node' if named else 'no name'}")
    if labels and verb != "add":
        raise UsageError("labels are given to a node when it is added")


def _embedded(
    options: argparse.Namespace, provider: Provider, name: str | None, labels: list[str]
) -> int:
    import jubilant

    juju = provider.juju()
    try:
        if options.verb == "add":
            juju.cli("add-node", str(name), *labels)
        elif options.verb == "remove":
            juju.cli("remove-node", str(name))
        nodes: dict[str, Any] = json.loads(juju.cli("nodes", "--format", "json"))
    except jubilant.CLIError as error:
        message, _, remedy = (error.stderr or "").strip().partition("\n")
        raise DaybreakError(message.removeprefix("ERROR "), remedy=remedy) from error
    if options.format == "json":
        output.show_json(nodes)
        return 0
    rows = [
        (node, entry["address"], " ".join(entry["pods"]), " ".join(_own(entry["labels"])))
        for node, entry in nodes.items()
    ]
    output.show(output.table(("node", "address", "pods", "labels"), rows))
    return 0


def _own(labels: dict[str, str]) -> list[str]:
    """Return the labels that were given, as on the command line."""
    return [
        f"{key}={value}"
        for key, value in sorted(labels.items())
        if not key.startswith("kubernetes.io/")
    ]


def _machines(
    options: argparse.Namespace, provider: Provider, name: str | None, labels: list[str]
) -> int:
    from .. import nodes
    from ..providers.microk8s import MicroK8s

    assert isinstance(provider, MicroK8s)
    if options.verb == "add":
        _add(options, provider.model, labels)
    elif options.verb == "remove":
        there = nodes.listed(provider.model)
        node = next((node for node in there if node.name == name), None)
        if node is None:
            names = ", ".join(node.name for node in there)
            raise DaybreakError(f"there is no node {name}", remedy=f"There are: {names}.")
        reporter = output.reporter(options.format)
        nodes.remove(node, reporter, options.timeout, lose=options.lose_volumes, gone=options.gone)
    found = nodes.listed(provider.model)
    if options.format == "json":
        report = [dataclasses.asdict(node) for node in found]
        output.show_json({"nodes": report, "limits": nodes.limits(found)})
        return 0
    rows = [
        (
            node.name,
            "up" if node.ready else "down",
            "control" if node.control else "worker",
            node.address,
            " ".join(node.units),
        )
        for node in found
    ]
    output.show(output.table(("node", "state", "role", "address", "units"), rows))
    for limit in nodes.limits(found):
        print(f"note: {limit}")
    return 0


def _add(options: argparse.Namespace, model: str, labels: list[str]) -> None:
    import sys

    from .. import nodes
    from ..bootstrap import Clock
    from ..providers.microk8s import CHANNEL

    before = nodes.listed(model)
    first, *others = nodes.invitation()
    flag = " --worker" if options.worker else ""
    lines = [
        "On the new machine, as root:",
        "",
        f"  snap install microk8s --channel={CHANNEL}",
        f"  microk8s join {first}{flag}",
        "",
        *(f"(where that address cannot be reached: {url})" for url in others),
        f"Waiting for it, at most {options.timeout:.0f} s (--timeout)",
    ]
    print("\n".join(lines), file=sys.stderr, flush=True)
    new = nodes.await_new(before, lambda: nodes.listed(model), options.timeout, Clock())
    nodes.label(new.name, labels)
    print(
        f"{new.name} has joined. Images that come from no registry reach it by `daybreak bootstrap`.",
        file=sys.stderr,
    )
