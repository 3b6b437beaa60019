"""What goes wrong, said so that the reader knows what to do next."""

from __future__ import annotations


class DaybreakError(Exception):
    """A failure that the operator can understand and act on.

    Attributes:
        message: One line: what is wrong.
        remedy: What to do about it; may have several lines.
        details: Lines of a program's own output, or a list of what is concerned.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", details: tuple[str, ...] = ()):
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = details


class UsageError(DaybreakError):
    """The command line itself is wrong; nothing was looked at or changed."""

    exit_code = 2
