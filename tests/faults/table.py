"""Make the section of docs/reference/resilience.md on kills with three units from the results.

python -m tests.faults.table                reads .daybreak/results/faults/*.json
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..resilience.table import DOCUMENT, read, table, write
from .test_faults import FAULTS, RESULTS

BEGIN, END = "<!-- kills: begin -->", "<!-- kills: end -->"
Result = Mapping[str, Any]


def tables(results: Mapping[str, Result]) -> str:
    """Return the measured part of the section."""
    mine = [results[fault.name] for fault in FAULTS if fault.name in results]
    if not mine:
        return "Nothing has been measured yet.\n"
    lines = [*_conditions(mine), ""]
    lines += table(
        (
            *("killed", "operations", "failed", "why", "last failure s", "next success s"),
            *("runs again s", "all whole s", "slowest server s", "slowest volume s"),
        ),
        [_kill(kill) for result in mine for kill in result["kills"]],
    )
    lines += [
        "What the ledger of all answers says afterwards, when nothing is asked for any more:",
        "",
    ]
    lines += table(
        (
            *("fault", "operations", "failed", "created", "lost or otherwise", "stuck"),
            *("in ERROR", "unknown", "allocations without a server", "queues not replicated"),
        ),
        [_proof(result) for result in mine],
    )
    return "\n".join(lines).rstrip() + "\n"


def _conditions(results: list[Result]) -> Iterable[str]:
    days = sorted({result["date"][:10] for result in results})
    machines = sorted({result["machine"] for result in results})
    loads = sorted(result["load average before"] for result in results)
    names = ("mariadb", "rabbitmq", "nova", "cinder")
    versions = sorted(
        {f"{name} {result['versions'][name]}" for result in results for name in names}
    )
    medians = {
        kind: sorted(
            result["operations"][kind]["median"]
            for result in results
            if kind in result["operations"]
        )
        for kind in ("create server", "create volume", "list servers")
    }
    yield f"Measured on {' and '.join(days)}: {'; '.join(machines)}, load averages before {loads[0]} to {loads[-1]}."
    yield "Units: " + ", ".join(f"{name} {n}" for name, n in results[0]["units"].items()) + "."
    yield f"Versions: {', '.join(versions)}."
    yield (
        "Medians: "
        + ", ".join(f"{k} {v[0]:g} to {v[-1]:g} s" for k, v in medians.items() if v)
        + "."
    )


def _kill(kill: Result) -> tuple[str, ...]:
    causes = ", ".join(f"{number} {cause}" for cause, number in kill["causes"].items())
    slowest = kill["slowest"]
    return (
        f"{kill['program']} of {kill['unit']}",
        str(kill["operations"]),
        f"{kill['failed']}"
        + (f" ({kill['in flight failed']} under way)" if kill["failed"] else ""),
        causes or "nothing",
        f"{kill['last failure']:g}" if kill["failed"] else "",
        "none" if kill["next success"] is None else f"{kill['next success']:g}",
        f"{kill['runs again']:g}",
        f"{kill['all whole']:g}",
        f"{slowest.get('create server', '')}",
        f"{slowest.get('create volume', '')}",
    )


def _proof(result: Result) -> tuple[str, ...]:
    proof = result["proof"]
    operations = result["operations"].values()
    return (
        result["name"],
        str(sum(kind["number"] for kind in operations)),
        str(sum(kind["failed"] for kind in operations)),
        str(result["created"]),
        str(len(proof["lost"]) + len(proof["back"]) + len(proof["other"])),
        str(len(proof["stuck"])),
        str(len(proof["failed"])),
        str(len(proof["unknown"])),
        str(len(result["allocations without a server"])),
        str(len(result["queues not replicated"])),
    )


def main() -> int:
    """Fill the section."""
    write(DOCUMENT, tables(read(RESULTS)), BEGIN, END)
    print(DOCUMENT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
