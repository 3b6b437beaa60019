"""Keystone from 2025.1 to 2026.1 and back, on three units, with what can go wrong on the way.

The tests are one course and run in their order; each leaves all units active.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import jubilant
import pytest

from ..clouds import BUNDLE, PROGRAMS, Account, Cloud, embedded, eventually, issues_tokens

INSTANCE = "upgrade-test"
OLD, NEW = "2025.1", "2026.1"
IMAGE = "localhost:32000/daybreak/keystone"
LONG = 420.0

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.skipif(os.geteuid() != 0, reason="the engine needs root"),
]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    text = BUNDLE.read_text().replace(f"{IMAGE}:{NEW}", f"{IMAGE}:{OLD}")
    text = text.replace("../dist/", f"{BUNDLE.parents[1]}/dist/")
    bundle = tmp_path_factory.mktemp("bundle") / "identity.yaml"
    bundle.write_text(text)
    with embedded(INSTANCE, bundle) as made:
        made.settle(timeout=900)
        done = daybreak("scale", "keystone", "3")
        assert done.returncode == 0, done.stdout
        made.settle()
        yield made


@pytest.fixture(scope="module")
def account(cloud: Cloud) -> Account:
    return cloud.account()


def daybreak(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the operator's command to its end."""
    started = start(*words)
    out, _ = started.communicate(timeout=1200)
    print(out)
    return subprocess.CompletedProcess(words, started.returncode, out)


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAMS / "python", "-m", "daybreak", *words],
        env={**os.environ, "DAYBREAK_INSTANCE": INSTANCE, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def report(cloud: Cloud) -> dict[str, Any]:
    return json.loads(cloud.juju.run("keystone/0", "upgrade-status").results["report"])


def messages(cloud: Cloud) -> dict[str, str]:
    units = cloud.juju.status().apps["keystone"].units
    return {name: unit.workload_status.message for name, unit in units.items()}


def says(cloud: Cloud, text: str) -> bool:
    return any(text in message for message in messages(cloud).values())


@contextlib.contextmanager
def watched(account: Account) -> Iterator[None]:
    """Ask for tokens all the while; none may be missing."""
    over = threading.Event()
    asked: list[bool] = []

    def ask() -> None:
        while not over.wait(0.5):
            asked.append(issues_tokens(account))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert asked
    assert all(asked), f"{asked.count(False)} of {len(asked)} logins failed"


def test_what_may_not_be_skipped_is_refused(cloud: Cloud):
    skipping = daybreak("upgrade", "keystone", "--to", "2027.1")

    assert skipping.returncode == 1
    assert "2026.1 comes before it" in skipping.stdout
    assert report(cloud)["target"] == OLD


def test_an_image_that_is_missing_on_the_way(cloud: Cloud, account: Account):
    """By hand, past the command that looks first: the top unit waits, the others serve."""
    with watched(account):
        cloud.juju.cli("attach-resource", "keystone", f"keystone-image={IMAGE}:nosuch")
        eventually(lambda: says(cloud, "nosuch"), "the unit names the image", LONG)

        back = daybreak("upgrade", "keystone", "--to", OLD)

    assert back.returncode == 0, back.stdout
    assert set(report(cloud)["units"].values()) == {OLD}


def sql(cloud: Cloud, statement: str) -> None:
    # The words go through a shell there.
    words = ("mariadb", "keystone", "-e", shlex.quote(statement))
    cloud.juju.ssh("mariadb/0", *words, container="mariadb")


def test_a_migration_that_fails_half_way_and_the_way_back(cloud: Cloud, account: Account):
    """By hand, too: `juju refresh` instead of the command. The first of two expands fails."""
    clash = "idx_project_id ON project_endpoint_group"
    sql(cloud, f"CREATE INDEX {clash} (project_id)")
    with watched(account):
        charm = BUNDLE.parents[1] / "dist/keystone-k8s.charm"
        cloud.juju.refresh("keystone", path=charm, resources={"keystone-image": f"{IMAGE}:{NEW}"})
        eventually(lambda: says(cloud, "expand failed"), "the unit says why", LONG)
        assert says(cloud, "idx_project_id")
        assert says(cloud, f"back: daybreak upgrade keystone --to {OLD}")
        assert report(cloud)["phase"] == "expand"

        # On: the fault is mended, and the charm goes on by itself.
        sql(cloud, f"DROP INDEX {clash}")
        eventually(lambda: says(cloud, "1 of 3 units"), "the first unit serves", LONG)

        # And back, in the middle of the roll.
        back = daybreak("upgrade", "keystone", "--to", OLD)

    assert back.returncode == 0, back.stdout
    assert set(report(cloud)["units"].values()) == {OLD}
    assert report(cloud)["running"] == OLD


def kill(unit: str) -> None:
    """End all containers of a unit with SIGKILL."""
    exports = subprocess.run(
        [PROGRAMS / "daybreak-engine", "podman-env"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    name = f"db-{INSTANCE}-{unit.replace('/', '-')}-"
    script = f"{exports}\npodman kill --signal KILL $(podman ps --quiet --filter 'name=^{name}') >/dev/null"
    subprocess.run(["/bin/sh", "-c", script], check=True, timeout=60)


def leader(cloud: Cloud) -> str:
    units = cloud.juju.status().apps["keystone"].units
    return next(name for name, unit in units.items() if unit.leader)


def test_an_upgrade_whose_leader_is_killed_after_expand(cloud: Cloud, account: Account):
    upgrading = start("upgrade", "keystone", "--to", NEW)
    try:
        eventually(lambda: report_phase(cloud) == "roll", "the schema is expanded", LONG)
        second = daybreak("upgrade", "keystone", "--to", NEW)
        assert second.returncode == 1
        assert "another daybreak command is changing" in second.stdout
        kill(leader(cloud))
    finally:
        upgrading.send_signal(signal.SIGINT)
        out, _ = upgrading.communicate(timeout=60)
        print(out)
    assert issues_tokens(account)

    resumed = daybreak("upgrade", "keystone", "--to", NEW)

    assert resumed.returncode == 0, resumed.stdout
    cloud.settle("keystone")
    found = report(cloud)
    assert (found["running"], found["target"]) == (NEW, NEW)
    assert set(found["units"].values()) == {NEW}
    assert issues_tokens(account)
    assert cloud.juju.status().apps["keystone"].version.startswith("29.")


def report_phase(cloud: Cloud) -> str:
    with contextlib.suppress(jubilant.TaskError, jubilant.CLIError, TimeoutError, ValueError):
        return str(report(cloud)["phase"])
    return ""


def test_there_is_no_way_back_afterwards(cloud: Cloud, account: Account):
    back = daybreak("upgrade", "keystone", "--to", OLD)

    assert back.returncode == 1
    assert "cannot be taken back" in back.stdout

    # Nor by hand: the first unit refuses to serve, and the rest goes on.
    with watched(account):
        cloud.juju.cli("attach-resource", "keystone", f"keystone-image={IMAGE}:{OLD}")
        eventually(lambda: says(cloud, f"refresh to an image of {NEW}"), "the unit refuses", LONG)
        again = daybreak("upgrade", "keystone", "--to", NEW)
    assert again.returncode == 0, again.stdout


def test_a_lone_unit_is_doubled_for_the_time_of_the_change(cloud: Cloud, account: Account):
    with watched(account):
        assert daybreak("scale", "keystone", "1").returncode == 0
        cloud.settle("keystone")
    assert set(messages(cloud)) == {"keystone/0"}
    # Up to date already: nothing to do, so nothing is doubled.
    done = daybreak("upgrade", "keystone", "--to", NEW)
    assert "nothing is owed" in done.stdout
