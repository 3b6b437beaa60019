from collections.abc import Callable
from pathlib import Path

import charm
import nova
import pytest
from ops import testing

from daybreak_charm.openstack.testing import Cloud
from daybreak_charm.testing import quiet_effects

HEADS = {"nova": ["aaaa00000001"], "nova_api": ["bbbb00000001"]}


class NovaCloud(Cloud):
    """Nova's surroundings: two databases, which are one here."""

    def migrate(self) -> None:
        super().migrate()
        self.database.script(
            "CREATE TABLE cell_mappings (uuid TEXT, name TEXT, transport_url TEXT)"
        )
        self.database.execute(
            "INSERT INTO cell_mappings VALUES ('u-1', %s, %s)", nova.CELL, nova.transport(1)
        )


Make = Callable[[str], NovaCloud]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Surroundings of Nova in a release."""

    def new(release: str) -> NovaCloud:
        root = Path(__file__).parents[2]
        made = NovaCloud(
            *(charm.NovaCharm, root, tmp_path, nova.NOVA, HEADS),
            mounts=("/var/lib",),
            release=release,
        )
        monkeypatch.setattr(charm.NovaCharm, "effects", quiet_effects(database=made.database))
        return made

    return new


@pytest.fixture
def cloud(make: Make) -> NovaCloud:
    return make("2026.1")


@pytest.fixture
def placement() -> testing.Relation:
    return testing.Relation("placement", remote_app_data={"ready": "true"})


@pytest.fixture
def running(cloud: NovaCloud, placement: testing.Relation) -> testing.State:
    return cloud.running(placement)
