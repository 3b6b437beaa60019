"""Constraints: what an application asks of its pods. Pure; kept as the text that was given.

The language is Juju's (`core/constraints/constraints.go`). The engine acts on `mem` and `cpu-power`, the others
are kept and shown.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daybreak_engine import errors

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Limits:
    """What containers of a pod may use; None is all of the machine.

    Args:
        memory: Bytes, of each container.
        cpus: Processors, of each workload container.
    """

    memory: int | None = None
    cpus: float | None = None


@dataclass(frozen=True, slots=True)
class _Number:
    """A constraint that is a number: how it is written, what is said of another text, an example."""

    pattern: re.Pattern[str]
    rule: str
    example: str


_WHOLE = (re.compile(r"([0-9]{1,18})()"), "must be a non-negative integer")
_SIZE = (
    re.compile(r"([0-9]{1,12}(?:\.[0-9]*)?|\.[0-9]+)([MGTP]?)"),
    "must be a non-negative float with optional M/G/T/P suffix",
)
_NUMBERS: Mapping[str, _Number] = {
    "cores": _Number(*_WHOLE, "4"),
    "cpu-power": _Number(*_WHOLE, "500"),
    "mem": _Number(*_SIZE, "2G"),
    "root-disk": _Number(*_SIZE, "10G"),
}
_KEYS = frozenset(
    (
        *_NUMBERS,
        *("allocate-public-ip", "arch", "container", "image-id", "instance-role", "instance-type"),
        *("nested-virtualization", "root-disk-source", "spaces", "tags", "virt-type", "zones"),
    )
)
_ALIASES = {"cpu-cores": "cores"}
_MEBIBYTES = {"": 1, "M": 1, "G": 2**10, "T": 2**20, "P": 2**30}
_WORD = re.compile(r"(?:\\ |\S)+")
_LEAST_POWER = 10
"""The kernel takes no less than 1 ms of 100; a kubelet rounds up to it, too (`pkg/kubelet/cm/helpers_linux.go`)."""


def parse(text: str) -> dict[str, str]:
    r"""Return `key=value key=value` as a mapping; a space inside a value is written `\ `.

    Raises:
        errors.InvalidError: Not of that form, an unknown key, one given twice, or a value that its key cannot have.
    """
    result: dict[str, str] = {}
    for word in _WORD.findall(text):
        written, equals, value = word.replace("\\ ", " ").partition("=")
        if not written or not equals:
            raise _wrong(f'malformed constraint "{word}"', "for example mem=2G")
        key = _ALIASES.get(written, written)
        if key not in _KEYS:
            known = ", ".join(sorted(_KEYS))
            raise _wrong(f'unknown constraint "{key}"', f"for example mem=2G; there are: {known}")
        if key in result:
            raise _wrong(f'bad "{key}" constraint: already set', f"give {key} only once")
        number = _NUMBERS.get(key)
        if number and value and not number.pattern.fullmatch(value):
            raise _wrong(
                f'bad "{key}" constraint: {number.rule}, not "{value}"',
                f"for example {key}={number.example}",
            )
        result[key] = value
    return result


def _wrong(message: str, remedy: str) -> errors.InvalidError:
    return errors.InvalidError(message, remedy=remedy, code=2)


def text(constraints: Mapping[str, str]) -> str:
    """Return constraints as `parse` reads them."""
    return " ".join(f"{key}={value}".replace(" ", "\\ ") for key, value in constraints.items())


def values(constraints: Mapping[str, str]) -> dict[str, int | str]:
    """Return what constraints mean, for comparisons: `mem=1G` is `mem=1024M`. Sizes are MiB."""
    return {
        key: _number(key, value) if key in _NUMBERS else value for key, value in constraints.items()
    }


def limits(constraints: Mapping[str, str]) -> Limits:
    """Return what an application's containers may use; 0 or an empty value is no limit.

    Containers get what Juju 3.6 gives them (`caas/kubernetes/provider/application/constraints.go`).
    """
    memory = _number("mem", constraints.get("mem", ""))
    power = _number("cpu-power", constraints.get("cpu-power", ""))
    return Limits(
        memory=memory * 2**20 if memory else None,
        cpus=max(_LEAST_POWER, power) / 1000 if power else None,
    )


def _number(key: str, value: str) -> int:
    # A model from before texts were checked may hold any; what is no number limits nothing.
    found = _NUMBERS[key].pattern.fullmatch(value)
    return math.ceil(float(found[1]) * _MEBIBYTES[found[2]]) if found else 0
