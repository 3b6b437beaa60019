"""What runs the loop again: the waker of a closed gate as a check of Pebble, and no other check."""

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
_PERIODS = {RETRY: "10s", SELDOM: "60s"}


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
    wakers: dict[str, list[Waiter]] = {name: [] for name in names}
    waiter = outcome.waker if isinstance(outcome, Waiting | Blocked) else None
    if not names:
        return False
    main = context.container(names[0])
    if isinstance(waiter, str) and waiter in _PERIODS:
        if not main.can_connect():
            return False
        waiter = _timer(main, _PERIODS[waiter])
    if isinstance(waiter, Waiter):
        wakers[waiter.container or names[0]].append(waiter)
    for name, waiters in wakers.items():
        container = context.container(name)
        if container.can_connect():
            containers.set_waiters(container, waiters, container.get_plan())
    if not isinstance(waiter, Waiter) or waiter.period != "1s":
        return False
    return _first_try(context, context.container(waiter.container or main.name), waiter)


def arm_timer(context: "Context", names: Sequence[str], outcome: Outcome) -> None:
    """Give a wait a timer whose own waiter is content already and will raise no event.

    A proxy accepts connections before its database does, for example.
    """
    if isinstance(outcome, Waiting) and isinstance(outcome.waker, Waiter):
        arm(context, names, Waiting(outcome.why, RETRY))


def _timer(main: "ops.Container", period: str) -> Waiter:
    """A check that fails when the time is over; one that has failed is spent, so its name alternates."""
    info = main.get_checks().get(containers.WAIT + "retry-a")
    spent = info is not None and containers.is_active(info) and info.failures
    return Waiter("retry-b" if spent else "retry-a", command="/bin/false", period=period)


def _first_try(context: "Context", container: "ops.Container", waiter: Waiter) -> bool:
    name = containers.WAIT + waiter.name
    for _ in range(25):
        info = container.get_checks(name).get(name)
        if info is None or info.failures:
            return False
        if info.successes:
            return True
        context.effects.sleep(0.1)
    return False
