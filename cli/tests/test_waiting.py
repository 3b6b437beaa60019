from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jubilant
import pytest

from daybreak import bundles, waiting

from .conftest import BUNDLE, application, settled, status_json, unit

if TYPE_CHECKING:
    from pathlib import Path


def parse(text: str) -> jubilant.Status:
    return jubilant.Status._from_dict(json.loads(text))


def test_everything_active_is_settled():
    progress = waiting.progress(parse(settled()), ["db", "keystone"])

    assert progress.settled
    assert [u.name for u in progress.ready] == ["db/0", "keystone/0"]


def test_an_application_that_is_not_there_yet_waits():
    progress = waiting.progress(parse(status_json()), ["db"])

    assert not progress.settled
    assert progress.waiting[0].message == "not deployed yet"


def test_units_not_started_yet_wait():
    progress = waiting.progress(
        parse(status_json(db=application("mariadb-k8s", unit(), name="db", scale=3)))
    )

    assert [u.message for u in progress.waiting] == ["2 of 3 units not started yet"]


def test_what_a_unit_said_whose_pod_ended_is_not_its_state():
    status = status_json(db=application("mariadb-k8s", unit(agent="lost"), name="db"))

    progress = waiting.progress(parse(status))

    assert not progress.settled
    assert [u.state for u in progress.waiting] == ["lost"]


def test_a_leader_that_blocks_its_application_is_seen():
    blocked = {"current": "blocked", "message": "no backup target"}
    progress = waiting.progress(
        parse(status_json(db=application("mariadb-k8s", unit(), name="db", state=blocked)))
    )

    assert [(u.name, u.state) for u in progress.waiting] == [("db", "blocked")]


@pytest.mark.parametrize(
    ("units", "stuck"),
    [
        ([unit("blocked", "option x")], True),
        ([unit("blocked", "option x", agent="executing")], False),
        ([unit("blocked", "option x"), unit("waiting", "database")], True),
        ([unit("blocked", "option x"), unit("maintenance", "migrating")], False),
        ([unit("waiting", "database")], False),
        ([unit("error", "hook failed")], False),
        ([unit()], False),
    ],
)
def test_stuck_is_what_time_alone_does_not_change(units: list[Any], stuck: bool):
    status = parse(status_json(a=application("a-k8s", *units, name="a")))

    assert waiting.progress(status).stuck is stuck


def test_only_states_and_messages_are_changes():
    one = waiting.progress(parse(status_json(a=application("a", unit("waiting", "x"), name="a"))))
    busy = waiting.progress(
        parse(status_json(a=application("a", unit("waiting", "x", agent="executing"), name="a")))
    )
    other = waiting.progress(parse(status_json(a=application("a", unit(), name="a"))))

    assert waiting.changes(None, one) == one.units
    assert waiting.changes(one, busy) == ()
    assert waiting.changes(one, other) == other.units


def test_units_are_in_the_order_of_their_numbers():
    units = [unit() for _ in range(11)]
    progress = waiting.progress(parse(status_json(a=application("a", *units, name="a"))))

    assert [u.name for u in progress.units][-2:] == ["a/9", "a/10"]


@pytest.fixture
def bundle(tmp_path: Path) -> bundles.Bundle:
    path = tmp_path / "b.yaml"
    path.write_text(BUNDLE)
    return bundles.load(path)


def test_a_deployed_bundle_misses_nothing(bundle: bundles.Bundle):
    assert waiting.missing_parts(bundle, parse(settled())) == ()


def test_missing_applications_and_relations_are_named(bundle: bundles.Bundle):
    status = parse(status_json(keystone=application("keystone-k8s", unit(), name="keystone")))

    assert waiting.missing_parts(bundle, status) == ("db", "db:database - keystone:database")


def test_a_second_deploy_keeps_the_operators_scale(bundle: bundles.Bundle):
    three = [unit() for _ in range(3)]
    status = parse(
        status_json(
            keystone=application("keystone-k8s", *three, name="keystone"),
            db=application("mariadb-k8s", unit(), name="db"),
        )
    )

    assert waiting.overlay_of_scales(bundle, status) == {"applications": {"keystone": {"scale": 3}}}
