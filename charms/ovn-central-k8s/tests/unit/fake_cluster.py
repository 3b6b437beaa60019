"""OVN's programs, as far as the charm runs them, for one unit; any other command fails the test."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cluster
import ovn
from cluster import ToolError

from daybreak_charm import Context

NORTH = "11111111-0000-4000-8000-000000000001"


@dataclass
class FakeDatabase:
    """One database: this unit's copy, and what its server says."""

    file: Path
    cid: str
    sid: str = "aaaa0000-0000-4000-8000-000000000000"
    role: str = "leader"
    leader: str = "self"
    member: bool = True
    timer: int = 4000
    others: dict[str, str] = field(default_factory=dict[str, str])
    """Host of each other member by its short id."""
    runs: bool = True

    def status(self, host: str) -> str:
        """As `cluster/status` prints it."""
        servers = {self.sid[:4]: host, **self.others}
        lines = [
            "aaaa",
            "Name: OVN_Northbound",
            f"Cluster ID: {self.cid[:4]} ({self.cid})",
            f"Server ID: {self.sid[:4]} ({self.sid})",
            f"Address: ssl:{host}:6643",
            f"Status: {'cluster member' if self.member else 'joining cluster'}",
            f"Role: {self.role}",
            "Term: 2",
            f"Leader: {self.leader}",
            "Vote: self",
            "",
            f"Election timer: {self.timer}",
            "Log: [2, 4]",
            "Servers:",
        ]
        for sid, where in servers.items():
            more = " (self) next_index=3" if sid == self.sid[:4] else " last msg 313 ms ago"
            lines.append(f"    {sid} ({sid} at ssl:{where}:6643){more}")
        return "\n".join(lines) + "\n"


class FakePrograms:
    """Stands in for `cluster.run`.

    Attributes:
        did: What changed anything, in its order.
        northd: What northd says.
    """

    def __init__(self, folder: Path):
        self.databases = {
            "nb": FakeDatabase(folder / "nb.db", NORTH),
            "sb": FakeDatabase(folder / "sb.db", NORTH.replace("1111", "2222")),
        }
        self.did: list[str] = []
        self.northd = ["Status: active", "connected", "connected"]
        self.converts = "no"
        self.refuses = ""

    def run(
        self, context: Context, container: str, command: Sequence[str], user: str | None = None
    ) -> str:
        """Do what a command would."""
        if self.refuses and self.refuses in " ".join(command):
            raise ToolError(f"{self.refuses} was refused")
        if container == ovn.NORTHD:
            return "\n".join(self.northd) + "\n"
        database = self.databases[container]
        match list(command):
            case ["/bin/sh", "-c", script, "sh", *words]:
                assert user == "ovn"
                return self._script(database, script, words)
            case ["ovs-appctl", "-T", _, "-t", _, *words]:
                if not database.runs:
                    raise ToolError("no such socket")
                return self._told(context, database, words)
            case ["ovsdb-client", "-t", _, "needs-conversion", *_]:
                return f"{self.converts}\n"
            case ["ovsdb-client", "-t", _, "convert", *_]:
                self.did.append(f"convert {container}")
                return ""
            case _:
                raise AssertionError(command)

    def _script(self, database: FakeDatabase, script: str, words: Sequence[str]) -> str:
        name = database.file.name.partition(".")[0]
        if script == cluster._IDS:
            return f"{database.cid}\n{database.sid}\n"
        self.did.append(f"{_NAMES[script]} {name}")
        match _NAMES[script]:
            case "form":
                source, address, timer = words[1:]
                self.did[-1] += f" {source} {address} {timer}"
                if database.file.exists():
                    raise ToolError("File exists")
                # A new cluster has a new id.
                formed = sum(line.startswith(f"form {name}") for line in self.did)
                database.cid = database.cid[:-1] + str(formed)
                database.file.touch()
            case "join":
                self.did[-1] += f" {' '.join(words[1:])}"
                database.cid = words[1]
                database.file.touch()
            case "aside":
                database.file.unlink()
            case _:
                pass
        return ""

    def _told(self, context: Context, database: FakeDatabase, words: Sequence[str]) -> str:
        if words[0] == "cluster/status":
            return database.status(context.fqdn)
        self.did.append(" ".join(words))
        if words[0] == "cluster/leave":
            database.runs = False
        if words[0] == "cluster/kick":
            database.others.pop(words[2])
        if words[0] == "cluster/change-election-timer":
            database.timer = int(words[2])
        return ""


_NAMES = {
    cluster._FORM: "form",
    cluster._JOIN: "join",
    cluster._ALONE: "alone",
    cluster._ASIDE: "aside",
}
