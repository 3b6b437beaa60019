"""What a tool prints: smart, json or yaml (contract 2.1, 2.10)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

import yaml

from daybreak_engine.hooktools.flags import ToolError

FORMATS = ("smart", "json", "yaml")


def render(value: object, kind: str) -> str:
    """Return a value as text that ends in a newline; empty for nothing (smart only).

    Raises:
        ToolError: Unknown format (code 2).
    """
    if kind == "json":
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text + "\n"
    if kind == "yaml":
        return _yaml(value)
    if kind != "smart":
        raise ToolError(f'invalid value "{kind}" for option --format: unknown format "{kind}"', 2)
    if value is None:
        return ""
    if isinstance(value, str):
        return value + "\n" if value else ""
    if isinstance(value, bool):
        return f"{value}\n"
    if isinstance(value, int | float):
        return f"{value}\n"
    if isinstance(value, list):
        items = cast("Sequence[object]", value)
        return "".join(f"{item}\n" for item in items)
    return _yaml(value)


def _yaml(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=False, allow_unicode=True, sort_keys=True)
    return text.removesuffix("...\n")
