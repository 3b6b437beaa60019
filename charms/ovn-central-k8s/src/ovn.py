"""OVN's central parts as data: files and processes, made from the inputs alone."""

import json
from dataclasses import dataclass, field

from daybreak_charm import Check, Drain, File, Folder, Process, online, up, urls
from daybreak_charm.drain import RUN as MARKERS
from daybreak_charm.layout import Layout

NORTHD = "northd"
CONF = "/etc/ovn"
RUN = "/run/ovn"
DATA = "/var/lib/ovn"
# Key and certificates in one file: they are replaced together or not at all.
TLS = f"{CONF}/tls.pem"
CA = f"{CONF}/ca.pem"
SAYS = f"{CONF}/says"


@dataclass(frozen=True)
class Database:
    """One of the two databases.

    Attributes:
        name: Short name; also that of its container and its process.
        word: The name for people.
        schema: Name of its schema.
        port: Where clients connect.
        raft_port: Where the other members do.
    """

    name: str
    word: str
    schema: str
    port: int
    raft_port: int

    @property
    def file(self) -> str:
        """Path of this unit's copy."""
        return f"{DATA}/{self.name}.db"

    @property
    def schema_file(self) -> str:
        """Path of its schema in the image."""
        return f"/usr/share/ovn/ovn-{self.name}.ovsschema"

    @property
    def control(self) -> str:
        """Path of the socket by which its server is controlled."""
        return f"{RUN}/{self.name}.ctl"

    @property
    def socket(self) -> str:
        """Connection method of the socket for local clients."""
        return f"unix:{RUN}/{self.name}.sock"

    def raft_address(self, host: str) -> str:
        """Where a member is found by the others."""
        return f"ssl:{urls.host_port(host, self.raft_port)}"

    def method(self, host: str) -> str:
        """Connection method for clients."""
        return f"ssl:{urls.host_port(host, self.port)}"


NB = Database("nb", "northbound", "OVN_Northbound", 6641, 6643)
SB = Database("sb", "southbound", "OVN_Southbound", 6642, 6644)
DATABASES = (NB, SB)

_SCRIPT = r"""#!/bin/sh
# usage: says nb|sb SCHEMA served|connected|role
#        says northd - answers|connected|role
# Succeeds when a database's server says so of the database, by a query like any client's; or northd by its own words.
# `role`: whether its part in the cluster is still what the unit's status names.
set -u
role=$(cat "/run/daybreak/$1.role" 2>/dev/null) || role=
if [ "$1" = northd ]; then
    northd() { ovs-appctl -T 2 -t /run/ovn/northd.ctl "$1"; }
    case $3 in
        answers) northd status >/dev/null ;;
        connected) [ "$(northd nb-connection-status) $(northd sb-connection-status)" = 'connected connected' ] ;;
        role) [ "$(northd status)" = "Status: $role" ] ;;
    esac
    exit
fi
answer=$(ovsdb-client -t 2 query "unix:/run/ovn/$1.sock" '["_Server",{"op":"select","table":"Database",
    "where":[["name","==","'"$2"'"]],"columns":["name","connected","leader"]}]') || exit 1
case $3 in
    served) word='"name":' ;;
    connected) word='"connected":true' ;;
    role) [ "$role" = leader ] && word='"leader":true' || word='"leader":false' ;;
esac
case $answer in *"$word"*) ;; *) exit 1 ;; esac
"""


@dataclass(frozen=True)
class Inputs:
    """Everything that decides how OVN's central parts run.

    Attributes:
        layout: What the image says of itself.
        hosts: Stable names of all planned units.
        clusters: Ids of both databases' clusters.
        certificate: PEM with its chain.
        key: PEM of the private key.
        ca: PEMs that sign this cloud's certificates.
        six: Whether the unit has an IPv6 address.
        election_timer: Of the databases' clusters, in ms.
        inactivity_probe: Of clients, in ms.
    """

    layout: Layout
    hosts: tuple[str, ...]
    clusters: tuple[str, ...]
    certificate: str = field(repr=False)
    key: str = field(repr=False)
    ca: str = field(repr=False)
    six: bool = False
    election_timer: int = 4000
    inactivity_probe: int = 60000


def server_config(database: Database, inputs: Inputs) -> str:
    """The file that a database's server reads its listeners and databases from."""
    listener = f"pssl:{database.port}" + (":[::]" if inputs.six else "")
    config = {
        "remotes": {
            f"p{database.socket}": {},
            listener: {"inactivity-probe": inputs.inactivity_probe},
        },
        "databases": {database.file: {}},
    }
    return json.dumps(config, indent=2, sort_keys=True) + "\n"


def says(name: str, schema: str, what: str) -> str:
    """Command that asks a process for its health."""
    return f"/bin/sh {SAYS} {name} {schema} {what}"


def role_file(name: str) -> str:
    """Path of the file that holds the role which the unit's status names."""
    return f"{MARKERS}/{name}.role"


def render(inputs: Inputs) -> list[File | Folder]:
    """The files of all three containers."""
    user = inputs.layout.user
    items: list[File | Folder] = []
    for container in (NB.name, SB.name, NORTHD):
        items += [
            Folder(RUN, user=user, group=user, container=container),
            File(SAYS, _SCRIPT, on_change="none", container=container),
            # All three processes look for newer ones before each connection.
            File(
                TLS,
                inputs.key + inputs.certificate,
                mode=0o640,
                group=user,
                on_change="none",
                container=container,
            ),
            File(CA, inputs.ca, on_change="none", container=container),
        ]
    for database in DATABASES:
        config = server_config(database, inputs)
        path = f"{CONF}/{database.name}.json"
        items += [
            Folder(DATA, mode=0o750, user=user, group=user, container=database.name),
            # The server opens it for writing.
            File(
                path,
                config,
                mode=0o640,
                user=user,
                group=user,
                on_change="reload",
                container=database.name,
            ),
        ]
    return items


def _checks(name: str, schema: str, first: str) -> tuple[Check, ...]:
    return (
        online(command=says(name, schema, first), name=f"{name}-online"),
        up(command=says(name, schema, first), name=f"{name}-up"),
        # No matter of health: its failure is the event by which the status hears of another role.
        Check(f"{name}-role", command=says(name, schema, "role"), period="5s", threshold=1),
    )


_PKI = f"--private-key={TLS} --certificate={TLS} --ca-cert={CA}"


def server(database: Database, inputs: Inputs) -> Process:
    """A database's server.

    It is asked to exit instead of being signalled: then its leadership goes over to another member at
    once. A signal would end it without a word, and writes would wait for an election.
    """
    user, appctl = inputs.layout.user, inputs.layout.program("ovs-appctl")
    control = f"-T 5 -t {database.control}"
    return Process(
        database.name,
        f"ovsdb-server --config-file={CONF}/{database.name}.json --unixctl={database.control} {_PKI}"
        " --no-chdir -vconsole:info -vsyslog:off -vfile:off",
        container=database.name,
        user=user,
        group=user,
        checks=_checks(database.name, database.schema, "served"),
        reload=(appctl, *control.split(), "ovsdb-server/reload"),
        drain=Drain(0, 16, signal=f"{appctl} {control} exit"),
    )


def northd(inputs: Inputs) -> Process:
    """The program that makes the southbound database from the northbound one.

    One of all units' does, chosen by a lock in the southbound database; the others stand by.
    """
    user = inputs.layout.user
    north, south = (",".join(map(db.method, inputs.hosts)) for db in DATABASES)
    return Process(
        NORTHD,
        f"ovn-northd --ovnnb-db={north} --ovnsb-db={south} --unixctl={RUN}/northd.ctl {_PKI}"
        " -vconsole:info -vsyslog:off -vfile:off",
        container=NORTHD,
        user=user,
        group=user,
        # A client that knows a database of one cluster takes another's for an old copy, and waits.
        environment={"CLUSTERS": " ".join(inputs.clusters)},
        checks=_checks(NORTHD, "-", "answers"),
        kill_delay="5s",
    )


def processes(inputs: Inputs) -> list[Process]:
    """The two servers and northd, each in a container of its own: they fail and restart apart."""
    return [*(server(database, inputs) for database in DATABASES), northd(inputs)]
