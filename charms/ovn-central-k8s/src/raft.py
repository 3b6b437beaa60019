"""RAFT as OVN's databases do it: what a server says of itself, and what follows from that; all pure.

Source of the formats and rules: ovsdb(7), ovsdb-server(1), ovsdb-tool(1) of Open vSwitch 3.5.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Step = Literal["keep", "adopt", "create", "join", "rejoin", "wait", "lost"]
"""What a unit does about its copy of a database before it serves."""


@dataclass(frozen=True)
class Member:
    """A unit's copy of a database: which cluster it is of, and as whom."""

    cid: str
    sid: str

    def __str__(self) -> str:
        return f"{self.cid} {self.sid}"


@dataclass(frozen=True)
class Cluster:
    """The cluster that all units belong to.

    Attributes:
        generation: Grows by one each time that a cluster is formed anew.
        cid: Its id.
    """

    generation: int
    cid: str

    def __str__(self) -> str:
        return f"{self.generation} {self.cid}"


@dataclass(frozen=True)
class Server:
    """A member as another one knows it.

    Attributes:
        sid: The first digits of its id, by which it can be named.
        host: Its host name or address.
        self: Whether it is the one that was asked.
    """

    sid: str
    host: str
    self: bool = False


@dataclass(frozen=True)
class Status:
    """What a server says of one database.

    Attributes:
        member: Whether it is a member of the cluster, not only about to become one.
        role: `leader`, `follower` or `candidate`.
        leader: Whether it knows a leader.
        timer: Its election timer in ms.
        servers: Members, itself included.
    """

    member: bool
    role: str
    leader: bool
    timer: int = 0
    servers: tuple[Server, ...] = ()

    @property
    def works(self) -> bool:
        """Whether it can serve writes, by itself or through its leader."""
        return self.member and self.leader


_LINE = re.compile(r"^(Status|Role|Leader|Election timer): *(.+)$", re.MULTILINE)
_SERVER = re.compile(
    r"^ +(?P<sid>[0-9a-f]{4,}) \([0-9a-f]+ at [a-z]+:(?P<host>\[[^\]]+\]|[^:)]+):\d+\)(?P<self> \(self\))?",
    re.MULTILINE,
)


def parse_member(text: str) -> Member | None:
    """Read `<cid> <sid>`; None when there is none."""
    words = text.split()
    return Member(*words) if len(words) == 2 else None


def parse_cluster(text: str) -> Cluster | None:
    """Read `<generation> <cid>`; None when there is none."""
    words = text.split()
    return Cluster(int(words[0]), words[1]) if len(words) == 2 and words[0].isdecimal() else None


def parse_status(text: str) -> Status | None:
    """Read the answer to `cluster/status`; None when it is none."""
    said = dict(_LINE.findall(text))
    if "Status" not in said:
        return None
    timer = said.get("Election timer", "")
    return Status(
        # "disconnected from the cluster (election timeout)" is one, too.
        member=said["Status"].startswith(("cluster member", "disconnected")),
        role=said.get("Role", ""),
        leader=said.get("Leader", "unknown") != "unknown",
        timer=int(timer) if timer.isdecimal() else 0,
        servers=tuple(
            Server(found["sid"], found["host"].strip("[]"), bool(found["self"]))
            for found in _SERVER.finditer(text)
        ),
    )


def decide(
    *, exists: bool, mine: Member | None, cluster: Cluster | None, first: bool, alone: bool
) -> Step:
    """What a unit does about its copy of a database.

    Exactly one unit may form the cluster, and only as long as nobody has: two clusters of one database
    can never be made one again.

    Args:
        exists: Whether it has a copy.
        mine: What the unit last said of its copy.
        cluster: The cluster of the application; None before one was formed.
        first: Whether this is the unit that forms it.
        alone: Whether no other unit is planned.
    """
    if cluster is None:
        if exists and first and mine is None:
            # A hook that formed it failed later, and its words were lost.
            return "adopt"
        return "keep" if exists and mine else ("create" if first else "wait")
    fits = mine is not None and mine.cid == cluster.cid
    if exists and fits:
        return "keep"
    if alone:
        return "lost"
    # A copy that nobody has spoken of is what an earlier unit of this name has left.
    return "rejoin" if exists else "join"


def newest(formed: Iterable[Cluster]) -> Cluster | None:
    """The cluster that was formed last; the first one named, of several with the same generation."""
    return max(formed, key=lambda cluster: cluster.generation, default=None)


def to_remove(status: Status, leaving: Iterable[str]) -> list[str]:
    """Members to be taken out of the cluster, by their ids.

    These are what this unit itself was before it lost its copy (another id at the same host), and units
    that the application does not have any more.

    Args:
        status: What this unit's server says.
        leaving: Hosts that have no unit any more.
    """
    own = {server.host for server in status.servers if server.self}
    gone = {*own, *leaving}
    return [server.sid for server in status.servers if server.host in gone and not server.self]


def next_timer(current: int, wanted: int) -> int:
    """The next value on the way to a wanted election timer in ms: it may only double at a time."""
    return min(wanted, current * 2)
