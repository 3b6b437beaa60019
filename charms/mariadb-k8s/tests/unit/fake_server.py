"""A database server that knows the few statements which the charm uses."""

import re
from collections.abc import Mapping

import accounts
import mariadb
import recovery

from daybreak_charm import Context

_USER = r"'(?P<user>[^']+)'@'%'"
_CREATE_DATABASE = re.compile(r"CREATE DATABASE IF NOT EXISTS `(?P<database>[^`]+)`;")
_SET_USER = re.compile(
    rf"(CREATE USER IF NOT EXISTS|ALTER USER) {_USER} IDENTIFIED VIA mysql_native_password"
    r" USING '(?P<hash>\*[0-9A-F]{40})' REQUIRE SSL;"
)
_GRANT = re.compile(rf"GRANT ALL PRIVILEGES ON `(?P<database>[^`]+)`\.\* TO {_USER};")
_DROP_USER = re.compile(rf"DROP USER IF EXISTS {_USER};")


class FakeServer:
    """MariaDB as far as the charm knows it; any other statement fails the test."""

    def __init__(self):
        self.databases = {"mysql"}
        self.users: dict[str, str] = {}
        self.grants: set[tuple[str, str]] = set()
        self.statements: list[str] = []
        self.error = ""

    def run(self, _: Context, sql: str) -> str:
        """Stands in for `accounts.run`."""
        if self.error:
            raise accounts.ServerError(self.error)
        if sql == recovery.STATUS_SQL:
            raise accounts.ServerError("it is part of no cluster and has not begun to answer")
        if sql == mariadb.INVENTORY_SQL:
            return self._inventory()
        for line in sql.splitlines():
            self._do(line)
        return ""

    def accepts(self, credentials: Mapping[str, str], database: str) -> bool:
        """Whether a client with these credentials may use the database."""
        user = credentials["username"]
        return (
            self.users.get(user) == mariadb.password_hash(credentials["password"])
            and (user, database.replace("_", "\\_")) in self.grants
            and database in self.databases
        )

    def _inventory(self) -> str:
        rows = [("version", "11.8.6-MariaDB-0+deb13u1 from Debian", "")]
        rows += [("database", name, "") for name in sorted(self.databases)]
        rows += [("user", *row) for row in sorted(self.users.items())]
        rows += [("grant", *row) for row in sorted(self.grants)]
        return "".join("\t".join(row) + "\n" for row in rows)

    def _do(self, line: str) -> None:
        self.statements.append(line)
        if found := _CREATE_DATABASE.fullmatch(line):
            self.databases.add(found["database"])
        elif found := _SET_USER.fullmatch(line):
            self.users[found["user"]] = found["hash"]
        elif found := _GRANT.fullmatch(line):
            self.grants.add((found["user"], found["database"]))
        elif found := _DROP_USER.fullmatch(line):
            self.users.pop(found["user"], None)
            self.grants = {grant for grant in self.grants if grant[0] != found["user"]}
        else:
            raise AssertionError(f"a statement that the server does not know: {line}")
