"""Which of Juju's events bring nothing that another one right behind them does not bring as well."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import PurePath

import ops

INSTALLING = "installing charm software"
"""What Juju itself says of a unit from its installation on, until its charm says something (juju
`uniter/runhook.go`)."""
_BEFORE_START = ("install", "leader-elected", "config-changed")
_OF_EACH_BEFORE_START = ("-relation-created", "-storage-attached")
_STATUS_SECONDS = 60.0


def main(charm: type[ops.CharmBase]) -> None:
    """Run a charm as `ops.main` does, if its event is not left to the one behind it.

    Such an event does not even have ops read the unit's relations: in a cloud of fifteen applications they are nearly
    half of all hooks until it is there.
    """
    hook = PurePath(os.environ.get("JUJU_DISPATCH_PATH", "")).name
    if not is_left(hook, _message):
        ops.main(charm)


def is_left(hook: str, message: Callable[[], str]) -> bool:
    """Whether Juju sends another event at once, so that the charm has to run on that one only.

    relation-changed follows each relation-joined, whether anything has changed or not. A unit that is being installed
    gets a relation-created for each of its relations, and then config-changed and start (juju
    `uniter/resolver.go`).

    Args:
        hook: Name of the hook.
        message: Asks for the text of the unit's status.
    """
    if hook.endswith("-relation-joined"):
        return True
    early = hook in _BEFORE_START or hook.endswith(_OF_EACH_BEFORE_START)
    return early and message() == INSTALLING


def _message() -> str:
    done = subprocess.run(
        # Without the first option it is one word.
        ["status-get", "--include-data", "--format=json"],
        capture_output=True,
        timeout=_STATUS_SECONDS,
        check=False,
    )
    # Not a hook of Juju's: then nothing is left to anybody.
    return str(json.loads(done.stdout)["message"]) if done.returncode == 0 else ""
