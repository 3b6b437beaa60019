"""One module per command: its words for `--help`, its options, and what it does and prints.

The modules are imported for every `--help`, which runs before anything is installed: at their top they
import nothing but the standard library and what is as light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from . import (
    bootstrap,
    dashboard,
    demo,
    destroy,
    env,
    images,
    logs,
    node,
    openrc,
    plan,
    scale,
    status,
    upgrade,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ..places import Instance


class Command(Protocol):
    """What a module of this package has."""

    @property
    def SUMMARY(self) -> str:  # noqa: N802  a module's constant
        """For the list of commands."""
        ...

    @property
    def DESCRIPTION(self) -> str:  # noqa: N802
        """What it does, for its own help."""
        ...

    @property
    def EPILOG(self) -> str:  # noqa: N802
        """Examples, at least."""
        ...

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options."""
        ...

    def run(self, options: argparse.Namespace, instance: Instance) -> int:
        """Do it, print the result and return the exit code."""
        ...


COMMANDS: Mapping[str, Command] = {
    "bootstrap": bootstrap,
    "status": status,
    "dashboard": dashboard,
    "logs": logs,
    "env": env,
    "openrc": openrc,
    "demo": demo,
    "scale": scale,
    "plan": plan,
    "upgrade": upgrade,
    "images": images,
    "node": node,
    "destroy": destroy,
}
"""By name, in the order of `--help`."""
RESUMED = ("bootstrap", "demo", "scale", "upgrade", "images", "destroy")
"""Commands that go on where they were when they are run again."""
