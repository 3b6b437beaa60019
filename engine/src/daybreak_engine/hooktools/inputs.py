"""What the client sent beside the arguments, and `key=value` settings made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import yaml

from daybreak_engine.hooktools.flags import Arguments, ToolError


@dataclass(frozen=True, slots=True)
class Inputs:
    """Standard input (None: not read) and the contents of the files that arguments name."""

    stdin: str | None = None
    files: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def read(self, path: str) -> str:
        """Return the content of `-` or of a file that the client sent along."""
        if path == "-":
            return self.stdin or ""
        if path not in self.files:
            raise ToolError(f"open {path}: no such file or directory")
        return self.files[path]


def settings_of(args: Arguments, inputs: Inputs) -> dict[str, str]:
    """Return the settings of `--file` and of `key=value` arguments, the latter stronger.

    Raises:
        ToolError: Not a mapping of strings, or an argument without `=`.
    """
    settings: dict[str, str] = {}
    path = args.get("file")
    if path is not None:
        settings.update(_mapping(inputs.read(path)))
    for argument in args.rest:
        key, equals, value = argument.partition("=")
        if not equals or not key:
            raise ToolError(f'expected "key=value", got "{argument}"', 2)
        settings[key] = value
    return settings


def _mapping(text: str) -> dict[str, str]:
    parsed: object
    try:
        parsed = json.loads(text)  # what ops sends, and much quicker than YAML
    except ValueError:
        try:
            parsed = yaml.safe_load(text)
        except yaml.YAMLError:
            # The text may hold secrets: nothing of it goes into the message.
            raise ToolError("cannot parse input as YAML or JSON") from None
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise ToolError("cannot unmarshal input: expected a mapping of strings")
    values = cast("dict[object, object]", parsed)
    settings: dict[str, str] = {}
    for key, value in values.items():
        if not isinstance(key, str) or not (value is None or isinstance(value, str)):
            raise ToolError(f"cannot unmarshal input: the value of {key!r} is not a string")
        settings[key] = value or ""
    return settings
