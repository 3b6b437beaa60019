from pathlib import Path

import charm
import pytest
from fake_cloud import Cloud
from ops import testing

from daybreak_charm.testing import quiet_effects


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    made = Cloud(tmp_path)
    monkeypatch.setattr(charm.KeystoneCharm, "effects", quiet_effects(database=made.database))
    monkeypatch.setattr("api.Api", lambda *_: made)
    return made


@pytest.fixture
def running(cloud: Cloud) -> testing.State:
    state = cloud.state()
    cloud.migrate()
    cloud.bootstrap()
    return state
