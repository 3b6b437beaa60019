"""Which hooks a charm leaves to the one behind them, as Juju starts it."""

import json
from pathlib import Path

import ops
import pytest

from daybreak_charm import events

SET_UP = (
    "install",
    "leader-elected",
    "config-changed",
    "peers-relation-created",
    "data-storage-attached",
)


class Charm(ops.CharmBase):
    """None of its code matters."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[type[ops.CharmBase]]:
    """Charms that ops has been asked to run."""
    ran: list[type[ops.CharmBase]] = []
    monkeypatch.setattr(ops, "main", ran.append)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return ran


def hook(monkeypatch: pytest.MonkeyPatch, directory: Path, name: str, message: str | None) -> None:
    """Make the surroundings of a hook; without a message there is no answer."""
    monkeypatch.setenv("JUJU_DISPATCH_PATH", f"hooks/{name}")
    said = json.dumps({"message": message, "status": "maintenance", "status-data": {}})
    tool = directory / "status-get"
    tool.write_text(
        '#!/bin/sh\n[ "$*" = "--include-data --format=json" ] || exit 9\n'
        + (f"echo '{said}'\n" if message is not None else "exit 1\n")
    )
    tool.chmod(0o755)


@pytest.mark.parametrize("name", SET_UP)
@pytest.mark.parametrize(
    ("message", "left"),
    [(events.INSTALLING, True), ("the unit is being set up", False), ("", False), (None, False)],
)
def test_what_a_unit_is_sent_until_its_start_is_left_to_that(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run: list[type[ops.CharmBase]],
    name: str,
    message: str | None,
    left: bool,
) -> None:
    hook(monkeypatch, tmp_path, name, message)
    events.main(Charm)
    assert run == ([] if left else [Charm])


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("database-relation-joined", True),
        ("database-relation-changed", False),
        ("start", False),
        ("app-pebble-ready", False),
        ("update-status", False),
    ],
)
def test_a_unit_that_joins_is_looked_at_when_it_has_changed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run: list[type[ops.CharmBase]],
    name: str,
    left: bool,
) -> None:
    """Which Juju says of each unit that has joined; and other hooks do not even ask for the status."""
    hook(monkeypatch, tmp_path, name, events.INSTALLING)
    events.main(Charm)
    assert run == ([] if left else [Charm])


def test_what_is_no_hook_is_run(
    monkeypatch: pytest.MonkeyPatch, run: list[type[ops.CharmBase]]
) -> None:
    monkeypatch.delenv("JUJU_DISPATCH_PATH", raising=False)
    events.main(Charm)
    assert run == [Charm]
