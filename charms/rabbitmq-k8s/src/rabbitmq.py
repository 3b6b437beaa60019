"""RabbitMQ as data: its files, its commands and its sizes.

Everything here is a pure function: nothing is read, run or written.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from daybreak_charm.sizing import Machine

TLS_PORT = 5671
PORT = 5672
"""Without TLS: on the loopback for the health check, or for everybody if the operator wants it."""
DISTRIBUTION_PORT = 25672

HOME = PurePosixPath("/var/lib/rabbitmq")
# Not the mount point itself: it can be removed, and a file system's lost+found is no database.
DATA = HOME / "data"
COOKIE = HOME / ".erlang.cookie"
ETC = PurePosixPath("/etc/rabbitmq")
ENVIRONMENT = ETC / "rabbitmq-env.conf"
CONFIGURATION = ETC / "conf.d"
PLUGINS = ETC / "enabled_plugins"
DEFINITIONS = ETC / "definitions.json"
INTER_NODE = ETC / "inter-node.config"
# Key and certificates in one file: they are replaced together or not at all.
TLS_BUNDLE = ETC / "tls.pem"
TLS_CA = ETC / "ca.pem"
LEAVE = ETC / "leave"

REPLICAS = 3
"""Members of a queue that survives the loss of one; more would only cost."""
LEAVE_SECONDS = 26
"""From SIGTERM to SIGKILL, less what the drain itself needs of the pod's 30."""
_QUORUM_SECONDS = 8
_DRAIN_SECONDS = 8

_MIB = 2**20
_MIN_BUDGET_MIB = 512
# RabbitMQ's own part of the memory that it may use before it holds publishers back.
_WATERMARK = 0.6
_MIN_WAL_MIB, _MAX_WAL_MIB = 32, 512

_VHOST = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_USER = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class InvalidError(ValueError):
    """A value that cannot be used; the text says why and holds nothing secret."""


@dataclass(frozen=True)
class Sizes:
    """What is derived from the machine.

    Attributes:
        memory_mib: Above this RabbitMQ takes no more messages, before the container is killed.
        schedulers: Threads that run Erlang code.
        wal_mib: Size of a file of the log that all quorum queues share; about three times as much
            memory is held for it.
        disk_mib: Free space below which RabbitMQ takes no more messages: what may be in memory must
            have room.
    """

    memory_mib: int
    schedulers: int
    wal_mib: int
    disk_mib: int


def sizes(machine: Machine, *, memory_mib: int = 0) -> Sizes:
    """Return sizes that fit the machine.

    Args:
        machine: What the container may count on.
        memory_mib: The operator's choice of the budget; 0 derives it.

    Raises:
        InvalidError: a choice that is too small.
    """
    if memory_mib and memory_mib < _MIN_BUDGET_MIB:
        raise InvalidError(f"set memory to {_MIN_BUDGET_MIB} MiB or more, or to 0 to derive it")
    derived = machine.budget_mb(least=_MIN_BUDGET_MIB)
    memory = int((memory_mib or derived) * _WATERMARK)
    return Sizes(
        memory_mib=memory,
        # Half of the processors, as for an API: they are shared with the rest of the cloud.
        schedulers=max(1, (machine.cpus + 1) // 2),
        wal_mib=max(_MIN_WAL_MIB, min(_MAX_WAL_MIB, memory // 8)),
        disk_mib=memory,
    )


def node(fqdn: str) -> str:
    """Return the name of the node on a host."""
    return f"rabbit@{fqdn}"


def environment(fqdn: str, *, schedulers: int, ipv6: bool) -> str:
    """Return RabbitMQ's environment file, which the server and all of its tools read.

    Schedulers that have nothing to do sleep at once instead of spinning: they share processors.
    """
    protocol = "inet6_tls" if ipv6 else "inet_tls"
    tls = f"-proto_dist {protocol} -ssl_dist_optfile {INTER_NODE}"
    flags = f"+S {schedulers}:{schedulers} +sbwt none +sbwtdcpu none +sbwtdio none"
    values = {
        "RABBITMQ_NODENAME": node(fqdn),
        "RABBITMQ_USE_LONGNAME": "true",
        "RABBITMQ_MNESIA_DIR": DATA,
        "RABBITMQ_CONFIG_FILES": CONFIGURATION,
        "RABBITMQ_ENABLED_PLUGINS_FILE": PLUGINS,
        "RABBITMQ_DIST_PORT": DISTRIBUTION_PORT,
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{flags} {tls}",
        "RABBITMQ_CTL_ERL_ARGS": tls,
        "ERL_CRASH_DUMP_SECONDS": "0",
        "LANG": "C.UTF-8",
    }
    # What the caller has set wins: a tool is pointed at another node by RABBITMQ_NODENAME.
    return "".join(f'export {key}="${{{key}:-{value}}}"\n' for key, value in values.items())


def configuration(derived: Sizes, cluster: str, *, plaintext: bool) -> str:
    """Return the server's main configuration.

    Args:
        derived: Sizes.
        cluster: Name of the cluster.
        plaintext: Whether connections without TLS are accepted from outside of the pod.
    """
    local = (
        f"listeners.tcp.default = {PORT}" if plaintext else f"listeners.tcp.1 = 127.0.0.1:{PORT}"
    )
    return f"""\
{local}
listeners.ssl.default = {TLS_PORT}
ssl_options.cacertfile = {TLS_CA}
ssl_options.certfile = {TLS_BUNDLE}
ssl_options.keyfile = {TLS_BUNDLE}
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false

cluster_name = {cluster}
# A part without the majority stops, rather than go its own way.
cluster_partition_handling = pause_minority
# A machine that is lost is noticed after this many seconds; a process at once.
net_ticktime = 15
# Without an end: a unit that gave up would begin a cluster of its own.
cluster_formation.discovery_retry_limit = 1000000000
cluster_formation.discovery_retry_interval = 1000

default_queue_type = quorum
queue_leader_locator = balanced
# Empty: without definitions of its own, RabbitMQ would make the user guest.
definitions.import_backend = local_filesystem
definitions.local.path = {DEFINITIONS}

vm_memory_high_watermark.absolute = {derived.memory_mib}MiB
disk_free_limit.absolute = {derived.disk_mib}MiB
raft.wal_max_size_bytes = {derived.wal_mib * _MIB}

log.file = false
log.console = true
log.console.level = info
# The health check connects and closes every other second.
log.connection.level = error
"""


def peers(fqdns: Sequence[str]) -> str:
    """Return which nodes a node without data looks for: itself, and those that it joins."""
    lines = (
        f"cluster_formation.classic_config.nodes.{number} = {node(fqdn)}\n"
        for number, fqdn in enumerate(fqdns, 1)
    )
    return "".join(lines)


def inter_node() -> str:
    """Return the TLS options between nodes: each shows its certificate, and checks the other's."""
    common = (
        f'{{cacertfile, "{TLS_CA}"}}, {{certfile, "{TLS_BUNDLE}"}}, {{keyfile, "{TLS_BUNDLE}"}},'
        " {verify, verify_peer}"
    )
    return f"[{{server, [{common}, {{fail_if_no_peer_cert, true}}]}},\n {{client, [{common}]}}].\n"


def leave_script(programs: str, pid: str, *, replicated: bool) -> str:
    """Return the program that ends a node which has been told to end.

    Args:
        programs: Directory of RabbitMQ's programs.
        pid: File with the process to end.
        replicated: Whether others can take over: then it waits, for a while, until they can.
    """
    upgrade = f"{programs}/rabbitmq-upgrade"
    wait = f"timeout {_QUORUM_SECONDS} {upgrade} await_online_quorum_plus_one -t {_QUORUM_SECONDS - 1}\n"
    return f"""\
#!/bin/sh
# Ends this node, which has been told to end: leaders of queues and connections move first.
export HOME={HOME}
{wait if replicated else ""}timeout {_DRAIN_SECONDS} {upgrade} drain
kill -s TERM "$(cat {pid})"
"""


def check_vhost(name: str) -> None:
    """Raise InvalidError unless a virtual host of this name may be made for a relation."""
    if not _VHOST.fullmatch(name):
        raise InvalidError(
            "a virtual host is named by 1 to 64 letters, digits, dashes, dots, slashes and underscores"
        )


def check_user(name: str, *, generation: bool) -> None:
    """Raise InvalidError unless an application may choose this name for its user.

    Args:
        name: The name.
        generation: Whether it reads like one that we make.
    """
    if not _USER.fullmatch(name) or generation or name == "guest":
        raise InvalidError(
            "a user is named by 1 to 64 letters, digits, dashes, dots and underscores,"
            " neither guest nor as a generation"
        )


def password_hash(password: str) -> str:
    """Return what RabbitMQ stores: SHA-256 with a salt of four bytes.

    The salt is made of the password, so that the same one has the same hash and can be compared;
    ours are random, so no two users have the same.
    """
    salt = hashlib.sha256(b"salt:" + password.encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


@dataclass(frozen=True)
class Account:
    """A user with all rights on some virtual hosts, and none beside."""

    user: str
    vhosts: frozenset[str]
    password_hash: str


@dataclass(frozen=True)
class Changes:
    """What is to be done to the server's accounts."""

    vhosts: tuple[str, ...] = ()
    accounts: tuple[Account, ...] = ()
    """Users to be made or made right, and those rights that are missing."""
    revoke: tuple[tuple[str, str], ...] = ()
    """User and virtual host."""
    drop: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether all is as wanted."""
        return not (self.vhosts or self.accounts or self.revoke or self.drop)


@dataclass(frozen=True)
class Inventory:
    """The accounts that the server has."""

    users: Mapping[str, str]
    """Password hash by user."""
    ours: frozenset[str]
    """Users that this charm has made."""
    vhosts: frozenset[str]
    permissions: frozenset[tuple[str, str]]
    """User and virtual host, where the user has all rights."""


def changes(wanted: Iterable[Account], keep: Iterable[str], inventory: Inventory) -> Changes:
    """Return what brings the accounts about.

    Virtual hosts are made and never dropped. Users of ours that are neither wanted nor in `keep` are
    dropped, others left alone.
    """
    accounts = list(wanted)
    known = {account.user for account in accounts} | set(keep)
    rights = {(account.user, vhost) for account in accounts for vhost in account.vhosts}
    return Changes(
        vhosts=tuple(sorted({vhost for _, vhost in rights} - inventory.vhosts)),
        accounts=tuple(
            account
            for account in accounts
            if inventory.users.get(account.user) != account.password_hash
            or account.user not in inventory.ours
            or any((account.user, v) not in inventory.permissions for v in account.vhosts)
        ),
        revoke=tuple(
            sorted(
                pair
                for pair in inventory.permissions - rights
                if pair[0] in {account.user for account in accounts}
            )
        ),
        drop=tuple(sorted(inventory.ours - known)),
    )
