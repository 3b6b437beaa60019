"""The Juju model in SQLite: one file per model, values out, functions over a `Transaction` in.

store = open_store(path)
with store.transaction() as tx:              # commits, or nothing when it raises
    applications.set_scale(tx, "keystone", 3)
unit = units.get(store.read(), "keystone/0")  # reads need no transaction
"""

from daybreak_engine.model.store import Store, Transaction, open_store

__all__ = ["Store", "Transaction", "open_store"]
