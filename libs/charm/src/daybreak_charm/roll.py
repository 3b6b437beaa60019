"""Whose turn it is to restart: a lock among the units of an application, kept in the peer databags.

A unit that owes a restart says so in its own databag (`roll`); the leader names the one that may
(`roll-holder` in the application's); that unit restarts, is online again, and takes its word back.
Each step is a relation-changed event for those who wait.

A unit that cannot restart now, because a gate of it has closed, takes its word back, too, and asks again later. One
that has begun to keeps it until it is online: what brought it down would bring the next one down as well.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from daybreak_interfaces import put

if TYPE_CHECKING:
    from daybreak_charm.context import Context

WANT = "roll"
WAITS, BEGUN = "yes", "begun"
"""What a unit says: it owes a restart; it has its turn."""
HOLDER = "roll-holder"


def next_holder(holder: str, wanting: Iterable[str]) -> str:
    """Who has the lock next: its holder while it wants it, then the lowest ordinal, else ""."""
    units = sorted(wanting, key=lambda name: int(name.rpartition("/")[2]))
    return holder if holder in units else (units[0] if units else "")


def ask(context: "Context") -> None:
    """Say that this unit owes a restart."""
    _say(context, WAITS)


def begin(context: "Context") -> None:
    """Say that this unit restarts."""
    if context.planned > 1:
        _say(context, BEGUN)


def end(context: "Context") -> None:
    """Say that this unit is online."""
    _say(context, "")


def give_up(context: "Context") -> None:
    """Let others go first, unless this unit has begun."""
    if context.peer_unit.get(WANT) == WAITS:
        _say(context, "")


def _say(context: "Context", word: str) -> None:
    if context.peer_unit.get(WANT, "") != word:
        context.put_peer_unit(**{WANT: word or None})


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
