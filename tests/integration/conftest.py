"""One deployed cloud for all tests of the session, on the engine or on a real Juju.

pytest tests/integration                                   an instance of the engine
pytest tests/integration --juju /snap/bin/juju             a new model of the current controller
pytest tests/integration --juju juju --model openstack     a model that is there, and stays
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import jubilant
import pytest

from ..clouds import Account, Cloud, UnsettledError, embedded, on_juju

INSTANCE = "integration"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("integration")
    group.addoption("--juju", metavar="PATH", help="a juju command; without it the engine's")
    group.addoption("--model", metavar="NAME", help="a deployed model to use (with --juju)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "embedded: looks behind the engine; skipped with --juju")
    config.addinivalue_line("markers", "slow: needs a cloud of its own")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        item.add_marker("cloud")
        if item.get_closest_marker("embedded") and config.getoption("--juju"):
            item.add_marker(pytest.mark.skip(reason="looks behind the engine"))
        if os.geteuid() != 0 and not config.getoption("--juju"):
            item.add_marker(pytest.mark.skip(reason="the engine needs root"))


@pytest.fixture(scope="session")
def cloud(pytestconfig: pytest.Config) -> Iterator[Cloud]:
    """The shared cloud: the identity bundle, settled without any update-status."""
    binary, model = pytestconfig.getoption("--juju"), pytestconfig.getoption("--model")
    if binary and model:
        yield Cloud(jubilant.Juju(model=model, cli_binary=binary))
        return
    making: AbstractContextManager[Cloud] = (
        on_juju(binary, "daybreak-integration") if binary else embedded(INSTANCE)
    )
    with making as made:
        made.settle(timeout=900)
        yield made


@pytest.fixture(scope="session")
def another_model(
    pytestconfig: pytest.Config,
) -> Callable[[], AbstractContextManager[Cloud]]:
    """Return what makes a second, empty model; nothing is deployed in it."""
    binary = pytestconfig.getoption("--juju")

    def make() -> AbstractContextManager[Cloud]:
        if binary:
            return on_juju(binary, "daybreak-late", deploy=False)
        return embedded("late", bootstrap=False)

    return make


@pytest.fixture(scope="session")
def lost() -> list[str]:
    """Why the shared cloud does not settle any more; empty while it does."""
    return []


@pytest.fixture
def settled(cloud: Cloud, lost: list[str]) -> Iterator[Cloud]:
    """The shared cloud with all active, before a test; and again after it, whatever the test did."""
    if lost:
        pytest.fail(f"the shared cloud is lost since: {lost[0]}", pytrace=False)
    _settle(cloud, lost)
    yield cloud
    cloud.juju.config("keystone", reset=["config-overrides"])
    if len(cloud.juju.status().apps["keystone"].units) != 1:
        cloud.juju.cli("scale-application", "keystone", "1")
    _settle(cloud, lost)


def _settle(cloud: Cloud, lost: list[str]) -> None:
    try:
        cloud.settle()
    except UnsettledError as error:
        # One report is enough, and waiting again for each of the other tests would take hours.
        lost.append(str(error).partition("\n\n")[0])
        raise


@pytest.fixture
def account(settled: Cloud) -> Account:
    return settled.account()
