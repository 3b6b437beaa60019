"""The operator's command of Daybreak."""

__version__ = "0.1.0"
