"""What several commands share: options, and the work that they are options of."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from .. import output, places, providers

if TYPE_CHECKING:
    from ..places import Instance


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add `--format`."""
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text for people (default) or json for programs",
    )


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add `--timeout` of a change that the cloud goes on with by itself."""
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=1800.0,
        help="how long to follow it (default: 1800); the cloud goes on without",
    )


def seconds(text: str) -> float:
    """Return a duration given on the command line.

    Raises:
        argparse.ArgumentTypeError: It is not more than 0.
    """
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def work(options: argparse.Namespace, instance: Instance) -> Any:
    """Return what a command that changes a cloud works on."""
    from ..work import Work

    home = places.home(os.environ)
    provider, instance = providers.of(instance, home, os.environ)
    timeout = getattr(options, "timeout", 0.0)
    return Work(instance, home, provider, output.reporter(options.format), timeout)
