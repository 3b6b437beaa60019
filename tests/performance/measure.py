"""Measure a bootstrap against the bare shell script, and what a hook costs.

Each round runs the bare script and `./daybreak bootstrap` in turn, both with the images built, and
removes what they made. With `--bundle openstack` both go on until a first server has booted, and
the memory of each service is measured when they have been idle for a minute. Writes all numbers as
JSON and the tables into docs/reference/performance.md.

    python3 -m tests.performance.measure --rounds 3
    python3 -m tests.performance.measure --rounds 3 --from-nothing    also once without images and programs
    python3 -m tests.performance.measure --rounds 3 --bundle openstack

Needs root, and nothing else that keeps the machine busy. Every figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .records import ROOT, SUBJECTS, limits
from .running import measure
from .tables import tables, write

DOCUMENT = ROOT / "docs/reference/performance.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, and say whether the limits are kept."""
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.performance.measure",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--bundle", choices=sorted(SUBJECTS), default="identity", help="default: identity"
    )
    parser.add_argument(
        "--from-nothing",
        action="store_true",
        help="first remove images, programs and charms, and bootstrap once",
    )
    parser.add_argument("--output", type=Path, help="the JSON file (default: below results/)")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="the document to fill")
    options = parser.parse_args(argv)
    if os.geteuid() != 0:
        sys.exit("this makes containers: run it as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is removed first
    subject = SUBJECTS[options.bundle]
    results = measure(subject, max(1, options.rounds), from_nothing=options.from_nothing)
    output = options.output or subject.results
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    write(options.document, subject.bundle, tables(results))
    print(f"{output}, {options.document}")
    for limit in limits(results):
        print(f"{limit.name}: {limit.value:.2f} (limit {limit.most})")
    return 0 if all(limit.kept for limit in limits(results)) else 1


if __name__ == "__main__":
    sys.exit(main())
