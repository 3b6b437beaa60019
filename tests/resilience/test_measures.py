"""The measures and the tables, without a cloud."""

from __future__ import annotations

import asyncio
import errno

import aiohttp
import pytest

from . import measures, table
from .load import cause
from .measures import Record
from .scenarios import SCENARIOS


def records(*failing: float) -> list[Record]:
    """Ten requests a second for a minute; those at the given seconds fail."""
    return [
        Record(n / 10, "validate", "kept", 0.1, "reset" if n / 10 in failing else "")
        for n in range(600)
    ]


def test_downtime_is_from_the_first_to_the_last_failure_after_the_fault():
    found = measures.fault(records(5.0, 20.0, 23.5), 15.0)

    assert found == {"downtime": 3.5, "last failure": 8.6, "mttr": 0.0}


def test_mttr_is_the_time_of_slow_answers():
    slow = [
        Record(r.at, r.kind, r.connection, 2.0 if 30 <= r.at < 35 else 0.1 + (r.at * 7 % 1) / 50)
        for r in records()
    ]

    # A window of twenty is slow until the last of the slow ones has left it: two seconds at this rate.
    assert measures.recovery(slow, 30.0) == pytest.approx(6.9, abs=0.3)


def test_percentiles_are_of_the_nearest_rank():
    assert measures.percentiles([0.001 * n for n in range(1, 101)]) == {
        "p50": 50.0,
        "p95": 95.0,
        "p99": 99.0,
        "max": 100.0,
    }


def test_a_stall_is_seen():
    stalled = [r for r in records() if not 20 <= r.at < 25]

    assert measures.silence(stalled) == pytest.approx(5.1)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (TimeoutError(), "timeout"),
        (aiohttp.ServerDisconnectedError(), "closed"),
        (aiohttp.ClientPayloadError(), "cut"),
        (ConnectionRefusedError(), "refused"),
        (aiohttp.ClientOSError(errno.ECONNRESET, "reset by peer"), "reset"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
)
def test_failures_have_words(error: BaseException, word: str):
    assert cause(error) == word


def test_the_tables_say_what_was_and_what_was_not_measured():
    summary = measures.summary(records(20.0), ["validate"])
    result = {
        **summary,
        "machine": "a machine",
        "date": "2026-05-01T00:00:00Z",
        "rates": {"validate": 10.0},
        "load average before": 0.5,
        "applications": {"before": {"keystone": {"version": "29.0.0", "units": 3}}},
        "change": {"seconds": 30.0},
        "fault": measures.fault(records(20.0), 15.0),
    }

    text = table.tables(SCENARIOS, {"refresh": result, "kill-keystone": result})

    assert "| 30 | 600 | 0 | 1 (1 reset) | 100 |" in text
    assert "| steady | nothing is changed | not measured |" in text
    assert "| 600 | 1 | 1 reset | 0.0 | 5.1 | 0.0 |" in text
