"""The state of a database schema, and who migrates it: the SQL of it.

The state is what the database says: its alembic heads, compared with those of the image, and a row
that names the course of an upgrade (`upgrade.Record`). Only one unit migrates: it holds a lease in
the database (owner, expiry, fencing number). It renews the lease while a step runs; if it could not
(its agent was away for longer than the lease), another unit may take it, with the next number, and
whoever held it before begins no further step and writes no record. What a program of it still does in
the database cannot be fenced: the steps are safe to repeat.
"""

from collections.abc import Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daybreak_charm.effects import Connection
from daybreak_charm.upgrade import Record, SchemaState

if TYPE_CHECKING:
    from daybreak_charm.description import Schema
    from daybreak_charm.layout import Layout

_OWN = "daybreak_"
LEASE_SECONDS = 600
"""Several times as long as the pause after which a holder renews it (`program.AGAIN`)."""

_CREATE = """CREATE TABLE IF NOT EXISTS daybreak_lease (
  name VARCHAR(64) NOT NULL PRIMARY KEY, owner VARCHAR(128) NOT NULL,
  expires BIGINT NOT NULL, fence BIGINT NOT NULL)"""
_INSERT = "INSERT IGNORE INTO daybreak_lease (name, owner, expires, fence) VALUES (%s, '', 0, 0)"
# MariaDB assigns from left to right: the fence is decided by what was there.
_TAKE = """UPDATE daybreak_lease SET
  fence = CASE WHEN owner = %s AND expires >= UNIX_TIMESTAMP() THEN fence ELSE fence + 1 END,
  owner = %s, expires = UNIX_TIMESTAMP() + %s
  WHERE name = %s AND (owner = %s OR expires < UNIX_TIMESTAMP())"""
_RENEW = """UPDATE daybreak_lease SET expires = UNIX_TIMESTAMP() + %s
  WHERE name = %s AND owner = %s AND fence = %s AND expires > 0"""
_HOLDER = "SELECT owner, fence, expires FROM daybreak_lease WHERE name = %s"
_RELEASE_ALL = "UPDATE daybreak_lease SET expires = 0 WHERE name = %s AND owner = %s"
_RELEASE = "UPDATE daybreak_lease SET expires = 0 WHERE name = %s AND owner = %s AND fence = %s"

_CREATE_RECORD = """CREATE TABLE IF NOT EXISTS daybreak_upgrade (
  name VARCHAR(64) NOT NULL PRIMARY KEY, running VARCHAR(32) NOT NULL,
  target VARCHAR(32) NOT NULL, phase VARCHAR(16) NOT NULL)"""
_READ_RECORD = "SELECT running, target, phase FROM daybreak_upgrade WHERE name = %s"
_FIRST_RECORD = (
    "INSERT IGNORE INTO daybreak_upgrade (name, running, target, phase) VALUES (%s, %s, %s, %s)"
)
_WRITE_RECORD = """REPLACE INTO daybreak_upgrade (name, running, target, phase)
  SELECT %s, %s, %s, %s FROM daybreak_lease WHERE name = %s AND owner = %s AND fence = %s"""


class NoSuchTableError(Exception):
    """The table is not there."""


class LeaseLostError(Exception):
    """Another unit has taken the lease meanwhile."""


@dataclass(frozen=True)
class Lease:
    """The right to migrate.

    Attributes:
        owner: Unit that has it.
        fence: Grows by one each time it is taken anew; the same as long as it is renewed in time.
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


def tables(connection: Connection) -> list[str]:
    """Tables of the database, without the library's own."""
    names = (str(row[0]) for row in connection.query("SHOW TABLES"))
    return sorted(name for name in names if not name.startswith(_OWN))


def clear(connection: Connection) -> None:
    """Remove every table but the library's own. Only for a database that was empty when its creation began."""
    connection.execute("SET FOREIGN_KEY_CHECKS = 0")
    for name in tables(connection):
        connection.execute(f"DROP TABLE `{name}`")


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


def first_record(connection: Connection, name: str, record: Record) -> None:
    """Write where the cloud stands if nobody has."""
    connection.execute(_CREATE_RECORD)
    connection.execute(_FIRST_RECORD, name, record.running, record.target, record.phase)


def write_record(connection: Connection, name: str, record: Record, lease: Lease) -> None:
    """Write where the cloud stands.

    Raises:
        LeaseLostError: The lease is no longer this one.
    """
    connection.execute(_CREATE_RECORD)
    values = (name, record.running, record.target, record.phase)
    if not connection.execute(_WRITE_RECORD, *values, name, lease.owner, lease.fence):
        raise LeaseLostError(name)


def take(connection: Connection, name: str, owner: str) -> Lease:
    """Take the lease if it is free, has expired, or is ours already."""
    connection.execute(_CREATE)
    connection.execute(_INSERT, name)
    connection.execute(_TAKE, owner, owner, LEASE_SECONDS, name, owner)
    holder, fence, _ = connection.query(_HOLDER, name)[0]
    return Lease(str(holder), int(str(fence)), mine=holder == owner)


def renew(connection: Connection, name: str, lease: Lease) -> None:
    """Hold the lease for its whole time again.

    Raises:
        LeaseLostError: It is no longer this one.
    """
    connection.execute(_RENEW, LEASE_SECONDS, name, lease.owner, lease.fence)
    holder, fence, expires = connection.query(_HOLDER, name)[0]
    if (holder, fence) != (lease.owner, lease.fence) or not expires:
        raise LeaseLostError(name)


def release(connection: Connection, name: str, lease: Lease) -> None:
    """Give the lease back, if it is still this one."""
    connection.execute(_RELEASE, name, lease.owner, lease.fence)


def release_all(connection: Connection, name: str, owner: str) -> None:
    """Give back whatever lease a unit has, of whichever of its pods."""
    try:
        connection.execute(_RELEASE_ALL, name, owner)
    except NoSuchTableError:
        return  # nobody ever took one
