"""Which endpoints `juju integrate A B` means. Pure; texts as Juju's."""

from collections.abc import Mapping
from dataclasses import dataclass

from daybreak_engine.charmfile import CharmMeta, Endpoint

from .failures import CommandError


@dataclass(frozen=True)
class Side:
    """One side of a relation to be."""

    application: str
    endpoint: Endpoint

    def __str__(self) -> str:
        return f"{self.application}:{self.endpoint.name}"


def _candidates(name: str, charms: Mapping[str, CharmMeta]) -> list[Side]:
    application, colon, endpoint = name.partition(":")
    meta = charms.get(application)
    found = [
        Side(application, candidate)
        for candidate in (meta.endpoints.values() if meta else ())
        if not colon or candidate.name == endpoint
    ]
    if not found:
        raise CommandError(f"no candidates for {name}: relation endpoint not found")
    return found


def infer(first: str, second: str, charms: Mapping[str, CharmMeta]) -> tuple[Side, Side]:
    """Return the one pair of endpoints that fits, in the order of the arguments.

    Args:
        first: `application` or `application:endpoint`.
        second: the other side.
        charms: what each application of the model runs.

    Raises:
        CommandError: none fits, or more than one does.
    """
    prefix = f'cannot relate endpoints "{first}" and "{second}": '
    try:
        pairs = [
            (a, b)
            for a in _candidates(first, charms)
            for b in _candidates(second, charms)
            if a.endpoint.interface == b.endpoint.interface
            and {a.endpoint.role, b.endpoint.role} == {"provider", "requirer"}
            and a != b
        ]
    except CommandError as error:
        raise CommandError(prefix + error.message) from error
    if not pairs:
        raise CommandError(
            prefix + "no compatible endpoints found between applications",
            remedy=_offered(first, second, charms),
        )
    if len(pairs) > 1:
        found = "; ".join(f'"{a} {b}"' for a, b in sorted(pairs, key=str))
        raise CommandError(f'{prefix}ambiguous relation: "{first} {second}" could refer to {found}')
    return pairs[0]


def _offered(first: str, second: str, charms: Mapping[str, CharmMeta]) -> str:
    """Return what both sides have, for an error that shows the way out."""
    lines: list[str] = []
    for name in dict.fromkeys((first, second)):
        lines += [
            f"  {side} ({side.endpoint.role} of {side.endpoint.interface})"
            for side in _candidates(name, charms)
            if side.endpoint.role != "peer"
        ]
    return "endpoints there are:\n" + "\n".join(lines) if lines else ""
