"""`kill -9` of one of three under a load of servers and volumes: all comes back by itself, nothing committed is lost.

Each fault begins and ends with a whole cloud. What was measured is written to .daybreak/results/faults, a file for
each, and is in docs/reference/resilience.md.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ..clouds import ROOT, eventually
from ..resilience.stage import machine
from .ledger import UNDER_WAY, Proof, effect, judge
from .operations import PERIODS, Load, allocated, listed
from .stage import Stage, Victim, cleared, kill_all, note

RESULTS = ROOT / ".daybreak/results/faults"
BEFORE = 40.0
"""Seconds of load before the first kill: there are volumes and servers then."""
AFTER = 30.0
"""Seconds of load after a kill, and after it all is whole again."""
BACK = 120.0
SETTLED = 60.0
"""Seconds in which what is under way ends after the load."""

pytestmark = pytest.mark.cloud


@dataclass(frozen=True)
class Fault:
    """What is killed, one after another, each when the cloud is whole."""

    name: str
    says: str
    victims: Callable[[Stage], list[Victim]]


def _each(program: str) -> Callable[[Stage], list[Victim]]:
    return lambda stage: [Victim(unit, program) for unit in stage.units("nova")]


FAULTS = (
    Fault("steady", "nothing is killed", lambda stage: []),
    Fault(
        "database-writer",
        "the database server that is the writer",
        lambda stage: [Victim(stage.writer(), "mariadbd")],
    ),
    Fault(
        "message-node",
        "the node of RabbitMQ with the most connections",
        lambda stage: [Victim(stage.busiest(), "beam.smp")],
    ),
    Fault("conductors", "each of the three conductors", _each("nova-conductor")),
    Fault("schedulers", "each of the three schedulers", _each("nova-scheduler")),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_killed_under_load(stage: Stage, fault: Fault):
    cleared(stage.users)
    stage.whole()
    result: dict[str, Any] = {
        "name": fault.name,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "load average before": round(os.getloadavg()[0], 1),
        "periods": PERIODS,
        "units": {name: len(app.units) for name, app in stage.juju.status().apps.items()},
        "versions": {name: app.version for name, app in stage.juju.status().apps.items()},
    }
    with Load(stage.users, stage.plan, lambda record: note(**dataclasses.asdict(record))) as load:
        load.until(BEFORE)
        kills = [_killed(stage, load, victim) for victim in fault.victims(stage)]
        load.until(load.now + AFTER)
    proof = _proof(stage, load)
    records = load.records
    ends = [*(kill["at"] for kill in kills), float("inf")][1:]
    for kill, end in zip(kills, ends, strict=True):
        kill.update(effect(records, kill["at"], end))
    result |= {
        "seconds": round(max(one.at for one in records), 1),
        "operations": _counts(records),
        "kills": kills,
        "created": len(load.entries),
        "proof": dataclasses.asdict(proof),
        "allocations without a server": sorted(allocated(stage.users) - _servers(stage)),
        "servers without an allocation": sorted(_active(stage) - allocated(stage.users)),
        "queues not replicated": stage.unmirrored(),
        "agents down": stage.down(),
        "failures": [dataclasses.asdict(one) for one in records if one.cause],
    }
    # What is stuck can at least be deleted, and then holds nothing.
    cleared(stage.users)
    eventually(lambda: not allocated(stage.users), "nothing is allocated any more", 60, 2)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{fault.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    note(**{key: value for key, value in result.items() if key != "failures"})
    _assess(result, proof)


def _assess(result: dict[str, Any], proof: Proof) -> None:
    assert proof.nothing_lost, proof
    assert not result["allocations without a server"]
    assert not result["servers without an allocation"]
    assert not result["queues not replicated"]
    assert not result["agents down"]
    conductors = [k for k in result["kills"] if k["program"] == "nova-conductor"]
    # Nova takes a request from the queue before it works on it: what a conductor was placing is not placed any more.
    assert len(proof.stuck) <= len(conductors), proof.stuck
    if not result["kills"]:
        assert not result["failures"]


def _killed(stage: Stage, load: Load, victim: Victim) -> dict[str, Any]:
    """Kill while a server is being made, wait until all is whole by itself, and let the users go on for a while."""
    connections = stage.connections() if victim.program == "beam.smp" else {}
    killed = stage.processes(victim)
    assert killed, f"{victim.unit} runs {victim.program}"
    load.server_accepted()
    at = load.now
    kill_all(killed)
    note(killed=victim.unit, program=victim.program, processes=len(killed), at=round(at, 1))
    eventually(lambda: stage.back(victim, killed), f"{victim} runs again", BACK, 0.5)
    back = load.now - at
    stage.whole()
    whole = load.now - at
    load.until(max(at + whole, at + AFTER) + UNDER_WAY)
    found = {
        "unit": victim.unit,
        "program": victim.program,
        "processes": len(killed),
        "at": round(at, 2),
        "runs again": round(back, 1),
        "all whole": round(whole, 1),
    }
    return found | ({"connections before": connections} if connections else {})


def _proof(stage: Stage, load: Load) -> Proof:
    """Compare the ledger with the lists, as soon as nothing is being done any more."""

    def look() -> Proof:
        there = {
            k: v for kind in ("server", "volume") for k, v in listed(stage.users, kind).items()
        }
        return judge(load.entries, there)

    deadline = time.monotonic() + SETTLED
    proof = look()
    while proof.stuck and time.monotonic() < deadline:
        time.sleep(5)
        proof = look()
    return proof


def _servers(stage: Stage) -> set[str]:
    return set(listed(stage.users, "server"))


def _active(stage: Stage) -> set[str]:
    return {k for k, v in listed(stage.users, "server").items() if v.status == "ACTIVE"}


def _counts(records: list[Any]) -> dict[str, dict[str, Any]]:
    kinds = sorted({one.kind for one in records})
    return {
        kind: {
            "number": sum(one.kind == kind for one in records),
            "failed": sum(bool(one.cause) for one in records if one.kind == kind),
            "median": round(
                _median([o.seconds for o in records if o.kind == kind and not o.cause]), 2
            ),
        }
        for kind in kinds
    }


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else float("nan")
