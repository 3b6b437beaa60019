"""Make docs/reference/resilience.md from the results of the scenarios.

python -m tests.resilience.table            reads .daybreak/results/resilience/*.json

Scenarios without a result are listed as not measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..clouds import ROOT
from .scenarios import SCENARIOS
from .stage import PLANNED, RESULTS, Scenario

DOCUMENT = ROOT / "docs/reference/resilience.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
Result = Mapping[str, Any]


def read(folder: Path) -> dict[str, Result]:
    """Return the results by scenario."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def tables(scenarios: Sequence[Scenario], results: Mapping[str, Result]) -> str:
    """Return the measured part of the document."""
    if not results:
        return "Nothing has been measured yet.\n"
    planned = [one for one in scenarios if one.failures in PLANNED]
    faults = [one for one in scenarios if one.failures == "some"]
    proofs = [one for one in scenarios if one.failures == "proof"]
    mine = [results[one.name] for one in planned if one.name in results]
    lines = [_conditions(list(results.values())), ""]
    lines += ["### Planned changes", ""]
    lines += table(
        ("change", "what", "s", "requests", "logins", "failed", "p50 ms", "p99 ms", "load before"),
        [_planned(one, results.get(one.name)) for one in planned],
    )
    if mine:
        sums = [sum(result[key] for result in mine) for key in ("requests", "logins", "failed")]
        lines += [
            f"Of {len(planned)} changes {len(mine)} were measured: {sums[0]} requests,"
            f" {sums[1]} logins, {sums[2]} failed.",
            "",
        ]
    lines += ["### The counter-proof", ""]
    lines += table(
        ("change", "what", "s", "requests", "logins", "failed", "p50 ms", "p99 ms", "load before"),
        [_planned(one, results.get(one.name)) for one in proofs],
    )
    lines += ["### Faults", ""]
    lines += table(
        (
            *("fault", "what", "requests", "failed", "causes", "downtime s", "last failure s"),
            *("MTTR s", "published by others"),
        ),
        [_fault(one, results.get(one.name)) for one in faults],
    )
    return "\n".join(lines).rstrip() + "\n"


def _conditions(results: Sequence[Result]) -> str:
    machines = sorted({result["machine"] for result in results})
    days = sorted({result["date"][:10] for result in results})
    rates = results[0]["rates"]
    versions = sorted(
        {
            f"{name} {app['version']}"
            for result in results
            for apps in result["applications"].values()
            for name, app in apps.items()
            if app["version"]
        }
    )
    units = results[0]["applications"]["before"]
    return "\n".join(
        [
            f"Measured on {' and '.join(days)}: {'; '.join(machines)}.",
            "Units: " + ", ".join(f"{name} {app['units']}" for name, app in units.items()) + ".",
            f"Versions: {', '.join(versions)}.",
            f"Requests per second: {sum(rates.values()):.1f} ("
            + ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
            + "), one in four on a new connection.",
        ]
    )


def _planned(scenario: Scenario, result: Result | None) -> tuple[str, ...]:
    if result is None:
        return scenario.name, scenario.says, "not measured", *("",) * 6
    causes = ", ".join(f"{count} {name}" for name, count in result["causes"].items())
    failed = f"{result['failed']} ({causes})" if causes else "**0**"
    over = "not over" if "not over" in result["change"] else f"{result['change']['seconds']:.0f}"
    numbers = result["milliseconds"]
    return (
        scenario.name,
        scenario.says,
        over,
        str(result["requests"]),
        str(result["logins"]),
        failed,
        f"{numbers['p50']:.0f}",
        f"{numbers['p99']:.0f}",
        f"{result['load average before']:.1f}",
    )


def _fault(scenario: Scenario, result: Result | None) -> tuple[str, ...]:
    if result is None:
        return scenario.name, scenario.says, "not measured", *("",) * 5, scenario.published
    fault = result["fault"]
    return (
        scenario.name,
        scenario.says,
        str(result["requests"]),
        str(result["failed"]),
        ", ".join(f"{count} {name}" for name, count in result["causes"].items()) or "none",
        f"{fault['downtime']:.1f}",
        f"{fault['last failure']:.1f}",
        f"{fault['mttr']:.1f}",
        scenario.published,
    )


def write(document: Path, measured: str, begin: str = BEGIN, end: str = END) -> None:
    """Put the tables between markers of the document."""
    head, _, rest = document.read_text(encoding="utf-8").partition(begin)
    _, _, tail = rest.partition(end)
    document.write_text(f"{head}{begin}\n{measured}{end}{tail}", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Fill the document."""
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tests.resilience.table",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="the document to fill")
    options = parser.parse_args(argv)
    write(options.document, tables(SCENARIOS, read(options.results)))
    print(options.document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
