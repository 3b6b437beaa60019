"""JSON, YAML and tables as Juju's Go libraries print them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import yaml


class Plain(str):
    """A text that YAML shows without quotes although it looks like another type.

    Juju prints times this way.
    """

    __slots__ = ()


def to_json(value: object) -> str:
    """Return `value` as one line of JSON, ending in a newline.

    No blanks, and `<`, `>`, `&` escaped, as Go's encoder does.
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text + "\n"


class _Dumper(yaml.SafeDumper):
    """Quotes what would read as another type with double quotes, as Go does."""

    def ignore_aliases(self, data: object) -> bool:
        """Never write anchors."""
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    tag = "tag:yaml.org,2002:str"
    seen = cast("str", dumper.resolve(yaml.ScalarNode, text, (True, False)))  # pyright: ignore[reportUnknownMemberType] - untyped library
    if seen != tag:
        return yaml.ScalarNode(tag, text, style='"')
    return yaml.ScalarNode(tag, text, style="|" if "\n" in text else None)


def _represent_plain(dumper: _Dumper, text: Plain) -> yaml.ScalarNode:
    seen = cast("str", dumper.resolve(yaml.ScalarNode, str(text), (True, False)))  # pyright: ignore[reportUnknownMemberType] - untyped library
    return yaml.ScalarNode(seen, str(text))


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(Plain, _represent_plain)


def to_yaml(value: object) -> str:
    """Return `value` as YAML in block style, keys in their own order."""
    return yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True
    )


@dataclass(frozen=True)
class Right:
    """A cell that is aligned to the right."""

    text: str


Cell = str | Right


def _text(cell: Cell) -> str:
    return cell.text if isinstance(cell, Right) else cell


def table(rows: Sequence[Sequence[Cell]]) -> str:
    """Return rows of cells in columns two blanks apart, each row ending in a newline.

    The last cell of a row is not padded and widens no column, as with Go's tabwriter.
    """
    widths: dict[int, int] = {}
    for row in rows:
        for index, cell in enumerate(row[:-1]):
            widths[index] = max(widths.get(index, 0), len(_text(cell)))
    lines: list[str] = []
    for row in rows:
        line = ""
        for index, cell in enumerate(row):
            text, width = _text(cell), widths.get(index, 0)
            if isinstance(cell, Right):
                text = text.rjust(width)
            line += text if index == len(row) - 1 else text.ljust(width) + "  "
        lines.append(line + "\n")
    return "".join(lines)
