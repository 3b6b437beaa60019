"""docs/reference/commands.md is what `--help` prints; DAYBREAK_WRITE_DOCS=1 writes it again."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daybreak import __main__

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/reference/commands.md"

HEAD = """\
# Commands

The texts of `daybreak COMMAND --help`. `./daybreak` in a checkout is the same command; it first installs what is
missing.
"""


def _parsers(
    name: str, parser: argparse.ArgumentParser
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield a parser by its whole name, and those of its subcommands."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, sub in action.choices.items():
                yield from _parsers(f"{name} {word}", sub)


def _document() -> str:
    sections = _parsers("daybreak", __main__.build_parser())
    return HEAD + "".join(
        f"\n## {name}\n\n```\n{sub.format_help().rstrip()}\n```\n" for name, sub in sections
    )


def test_the_reference_is_what_help_prints(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    text = _document()
    if os.environ.get("DAYBREAK_WRITE_DOCS"):
        DOCUMENT.write_text(text)

    # releases of Python differ in where they break lines
    assert DOCUMENT.read_text().split() == text.split()


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_links_lead_somewhere(page: Path):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())

    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing
