"""Parameters of actions: from the command line to values, and against the schema.

The texts are those of the JSON-schema check in Juju's agent.
"""

import json
from collections.abc import Mapping, Sequence
from typing import cast

import yaml

from .failures import CommandError, UsageError

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def from_arguments(pairs: Sequence[str]) -> dict[str, object]:
    """Return the parameters of `key.key=value` arguments; values are read as YAML.

    Raises:
        UsageError: an argument has no `=`, an empty key, or a value that is no YAML.
    """
    result: dict[str, object] = {}
    for pair in pairs:
        path, equals, text = pair.partition("=")
        if not equals or not all(path.split(".")):
            raise UsageError(f'argument "{pair}" must be of the form key.key.key...=value')
        try:
            value: object = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f'value of "{path}" is not valid YAML: {error}') from error
        put(result, path.split("."), "" if value is None else value)
    return result


def put(tree: dict[str, object], path: Sequence[str], value: object) -> None:
    """Set a nested value; what stands in the way is replaced."""
    for key in path[:-1]:
        inner = tree.get(key)
        if not isinstance(inner, dict):
            inner = tree[key] = {}
        tree = cast("dict[str, object]", inner)
    tree[path[-1]] = value


def from_file(text: str, where: str) -> dict[str, object]:
    """Return the parameters of a YAML file.

    Raises:
        CommandError: it is no YAML mapping.
    """
    try:
        document: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CommandError(f"cannot parse {where}: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise CommandError(f"cannot parse {where}: params must be a mapping of keys to values")
    return {str(key): value for key, value in cast("dict[object, object]", document).items()}


def problems(schema: Mapping[str, object], values: Mapping[str, object]) -> str:
    """Return what is wrong with the parameters, "" when all is well."""
    return "; ".join(_object(schema, values, "(root)", top=True))


def with_defaults(schema: Mapping[str, object], values: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters with the schema's defaults where none was given."""
    result = dict(values)
    for name, rule in _properties(schema).items():
        if name not in result and "default" in rule:
            result[name] = rule["default"]
    return result


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        return {}
    return cast("dict[str, object]", value)


def _properties(schema: Mapping[str, object]) -> dict[str, dict[str, object]]:
    return {name: _mapping(rule) for name, rule in _mapping(schema.get("properties")).items()}


def _given(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _object(
    schema: Mapping[str, object], values: Mapping[str, object], where: str, *, top: bool
) -> list[str]:
    found: list[str] = []
    properties = _properties(schema)
    required = schema.get("required")
    names = cast("list[object]", required) if isinstance(required, list) else []
    found += [
        f'{where} : "{name}" property is missing and required, given {_given(values)}'
        for name in names
        if name not in values
    ]
    # Juju closes an action's parameters unless the charm says otherwise; inner objects are open.
    if schema.get("additionalProperties", not top) is False:
        found += [
            f'{where} : additional property "{name}" is not allowed, given {_given(values)}'
            for name in values
            if name not in properties
        ]
    for name, value in values.items():
        if name in properties:
            found += _value(properties[name], value, f"{where}.{name}")
    return found


def _is(value: object, kind: str) -> bool:
    if isinstance(value, bool) and kind != "boolean":
        return False
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return True
    return isinstance(value, _TYPES.get(kind, (object,)))


def _value(rule: Mapping[str, object], value: object, where: str) -> list[str]:
    shown = f'"{value}"' if not isinstance(value, str) else _given(value)
    kind = rule.get("type")
    kinds = [str(k) for k in cast("list[object]", kind)] if isinstance(kind, list) else [kind]
    if kind is not None and not any(_is(value, str(k)) for k in kinds):
        return [f"{where} : must be of type {' or '.join(map(str, kinds))}, given {shown}"]
    allowed = rule.get("enum")
    if isinstance(allowed, list) and value not in allowed:
        words = " ".join(_given(a) for a in cast("list[object]", allowed))
        return [f"{where} : must match one of the enum values [{words}], given {shown}"]
    found: list[str] = []
    if isinstance(value, int | float) and not isinstance(value, bool):
        least, most = rule.get("minimum"), rule.get("maximum")
        # Juju says "greater than 1" for a minimum of 1, which itself is allowed.
        if isinstance(least, int | float) and value < least:
            found.append(f"{where} : must be greater than {least}, given {shown}")
        if isinstance(most, int | float) and value > most:
            found.append(f"{where} : must be lower than {most}, given {shown}")
    if isinstance(value, dict):
        found += _object(rule, cast("dict[str, object]", value), where, top=False)
    if isinstance(value, list) and isinstance(rule.get("items"), dict):
        for index, item in enumerate(cast("list[object]", value)):
            found += _value(_mapping(rule["items"]), item, f"{where}.{index}")
    return found
