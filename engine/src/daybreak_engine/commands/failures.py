"""How a command says that it cannot do what was asked."""

from daybreak_engine.errors import EngineError


class CommandError(EngineError):
    """A failure at run time: `ERROR <message>` on stderr, exit code 1."""


class UsageError(CommandError):
    """A mistake in the command line, found before anything is read: exit code 2."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy, code=2)
