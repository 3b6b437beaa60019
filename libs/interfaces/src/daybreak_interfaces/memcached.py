"""Interface `memcached` (Daybreak's own): where the cache servers listen.

Each provider unit writes its own `host:port` into its unit databag, so that a unit that comes or
goes needs no
leader; the leader may write the list of stable names into the application databag, which wins when
present.

| writer | key | bag | encoding |
|---|---|---|---|
| provider | `servers` | app | `host:port[,host:port]` |
| provider | `server` | unit | `host:port` |
"""

from collections.abc import Iterable
from dataclasses import dataclass

from daybreak_interfaces._common import Bag, NotReady, WritableBag, put


@dataclass(frozen=True)
class Answer:
    """The cache servers.

    Attributes:
        servers: `host:port` of each server, sorted, so that all clients hash keys alike.
    """

    servers: tuple[str, ...]


def write_app(app_bag: WritableBag, servers: Iterable[str]) -> None:
    """Write the list of all servers (leader only)."""
    put(app_bag, {"servers": ",".join(sorted(servers))})


def write_unit(unit_bag: WritableBag, server: str | None) -> None:
    """Write this unit's server; None takes it out."""
    put(unit_bag, {"server": server})


def read_answer(app_bag: Bag, unit_bags: Iterable[Bag]) -> Answer | NotReady:
    """Read the provider's side."""
    servers = {s.strip() for s in app_bag.get("servers", "").split(",") if s.strip()}
    if not servers:
        servers = {bag["server"] for bag in unit_bags if bag.get("server")}
    if not servers:
        return NotReady("the cache has no server yet")
    return Answer(tuple(sorted(servers)))
