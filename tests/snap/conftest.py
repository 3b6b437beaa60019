"""What is delivered: made once for all tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..clouds import ROOT, program
from .machine import Machine

PYTHON = sys.executable


@pytest.fixture(scope="session")
def release() -> Path:
    """dist/release: charms by charmcraft, bundles, a manifest; packed only where something has changed."""
    print(program(PYTHON, ROOT / "tools/release", "--no-tests", instance="unused"))
    return ROOT / "dist/release"


@pytest.fixture(scope="session")
def snap(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snap, packed."""
    target = tmp_path_factory.mktemp("snap")
    print(program(PYTHON, ROOT / "tools/snap", target, instance="unused"))
    return next(target.glob("daybreak_*.snap"))


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with systemd and snapd, in a container, without network."""
    made = Machine(tmp_path_factory.mktemp("machine"))
    try:
        made.start()
        yield made
    finally:
        made.stop()
