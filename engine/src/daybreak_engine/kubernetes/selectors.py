"""Label and field selectors of list requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .failures import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .backend import Object

    Matcher = Callable[[Object], bool]

_SET = re.compile(r"^(?P<key>\S+)\s+(?P<word>in|notin)\s+\((?P<values>[^)]*)\)$")


def labels(text: str) -> Matcher:
    """Return a predicate for a label selector: ``a=b,c!=d,e,!f,g in (h,i)``.

    Raises:
        ApiError: 400 when it cannot be read.
    """
    tests = [_label(part.strip()) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda item: all(test(_labels(item)) for test in tests)


def fields(text: str) -> Matcher:
    """Return a predicate for a field selector on ``metadata.name`` and ``metadata.namespace``.

    Raises:
        ApiError: 400 for other fields.
    """
    tests: list[tuple[str, str, bool]] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"metadata\.(name|namespace)\s*(==|=|!=)\s*(\S*)", part)
        if match is None:
            raise ApiError(400, f"field selector {part!r} is not supported: use metadata.name")
        tests.append((match[1], match[3], match[2] != "!="))
    return lambda item: all(
        (item["metadata"].get(key) == value) is equal for key, value, equal in tests
    )


def _label(part: str) -> Callable[[Mapping[str, str]], bool]:
    if match := _SET.match(part):
        values = {value.strip() for value in match["values"].split(",")}
        key, among = match["key"], match["word"] == "in"
        return lambda held: (held.get(key) in values) is among
    if match := re.fullmatch(r"(\S+?)\s*(==|=|!=)\s*(\S*)", part):
        key, value, equal = match[1], match[3], match[2] != "!="
        return lambda held: (held.get(key) == value) is equal
    if match := re.fullmatch(r"(!?)\s*([\w./-]+)", part):
        key, present = match[2], not match[1]
        return lambda held: (key in held) is present
    raise ApiError(400, f"unable to parse requirement: {part!r}")


def _labels(item: Object) -> Mapping[str, str]:
    metadata: Mapping[str, Any] = item.get("metadata") or {}
    return metadata.get("labels") or {}
