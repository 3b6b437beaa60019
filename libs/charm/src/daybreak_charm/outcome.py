"""What a gate answers: Ready, Waiting or Blocked."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Waiter:
    """A Pebble check without a level whose failure and recovery wake the loop.

    Exactly one of `http`, `tcp` and `command` is given. The check runs in the workload container, which
    shares its network with the charm, and has the threshold 1.

    Attributes:
        name: Name of the check, unique in the charm.
        http: URL of a GET that answers 2xx when the wait is over.
        tcp: `host:port` that accepts connections when the wait is over.
        command: Command that exits with 0 when the wait is over.
        container: Where the check runs; None is the charm's first container.
        period: Time between two tries, as Pebble writes it.
        fails: Whether the wait is over when the check fails. Its first try then raises the event, so nothing can
            end between arming and that try without being noticed.
    """

    name: str
    http: str | None = None
    tcp: str | None = None
    command: str | None = None
    container: str | None = None
    period: str = "1s"
    fails: bool = False


@dataclass(frozen=True)
class Ready:
    """The gate is open.

    Attributes:
        hint: Something the operator may want to know although all is well.
    """

    hint: str = ""


@dataclass(frozen=True)
class Waiting:
    """The gate opens by itself.

    Attributes:
        why: What is waited for, fit for a unit's status.
        waker: What will run the loop again: the name of a Juju event, or a waiter.
    """

    why: str
    waker: str | Waiter


@dataclass(frozen=True)
class Blocked:
    """The gate opens when the operator does something.

    Attributes:
        why: What is wrong.
        remedy: What to do about it.
        waker: What runs the loop again where what the operator does makes no event.
    """

    why: str
    remedy: str
    waker: str = ""


Outcome = Ready | Waiting | Blocked
Level = Literal["ready", "alive"]
