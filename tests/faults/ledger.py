"""What a cloud's users were told, and what it says afterwards: values and pure functions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ACCEPTED, THERE, DELETING, GONE = "accepted", "there", "deleting", "gone"
FAILED, UNSURE = "failed", "unsure"
"""What was said last of a server or volume: its creation was accepted; it was available or ACTIVE; its deletion was
accepted; it was not found any more; it was in ERROR; nothing, because the request for its deletion failed."""
UNDER_WAY = 30.0
"""Seconds before a kill in which an operation may have begun that was still under way; all take less when nothing
fails, and kills are further apart."""
FINAL = {"volume": "available", "server": "ACTIVE"}
"""The state of one that is there."""


@dataclass(frozen=True)
class Record:
    """One operation.

    Attributes:
        at: When it was due, seconds since the load began.
        kind: Its kind.
        answered: Seconds until the API answered; nothing it does waits for more.
        seconds: Seconds until what was asked for had happened.
        cause: Why it failed; empty when it did not.
        id: Of what was asked for.
    """

    at: float
    kind: str
    answered: float
    seconds: float
    cause: str = ""
    id: str = ""


@dataclass(frozen=True)
class Entry:
    """A server or a volume that the API answered as created.

    Attributes:
        kind: `server` or `volume`.
        id: Its id.
        said: What was said of it last.
        at: When its creation was answered, seconds since the load began.
    """

    kind: str
    id: str
    said: str
    at: float


@dataclass(frozen=True)
class Found:
    """What a list of the API says of one: its status, whether it is being made or changed, and whether it is to go."""

    status: str
    busy: bool = False
    leaving: bool = False


@dataclass(frozen=True)
class Proof:
    """What of the ledger is not so. Ids; nothing is in two of them.

    Attributes:
        lost: Created, and not listed.
        back: Were gone, and are listed.
        other: Were said to be there, and are not in that state.
        stuck: Are being created or deleted, and nobody does it.
        failed: Ended in ERROR.
        unknown: Listed without an answer that they were created.
    """

    lost: tuple[str, ...]
    back: tuple[str, ...]
    other: tuple[str, ...]
    stuck: tuple[str, ...]
    failed: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def nothing_lost(self) -> bool:
        """Whether all that was answered is so."""
        return not (self.lost or self.back or self.other)


def judge(entries: Iterable[Entry], listed: Mapping[str, Found]) -> Proof:
    """Compare the ledger with what is listed when nothing is asked for any more."""
    found: dict[str, list[str]] = {field.name: [] for field in dataclasses.fields(Proof)}
    ledger = {entry.id: entry for entry in entries}
    for number in ledger.keys() | listed.keys():
        entry, there = ledger.get(number), listed.get(number)
        what = _judged(entry, there) if entry else "stuck" if there and there.busy else "unknown"
        if what:
            found[what].append(number)
    return Proof(**{name: tuple(sorted(ids)) for name, ids in found.items()})


def _judged(entry: Entry, found: Found | None) -> str:
    if found is None:
        return "" if entry.said in (DELETING, GONE, UNSURE) else "lost"
    if entry.said == GONE:
        return "back"
    if entry.said == DELETING or found.busy:
        return "stuck"
    if found.status == FINAL[entry.kind]:
        return ""
    if found.status.upper().startswith("ERROR"):
        return "other" if entry.said == THERE else "failed"
    return "other" if entry.said == THERE else "stuck"


def effect(records: Sequence[Record], at: float, until: float) -> dict[str, Any]:
    """Return what a kill did to the operations that were under way or began until the next one; seconds since it.

    `last failure` is the beginning of the last operation that failed, 0 if all had begun before; `next success` the end
    of the first one of its kind that began later and did not fail (the latest of all kinds that had failed; without
    any, of any kind).
    """
    mine = [
        one
        for one in records
        if at - UNDER_WAY <= one.at < until - UNDER_WAY and one.at + one.seconds >= at
    ]
    failed = [one for one in mine if one.cause]
    ends: list[float] = []
    for kind in {one.kind for one in failed} or {""}:
        last = max((one.at for one in failed if one.kind == kind), default=at)
        good = [
            one.at + one.seconds
            for one in records
            if not one.cause and one.at > last and kind in ("", one.kind)
        ]
        if good:
            ends.append(min(good) - at)
    return {
        "operations": len(mine),
        "failed": len(failed),
        "in flight failed": sum(one.at < at for one in failed),
        "causes": dict(Counter(f"{one.kind}: {one.cause}" for one in failed).most_common()),
        "last failure": round(max([0.0, *(one.at - at for one in failed)]), 1),
        "next success": round(max(ends), 1) if ends else None,
        "slowest": {
            kind: round(max(one.seconds for one in mine if one.kind == kind and not one.cause), 1)
            for kind in sorted({one.kind for one in mine if not one.cause})
        },
    }


def unmirrored(lines: Iterable[str], nodes: int) -> list[str]:
    """Return the queues that are not on so many nodes, or of which a replica is away.

    Args:
        lines: What `rabbitmqctl list_queues name type members online` prints, without a header.
        nodes: How many there have to be.
    """
    found: list[str] = []
    for line in lines:
        name, kind, members, online = (line.split("\t") + [""] * 4)[:4]
        whole = members.count("rabbit@") == online.count("rabbit@") == nodes
        if kind not in ("quorum", "stream") or not whole:
            found.append(f"{name} ({kind}, {online.count('rabbit@')}/{members.count('rabbit@')})")
    return found
