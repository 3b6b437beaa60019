"""The cluster as data: a member's options, its programs and their SQL, and who may begin a cluster anew.

Everything here is pure, but for the programs' texts, which lie beside it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daybreak_charm import Drain

MAX_UNITS = 5
"""More members make writes slower and nothing safer."""
FOLDER = PurePosixPath("/etc/mysql")
MEMBER = FOLDER / "daybreak-member"
SERVER_SCRIPT = FOLDER / "daybreak-server.sh"
WRITER_SCRIPT = FOLDER / "daybreak-writer.sh"
LEAVE_SCRIPT = FOLDER / "daybreak-leave.sh"
CA = FOLDER / "daybreak-ca.pem"
RUN = PurePosixPath("/run/mysqld")
POSITION = RUN / "position"
PERMIT = RUN / "bootstrap"
USED_PERMIT = RUN / "bootstrapped"
HOLD = RUN / "hold"
"""While it is there the server does not start; it says so by a copy, `HELD`."""
HELD = RUN / "held"
DATABASE = "daybreak"
"""Of the cluster itself: who is the writer."""
NONE, PARTIAL = "none", "partial"
"""Positions of data that were never part of a cluster, and of a copy that was never completed."""

SERVER_COMMAND = f"sh {SERVER_SCRIPT} {MEMBER}"
WRITER_COMMAND = f"sh {WRITER_SCRIPT} {FOLDER}"
DRAIN = Drain(detection=4, limit=22, signal=f"/bin/sh {LEAVE_SCRIPT} {MEMBER}")
"""The proxies notice within 3 s; the role moves within 10; a clean end writes all dirty pages."""


@dataclass(frozen=True)
class Member:
    """One server of the cluster.

    Attributes:
        name: Word for it, such as `mariadb-0`.
        fqdn: Where the others find it.
        peers: DNS names of all others that there can be.
    """

    name: str
    fqdn: str
    peers: tuple[str, ...]


def programs(member: Member) -> dict[PurePosixPath, str]:
    """Return what runs a member: by path, the texts of its programs and of what they read."""
    here = Path(__file__).parent
    settings = f"name='{member.name}'\nfqdn='{member.fqdn}'\npeers='{' '.join(member.peers)}'\n"
    texts = ("server.sh", "leave.sh", "writer.sh", "writer.sql", "tables.sql", "sessions.sql")
    return {
        MEMBER: settings,
        **{FOLDER / f"daybreak-{name}": (here / name).read_text("utf-8") for name in texts},
    }


def settings(
    member: Member, cluster: str, bundle: PurePosixPath
) -> dict[str, dict[str, str | int | bool]]:
    """Return the options of a member, by section.

    Args:
        member: Whose.
        cluster: Name that all members share.
        bundle: File with key and certificates.
    """
    ssl = {"key": bundle, "cert": bundle, "ca": CA}
    provider = {
        # Writes of so much are kept for a member that was away: more, and it takes a whole copy.
        "gcache.size": "64M",
        # The members that were there come together again by themselves, all of them or none.
        "pc.recovery": "true",
        "socket.ssl": "yes",
        **{f"socket.ssl_{key}": str(path) for key, path in ssl.items()},
    }
    return {
        "mariadbd": {
            "plugin_load_add": "wsrep_info",
            # Else the provider's options could not be set while it runs; `loose`: older servers have no such plugin.
            "loose_plugin_wsrep_provider": "OFF",
            "wsrep_on": True,
            "wsrep_provider": "/usr/lib/galera/libgalera_smm.so",
            "wsrep_provider_options": ";".join(f"{key}={value}" for key, value in provider.items()),
            "wsrep_cluster_name": cluster,
            "wsrep_node_name": member.name,
            "wsrep_node_address": member.fqdn,
            # It copies while the donor goes on, and logs in over the donor's own socket: `mysql` is known there by its
            # system user, so that there is no password to keep.
            "wsrep_sst_method": "mariabackup",
            "wsrep_sst_auth": "mysql:",
            "wsrep_slave_threads": 2,
        },
        "sst": {"encrypt": 3, "tkey": str(bundle), "tcert": str(bundle), "tca": str(CA)},
    }


@dataclass(frozen=True)
class Report:
    """What a unit says in its peer databag.

    Attributes:
        cluster: UUID of the cluster that its data were part of, "" when they never were.
        position: While its server is part of no cluster: `UUID SEQNO`, `none` or `partial`; "" otherwise.
    """

    cluster: str = ""
    position: str = ""


@dataclass(frozen=True)
class Newest:
    """The unit that surely has all that was committed."""

    unit: str


@dataclass(frozen=True)
class Unsure:
    """Why the data do not say which unit is the newest."""

    why: str


def newest(units: Sequence[str], reports: Mapping[str, Report]) -> Newest | Unsure:
    """Find the unit that may begin the cluster anew when no member is part of one.

    Args:
        units: All that there shall be.
        reports: What is known of them.
    """
    silent = [unit for unit in units if not reports.get(unit, Report()).position]
    if silent:
        return Unsure(f"{', '.join(silent)} has not said what it has")
    found: dict[str, tuple[str, int]] = {}
    for unit in units:
        report = reports[unit]
        if report.position == NONE and report.cluster:
            return Unsure(f"{unit} has lost its data")
        # A copy that was not completed is of no use, and was behind its donor.
        if report.position not in (NONE, PARTIAL):
            cluster, _, seqno = report.position.partition(" ")
            found[unit] = (cluster, int(seqno))
    if not found:
        return Unsure("no unit has complete data")
    if len({cluster for cluster, _ in found.values()}) > 1:
        return Unsure("the units have data of different clusters")
    if unknown := [unit for unit, (_, seqno) in found.items() if seqno < 0]:
        return Unsure(f"{', '.join(unknown)} cannot say how far it was")
    best = max(seqno for _, seqno in found.values())
    return Newest(next(unit for unit, (_, seqno) in found.items() if seqno == best))


def digest(reports: Mapping[str, Report]) -> str:
    """Return a word for what the units say: a permission is good for one such state only."""
    text = repr(sorted((unit, report.position) for unit, report in reports.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def losses(unit: str, units: Sequence[str], reports: Mapping[str, Report]) -> str:
    """Say what may be lost when a unit begins the cluster anew with its own data."""
    mine = reports.get(unit, Report()).position
    lines: list[str] = [f"{unit} is at {mine or 'an unknown position'}."]
    for other in units:
        position = reports.get(other, Report()).position
        if other == unit:
            continue
        if not position:
            lines.append(f"{other} has not said what it has: all that only it has is lost.")
        elif position in (NONE, PARTIAL):
            lines.append(f"{other} has no complete data.")
        elif position.partition(" ")[0] != mine.partition(" ")[0]:
            lines.append(f"{other} is at {position}, of another cluster: all of it is lost.")
        else:
            ahead = int(position.partition(" ")[2]) - int(mine.partition(" ")[2] or -1)
            lines.append(
                f"{other} is at {position}"
                + (f": {ahead} transactions are lost." if ahead > 0 else ": nothing is lost.")
            )
    return " ".join(lines)
