"""A whole control plane of which database, message queue and Nova have three units.

pytest tests/faults                     a new instance of the engine
pytest tests/faults --instance NAME     on a cloud of this kind that is there, and stays
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import jubilant
import pytest

from ..clouds import PROGRAMS, ROOT, Cloud, chosen, embedded
from .stage import Stage, staged

INSTANCE = "faults-test"
SIZE = Path(__file__).with_name("three.yaml")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--instance", metavar="NAME", help="use this instance of the engine as it is")


@pytest.fixture(scope="session")
def stage(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The cloud, with what servers are made of."""
    if os.geteuid() != 0:
        pytest.skip("the engine needs root")
    name = pytestconfig.getoption("--instance")
    with contextlib.ExitStack() as end:
        if name:
            end.enter_context(chosen(name))
            cloud = Cloud(jubilant.Juju(model="openstack", cli_binary=PROGRAMS / "juju"), name)
        else:
            made = embedded(INSTANCE, ROOT / "bundles/openstack.yaml", size=SIZE)
            cloud = end.enter_context(made)
        yield end.enter_context(staged(cloud, tmp_path_factory.mktemp("faults")))
