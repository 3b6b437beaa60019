"""The ledger and the tables, without a cloud."""

from __future__ import annotations

import math

import pytest

from . import table
from .ledger import (
    ACCEPTED,
    DELETING,
    FAILED,
    GONE,
    THERE,
    UNSURE,
    Entry,
    Found,
    Record,
    effect,
    judge,
    unmirrored,
)


def judged(said: str, found: Found | None) -> str:
    proof = judge([Entry("server", "a", said, 0)], {"a": found} if found else {})
    names = [name for name in ("lost", "back", "other", "stuck", "failed") if getattr(proof, name)]
    assert not proof.unknown
    return " ".join(names)


@pytest.mark.parametrize(
    ("said", "found", "verdict"),
    [
        (THERE, Found("ACTIVE"), ""),
        (THERE, None, "lost"),
        (THERE, Found("ERROR"), "other"),
        (THERE, Found("SHUTOFF"), "other"),
        (ACCEPTED, Found("ACTIVE"), ""),
        (ACCEPTED, Found("BUILD", busy=True), "stuck"),
        (ACCEPTED, Found("ERROR"), "failed"),
        (ACCEPTED, None, "lost"),
        (FAILED, Found("ERROR"), "failed"),
        (DELETING, None, ""),
        (DELETING, Found("ACTIVE", busy=True), "stuck"),
        (GONE, None, ""),
        (GONE, Found("ACTIVE"), "back"),
        (UNSURE, None, ""),
        (UNSURE, Found("ACTIVE"), ""),
        (UNSURE, Found("ACTIVE", busy=True), "stuck"),
    ],
)
def test_what_was_answered_is_compared_with_what_is_listed(
    said: str, found: Found | None, verdict: str
):
    assert judged(said, found) == verdict


def test_what_nobody_was_told_of_is_named():
    proof = judge([], {"a": Found("available"), "b": Found("creating", busy=True)})

    assert (proof.unknown, proof.stuck) == (("a",), ("b",))
    assert proof.nothing_lost


def test_an_operation_belongs_to_the_kill_that_it_was_under_way_at():
    records = [
        Record(10, "create server", 0.5, 5),
        Record(98, "create server", 0.5, 60, "in ERROR"),
        Record(101, "list volumes", 0.3, 0.3, "http 500"),
        Record(103, "list volumes", 0.3, 0.5),
        Record(110, "create server", 0.4, 9),
        # under way at the next one
        Record(195, "create server", 0.4, 30, "in ERROR"),
    ]

    found = effect(records, 100, 200)

    assert found["operations"] == 4
    assert (found["failed"], found["in flight failed"]) == (2, 1)
    assert found["causes"] == {"create server: in ERROR": 1, "list volumes: http 500": 1}
    assert found["last failure"] == 1.0
    assert found["next success"] == 19.0
    assert found["slowest"] == {"create server": 9, "list volumes": 0.5}
    assert effect(records, 200, math.inf)["next success"] is None


def test_a_queue_has_a_replica_that_is_online_in_each_unit():
    three = "[rabbit@a, rabbit@b, rabbit@c]"
    lines = [
        f"conductor\tquorum\t{three}\t{three}",
        f"scheduler_fanout\tstream\t{three}\t{three}",
        f"compute\tquorum\t{three}\t[rabbit@a, rabbit@b]",
        "reply\tclassic\t\t",
    ]

    assert unmirrored(lines, 3) == ["compute (quorum, 2/3)", "reply (classic, 0/0)"]


def test_the_tables_say_what_failed_and_what_the_ledger_says():
    none = {"lost": [], "back": [], "other": [], "stuck": ["a"], "failed": [], "unknown": []}
    kill = {
        **effect([Record(98, "create server", 0.5, 60, "in ERROR")], 100, math.inf),
        "unit": "nova/1",
        "program": "nova-conductor",
        "runs again": 1.5,
        "all whole": 30.2,
    }
    result = {
        "name": "conductors",
        "date": "2026-05-01T00:00:00Z",
        "machine": "a machine",
        "load average before": 0.5,
        "units": {"nova": 3},
        "versions": dict.fromkeys(("mariadb", "rabbitmq", "nova", "cinder"), "1"),
        "operations": {"create server": {"number": 5, "failed": 1, "median": 4.5}},
        "kills": [kill],
        "created": 5,
        "proof": none,
        "allocations without a server": [],
        "queues not replicated": [],
    }

    text = table.tables({"conductors": result})

    assert "| nova-conductor of nova/1 | 1 | 1 (1 under way) | 1 create server: in ERROR |" in text
    assert "| conductors | 5 | 1 | 5 | 0 | 1 | 0 | 0 | 0 | 0 |" in text
    assert table.tables({}) == "Nothing has been measured yet.\n"
