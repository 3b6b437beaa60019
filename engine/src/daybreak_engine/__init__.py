"""Daybreak's embedded engine: one Juju model on one machine."""
