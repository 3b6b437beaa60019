"""The model's file, options, secrets, leases, log: what is stored is what comes back."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from daybreak_engine import errors
from daybreak_engine.model import (
    applications,
    config,
    leadership,
    log,
    models,
    open_store,
    rows,
    secrets,
    snapshot,
    statuses,
    storage,
    tasks,
    units,
)

from .conftest import META

if TYPE_CHECKING:
    from .conftest import Cloud


def test_a_file_survives_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "model.db"
    store = open_store(path)
    with store.transaction() as tx:
        models.create(tx, "openstack")
    store.close()
    store = open_store(path)
    assert models.get(store.read()).name == "openstack"
    with pytest.raises(errors.ExistsError, match="already exists"), store.transaction() as tx:
        models.create(tx, "other")
    store.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.db"
    path.write_text("no database, " * 100)
    with pytest.raises(errors.EngineError, match="not a model file"):
        open_store(path)


def test_a_transaction_that_raises_stores_nothing_and_tells_nobody(cloud: Cloud) -> None:
    told: list[int] = []
    cloud.store.listen(lambda: told.append(1))

    def twice() -> None:
        with cloud.store.transaction() as tx:
            applications.add(tx, "a", cloud.charm.id)
            applications.add(tx, "a", cloud.charm.id)

    with pytest.raises(errors.ExistsError):
        twice()
    assert (applications.all_(cloud.store.read()), told) == ([], [])
    cloud.deploy("a")
    assert told


@pytest.mark.parametrize(
    ("key", "text", "value"), [("level", "7", 7), ("level", 7, 7), ("name", "x", "x")]
)
def test_options_are_parsed(key: str, text: object, value: object) -> None:
    assert config.parse(META, {key: text}) == {key: value}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nosuch": "1"}, 'invalid application config: unknown option "nosuch"'),
        ({"level": "abc"}, 'option "level" expected int, got "abc"'),
        ({"level": True}, 'option "level" expected int, got True'),
        ({"name": 1}, 'option "name" expected string, got 1'),
    ],
)
def test_wrong_options(values: dict[str, object], message: str) -> None:
    with pytest.raises(errors.InvalidError) as caught:
        config.parse(META, values)
    assert caught.value.message == message


def test_scale_keeps_numbers_of_storage_and_fills_ordinals(cloud: Cloud) -> None:
    cloud.deploy("a", 3)
    with cloud.store.transaction() as tx:
        applications.set_scale(tx, "a", 1)
        assert [(u.name, u.life) for u in units.of(tx, "a")] == [
            ("a/0", "alive"),
            ("a/1", "dying"),
            ("a/2", "dying"),
        ]
        applications.set_scale(tx, "a", 2)
        units.remove(tx, "a/1")
        units.remove(tx, "a/2")
        assert [(u.name, u.life) for u in units.of(tx, "a")] == [("a/0", "alive"), ("a/1", "alive")]
        assert {s.id: s.unit for s in storage.all_(tx)} == {
            "data/0": "a/0",
            "data/1": None,
            "data/2": None,
            "data/3": "a/1",
        }


def test_application_status_is_the_worst_unit_unless_set(cloud: Cloud) -> None:
    cloud.deploy("a", 2)
    with cloud.store.transaction() as tx:
        statuses.put(tx, "a/0", "workload", "active", by_charm=True)
        statuses.put(tx, "a/1", "workload", "blocked", "no", by_charm=True)
        assert statuses.application(tx, "a", ["a/0", "a/1"]).message == "no"
        statuses.put(tx, "a", "application", "active", "mine", by_charm=True)
        assert statuses.application(tx, "a", ["a/0", "a/1"]).message == "mine"
        statuses.put(tx, "a/1", "workload", "blocked", "no", by_charm=True)
        assert [entry[1] for entry in statuses.history(tx, "a/1") if entry[0] == "workload"] == [
            "waiting",
            "blocked",
        ]


def test_leases_run_by_the_clock(cloud: Cloud) -> None:
    cloud.deploy("a", 2)
    with cloud.store.transaction() as tx:
        assert leadership.leader(tx, "a") == "a/0"
        assert not leadership.claim(tx, "a/1")
    cloud.clock[0] += 60
    with cloud.store.transaction() as tx:
        assert leadership.leader(tx, "a") is None
        assert leadership.claim(tx, "a/1")
        assert not leadership.claim(tx, "a/0")


def test_one_sequence_numbers_operations_and_tasks(cloud: Cloud) -> None:
    with cloud.store.transaction() as tx:
        operation = tasks.add_operation(tx, "act run on unit-a-0")
        first = tasks.add(tx, operation, "a/0", "act", {"x": 1})
        second = tasks.add(tx, operation, "a/1", "act", {})
        assert (operation, first.id, second.id) == (1, 2, 3)
        assert tasks.cancel(tx, 3).status == "aborted"


@pytest.mark.parametrize(
    ("policy", "expected"), [("never", None), ("hourly", 3600), ("daily", 86400)]
)
def test_rotation_times(policy: str, expected: float | None) -> None:
    assert secrets.next_rotation(policy, 0) == expected


def test_rotation_by_calendar() -> None:
    january = 1_769_860_800.0  # 2026-01-31T12:00Z
    assert secrets.next_rotation("monthly", january) == january + 28 * 86400
    assert secrets.next_rotation("yearly", january) == january + 365 * 86400


def test_user_secrets_prune_themselves(cloud: Cloud) -> None:
    cloud.deploy("a")
    with cloud.store.transaction() as tx:
        owner: dict[str, Any] = {
            "owner_kind": "model",
            "owner": "uuid",
            "label": "n",
            "auto_prune": True,
        }
        secret = secrets.add(tx, {"abc": "1"}, **owner)
        with pytest.raises(errors.ExistsError, match='name "n" already exists'):
            secrets.add(tx, {"abc": "1"}, **owner)
        secrets.grant(tx, secret.id, "a", None)
        secrets.track(tx, secret.id, "a/0", 1)
        secrets.update(tx, secret.id, content={"abc": "2"})
        assert len(secrets.revisions(tx, secret.id)) == 2
        assert snapshot.snapshot(tx, "a/0").secrets_changed[0].revision == 2
        secrets.track(tx, secret.id, "a/0", 2)
        assert [r.revision for r in secrets.revisions(tx, secret.id)] == [2]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5400), ("20s", 20), ("150ms", 0.15), ("", None), ("5", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert snapshot.duration(text) == seconds


def test_the_log_is_a_text_file(tmp_path: Path) -> None:
    file = log.LogFile(tmp_path / "model.log")
    file.append(0, "keystone/0", "INFO", "unit.keystone/0.juju-log", "hello")
    file.append(1, "controller", "ERROR", "daybreak", "bad")
    assert file.tail(1) == ["controller: 00:00:01 ERROR daybreak bad"]
    assert file.tail(0)[0] == "unit-keystone-0: 00:00:00 INFO unit.keystone/0.juju-log hello"
    file.close()


def test_ports_print_as_juju_prints_them() -> None:
    assert [str(rows.Port("tcp", 80)), str(rows.Port("icmp", 0))] == ["80/tcp", "icmp"]
