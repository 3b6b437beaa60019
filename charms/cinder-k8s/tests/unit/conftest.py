from pathlib import Path

import charm
import pytest
from ops import testing

from daybreak_charm.openstack.testing import Cloud
from daybreak_charm.testing import quiet_effects

HEADS = {"cinder": ["aaaa00000001"]}


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    root = Path(__file__).parents[2]
    made = Cloud(charm.CinderCharm, root, tmp_path, charm.CINDER, HEADS, mounts=("/var/lib",))
    monkeypatch.setattr(charm.CinderCharm, "effects", quiet_effects(database=made.database))
    return made


@pytest.fixture
def running(cloud: Cloud) -> testing.State:
    return cloud.running()
