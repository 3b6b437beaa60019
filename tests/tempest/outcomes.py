"""What tempest says of its tests, line by line; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

# {0} tempest.api.image.v2.test_images.Class.test_name [0.812345s] ... ok
# {0} setUpClass (tempest.api.volume.test_volumes_get.Class) ... SKIPPED: why
_LINE = re.compile(
    r"\{\d+\} (?P<name>.+?)(?: \[(?P<seconds>[\d.]+)s\])? \.\.\. (?P<what>ok|FAILED|SKIPPED.*)"
)
_WORDS = {"ok": "passed", "FAILED": "failed"}
_UNSTABLE = "Marked as unstable and skipped because of bug"
"""What tempest says of a test that failed, where a bug of OpenStack is known to make it fail at times."""
_PARTS = ("identity", "image", "network", "compute", "volume", "scenario")


@dataclass(frozen=True)
class Outcome:
    """One test, or one class whose preparation failed or was skipped.

    Attributes:
        name: Its name in tempest.
        outcome: `passed`, `failed` or `skipped`.
        seconds: How long it took, without what its class prepares.
        reason: Why it was skipped, or failed if that was expected.
    """

    name: str
    outcome: str
    seconds: float
    reason: str = ""

    @property
    def part(self) -> str:
        """What of the cloud it tests."""
        return next((part for part in _PARTS if f".{part}." in self.name), "other")


def read(line: str) -> Outcome | None:
    """Return the outcome that a line of stestr's output says, if it does."""
    found = _LINE.fullmatch(line.rstrip())
    if found is None:
        return None
    word = found["what"]
    reason = word.partition(":")[2].strip() if word.startswith("SKIPPED") else ""
    seconds = float(found["seconds"] or 0)
    outcome = "failed" if reason.startswith(_UNSTABLE) else _WORDS.get(word, "skipped")
    return Outcome(found["name"], outcome, seconds, reason)


def summary(outcomes: Iterable[Outcome], seconds: float) -> str:
    """Return the closing line: how many passed, failed and were skipped."""
    count = Counter(outcome.outcome for outcome in outcomes)
    words = [f"{count[word]} {word}" for word in ("passed", "failed", "skipped")]
    return f"{', '.join(words)} in {seconds:.1f}s"


def table(outcomes: Iterable[Outcome]) -> str:
    """Return the numbers by part of the cloud, as a Markdown table."""
    count = Counter((outcome.part, outcome.outcome) for outcome in outcomes)
    rows = [
        (part, *(str(count[part, word]) for word in ("passed", "failed", "skipped")))
        for part in (*_PARTS, "other")
        if any(found == part for found, _ in count)
    ]
    lines = [("part", "passed", "failed", "skipped"), ("---",) * 4, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def report(outcomes: Iterable[Outcome], seconds: float, **about: Any) -> dict[str, Any]:
    """Return everything for the file of results."""
    listed = list(outcomes)
    return {
        **about,
        "seconds": round(seconds, 1),
        "summary": summary(listed, seconds),
        "tests": [asdict(outcome) for outcome in listed],
    }
