"""What every charm of Daybreak is written in: a description (frozen data) and one loop."""

# First, and only for what it sets.
import daybreak_charm._process  # noqa: F401  # pyright: ignore[reportUnusedImport]
from daybreak_charm.context import Context
from daybreak_charm.description import (
    Check,
    DatabaseAddress,
    Description,
    Drain,
    File,
    Folder,
    Gate,
    Need,
    Process,
    Schema,
    Task,
    Tls,
    online,
    up,
)
from daybreak_charm.effects import Effects
from daybreak_charm.loop import DaybreakCharm
from daybreak_charm.outcome import Blocked, Outcome, Ready, Waiter, Waiting
from daybreak_charm.upgrade import Step
from daybreak_charm.wakers import RETRY

__all__ = [
    "RETRY",
    "Blocked",
    "Check",
    "Context",
    "DatabaseAddress",
    "DaybreakCharm",
    "Description",
    "Drain",
    "Effects",
    "File",
    "Folder",
    "Gate",
    "Need",
    "Outcome",
    "Process",
    "Ready",
    "Schema",
    "Step",
    "Task",
    "Tls",
    "Waiter",
    "Waiting",
    "online",
    "up",
]
