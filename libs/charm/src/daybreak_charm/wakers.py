"""What runs the loop again: the waker of a closed gate as a check of Pebble, and no other check."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from daybreak_charm import containers
from daybreak_charm.outcome import Blocked, Outcome, Waiter, Waiting

if TYPE_CHECKING:
    import ops

    from daybreak_charm.context import Context

RETRY = "retry"
"""Waker of a wait that only time ends; the loop makes a fresh timer of it on each run."""
SELDOM = "seldom"
"""The same for what somebody's hand ends where no event tells: in a database, say."""
# They fail when the time is over.
_TIMERS = {
    RETRY: Waiter("retry", command="/bin/false", period="10s", fails=True),
    SELDOM: Waiter("retry", command="/bin/false", period="60s", fails=True),
}


def arm(context: "Context", names: Sequence[str], outcome: Outcome) -> bool:
    """Make the waiter of a closed gate active, and no other.

    Args:
        context: This dispatch.
        names: The charm's containers, the main one first.
        outcome: What the last gate answered.

    Returns:
        Whether the waiter's first try succeeded: such a check raises no event, so the loop
        must run again.
    """
    if not names:
        return False
    waiter = outcome.waker if isinstance(outcome, Waiting | Blocked) else None
    if isinstance(waiter, str):
        waiter = _TIMERS.get(waiter)
    if waiter is None:
        _set(context, names)
        return False
    container = context.container(waiter.container or names[0])
    if not container.can_connect():
        return False
    if waiter.fails:
        _set(context, names, _unspent(container, waiter))
        return False
    _set(context, names, waiter)
    succeeded = _first_try(context, container, waiter)
    if succeeded is None:
        # Busy: if that try succeeds yet, nothing tells.
        timer = dataclasses.replace(_TIMERS[RETRY], container=container.name)
        _set(context, names, waiter, _unspent(container, timer))
    return bool(succeeded)


def arm_timer(context: "Context", names: Sequence[str], outcome: Outcome) -> None:
    """Give a wait a timer whose own waiter is content already and will raise no event.

    A proxy accepts connections before its database does, for example.
    """
    if isinstance(outcome, Waiting) and isinstance(outcome.waker, Waiter):
        arm(context, names, Waiting(outcome.why, RETRY))


def _set(context: "Context", names: Sequence[str], *waiters: Waiter) -> None:
    """Make these waiters active in the charm's containers, and no others."""
    for name in names:
        container = context.container(name)
        if container.can_connect():
            mine = [one for one in waiters if (one.container or names[0]) == name]
            containers.set_waiters(container, mine, container.get_plan())


def _unspent(container: "ops.Container", waiter: Waiter) -> Waiter:
    """The waiter under a name that has not failed yet: a check that has raises no second event for it."""
    name = f"{waiter.name}-a"
    info = container.get_checks().get(containers.WAIT + name)
    if info is not None and containers.is_active(info) and info.failures:
        name = f"{waiter.name}-b"
    return dataclasses.replace(waiter, name=name)


def _first_try(context: "Context", container: "ops.Container", waiter: Waiter) -> bool | None:
    """Whether it succeeded; None where it has not ended in time."""
    name = containers.WAIT + waiter.name
    for _ in range(25):
        info = container.get_checks(name).get(name)
        if info is None or info.failures:
            return False
        if info.successes:
            return True
        context.effects.sleep(0.1)
    return None
