"""Agents as Nova, Neutron and Cinder report them: pure, over the answers of their APIs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

PATHS = {"compute": "/os-services", "network": "/v2.0/agents", "block-storage": "/os-services"}
"""Where each service that has agents lists them, behind its URL of the catalogue."""


@dataclass(frozen=True)
class Agent:
    """All agents of one kind.

    Attributes:
        name: Program, such as `nova-compute`.
        service: Type of the service that commands them.
        up: Hosts whose agent reports.
        down: Hosts whose agent does not.
        disabled: Hosts of these whose agent takes no new work, by an operator's wish.
    """

    name: str
    service: str
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """`up` when all report that have to."""
        return "down" if set(self.down) - set(self.disabled) else "up"


@dataclass(frozen=True)
class _Row:
    name: str
    host: str
    up: bool
    enabled: bool


def read(service: str, document: Any, gone: Callable[[str], bool]) -> tuple[Agent, ...]:
    """Return the agents in an answer, sorted by name.

    Args:
        service: Type of the service that answered.
        document: The answer's JSON.
        gone: Tells of a host whether it is known to be no more: services remember units that were removed.
    """
    found = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    reader = _neutron if service == "network" else _nova
    rows = [row for row in reader(found) if row.up or not gone(row.host)]
    names = sorted({row.name for row in rows})
    return tuple(_agent(service, name, [row for row in rows if row.name == name]) for name in names)


def _nova(document: Mapping[str, Any]) -> Iterable[_Row]:
    for entry in document.get("services", ()):
        enabled = entry.get("status") == "enabled"
        yield _Row(entry["binary"], entry["host"], entry.get("state") == "up", enabled)


def _neutron(document: Mapping[str, Any]) -> Iterable[_Row]:
    for entry in document.get("agents", ()):
        yield _Row(
            entry["binary"], entry["host"], bool(entry["alive"]), bool(entry["admin_state_up"])
        )


def _agent(service: str, name: str, rows: list[_Row]) -> Agent:
    def hosts(wanted: Iterable[_Row]) -> tuple[str, ...]:
        return tuple(sorted({row.host for row in wanted}))

    return Agent(
        name,
        service,
        hosts(row for row in rows if row.up),
        hosts(row for row in rows if not row.up),
        hosts(row for row in rows if not row.enabled),
    )


def removed(units: Collection[str]) -> Callable[[str], bool]:
    """Return what tells that a host is a unit that is no more: `nova-2`, when there are nova/0 and nova/1.

    Args:
        units: Names of all units.
    """
    there = {unit.replace("/", "-") for unit in units}
    applications = {unit.partition("/")[0] for unit in units}

    def gone(host: str) -> bool:
        # a back end of volumes is `HOST@BACKEND`
        name = host.partition("@")[0]
        application, _, number = name.rpartition("-")
        return application in applications and number.isdigit() and name not in there

    return gone
