"""A cloud of three Keystone units and two gateways, for all scenarios of the session.

pytest tests/resilience                       all; a new instance of the engine
pytest tests/resilience -k "refresh or kill"  some, by name
pytest tests/resilience --instance NAME       on a cloud that is there, and stays
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import jubilant
import pytest
import yaml

from ..clouds import BUNDLE, PROGRAMS, Cloud, chosen, embedded
from .stage import UNITS, Stage

INSTANCE = "resilience"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("resilience")
    group.addoption("--instance", metavar="NAME", help="use this instance of the engine as it is")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and "stage" in getattr(item, "fixturenames", ()):
            item.add_marker("cloud")
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="the engine needs root"))


def bundle(directory: Path) -> Path:
    """Write the identity bundle with the units of the scenarios, its charms as absolute paths."""
    content = yaml.safe_load(BUNDLE.read_text())
    for name, fields in content["applications"].items():
        fields["charm"] = str((BUNDLE.parent / fields["charm"]).resolve())
        fields["scale"] = UNITS.get(name, fields["scale"])
    path = directory / "bundle.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="session")
def stage(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The deployed cloud."""
    directory = tmp_path_factory.mktemp("stage")
    if name := pytestconfig.getoption("--instance"):
        with chosen(name):
            juju = jubilant.Juju(model="openstack", cli_binary=PROGRAMS / "juju")
            yield _stage(Cloud(juju, name), directory)
        return
    with embedded(INSTANCE, bundle(directory)) as cloud:
        yield _stage(cloud, directory)


def _stage(cloud: Cloud, directory: Path) -> Stage:
    cloud.settle(timeout=600)
    return Stage(cloud, cloud.account(), directory)
