"""`daybreak destroy` leaves the machine as it was; last, because it ends the instance it looks at."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from ..clouds import BUNDLE, PROGRAMS, ROOT, embedded, eventually, program, remove
from .machine import left_over, picture

pytestmark = pytest.mark.embedded


@pytest.fixture
def once_used():
    """Have what instances share (packed charms, podman's own files) made before the picture."""
    program(PROGRAMS / "python", ROOT / "tools/pack", instance="gone")
    program(PROGRAMS / "daybreak-engine", "podman-env", instance="gone")
    yield
    remove("gone")


def test_destroy_leaves_nothing_of_a_whole_cloud(once_used: None, tmp_path: Path):
    with embedded("warm", bootstrap=False):
        pass
    before = picture()

    with embedded("gone") as cloud:
        cloud.settle()
        assert left_over(before, picture(), "gone"), "the picture sees a running cloud"

    assert left_over(before, picture(), "gone") == {}


def test_destroy_of_a_half_made_instance(once_used: None):
    program(PROGRAMS / "daybreak-engine", "start", instance="gone")
    state = Path("/var/lib/daybreak/gone")
    shutil.rmtree(state / "logs", ignore_errors=True)

    program(PROGRAMS / "python", "-m", "daybreak", "destroy", "--yes", instance="gone")

    assert not state.exists()


def test_a_bootstrap_that_was_interrupted_goes_on(once_used: None):
    """SIGINT once the engine answers, which is in the middle of the deployment."""
    words = [str(PROGRAMS / "python"), "-m", "daybreak", "bootstrap", "--bundle", str(BUNDLE)]
    environment = {**os.environ, "DAYBREAK_INSTANCE": "gone", "NO_COLOR": "1"}
    first = subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        eventually(
            lambda: Path("/run/daybreak/gone/engine.sock").exists() or first.poll() is not None,
            "the engine runs",
            timeout=300,
        )
        first.send_signal(signal.SIGINT)
        text, _ = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 130, text
    assert "again to go on" in text

    assert "Ready after" in program(*words, instance="gone")
    assert "\nthere    Deploy bundle" in program(*words, instance="gone")
