from pathlib import Path

import charm
import pytest
from ops import testing

from daybreak_charm.openstack.testing import Cloud
from daybreak_charm.testing import quiet_effects

HEADS = {"glance": ["aaaa00000001"]}


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    root = Path(__file__).parents[2]
    made = Cloud(
        charm.GlanceCharm, root, tmp_path, charm.GLANCE, HEADS, mounts=("/var/lib/glance",)
    )
    monkeypatch.setattr(charm.GlanceCharm, "effects", quiet_effects(database=made.database))
    return made


@pytest.fixture
def running(cloud: Cloud) -> testing.State:
    return cloud.running()
