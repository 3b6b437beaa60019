"""The command `demo`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import output
from ..errors import UsageError
from .common import add_format, seconds, work

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "make a server with a network, an address and a volume"
DESCRIPTION = """\
Make a first server and what belongs to it: an image, an external network and one of the project's
own with a router between them, a flavour, a key, a security group, the server, a floating address
and a volume. Without --image the server is a small Linux that is built here.

What is there already stays, so the command can be interrupted and run again at any time. --clean-up
removes what it has made, and nothing else.
"""
EPILOG = """\
Examples:
  daybreak demo
  daybreak demo --image debian-13-generic-amd64.qcow2 --user debian
  daybreak demo --cidr 203.0.113.0/24 --pool 203.0.113.100-203.0.113.199
  daybreak demo --external-network public
  daybreak demo --clean-up
"""
GUEST_MB, IMAGE_MB = 128, 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--image", metavar="FILE", type=Path, help="a disk image, qcow2 or raw (default: our guest)"
    )
    parser.add_argument("--user", metavar="NAME", default="", help="who logs in to that image")
    parser.add_argument(
        "--ram",
        metavar="MB",
        type=int,
        help=f"the server's memory (default: {GUEST_MB}; with --image {IMAGE_MB})",
    )
    parser.add_argument(
        "--cidr",
        default="",
        help="addresses of the external network (default on the embedded engine: those of its nodes' network)",
    )
    parser.add_argument(
        "--gateway", metavar="ADDRESS", default="", help="its gateway (default: the first)"
    )
    parser.add_argument(
        "--pool",
        metavar="FIRST-LAST",
        default="",
        help="which of it are given away (default: all but the gateway)",
    )
    parser.add_argument(
        "--external-network",
        metavar="NAME",
        default="",
        help="use one that is there, and make none",
    )
    parser.add_argument(
        "--physical-network",
        metavar="NAME",
        default="physnet1",
        help="what hypervisors call it in their option `bridges` (default: physnet1)",
    )
    parser.add_argument("--clean-up", action="store_true", help="remove what was made")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=600.0,
        help="how long each wait may take (default: 600)",
    )
    add_format(parser)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import cloud
    from ..demo import running

    task = work(options, instance)
    cloud.require(task.instance)
    wanted = _wanted(options, task)
    with task.step("Log in") as said:
        demo = running.begin(task, wanted)
        said.append(f"services: {', '.join(sorted(demo.types))}")
    if options.clean_up:
        removed = running.clean_up(demo)
        if options.format == "json":
            output.show_json({"removed": removed, "steps": _steps(task)})
        elif not removed:
            print("Nothing of a demo was there.")
        return 0
    result = running.make(demo)
    if options.format == "json":
        output.show_json(dataclasses.asdict(result) | {"steps": _steps(task)})
    else:
        print(f"\n  ping {result.address}\n  {result.ssh}\n  daybreak demo --clean-up")
    return 0 if result.reached else 1


def _steps(task: Any) -> list[dict[str, Any]]:
    return [dataclasses.asdict(step) for step in task.steps]


def _wanted(options: argparse.Namespace, task: Any) -> Any:
    """Return what the options ask for; looks at the image before anything is made.

    Raises:
        DaybreakError: An option cannot be used.
    """
    from ipaddress import IPv4Address, IPv4Network

    from .. import tools
    from ..demo import Wanted, addresses, disk

    if options.image is not None:
        disk.look(options.image)
    elif options.user:
        raise UsageError("--user belongs to an image", remedy="Give it with --image FILE.")
    if options.ram is not None and options.ram < 64:
        raise UsageError(f"--ram {options.ram}: too little", remedy="In MB, 64 at least.")
    described = options.cidr or options.gateway or options.pool
    if described and options.external_network:
        raise UsageError(
            "--external-network names a network that is there; its addresses are its own",
            remedy="Leave out --cidr, --gateway and --pool, or --external-network.",
        )
    own = None
    if task.provider.name == "embedded":
        ranges = tools.engine_network(task.instance, task.home)
        own = IPv4Network(ranges["external"]), IPv4Address(ranges["external_gateway"])
    external = None
    if described or own:
        external = addresses.external(options.cidr, options.gateway, options.pool, own)
    return Wanted(
        options.image,
        "root" if options.image is None else options.user,
        external,
        options.external_network,
        options.physical_network,
        options.ram or (IMAGE_MB if options.image else GUEST_MB),
    )
