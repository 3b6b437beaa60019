"""INI files from dictionaries, and the operator's overrides."""

import configparser
from collections.abc import Mapping, Sequence
from typing import cast

Value = str | int | float | bool | Sequence[str] | None
Options = Mapping[str, Mapping[str, Value]]


class OverridesError(ValueError):
    """The operator's text cannot be used; the message says why."""


def render(options: Options) -> str:
    """An INI file.

    A value None leaves its option out, a tuple repeats it (oslo.config's multi-valued options), a
    list is joined by commas. Sections and options keep their order.

    Raises:
        ValueError: A value holds a line break, which would start another option.
    """
    lines: list[str] = []
    for section, values in options.items():
        entries = [f"{key} = {text}" for key, value in values.items() for text in _texts(value)]
        if any("\n" in entry or "\r" in entry for entry in entries):
            raise ValueError(f"a value in section {section} holds a line break")
        if entries:
            lines += [f"[{section}]", *entries, ""]
    return "\n".join(lines)


def _texts(value: Value) -> list[str]:
    if value is None:
        return []
    if isinstance(value, tuple):
        return [_text(item) for item in value]
    return [_text(value)]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(str(item) for item in cast("list[object]", value))
    return str(value)


def merge(ours: Options, overrides: Options) -> dict[str, dict[str, Value]]:
    """Both, the overrides last."""
    merged = {section: dict(values) for section, values in ours.items()}
    for section, values in overrides.items():
        merged.setdefault(section, {}).update(values)
    return merged


def parse_overrides(text: str) -> dict[str, dict[str, Value]]:
    """Read the operator's overrides: YAML (`section: {option: value}`) or INI text.

    Raises:
        OverridesError: The text is neither.
    """
    if not text.strip():
        return {}
    if text.lstrip().startswith("["):
        return _parse_ini(text)
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise OverridesError("it is neither YAML nor INI text") from None
    if not isinstance(value, dict):
        raise OverridesError("write `section: {option: value}` or INI text")
    result: dict[str, dict[str, Value]] = {}
    for section, entries in cast("dict[object, object]", value).items():
        if not isinstance(entries, dict):
            raise OverridesError(f"section {section} holds no options")
        result[str(section)] = {
            str(key): _scalar(str(key), entry)
            for key, entry in cast("dict[object, object]", entries).items()
        }
    return result


def _scalar(key: str, value: object) -> Value:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list):
        return [str(item) for item in cast("list[object]", value)]
    raise OverridesError(f"option {key} holds neither a value nor a list")


def _parse_ini(text: str) -> dict[str, dict[str, Value]]:
    # A section that no text can name takes the place of configparser's own idea of DEFAULT.
    parser = configparser.RawConfigParser(default_section="\0", strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise OverridesError(f"it is no INI text: {error.message.splitlines()[0]}") from None
    return {name: dict(parser.items(name)) for name in parser.sections()}
