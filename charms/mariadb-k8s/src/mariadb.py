"""MariaDB as data: its configuration, and the SQL that brings accounts about.

Everything here is a pure function: nothing is read, run or written.
"""

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import galera

from daybreak_charm.sizing import Machine

SERVER_PORT = 3307

STORAGE = PurePosixPath("/var/lib/mysql")
# Not the mount point itself: a file system's own lost+found would pass for a database, and a
# directory can be made beside it and renamed when it is complete.
DATA = STORAGE / "data"
DATA_UNFINISHED = STORAGE / "data.unfinished"
# A container has 64 MiB there at least; an empty data directory takes a third of it.
DATA_IN_MEMORY = PurePosixPath("/dev/shm/daybreak-data")
RUN = PurePosixPath("/run/mysqld")
SOCKET = RUN / "mysqld.sock"
CONFIG = PurePosixPath("/etc/mysql/daybreak.cnf")
# Key and certificates in one file: they are replaced together or not at all.
TLS_BUNDLE = PurePosixPath("/etc/mysql/daybreak-tls.pem")

Setting = str | int | bool
Settings = Mapping[str, Mapping[str, Setting]]
"""Sections of an option file, each from option to value."""

# A connection's own memory: thread stack, network buffers and, while it works, sort and join
# buffers at their defaults.
_CONNECTION_KIB = 2048
# The server without its buffer pool and connections.
_BASE_MIB = 160
_MIN_POOL_MIB = 64
_MIN_CONNECTIONS = 50
_MAX_CONNECTIONS = 5000
_MIN_BUDGET_MIB = 512

_OPTION = re.compile(r"[a-z][a-z0-9_-]*")
_DATABASE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SYSTEM_DATABASES = frozenset(
    {"mysql", "information_schema", "performance_schema", "sys", galera.DATABASE}
)
_USER = re.compile(r"(?P<application>[a-z0-9-]{1,60})\.r(?P<relation>\d+)\.g(?P<generation>\d+)")
_VERSION = re.compile(r"\d+(\.\d+)+")


class InvalidError(ValueError):
    """A value that cannot be used; the text says why and holds nothing secret."""


@dataclass(frozen=True)
class Sizes:
    """What is derived from the memory of the container."""

    buffer_pool_mib: int
    max_connections: int


def sizes(machine: Machine, *, max_connections: int = 0, buffer_pool_mib: int = 0) -> Sizes:
    """Return sizes that fit the memory.

    Args:
        machine: what the container may count on.
        max_connections: the operator's choice; 0 derives it.
        buffer_pool_mib: the operator's choice; 0 derives it.

    A quarter of the budget without the server's own needs goes to the buffer pool, the rest to
    connections.

    Raises:
        InvalidError: a negative choice.
    """
    if max_connections < 0 or buffer_pool_mib < 0:
        raise InvalidError("max-connections and buffer-pool-mib are 0 (derived) or more")
    free = max(0, machine.budget_mb(least=_MIN_BUDGET_MIB) - _BASE_MIB)
    pool = buffer_pool_mib or max(_MIN_POOL_MIB, free // 4)
    derived = (free - pool) * 1024 // _CONNECTION_KIB
    connections = max_connections or min(_MAX_CONNECTIONS, max(_MIN_CONNECTIONS, derived))
    return Sizes(buffer_pool_mib=pool, max_connections=connections)


def settings(derived: Sizes, member: galera.Member, cluster: str) -> dict[str, dict[str, Setting]]:
    """Return the server's options, as a member of a cluster of this name."""
    more = galera.settings(member, cluster, TLS_BUNDLE)
    return {
        **more,
        "mariadbd": {
            **more["mariadbd"],
            "datadir": str(DATA),
            "socket": str(SOCKET),
            "pid-file": str(RUN / "mysqld.pid"),
            "port": SERVER_PORT,
            # Local sockets are exempt, everything else must be encrypted.
            "require_secure_transport": True,
            "ssl_cert": str(TLS_BUNDLE),
            "ssl_key": str(TLS_BUNDLE),
            "ssl_ca": str(galera.CA),
            "tls_version": "TLSv1.2,TLSv1.3",
            "skip_name_resolve": True,
            "local_infile": False,
            "default_storage_engine": "InnoDB",
            "innodb_autoinc_lock_mode": 2,
            # On since 11.6.2: who changes a row that somebody else has changed since the transaction began
            # gets error 1020, and all of it is rolled back. oslo.db takes that for a deadlock since 17.4 only, and
            # not below a savepoint, which is gone as well (1305): a server that was being deleted went to ERROR.
            "innodb_snapshot_isolation": False,
            "innodb_buffer_pool_size": f"{derived.buffer_pool_mib}M",
            "innodb_flush_log_at_trx_commit": 1,
            "max_connections": derived.max_connections,
            # All connections come from a few proxies: one bad client must not lock these out.
            "max_connect_errors": 2**32 - 1,
            "max_allowed_packet": "64M",
            # OpenStack's schemas are written for three bytes: longer keys break index limits.
            "character_set_server": "utf8mb3",
            "collation_server": "utf8mb3_general_ci",
            "performance_schema": False,
            "binlog_format": "ROW",
            # Keystone's migrations create triggers, without the right to do so everywhere.
            "log_bin_trust_function_creators": True,
        },
        "client": {"socket": str(SOCKET)},
    }


def render(options: Settings) -> str:
    """Return the text of an option file.

    Raises:
        InvalidError: an option's name or value that would not be read back as it is.
    """
    lines: list[str] = []
    for section, values in options.items():
        lines.append(f"[{section}]")
        for name, value in values.items():
            text = str(int(value)) if isinstance(value, bool) else str(value)
            if not _OPTION.fullmatch(name) or not text.isprintable() or "#" in text:
                raise InvalidError(f"option {name!r} of [{section}] cannot be written")
            lines.append(f"{name} = {text}")
        lines.append("")
    return "\n".join(lines)


# The script otherwise wants the host's own name in DNS or /etc/hosts, and a pod has neither: hence
# the last two. The server makes the undo files and a full-sized log when it first starts.
_INSTALL = (
    "mariadb-install-db --no-defaults --user=mysql --auth-root-authentication-method=socket"
    " --skip-test-db --innodb-log-file-size=4M --innodb-undo-tablespaces=0 --innodb-fast-shutdown=0"
    " --skip-name-resolve --force"
)
# It is made in memory, because hundreds of waits for a disk take most of the time, and then copied;
# in place where memory is short. Each step can be repeated, and the last one is atomic.
PREPARE_SCRIPT = f"""\
set -eu
[ -d {DATA} ] && exit 0
install -d -o mysql -g mysql -m 0700 {STORAGE}
rm -rf {DATA_UNFINISHED} {DATA_IN_MEMORY}
if {_INSTALL} --datadir={DATA_IN_MEMORY}; then
  cp -a {DATA_IN_MEMORY} {DATA_UNFINISHED}
  rm -rf {DATA_IN_MEMORY}
else
  rm -rf {DATA_IN_MEMORY}
  {_INSTALL} --datadir={DATA_UNFINISHED}
fi
sync -f {DATA_UNFINISHED}
mv {DATA_UNFINISHED} {DATA}
sync -f {DATA}
"""
PREPARE_COMMAND = f"sh -c {shlex.quote(PREPARE_SCRIPT)}"

# What joins the cluster gets its data from there.
JOIN_COMMAND = (
    "install",
    "-d",
    "-o",
    "mysql",
    "-g",
    "mysql",
    "-m",
    "0700",
    str(STORAGE),
    str(DATA),
)

CLIENT_COMMAND = (
    "mariadb",
    "--no-defaults",
    f"--socket={SOCKET}",
    "--batch",
    "--raw",
    "--skip-column-names",
)
# Connections that are open go on with what they have.
_RELOAD = "FLUSH NO_WRITE_TO_BINLOG SSL; SET GLOBAL wsrep_provider_options='socket.ssl_reload=1'"
RELOAD_COMMAND = ("mariadb", "--no-defaults", f"--socket={SOCKET}", "-e", _RELOAD)
# A member that is part of no cluster, or gets its copy still, reads no table.
_ONLINE = "SELECT 1 FROM mysql.global_priv LIMIT 1"
ONLINE_COMMAND = f"mariadb --no-defaults --socket={SOCKET} --connect-timeout=2 -e '{_ONLINE}'"
# Fails by its time-out only: a server that recovers refuses connections for as long as it needs
# and must not be killed; one that accepts and then says nothing hangs. One that is gone is
# Pebble's business.
UP_COMMAND = f"sh -c 'mariadb-admin --no-defaults --socket={SOCKET} ping || true'"


@dataclass(frozen=True)
class Account:
    """A user with all rights on its databases, most often one."""

    user: str
    databases: tuple[str, ...]
    password_hash: str


@dataclass(frozen=True)
class Inventory:
    """What the server has."""

    version: str
    """As the server says it, such as `11.8.6`."""
    databases: frozenset[str]
    users: Mapping[str, str]
    """User to password hash; the hash is empty when the user may connect without TLS."""
    grants: frozenset[tuple[str, str]]
    """User and database."""


INVENTORY_SQL = """\
SELECT 'version', VERSION(), '';
SELECT 'database', SCHEMA_NAME, '' FROM information_schema.SCHEMATA;
SELECT 'user', User, IF(ssl_type = 'ANY', authentication_string, '')
  FROM mysql.user WHERE Host = '%';
SELECT 'grant', User, Db FROM mysql.db WHERE Host = '%';
"""


def parse_inventory(text: str) -> Inventory:
    """Return what the answer to INVENTORY_SQL (tab-separated, no column names) says.

    Raises:
        InvalidError: the text is not such an answer.
    """
    rows: dict[str, list[tuple[str, str]]] = {
        "version": [],
        "database": [],
        "user": [],
        "grant": [],
    }
    for line in text.splitlines():
        kind, _, rest = line.partition("\t")
        name, tab, value = rest.partition("\t")
        if not tab or kind not in rows:
            raise InvalidError("the server's answer has another form than expected")
        rows[kind].append((name, value))
    version = _VERSION.match(rows["version"][0][0]) if rows["version"] else None
    if version is None:
        raise InvalidError("the server's answer has no version")
    return Inventory(
        version=version[0],
        databases=frozenset(name for name, _ in rows["database"]),
        users=dict(rows["user"]),
        grants=frozenset((user, _unescape(db)) for user, db in rows["grant"]),
    )


def statements(
    wanted: Iterable[Account], keep: Iterable[str], inventory: Inventory
) -> tuple[str, ...]:
    """Return the SQL that makes the accounts as wanted; empty when they are.

    Databases are made and never dropped. Users of ours (see `user_name`) that are neither wanted
    nor in `keep` are dropped, others left alone. A password travels as its hash only.

    Raises:
        InvalidError: a name that is not allowed.
    """
    accounts = list(wanted)
    known = {account.user for account in accounts} | set(keep)
    lines: list[str] = []
    databases = set(inventory.databases)
    for account in accounts:
        parse_user(account.user)
        for database in account.databases:
            check_database(database)
            if database not in databases:
                databases.add(database)
                lines.append(f"CREATE DATABASE IF NOT EXISTS `{database}`")
        if inventory.users.get(account.user) != account.password_hash:
            verb = "ALTER USER" if account.user in inventory.users else "CREATE USER IF NOT EXISTS"
            lines.append(
                f"{verb} '{account.user}'@'%' IDENTIFIED VIA mysql_native_password"
                f" USING '{account.password_hash}' REQUIRE SSL"
            )
        lines += [
            f"GRANT ALL PRIVILEGES ON `{_escape(database)}`.* TO '{account.user}'@'%'"
            for database in account.databases
            if (account.user, database) not in inventory.grants
        ]
    lines += [
        f"DROP USER IF EXISTS '{user}'@'%'"
        for user in sorted(inventory.users)
        if user not in known and _USER.fullmatch(user)
    ]
    return tuple(f"{line};" for line in lines)


def user_name(application: str, relation: int, generation: int) -> str:
    """Return the name of a credential's generation, such as `keystone.r7.g1`.

    It says whose it is to who reads a process list, and is how our users are known from others.
    """
    return f"{application[:60]}.r{relation}.g{generation}"


@dataclass(frozen=True)
class User:
    """The parts of a user's name."""

    relation: int
    generation: int


def parse_user(name: str) -> User:
    """Return the parts of a name made by `user_name`.

    Raises:
        InvalidError: another name.
    """
    found = _USER.fullmatch(name)
    if not found:
        raise InvalidError(f"{name!r} is no user of this charm")
    return User(int(found["relation"]), int(found["generation"]))


def check_database(name: str) -> None:
    """Raise InvalidError unless a database of this name may be made for a relation."""
    if not _DATABASE.fullmatch(name):
        raise InvalidError("a database is named by 1 to 64 letters, digits, dashes and underscores")
    if name.lower() in _SYSTEM_DATABASES:
        raise InvalidError(f"{name} is the server's own database")


def password_hash(password: str) -> str:
    """Return what `mysql_native_password` stores.

    Two rounds of SHA-1 are weak for a password that a person chose; ours are random, with more
    entropy than the hash has bits, and go over TLS only. Every client library speaks it.
    """
    inner = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


def _escape(database: str) -> str:
    # In a grant an underscore stands for any character.
    return database.replace("_", "\\_")


def _unescape(pattern: str) -> str:
    return pattern.replace("\\_", "_")
