"""The engine's daemon: one process that keeps one model and runs its units."""

from daybreak_engine.daemon.supervisor import start, stop

__all__ = ["start", "stop"]
