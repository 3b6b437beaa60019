"""A cloud of three Keystone units and two gateways, for all scenarios of the session.

pytest tests/resilience                       all; a new instance of the engine
pytest tests/resilience -k "refresh or kill"  some, by name
pytest tests/resilience --instance NAME       on a cloud that is there, and stays
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import jubilant
import pytest
import yaml

from ..clouds import BUNDLE, PROGRAMS, Cloud, chosen, embedded
from .stage import RELEASES, UNITS, Stage

INSTANCE = "resilience"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("resilience")
    group.addoption("--instance", metavar="NAME", help="use this instance of the engine as it is")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and "clouds" in getattr(item, "fixturenames", ()):
            item.add_marker("cloud")
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="the engine needs root"))


def bundle(directory: Path, release: str) -> Path:
    """Write the identity bundle with the units of the scenarios, its charms as absolute paths."""
    content = yaml.safe_load(BUNDLE.read_text())
    for name, fields in content["applications"].items():
        fields["charm"] = str((BUNDLE.parent / fields["charm"]).resolve())
        fields["scale"] = UNITS.get(name, fields["scale"])
    resources = content["applications"]["keystone"]["resources"]
    image, _, _ = resources["keystone-image"].rpartition(":")
    resources["keystone-image"] = f"{image}:{release}"
    path = directory / f"bundle-{release}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


class Clouds:
    """One cloud at a time; another one when a scenario begins with a release that was left behind.

    Args:
        instance: Name of a deployed instance; None to make one.
        directory: For files.
    """

    def __init__(self, instance: str | None, directory: Path) -> None:
        self._instance = instance
        self._directory = directory
        self._stage: Stage | None = None
        self._end = contextlib.ExitStack()

    def at(self, release: str) -> Stage:
        """Return a cloud whose Keystone is of a release; of any when it is empty."""
        if self._stage and _is(self._stage, release):
            return self._stage
        if self._stage and self._instance:
            pytest.skip(f"instance {self._instance} is not of {release}")
        self.close()
        if self._instance:
            self._end.enter_context(chosen(self._instance))
            juju = jubilant.Juju(model="openstack", cli_binary=PROGRAMS / "juju")
            cloud = Cloud(juju, self._instance)
        else:
            made = bundle(self._directory, release or max(RELEASES))
            cloud = self._end.enter_context(embedded(INSTANCE, made))
        cloud.settle(timeout=600)
        self._stage = Stage(cloud, cloud.account(), self._directory)
        if not _is(self._stage, release):
            pytest.skip(f"this instance is not of {release}")
        return self._stage

    def close(self) -> None:
        """Remove the cloud, if it was made here."""
        self._stage = None
        self._end.close()


def _is(stage: Stage, release: str) -> bool:
    version = stage.juju.status().apps["keystone"].version
    return not release or version.startswith(RELEASES[release])


@pytest.fixture(scope="session")
def clouds(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clouds]:
    """The deployed cloud, and where to get one of another release."""
    made = Clouds(pytestconfig.getoption("--instance"), tmp_path_factory.mktemp("stage"))
    yield made
    made.close()
