"""The command `bootstrap`."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from .. import output, places
from .common import add_format, seconds

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "make a cloud, up to its first token"
DESCRIPTION = """\
Make an instance: check the machine, build the images, pack the charms, start the engine, deploy
the bundle, wait until everything is active, and issue a token through the gateway.

Each step is skipped when its result is there already, so the command can be interrupted and run
again at any time: it goes on where it was. It never undoes what you have changed since; scaled
applications keep their scale.
"""
EPILOG = """\
Examples:
  daybreak bootstrap                          the identity bundle, instance "daybreak"
  daybreak bootstrap --dry-run                what would be done, changing nothing
  daybreak bootstrap --bundle ./mine.yaml     a bundle of your own
  daybreak bootstrap --instance test-1        a second cloud beside the first
  daybreak bootstrap --format json            durations of the steps, for programs
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--bundle",
        metavar="NAME|FILE",
        default="identity",
        help="a bundle of the checkout by name, or a file (default: identity)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=900.0,
        help="how long the applications may take to become active (default: 900)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and change nothing"
    )
    add_format(parser)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import bootstrap, bundles

    home = places.home(os.environ)
    bundle = bundles.load(bundles.find(options.bundle, home.bundles))
    reporter = output.reporter(options.format)
    if options.format == "text":
        print(f"daybreak: bundle {bundle.path.stem}, instance {instance.name}", flush=True)
    run = bootstrap.Run(bundle, instance, home, reporter, options.timeout, options.dry_run)
    result = bootstrap.bootstrap(run)
    if options.format == "json":
        output.show_json({"instance": instance.name, **dataclasses.asdict(result)})
    elif options.dry_run:
        print("Nothing was changed.")
    else:
        print(_next_steps(instance, result))
    return 1 if any(step.mark == "failed" for step in result.steps) else 0


def _next_steps(instance: Instance, result: Any) -> str:
    import_name = "" if instance.name == places.DEFAULT_INSTANCE else f" --instance {instance.name}"
    lines = [f"Ready after {result.seconds:.1f} s."]
    if result.auth_url:
        lines[0] += f" Keystone answers at {result.auth_url}"
    lines += [
        "",
        "Try next:",
        f'  eval "$(./daybreak env{import_name})"',
        f'  eval "$(./daybreak openrc{import_name})"',
        "  openstack token issue",
        "  openstack catalog list",
        "  juju status --relations",
        f"  ./daybreak status{import_name}",
        f"  ./daybreak destroy{import_name}",
    ]
    return "\n".join(lines)
