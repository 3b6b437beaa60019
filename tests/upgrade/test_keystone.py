"""Keystone from 2025.1 to 2026.1 and back, with what can go wrong on the way.

The tests are one course and run in their order: first of a lone unit, then of three. Each leaves all units active.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ..clouds import Account, Cloud, eventually
from ..pods import kill
from .room import (
    CHARM,
    IMAGE,
    LONG,
    NEW,
    OLD,
    active,
    backup,
    daybreak,
    full_disk,
    hears,
    interrupt,
    leader,
    messages,
    older_cloud,
    phase,
    pods,
    rename_head,
    report,
    restore,
    says,
    sql,
    start,
    watched,
)

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.skipif(os.geteuid() != 0, reason="the engine needs root"),
]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with older_cloud(tmp_path_factory.mktemp("bundle")) as made:
        yield made


@pytest.fixture(scope="module")
def account(cloud: Cloud) -> Account:
    return cloud.account()


def goes_back(cloud: Cloud) -> None:
    """Go the way back, to its end."""
    back = daybreak("upgrade", "keystone", "--to", OLD)
    assert back.returncode == 0, back.stdout
    cloud.settle("keystone")
    assert set(report(cloud)["units"].values()) == {OLD}
    assert report(cloud)["running"] == OLD


# --- a lone unit ------------------------------------------------------------------------------


def test_what_may_not_be_skipped_is_refused(cloud: Cloud):
    skipping = daybreak("upgrade", "keystone", "--to", "2027.1")

    assert skipping.returncode == 1
    assert "2026.1 comes before it" in skipping.stdout
    assert report(cloud)["target"] == OLD


def test_a_lone_unit_is_doubled_and_goes_back(cloud: Cloud, account: Account):
    """The expand fails, the lone unit serves, and the added one goes again."""
    clash = "idx_project_id ON project_endpoint_group"
    sql(cloud, f"CREATE INDEX {clash} (project_id)")
    with watched(account):
        upgrading = start("upgrade", "keystone", "--to", NEW)
        said = hears(cloud, "expand failed")
        assert "idx_project_id" in said
        assert f"back: daybreak upgrade keystone --to {OLD}" in said
        assert active(cloud) == {"keystone/0"}
        interrupt(upgrading)
        goes_back(cloud)
    assert set(messages(cloud)) == {"keystone/0"}
    sql(cloud, f"DROP INDEX {clash}")


def test_from_one_unit_to_three(cloud: Cloud, account: Account):
    with watched(account):
        more = daybreak("scale", "keystone", "3")
    assert more.returncode == 0, more.stdout
    cloud.settle()


# --- three units ------------------------------------------------------------------------------


def test_a_full_disk_during_expand(cloud: Cloud, account: Account):
    """The new unit waits and says why, and the others serve."""
    backup(cloud)
    with watched(account):
        with full_disk(cloud):
            upgrading = start("upgrade", "keystone", "--to", NEW)
            said = hears(cloud, "expand failed")
            assert "No space left on device" in said
            assert f"back: daybreak upgrade keystone --to {OLD}" in said
            # While it tries again, too.
            assert "No space left on device" in hears(cloud, "expand runs")
            assert active(cloud) == {"keystone/0", "keystone/1"}
            assert report(cloud)["phase"] == "expand"

        # On: there is room again, and the charm goes on by itself.
        hears(cloud, "1 of 3 units")
        interrupt(upgrading)
        goes_back(cloud)
    restore(cloud)


def test_an_image_that_is_missing_on_the_way(cloud: Cloud, account: Account):
    """By hand, past the command that looks first: the top unit waits, the others serve."""
    with watched(account):
        cloud.juju.cli("attach-resource", "keystone", f"keystone-image={IMAGE}:nosuch")
        hears(cloud, "nosuch")
        assert active(cloud) == {"keystone/0", "keystone/1"}

        goes_back(cloud)


def test_without_trust(cloud: Cloud, account: Account):
    with watched(account):
        cloud.juju.cli("trust", "keystone", "--remove", "--scope", "cluster")
        hears(cloud, "juju trust keystone --scope=cluster")
        assert len(active(cloud)) == 3

        refused = daybreak("upgrade", "keystone", "--to", NEW)
        assert refused.returncode == 1
        assert "not trusted" in refused.stdout
        assert "juju trust keystone --scope cluster" in refused.stdout

        # By hand the top unit is replaced, and cannot hand the roll on until there is trust again.
        before = pods(cloud)
        cloud.juju.refresh("keystone", path=CHARM, resources={"keystone-image": f"{IMAGE}:{OLD}"})
        eventually(lambda: len(before - pods(cloud)) == 2, "its pod is new", LONG, 1.0)
        cloud.settle("keystone")
        assert says(cloud, "juju trust keystone --scope=cluster")
        assert len(before - pods(cloud)) == 2

        cloud.juju.cli("trust", "keystone", "--scope", "cluster")
        eventually(lambda: not before & pods(cloud), "all pods are new", LONG, 1.0)
        cloud.settle("keystone")
        eventually(lambda: not says(cloud, "juju trust"), "nothing is owed any more", LONG, 0.5)


def test_a_database_ahead_of_the_code(cloud: Cloud, account: Account):
    """Somebody has run a later release's migration, or restored its backup."""
    heads = set(report(cloud)["heads"])
    behind = next(iter(heads))
    with watched(account):
        rename_head(cloud, behind, "ffff1")
        cloud.juju.config("keystone", {"token-expiration": 3601})
        eventually(lambda: not active(cloud), "all units see it", LONG, 0.5)
        said = hears(cloud, f"the database is at a schema that {OLD} does not know")
        assert "ffff1" in said
        assert "restore a backup" in said

        upgrading = daybreak("upgrade", "keystone", "--to", NEW)
        assert upgrading.returncode == 1
        assert "keystone is not well, so nothing is changed" in upgrading.stdout
        assert "ffff1" in upgrading.stdout

        # It is mended in the database, and the units see that by themselves.
        rename_head(cloud, "ffff1", behind)
        eventually(lambda: len(active(cloud)) == 3, "all units go on", LONG, 0.5)
        cloud.settle("keystone")
    assert set(report(cloud)["heads"]) == heads


def test_a_migration_that_fails_half_way_and_the_way_back(cloud: Cloud, account: Account):
    """By hand, too: `juju refresh` instead of the command. The second of two indexes is there already."""
    table = "revocation_event"
    made, clash = f"ix_{table}_project_id_user_id", f"ix_{table}_composite"
    sql(cloud, f"CREATE INDEX {clash} ON {table} (audit_id)")
    with watched(account):
        cloud.juju.refresh("keystone", path=CHARM, resources={"keystone-image": f"{IMAGE}:{NEW}"})
        said = hears(cloud, "expand failed")
        assert f"back: daybreak upgrade keystone --to {OLD}" in said
        assert active(cloud) == {"keystone/0", "keystone/1"}
        assert report(cloud)["phase"] == "expand"
        # The database takes no half of a migration back: the next try stumbles over the first index.
        hears(cloud, made)

        # On: what is in the way is removed, and the charm goes on by itself.
        sql(cloud, f"DROP INDEX {clash} ON {table}")
        sql(cloud, f"DROP INDEX {made} ON {table}")
        hears(cloud, "1 of 3 units")

        # And back, in the middle of the roll.
        goes_back(cloud)


def test_units_that_come_and_go_during_a_roll(cloud: Cloud, account: Account):
    """The way back is a roll, too; `daybreak scale` waits for its end, so it is done by hand."""
    with watched(account):
        upgrading = start("upgrade", "keystone", "--to", NEW)
        hears(cloud, "1 of 3 units")
        interrupt(upgrading)

        back = start("upgrade", "keystone", "--to", OLD)
        eventually(lambda: len(active(cloud)) < 3, "it rolls", LONG, 0.5)
        refused = daybreak("scale", "keystone", "4")
        assert refused.returncode == 1
        assert "another daybreak command is changing" in refused.stdout
        cloud.juju.cli("scale-application", "keystone", "4")
        eventually(lambda: "keystone/3" in active(cloud), "it has come", LONG, 0.5)
        cloud.juju.cli("scale-application", "keystone", "3")
        out, _ = back.communicate(timeout=1200)
        print(out)
        assert back.returncode == 0, out
        cloud.settle("keystone")
    assert set(messages(cloud)) == {"keystone/0", "keystone/1", "keystone/2"}
    assert set(report(cloud)["units"].values()) == {OLD}


def test_an_upgrade_whose_leader_is_killed_after_expand(cloud: Cloud, account: Account):
    upgrading = start("upgrade", "keystone", "--to", NEW)
    try:
        eventually(lambda: phase(cloud) == "roll", "the schema is expanded", LONG)
        second = daybreak("upgrade", "keystone", "--to", NEW)
        assert second.returncode == 1
        assert "another daybreak command is changing" in second.stdout
        kill(cloud, leader(cloud))
    finally:
        interrupt(upgrading)

    # Requests that were in flight on it are lost; from here on none is.
    with watched(account):
        resumed = daybreak("upgrade", "keystone", "--to", NEW)

        assert resumed.returncode == 0, resumed.stdout
        cloud.settle("keystone")
    found = report(cloud)
    assert (found["running"], found["target"]) == (NEW, NEW)
    assert set(found["units"].values()) == {NEW}
    assert cloud.juju.status().apps["keystone"].version.startswith("29.")


def test_there_is_no_way_back_afterwards(cloud: Cloud, account: Account):
    back = daybreak("upgrade", "keystone", "--to", OLD)

    assert back.returncode == 1
    assert "cannot be taken back" in back.stdout

    # Nor by hand: the first unit refuses to serve, and the rest goes on.
    with watched(account):
        cloud.juju.cli("attach-resource", "keystone", f"keystone-image={IMAGE}:{OLD}")
        hears(cloud, f"refresh to an image of {NEW}")
        assert active(cloud) == {"keystone/0", "keystone/1"}
        again = daybreak("upgrade", "keystone", "--to", NEW)
    assert again.returncode == 0, again.stdout


def test_to_one_unit_again(cloud: Cloud, account: Account):
    with watched(account):
        assert daybreak("scale", "keystone", "1").returncode == 0
        cloud.settle("keystone")
    assert set(messages(cloud)) == {"keystone/0"}
    # Up to date already: nothing to do, so nothing is doubled.
    done = daybreak("upgrade", "keystone", "--to", NEW)
    assert "nothing is owed" in done.stdout
