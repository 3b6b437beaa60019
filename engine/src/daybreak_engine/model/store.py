"""The file of a model, and the transactions on it.

One writer: the daemon's event loop opens the file once and calls synchronously. Every function
of this package takes a `Transaction`; only `Store` makes one.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import os
import sqlite3
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from daybreak_engine import errors

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION = 1

Clock: TypeAlias = Callable[[], float]
Parameters: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A view of the model at one time; writes only inside `Store.transaction`.

    `now` is the time of the view in seconds since the epoch: leases, timers and `since` use it.
    """

    connection: sqlite3.Connection
    now: float

    def one(self, sql: str, *parameters: object) -> sqlite3.Row | None:
        """Return the first row, or None."""
        return self.connection.execute(sql, parameters).fetchone()

    def all(self, sql: str, *parameters: object) -> list[sqlite3.Row]:
        """Return all rows."""
        return self.connection.execute(sql, parameters).fetchall()

    def run(self, sql: str, *parameters: object) -> int:
        """Execute a statement that writes; return the number of rows it touched."""
        return self.connection.execute(sql, parameters).rowcount

    def next_number(self, name: str) -> int:
        """Take the next number of a sequence (from 0); none is ever given twice."""
        row = self.one(
            "INSERT INTO sequences (name, next) VALUES (?, 1)"
            " ON CONFLICT (name) DO UPDATE SET next = next + 1 RETURNING next",
            name,
        )
        assert row is not None
        return int(row["next"]) - 1


class Store:
    """An open model file. `transaction()` writes, `read()` only reads."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []

    @contextlib.contextmanager
    def transaction(self) -> Generator[Transaction]:
        """Commit everything done in the block, or nothing when it raises.

        Never await inside the block. Blocks do not nest.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        before = self._connection.total_changes
        try:
            yield Transaction(self._connection, self._clock())
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        if self._connection.total_changes != before:
            for listener in tuple(self._listeners):
                listener()

    def read(self) -> Transaction:
        """Return a transaction value for reading: each statement sees the latest commit."""
        return Transaction(self._connection, self._clock())

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit that changed something (it must not block)."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def open_store(path: Path | None, *, clock: Clock = time.time, synchronous: str = "FULL") -> Store:
    """Open the model file, making it (mode 0600) when it is not there.

    Args:
        path: The file; None for a model in memory.
        clock: Gives the seconds since the epoch.
        synchronous: SQLite's setting. FULL: a commit survives the loss of power; NORMAL: only
            that of the process.

    Raises:
        errors.EngineError: The file was written by a newer engine, or is no model file.
    """
    if path is not None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(
        ":memory:" if path is None else path, isolation_level=None, cached_statements=512
    )
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        level = "NORMAL" if synchronous == "NORMAL" else "FULL"
        connection.execute(f"PRAGMA synchronous = {level}")
        connection.execute("PRAGMA foreign_keys = ON")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        connection.close()
        raise errors.EngineError(
            f"{path} is not a model file: {error}",
            remedy="move the file away, or restore it from a backup",
        ) from error
    if version == 0:
        schema = (
            importlib.resources.files("daybreak_engine.model").joinpath("schema.sql").read_text()
        )
        connection.executescript("BEGIN;\n" + schema + "\nCOMMIT;")
    elif version != SCHEMA_VERSION:
        connection.close()
        raise errors.EngineError(
            f"{path} has schema {version}, this engine knows {SCHEMA_VERSION}",
            remedy="use the engine version that wrote it",
        )
    return Store(connection, clock)


def dump(value: object) -> str:
    """Return compact JSON with sorted keys: equal values have equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def load(text: str) -> Any:
    """Return the value of a JSON column."""
    return json.loads(text)
