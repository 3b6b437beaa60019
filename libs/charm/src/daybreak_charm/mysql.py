"""Connections to MariaDB and MySQL, over TLS where the server offers it."""

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

import pymysql
import pymysql.err

from daybreak_charm.description import DatabaseAddress
from daybreak_charm.effects import DatabaseUnreachableError
from daybreak_charm.schema import NoSuchTableError

NO_SUCH_TABLE = 1146
CLIENT_ERRORS = 2000
"""From here on numbers of errors are the client's own: the server said nothing."""
SAID = 160
"""Characters of the server's words that fit a status."""


class MysqlConnection:
    """A connection in autocommit mode."""

    def __init__(self, raw: "pymysql.connections.Connection"):
        self._raw = raw

    def query(self, sql: str, *args: object) -> list[tuple[object, ...]]:
        """Rows of a SELECT.

        Raises:
            NoSuchTableError: The table is not there.
        """
        with self._raw.cursor() as cursor:
            try:
                cursor.execute(sql, args)
            except pymysql.err.ProgrammingError as error:
                if error.args[0] == NO_SUCH_TABLE:
                    raise NoSuchTableError from None
                raise
            return list(cursor.fetchall())

    def execute(self, sql: str, *args: object) -> int:
        """Number of rows that a statement changed."""
        with self._raw.cursor() as cursor:
            return cursor.execute(sql, args)


@contextmanager
def connect(address: DatabaseAddress) -> Generator[MysqlConnection]:
    """Open a connection.

    Raises:
        DatabaseUnreachableError: It refused or did not answer within 5 s, or refuses a statement for its own
            state. The text names no secret.
    """
    context = ssl.create_default_context(cadata=address.tls_ca) if address.tls_ca else None
    try:
        raw = pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.username,
            password=address.password,
            database=address.database,
            ssl=context,
            connect_timeout=5,
            read_timeout=20,
            write_timeout=20,
            autocommit=True,
        )
    except (pymysql.err.MySQLError, OSError) as error:
        raise DatabaseUnreachableError(
            f"{address.host}:{address.port}: {type(error).__name__}"
        ) from None
    try:
        yield MysqlConnection(raw)
    except (pymysql.err.OperationalError, pymysql.err.InternalError) as error:
        code, *words = cast("tuple[int | str, ...]", error.args) or (CLIENT_ERRORS,)
        said = " ".join(f"{code} {' '.join(map(str, words))}".split())[:SAID]
        where = f"{address.host}:{address.port}: {code}"
        raise DatabaseUnreachableError(
            where, said if isinstance(code, int) and code < CLIENT_ERRORS else ""
        ) from None
    finally:
        raw.close()
