"""The command `env`."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from .. import places

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "print PATH for a shell"
DESCRIPTION = """\
Print shell commands that put the engine's `juju` and the `openstack` client on PATH and choose
the instance for both. For bash, dash, zsh and other POSIX shells.
"""
EPILOG = """\
Examples:
  eval "$(./daybreak env)"
  eval "$(./daybreak env --instance test-1)"; juju status
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    del parser  # it has only those that all have


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    directory = places.operator_path(places.home(os.environ))
    inherited = [
        part for part in os.environ.get("PATH", "").split(":") if part and part != str(directory)
    ]
    print(f"export PATH={shlex.quote(':'.join([str(directory), *inherited]))}")
    print(f"export DAYBREAK_INSTANCE={shlex.quote(instance.name)}")
    return 0
