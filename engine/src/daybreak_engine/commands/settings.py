"""Charm configuration on its way in: files of values, and `trust`, which is no option."""

from typing import cast

import yaml

from .failures import CommandError

_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def truth(value: object) -> bool:
    """Return the value of `trust=...`.

    Raises:
        CommandError: it is no boolean.
    """
    result = (
        _BOOLEANS.get(value)
        if isinstance(value, str)
        else (value if isinstance(value, bool) else None)
    )
    if result is None:
        raise CommandError(f'option "trust" expected bool, got "{value}"')
    return result


def from_yaml(text: str, application: str, where: str) -> dict[str, object]:
    """Return one application's values from a configuration file.

    The file maps application names to options; `juju config`'s own output (`settings:`
    with a `value` each) is read, too.

    Raises:
        CommandError: it is no such YAML, or does not name the application.
    """
    try:
        document: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CommandError(f"cannot parse {where}: {error}") from error
    tree = _mapping(document, where)
    settings = tree.get("settings")
    if isinstance(settings, dict) and "application" in tree:
        entries = _mapping(cast("object", settings), where)
        return {
            name: _mapping(entry, where)["value"]
            for name, entry in entries.items()
            if "value" in _mapping(entry, where)
        }
    if application not in tree:
        raise CommandError(f'no settings found for "{application}" in {where}')
    return _mapping(tree[application] or {}, where)


def _mapping(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise CommandError(f"cannot parse {where}: expected a mapping of names to values")
    return {str(key): item for key, item in cast("dict[object, object]", value).items()}


def from_plain_yaml(text: str, where: str) -> dict[str, object]:
    """Return the settings of a YAML file that maps keys to values.

    Raises:
        CommandError: it is no such YAML.
    """
    try:
        document: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CommandError(f"cannot parse {where}: {error}") from error
    return _mapping(document or {}, where)
