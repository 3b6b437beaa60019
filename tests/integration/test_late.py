"""A database that comes late: what waits goes on by itself, and nothing is killed meanwhile."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import jubilant
import pytest
import yaml

from ..clouds import BUNDLE, Cloud, issues_tokens

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

# The default keeps `tests/run` short; the number of the promise is 120.
LATE_SECONDS = float(os.environ.get("DAYBREAK_TEST_LATE", "20"))


def _bundle(directory: Path, keep: Callable[[str], bool]) -> Path:
    """Write the identity bundle with only some applications, its charms as absolute paths."""
    content = yaml.safe_load(BUNDLE.read_text())
    applications = content["applications"]
    for fields in applications.values():
        fields["charm"] = str((BUNDLE.parent / fields["charm"]).resolve())
    content["applications"] = {n: fields for n, fields in applications.items() if keep(n)}
    content["relations"] = [
        pair
        for pair in content["relations"]
        if all(side.partition(":")[0] in content["applications"] for side in pair)
    ]
    path = directory / "bundle.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.slow
def test_everything_settles_when_the_database_comes_late(
    another_model: Callable[[], AbstractContextManager[Cloud]], tmp_path: Path
):
    with another_model() as cloud:
        juju = cloud.juju
        juju.deploy(_bundle(tmp_path, lambda name: name != "mariadb"), trust=True)
        status = juju.wait(
            lambda status: (
                _says(status, "keystone", "database") and jubilant.all_agents_idle(status)
            ),
            delay=0.5,
            timeout=300,
        )
        started = _process_one(juju)
        late = time.monotonic() + LATE_SECONDS
        juju.wait(
            lambda status: time.monotonic() > late,
            error=lambda status: jubilant.any_error(status),
            delay=1,
            successes=1,
            timeout=LATE_SECONDS + 10,
        )
        assert not jubilant.all_active(status, "keystone")

        juju.deploy(_bundle(tmp_path, lambda name: True), trust=True)
        cloud.settle()

        assert _process_one(juju) == started, "a container was killed while it waited"
        assert issues_tokens(cloud.account())


def _says(status: jubilant.Status, application: str, word: str) -> bool:
    units = status.apps[application].units if application in status.apps else {}
    return bool(units) and all(word in unit.workload_status.message for unit in units.values())


def _process_one(juju: jubilant.Juju) -> tuple[str, ...]:
    """Return what tells one life of keystone/0's containers from the next: when process 1 began."""
    return tuple(
        # field 22 of the line: start time in clock ticks since the boot
        juju.ssh("keystone/0", "cat", "/proc/1/stat", container=container).split()[21]
        for container in ("charm", "keystone")
    )
