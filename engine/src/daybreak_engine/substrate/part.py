"""Reading objects of the Kubernetes API, most of whose fields may be absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping


def part(item: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return the mapping below these keys; empty when there is none."""
    for key in keys:
        item = cast("Mapping[str, Any]", item.get(key) or {})
    return dict(item)


def parts(item: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the list of mappings of a key; empty when there is none."""
    return list(cast("list[dict[str, Any]]", item.get(key) or []))


def words(item: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the list of texts of a key; empty when there is none."""
    return tuple(str(word) for word in cast("list[object]", item.get(key) or []))
