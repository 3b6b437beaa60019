"""Relation interfaces as plain functions over databags: no events, no state."""

from daybreak_interfaces._common import Bag, NotReady, Secrets, WritableBag, put

__all__ = ["Bag", "NotReady", "Secrets", "WritableBag", "put"]
