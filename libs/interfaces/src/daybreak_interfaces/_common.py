"""What all interface modules share."""

import json
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TypeVar, cast

Bag = Mapping[str, str]
WritableBag = MutableMapping[str, str]
Secrets = Callable[[str], "Mapping[str, str] | None"]
"""Content of the secret with this id, or None when it cannot be read (yet)."""

T = TypeVar("T")


@dataclass(frozen=True)
class NotReady:
    """The other side has not said (all of) what is needed.

    Attributes:
        why: A part of a sentence fit for a unit's status.
    """

    why: str


def put(bag: WritableBag, wanted: Mapping[str, str | None]) -> bool:
    """Bring the named keys of a databag to the wanted values; other keys stay.

    Args:
        bag: The databag.
        wanted: Values by key; None or "" removes the key.

    Returns:
        Whether anything was written.
    """
    changed = {
        key: value or "" for key, value in wanted.items() if bag.get(key, "") != (value or "")
    }
    if not changed:
        return False
    if isinstance(bag, dict):
        for key, value in changed.items():
            if value:
                bag[key] = value
            else:
                bag.pop(key, None)
    else:
        # A databag of ops takes "" for "remove" and writes all keys in one call.
        bag.update(changed)
    return True


def load_json(bag: Bag, key: str) -> object | None:
    """The decoded value of a key, None when it is absent or not JSON."""
    try:
        return json.loads(bag.get(key, ""))
    except ValueError:
        return None


def list_of(value: object, kind: type[T]) -> list[T] | None:
    """The value as a list whose items are all of one type, else None."""
    if not isinstance(value, list):
        return None
    items = cast("list[object]", value)
    return cast("list[T]", items) if all(isinstance(item, kind) for item in items) else None


def mapping_of(value: object) -> Mapping[str, object] | None:
    """The value as a mapping from text, else None."""
    if not isinstance(value, dict):
        return None
    items = cast("dict[object, object]", value)
    return cast("dict[str, object]", items) if all(isinstance(k, str) for k in items) else None


def mappings_of(value: object) -> list[Mapping[str, object]] | None:
    """The value as a list of mappings from text, else None."""
    if not isinstance(value, list):
        return None
    found = [mapping_of(item) for item in cast("list[object]", value)]
    return None if None in found else [item for item in found if item is not None]
