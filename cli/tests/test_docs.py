"""docs/reference/commands.md is what `--help` prints; DAYBREAK_WRITE_DOCS=1 writes it again."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
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


COMPLETION = ROOT / "snap/local/daybreak.bash"
COMPLETION_TEXT = """\
# Completion of the command line in bash, written from its parser (cli/tests/test_docs.py).
_daybreak() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} path=daybreak choices i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$path ${{COMP_WORDS[i]}}" in
            {commands}) path="$path ${{COMP_WORDS[i]}}" ;;
        esac
    done
    case ${{COMP_WORDS[COMP_CWORD - 1]}} in
        {files})
            compopt -o default
            return
            ;;
    esac
    case $path in
{choices}
    esac
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}}
complete -F _daybreak daybreak
"""


def _completion() -> str:
    parsers = dict(_parsers("daybreak", __main__.build_parser()))
    files: set[str] = set()
    lines: list[str] = []
    for name, parser in parsers.items():
        words: list[str] = []
        for action in parser._actions:
            if action.help == argparse.SUPPRESS:
                continue
            words += [option for option in action.option_strings if option.startswith("--")]
            words += [str(choice) for choice in action.choices or () if not action.option_strings]
            if action.option_strings and str(action.metavar) in ("FILE", "ARCHIVE", "NAME|FILE"):
                files |= set(action.option_strings)
        lines.append(f'        "{name}") choices="{" ".join(words)}" ;;')
    commands = " | ".join(f'"{name}"' for name in parsers if name != "daybreak")
    return COMPLETION_TEXT.format(
        commands=commands, files=" | ".join(sorted(files)), choices="\n".join(lines)
    )


def test_the_completion_is_the_parsers():
    if os.environ.get("DAYBREAK_WRITE_DOCS"):
        COMPLETION.write_text(_completion())

    assert COMPLETION.read_text() == _completion()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("daybreak de", ["demo", "destroy"]),
        ("daybreak images ex", ["export"]),
        ("daybreak images push --over", ["--overlay"]),
        ("daybreak bootstrap --prov", ["--provider"]),
    ],
)
def test_bash_completes(line: str, says: list[str]):
    words = line.split()
    script = (
        f"source {COMPLETION}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _daybreak; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == says


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_links_lead_somewhere(page: Path):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())

    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing
