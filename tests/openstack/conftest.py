"""A whole control plane with a first server, for all tests of the session.

pytest tests/openstack                     a new instance of the engine
pytest tests/openstack --instance NAME     on a cloud that is there, and stays
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import jubilant
import pytest

from ..clouds import PROGRAMS, ROOT, Cloud, chosen, embedded
from .guest import Guest, first

BUNDLE = ROOT / "bundles/openstack.yaml"
INSTANCE = "openstack-test"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("openstack")
    group.addoption("--instance", metavar="NAME", help="use this instance of the engine as it is")


@pytest.fixture(scope="session")
def cloud(pytestconfig: pytest.Config) -> Iterator[Cloud]:
    """All of bundles/openstack.yaml, active."""
    if os.geteuid() != 0:
        pytest.skip("the engine needs root")
    name = pytestconfig.getoption("--instance")
    with contextlib.ExitStack() as end:
        if name:
            end.enter_context(chosen(name))
            juju = jubilant.Juju(model="openstack", cli_binary=PROGRAMS / "juju")
            yield Cloud(juju, name)
        else:
            yield end.enter_context(embedded(INSTANCE, BUNDLE))


@pytest.fixture(scope="session")
def guest(cloud: Cloud) -> Iterator[Guest]:
    """The server of `daybreak demo`, with what watches it from outside."""
    with first(cloud) as made:
        yield made
