"""Confirmed messages while RabbitMQ's units come, go, die and change: none may be lost.

The tests are one course and run in their order; each leaves all units active.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from ..clouds import embedded, eventually
from . import requirer
from .stage import CHARM, Stage, deploy

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.skipif(os.geteuid() != 0, reason="the engine needs root"),
]
MAJORITY_SECONDS = 30


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with embedded("messages", bootstrap=False) as cloud:
        yield deploy(cloud, tmp_path_factory.mktemp("charms"))


def nothing_lost(result: dict[str, Any]) -> None:
    assert result["confirmed"] > 100
    assert result["lost"] == 0, result


def replicas(stage: Stage, queue: str) -> int:
    listed = stage.control("list_queues", "-p", requirer.VHOST, "name", "members")
    line = next(line for line in listed.splitlines() if line.split("\t")[0] == queue)
    return line.count("rabbit@")


def test_openstacks_own_client_calls_and_casts_over_tls(stage: Stage):
    result = stage.client("rpc", 5)

    assert result["calls"] > 0
    assert result["failed"] == []
    assert result["fanout"] == 2


def test_from_one_unit_to_three(stage: Stage):
    with stage.load(90) as load:
        stage.scale(3)

    nothing_lost(load.result())
    assert replicas(stage, "load") == 3
    assert replicas(stage, "probe_fanout") == 3


def test_the_unit_that_leads_a_queue_is_killed(stage: Stage):
    with stage.load(40) as load:
        stage.kill(stage.leader("load"))
        stage.settle(3)

    nothing_lost(load.result())
    assert load.result()["worst gap"] < MAJORITY_SECONDS


def test_all_units_are_killed_together(stage: Stage):
    with stage.load(90) as load:
        stage.kill(0, 1, 2)
        stage.settle(3)

    nothing_lost(load.result())


def test_a_refresh_replaces_one_unit_after_the_other(stage: Stage):
    with stage.load(150) as load:
        stage.juju.refresh("rabbitmq", path=CHARM)
        stage.settle(3)

    nothing_lost(load.result())
    assert load.result()["worst gap"] < MAJORITY_SECONDS


def test_the_user_is_rotated(stage: Stage):
    before = stage.answer()["username"]
    with stage.load(40) as load:
        eventually(lambda: before in stage.control("list_connections", "user"), "it is connected")
        stage.juju.run("rabbitmq/leader", "rotate-credentials")
        stage.settle(3)

    # Whoever has not moved yet is not disturbed.
    nothing_lost(load.result())
    assert load.result()["errors"] == []
    after = stage.answer()["username"]
    assert after != before
    eventually(lambda: before not in stage.control("list_users"), f"{before} is gone")
    assert after in stage.control("list_users")


def test_from_three_units_to_one(stage: Stage):
    with stage.load(90) as load:
        stage.scale(1)

    nothing_lost(load.result())
    assert replicas(stage, "load") == 1
    assert stage.control("cluster_status").count("rabbit@rabbitmq-1") == 0
    handling = "application:get_env(rabbit, cluster_partition_handling)."
    assert "pause_minority" in stage.control("eval", handling)
    assert stage.client("rpc", 3)["failed"] == []
