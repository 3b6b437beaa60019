"""A database that comes late, and a migration that lasts: nothing is killed meanwhile, and all settles."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import jubilant
import pytest
import yaml

from ..clouds import BUNDLE, SETTLE_SECONDS, Cloud, issues_tokens, podman

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

# The defaults keep `tests/run` short; the numbers of the promise are 120 and 60. A migration is longer
# than what a hook waits for one (20 s), or its end would need no waker.
LATE_SECONDS = float(os.environ.get("DAYBREAK_TEST_LATE", "20"))
MIGRATION_SECONDS = float(os.environ.get("DAYBREAK_TEST_MIGRATION", "25"))
SLOW_IMAGE = "localhost/daybreak/keystone:slow"
SLOW = """\
FROM {image}
RUN cd /opt/openstack/bin && mv keystone-manage migrate-in-time && \\
    printf '%s\\n' '#!/bin/sh' 'case " $* " in *" db_sync "*) sleep {seconds} ;; esac' \\
        'exec /opt/openstack/bin/migrate-in-time "$@"' > keystone-manage && chmod 755 keystone-manage
"""


@pytest.fixture
def keystone_image(pytestconfig: pytest.Config) -> Iterator[str | None]:
    """An image of Keystone whose migrations take long; None, for the bundle's own, on a real Juju."""
    if pytestconfig.getoption("--juju"):
        yield None
        return
    own = yaml.safe_load(BUNDLE.read_text())["applications"]["keystone"]["resources"]
    text = SLOW.format(image=own["keystone-image"], seconds=f"{MIGRATION_SECONDS:.0f}")
    words = ("build", "--pull=never", "--network=none", "--tag", SLOW_IMAGE, "-")
    podman("late", *words, stdin=text, timeout=300)
    yield SLOW_IMAGE
    podman("late", "rmi", "--force", SLOW_IMAGE)


def _bundle(directory: Path, image: str | None, keep: Callable[[str], bool]) -> Path:
    """Write the identity bundle with only some applications, its charms as absolute paths."""
    content = yaml.safe_load(BUNDLE.read_text())
    applications = content["applications"]
    for fields in applications.values():
        fields["charm"] = str((BUNDLE.parent / fields["charm"]).resolve())
    if image:
        applications["keystone"]["resources"]["keystone-image"] = image
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
def test_everything_settles_when_the_database_comes_late_and_its_migration_lasts(
    another_model: Callable[[], AbstractContextManager[Cloud]],
    keystone_image: str | None,
    tmp_path: Path,
):
    with another_model() as cloud:
        juju = cloud.juju
        juju.deploy(_bundle(tmp_path, keystone_image, lambda name: name != "mariadb"), trust=True)
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

        juju.deploy(_bundle(tmp_path, keystone_image, lambda name: True), trust=True)
        cloud.settle(timeout=SETTLE_SECONDS + MIGRATION_SECONDS)

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
