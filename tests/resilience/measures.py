"""What a run of the load says: pure functions over its records.

Terms are those of OpenStack's reliability test plan (version 2), so that numbers can be put beside
the published ones: *service downtime* is the time from the first to the last error; the *recovery
period* is the time after the fault in which the mean duration in a sliding window is significantly
above the baseline's, and its length is the *MTTR*.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

WINDOW = 20
"""Successful requests in the sliding window."""


@dataclass(frozen=True)
class Record:
    """One request.

    Attributes:
        at: When the clock had it start, in seconds since the load began.
        kind: Name of the operation.
        connection: `new`, `kept` (the request found it open), or `none` (it got no connection).
        seconds: From `at` to the end of the answer, or to the failure.
        cause: Empty for what was expected; else `http 503`, `refused`, `reset`, `closed`, `cut`,
            `timeout`, `tls`, `content`, or the name of an exception.
        detail: More about a failure: Keystone's request id, first words of the answer.
    """

    at: float
    kind: str
    connection: str
    seconds: float
    cause: str = ""
    detail: str = ""


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """Return p50, p95, p99 and max in milliseconds; nearest rank, nothing without values."""
    values = sorted(seconds)
    if not values:
        return {}

    def rank(share: float) -> float:
        return round(values[max(0, math.ceil(share * len(values)) - 1)] * 1000, 1)

    return {"p50": rank(0.5), "p95": rank(0.95), "p99": rank(0.99), "max": rank(1)}


def summary(records: Sequence[Record], kinds: Sequence[str]) -> dict[str, Any]:
    """Return counts, causes and latency of a run, over all and by kind, ready for JSON."""
    failed = [record for record in records if record.cause]
    good = [record for record in records if not record.cause]
    return {
        "requests": len(records),
        "logins": sum(record.kind == "login" for record in records),
        "failed": len(failed),
        "causes": dict(Counter(record.cause for record in failed).most_common()),
        "connections": dict(Counter(record.connection for record in records).most_common()),
        "milliseconds": percentiles(record.seconds for record in good),
        "longest silence": round(silence(records), 2),
        "kinds": {kind: _of_kind(records, kind) for kind in kinds},
    }


def _of_kind(records: Iterable[Record], kind: str) -> dict[str, Any]:
    mine = [record for record in records if record.kind == kind]
    return {
        "requests": len(mine),
        "failed": sum(bool(record.cause) for record in mine),
        "milliseconds": percentiles(record.seconds for record in mine if not record.cause),
    }


def silence(records: Iterable[Record]) -> float:
    """Return the longest time in seconds without a good answer while requests were made."""
    ends = sorted(record.at + record.seconds for record in records if not record.cause)
    return max((after - before for before, after in itertools.pairwise(ends)), default=0)


def fault(records: Sequence[Record], at: float) -> dict[str, float]:
    """Return downtime, time until the last failure and MTTR of a fault, in seconds.

    Args:
        records: All of the run; those before the fault are the baseline.
        at: When the fault was made, on the records' clock.
    """
    failures = [record.at + record.seconds for record in records if record.cause]
    failures = [moment for moment in failures if moment >= at]
    return {
        "downtime": round(max(failures) - min(failures), 2) if failures else 0.0,
        "last failure": round(max(failures) - at, 2) if failures else 0.0,
        "mttr": round(recovery(records, at), 2),
    }


def recovery(records: Sequence[Record], at: float) -> float:
    """Return how long after the fault durations were significantly above the baseline.

    Each duration is taken relative to the median of its kind before the fault, so that a login does
    not count as slow. Significant: the window's mean is above the baseline's mean by three of the
    standard deviations that means of such windows have in the baseline.
    """
    usual: dict[str, float] = {}
    for kind in {record.kind for record in records}:
        before = [r.seconds for r in records if r.kind == kind and r.at < at and not r.cause]
        if before:
            usual[kind] = statistics.median(before)
    ratios = [
        (record.at, record.seconds / usual[record.kind])
        for record in sorted(records, key=lambda record: record.at)
        if not record.cause and usual.get(record.kind)
    ]
    means = [
        (ratios[i + WINDOW - 1][0], statistics.fmean(r for _, r in ratios[i : i + WINDOW]))
        for i in range(len(ratios) - WINDOW + 1)
    ]
    baseline = [mean for moment, mean in means if moment < at]
    if len(baseline) < WINDOW:
        return 0.0
    limit = statistics.fmean(baseline) + 3 * statistics.stdev(baseline)
    slow = [moment for moment, mean in means if moment >= at and mean > limit]
    return max(slow) - at if slow else 0.0
