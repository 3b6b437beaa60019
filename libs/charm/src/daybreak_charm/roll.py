"""Whose turn it is to restart: a lock among the units of an application, kept in the peer databags.

A unit that owes a restart says so in its own databag (`roll`); the leader names the one that may
(`roll-holder` in the application's); that unit restarts, is online again, and takes its word back.
Each step is a relation-changed event for those who wait.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from daybreak_interfaces import put

if TYPE_CHECKING:
    from daybreak_charm.context import Context

WANT = "roll"
HOLDER = "roll-holder"


def next_holder(holder: str, wanting: Iterable[str]) -> str:
    """Who has the lock next: its holder while it wants it, then the lowest ordinal, else ""."""
    units = sorted(wanting, key=lambda name: int(name.rpartition("/")[2]))
    return holder if holder in units else (units[0] if units else "")


def ask(context: "Context", wanted: bool) -> None:
    """Say that this unit owes a restart, or that it no longer does."""
    if context.peer_unit.get(WANT, "") != ("yes" if wanted else ""):
        context.put_peer_unit(**{WANT: "yes" if wanted else None})


def holds(context: "Context") -> bool:
    """Whether this unit may restart now."""
    return context.planned <= 1 or context.peer_app.get(HOLDER) == context.unit


def lead(context: "Context") -> None:
    """Pass the lock on (leader only)."""
    relation = context.peers
    if relation is None or not context.leader:
        return
    bags: dict[str, Mapping[str, str]] = {u.name: relation.data[u] for u in relation.units}
    bags[context.unit] = context.peer_unit
    wanting = [name for name, bag in bags.items() if bag.get(WANT)]
    holder = next_holder(context.peer_app.get(HOLDER, ""), wanting)
    put(relation.data[context.charm.app], {HOLDER: holder or None})
