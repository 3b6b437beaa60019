"""The state of a database schema, and who migrates it: the SQL of it.

The state is what the database says: its alembic heads, compared with those of the image, and a row
that names the course of an upgrade (`upgrade.Record`). Only one unit migrates: it holds a lease in
the database (owner, expiry, fencing number).
"""

from collections.abc import Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daybreak_charm.effects import Connection
from daybreak_charm.upgrade import Record, SchemaState

if TYPE_CHECKING:
    from daybreak_charm.description import Schema
    from daybreak_charm.layout import Layout

LEASE_SECONDS = 600

_CREATE = """CREATE TABLE IF NOT EXISTS daybreak_lease (
  name VARCHAR(64) NOT NULL PRIMARY KEY, owner VARCHAR(128) NOT NULL,
  expires BIGINT NOT NULL, fence BIGINT NOT NULL)"""
_INSERT = "INSERT IGNORE INTO daybreak_lease (name, owner, expires, fence) VALUES (%s, '', 0, 0)"
_TAKE = """UPDATE daybreak_lease SET owner = %s, expires = UNIX_TIMESTAMP() + %s, fence = fence + 1
  WHERE name = %s AND (owner = %s OR expires < UNIX_TIMESTAMP())"""
_RELEASE = "UPDATE daybreak_lease SET expires = 0 WHERE name = %s AND owner = %s"

_CREATE_RECORD = """CREATE TABLE IF NOT EXISTS daybreak_upgrade (
  name VARCHAR(64) NOT NULL PRIMARY KEY, running VARCHAR(32) NOT NULL,
  target VARCHAR(32) NOT NULL, phase VARCHAR(16) NOT NULL)"""
_READ_RECORD = "SELECT running, target, phase FROM daybreak_upgrade WHERE name = %s"
_WRITE_RECORD = (
    "REPLACE INTO daybreak_upgrade (name, running, target, phase) VALUES (%s, %s, %s, %s)"
)


class NoSuchTableError(Exception):
    """The table is not there."""


@dataclass(frozen=True)
class Lease:
    """The right to migrate.

    Attributes:
        owner: Unit that has it.
        fence: Grows by one each time it is taken.
        mine: Whether it is ours.
    """

    owner: str
    fence: int
    mine: bool


def heads(connection: Connection, table: str) -> frozenset[str]:
    """Heads that the database has; empty when nothing was ever migrated."""
    try:
        return frozenset(
            str(row[0])
            # The table's name is the charm's, never a user's.
            for row in connection.query(f"SELECT version_num FROM {table}")  # noqa: S608
        )
    except NoSuchTableError:
        return frozenset()


def compare(found: Set[str], schema: "Schema", layout: "Layout") -> SchemaState:
    """The heads of a database against those of an image.

    An image that names no heads (a foreign one) is migrated once, when the database is empty.
    """
    wanted = layout.heads.get(schema.project, frozenset())
    if not found:
        return "empty"
    if not wanted or found == wanted:
        return "equal"
    return "behind" if found <= layout.revisions.get(schema.project, frozenset()) else "unknown"


def read_record(connection: Connection, name: str) -> Record | None:
    """Where the cloud stands; None when nobody has written it."""
    try:
        rows = connection.query(_READ_RECORD, name)
    except NoSuchTableError:
        return None
    return Record(*(str(value) for value in rows[0])) if rows else None


def write_record(connection: Connection, name: str, record: Record) -> None:
    """Write where the cloud stands (holder of the lease only)."""
    connection.execute(_CREATE_RECORD)
    connection.execute(_WRITE_RECORD, name, record.running, record.target, record.phase)


def take(connection: Connection, name: str, owner: str) -> Lease:
    """Take the lease if it is free, has expired, or is ours already."""
    connection.execute(_CREATE)
    connection.execute(_INSERT, name)
    mine = connection.execute(_TAKE, owner, LEASE_SECONDS, name, owner) == 1
    rows = connection.query("SELECT owner, fence FROM daybreak_lease WHERE name = %s", name)
    holder, fence = rows[0] if rows else (owner, 0)
    return Lease(str(holder), int(str(fence)), mine)


def release(connection: Connection, name: str, owner: str) -> None:
    """Give the lease back."""
    connection.execute(_RELEASE, name, owner)
