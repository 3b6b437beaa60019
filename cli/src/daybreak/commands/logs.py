"""The command `logs`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .. import places, providers
from .common import add_format

if TYPE_CHECKING:
    from ..places import Instance

SUMMARY = "show what a service's containers say"
DESCRIPTION = """\
Show the last lines of all containers of a service, in the order of time: those of its units, and
those that it runs on nodes. What a charm says is in `juju debug-log`.
"""
EPILOG = """\
Examples:
  daybreak logs keystone                    all units
  daybreak logs nova/0                      one unit
  daybreak logs nova/nova-scheduler         one container, or one service of a container
  daybreak logs hypervisor/nova-compute --follow
  daybreak logs neutron --lines 1000 | grep -i error
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("service", metavar="SERVICE", help="application, unit, or application/WHAT")
    parser.add_argument("--follow", action="store_true", help="go on until interrupted")
    parser.add_argument(
        "--lines", metavar="N", type=_count, default=100, help="how many lines (default: 100)"
    )
    add_format(parser)


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be less than 0")
    return value


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import cloud, logs

    provider, instance = providers.of(instance, places.home(os.environ), os.environ)
    cloud.require(instance)
    sources, service = logs.choose(provider.logs(), options.service)
    many = len({(source.pod, source.container) for source in sources}) > 1
    after = ""
    for line in logs.last(sources, service, options.lines):
        _show(line, options.format, many=many)
        after = max(after, line.time)
    if options.follow:
        # without a line to go on from, from now
        after = after or datetime.now(UTC).isoformat()
        # the ordinary end of it is an interruption
        with contextlib.suppress(KeyboardInterrupt):
            for line in logs.follow(sources, service, after):
                _show(line, options.format, many=many)
    return 0


def _show(line: Any, form: str, *, many: bool) -> None:
    if form == "json":
        text = {"time": line.time, "pod": line.pod, "container": line.container, "text": line.text}
        print(json.dumps(text), flush=True)
        return
    # most say the time themselves
    text = line.text if re.match(r"\d{4}-", line.text) else f"{line.time[:19]} {line.text}"
    print(f"{line.pod} {text}" if many else text, flush=True)
