"""Errors of the engine: what is wrong and, where one is known, the way out."""

from __future__ import annotations


class EngineError(Exception):
    """A failure that a user or a charm can understand.

    Args:
        message: What is wrong, without the leading ``ERROR``. Never contains secret content.
        remedy: What to do about it; empty when nothing is known.
        code: Exit code of a command line that ends with this error (1 run time, 2 usage).
    """

    def __init__(self, message: str, *, remedy: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code


class NotFoundError(EngineError):
    """What was named does not exist."""


class ExistsError(EngineError):
    """What was to be made exists already."""


class InvalidError(EngineError):
    """Input that can never be accepted as it is."""


class RefusedError(EngineError):
    """A valid request that the present state of the model does not allow."""


class CharmError(InvalidError):
    """A charm archive or directory that cannot be used."""


class CommitError(RefusedError):
    """The buffered changes of a hook were refused; none of them was stored."""
