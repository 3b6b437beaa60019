"""How often a secret gets its next generation: Juju's rotation policies."""

from daybreak_charm.outcome import Blocked

DAY = 86400.0
PERIODS = {
    "never": float("inf"),
    "hourly": DAY / 24,
    "daily": DAY,
    "weekly": 7 * DAY,
    "monthly": 28 * DAY,
    "quarterly": 89 * DAY,
    "yearly": 365 * DAY,
}
"""Seconds of each policy; the shortest month and quarter, so that what Juju finds due is due here."""


def refused(option: str, policy: str) -> Blocked | None:
    """What is wrong with an option that holds a policy; None when nothing is."""
    if policy in PERIODS:
        return None
    return Blocked(f"{option} is {policy!r}", f"set it to one of {', '.join(PERIODS)}")
