"""Merging patches into objects, and finding out what they would change; pure functions."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

from .failures import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .backend import Object

# Lists that a strategic merge patch merges element by element, by the name of the field.
_MERGE_KEYS = {
    "containers": "name",
    "env": "name",
    "ports": "port",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
}


def merge(target: Any, patch: Any) -> Any:
    """Return `target` after a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result: dict[str, Any] = dict(_mapping(target))
    for key, value in cast("dict[str, Any]", patch).items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic_merge(target: Any, patch: Any, field: str = "") -> Any:
    """Return `target` after a strategic merge patch.

    Raises:
        ApiError: 400 for directives other than ``$patch: delete`` and ``$patch: replace``.
    """
    if isinstance(patch, list):
        return _merge_list(target, cast("list[Any]", patch), field)
    if not isinstance(patch, dict):
        return patch
    changes = cast("dict[str, Any]", patch)
    for key in changes:
        if key.startswith("$") and key not in ("$patch", "$retainKeys"):
            raise ApiError(400, f"strategic merge patch: directive {key!r} is not supported")
    if changes.get("$patch") == "replace":
        return {key: value for key, value in changes.items() if not key.startswith("$")}
    result: dict[str, Any] = dict(_mapping(target))
    for key, value in changes.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = strategic_merge(result.get(key), value, key)
    return result


def changed_paths(before: Any, after: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted paths at which two objects differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        for key in sorted(old.keys() | new.keys()):
            yield from changed_paths(old.get(key), new.get(key), f"{prefix}.{key}".lstrip("."))
    elif before != after:
        yield prefix


def outside(paths: Iterable[str], writable: Iterable[str]) -> list[str]:
    """Return the paths that are not at or below a writable one."""
    allowed = tuple(writable)
    return [
        path
        for path in paths
        if not any(path == root or path.startswith(f"{root}.") for root in allowed)
    ]


def _merge_list(target: Any, patch: list[Any], field: str) -> list[Any]:
    key = _MERGE_KEYS.get(field)
    if key is None or not all(isinstance(item, dict) and key in item for item in patch):
        return copy.deepcopy(patch)
    result: list[Object] = [dict(item) for item in target or ()]
    for item in cast("list[Object]", patch):
        index = next((i for i, old in enumerate(result) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if index is not None:
                del result[index]
        elif index is None:
            result.append(strategic_merge({}, item))
        else:
            result[index] = strategic_merge(result[index], item)
    return result


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
