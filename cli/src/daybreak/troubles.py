"""What is not as it should be, with cause and remedy: pure, over `juju status` and a bundle that has everything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from jubilant.statustypes import Status

    from .agents import Agent
    from .bundles import Bundle
    from .waiting import UnitView

LACKING = {
    "image": ("there are no images, so no server can be started", "glance-k8s"),
    "placement": (
        "nobody knows what hypervisors have left, so no server can be started",
        "placement-k8s",
    ),
    "network": ("servers have no networks, so none can be started", "neutron-k8s"),
    "block-storage": ("servers have no volumes", "cinder-k8s"),
}
"""What servers lack without a service, and the charm that gives it."""
CARRIERS = {
    "hypervisor": ("nova-compute", "compute", "servers have nowhere to run", "hypervisor-k8s"),
    "volume back end": (
        "cinder-volume",
        "block-storage",
        "volumes have nowhere to be",
        "cinder-volume-k8s",
    ),
}
"""What a service works with: its agent, the service, what is lacking without, and the charm that gives it."""
_LISTS = {
    "compute": "compute service",
    "network": "network agent",
    "block-storage": "volume service",
}
"""The `openstack` client's word for the agents of a service."""
BUILD_SECONDS = 900.0
"""Within this time a server that is made says something: large images and volumes take minutes."""
_DEPLOY = "Deploy {0}: daybreak bootstrap adds what is missing of bundles/openstack.yaml, with its relations."
_ON_NODES = ("nova-compute", "ovn-controller", "neutron-ovn-agent", "neutron-ovn-metadata-agent")
_INTEGRATE = re.compile(r"juju integrate ([\w-]+):([\w-]+) <[^>]*>")
_REMEDIES = {
    "waiting": "It goes on by itself when what it waits for is there; look at that part next.",
    "maintenance": "It is at work. If that takes minutes: juju debug-log --include {unit}",
    "error": "A hook failed, and is repeated: juju debug-log --include {unit}; juju resolved {unit} repeats it at"
    " once.",
    "unknown": "Juju does not reach it: juju debug-log --include {unit}",
}


@dataclass(frozen=True)
class Trouble:
    """Something that needs time or a hand.

    Attributes:
        name: Unit, application or service.
        state: Such as `blocked`.
        cause: What is wrong.
        remedy: What to do.
    """

    name: str
    state: str
    cause: str
    remedy: str


def of_unit(unit: UnitView, status: Status, whole: Bundle | None) -> Trouble:
    """Return the trouble of a unit that is not active.

    A charm's message on being blocked is `CAUSE: REMEDY`.

    Args:
        unit: The unit.
        status: The model.
        whole: A bundle with all services, for who gives what; None where there is none.
    """
    cause, colon, remedy = unit.message.rpartition(": ")
    if unit.state != "blocked" or not colon:
        pattern = _REMEDIES.get(unit.state, "Do what it says; it goes on by itself then.")
        said = unit.message or unit.agent or unit.state
        return Trouble(unit.name, unit.state, said, pattern.format(unit=unit.name))
    return Trouble(unit.name, unit.state, cause, _concrete(remedy, status, whole))


def _concrete(remedy: str, status: Status, whole: Bundle | None) -> str:
    """Name the application that a relation is wanted with, or the charm that is not there yet."""
    wanted = _INTEGRATE.fullmatch(remedy)
    charm = _giver(wanted[1], wanted[2], status, whole) if wanted and whole else ""
    if not wanted or not charm:
        return remedy
    there = [name for name, app in status.apps.items() if app.charm_name == charm]
    if there:
        return f"juju integrate {wanted[1]}:{wanted[2]} {there[0]}"
    return f"This cloud has no {charm}. Deploy it, then: juju integrate {wanted[1]}:{wanted[2]} APPLICATION"


def _giver(application: str, endpoint: str, status: Status, whole: Bundle | None) -> str:
    """Return the charm that gives what an application's endpoint needs; empty if the bundle does not say."""
    if whole is None or application not in status.apps:
        return ""
    charms = {app.name: app.charm_name for app in whole.applications}
    mine = status.apps[application].charm_name
    for relation in whole.relations:
        sides = [side.partition(":") for side in sorted(relation)]
        for (name, _, wanted), (other, _, _) in (sides, sides[::-1]):
            if charms.get(name) == mine and wanted == endpoint:
                return charms.get(other, "")
    return ""


def of_agent(agent: Agent, status: Status) -> Trouble:
    """Return the trouble of agents that do not report."""
    charm = {"compute": "nova-k8s", "network": "neutron-k8s"}.get(agent.service, "cinder-k8s")
    if agent.name in _ON_NODES:
        charm = "hypervisor-k8s"
    elif agent.name == "cinder-volume":
        charm = "cinder-volume-k8s"
    name = next((name for name, app in status.apps.items() if app.charm_name == charm), "")
    what = _LISTS.get(agent.service, agent.service)
    remedy = f"`daybreak logs {name}` says why." if name else _DEPLOY.format(charm)
    return Trouble(
        agent.name,
        "down",
        f"it does not report from {', '.join(sorted(set(agent.down) - set(agent.disabled)))}",
        f"{remedy} Of a host that is gone for good, take it from the list: openstack {what} list; openstack {what}"
        " delete ID",
    )


def missing_services(
    types: Collection[str], agents: Iterable[Agent], charms: Mapping[str | None, str]
) -> tuple[Trouble, ...]:
    """Return what servers lack, of a catalogue that has compute; empty for one that is not about servers.

    Args:
        types: What the catalogue has.
        agents: What the services command, somebody else's too.
        charms: Applications of the model by their charms.
    """
    if "compute" not in types:
        return ()
    known = {agent.name for agent in agents}
    lacking = [
        (name, without, charm) for name, (without, charm) in LACKING.items() if name not in types
    ]
    silent: list[Trouble] = []
    for name, (agent, service, without, charm) in CARRIERS.items():
        if service not in types or agent in known:
            continue
        if charm in charms:
            remedy = f"`daybreak logs {charms[charm]}` says why."
            silent.append(Trouble(agent, "down", f"{service} has never heard of it", remedy))
        else:
            lacking.append((name, without, charm))
    missing = (
        Trouble(name, "missing", without, _DEPLOY.format(charm)) for name, without, charm in lacking
    )
    return (*missing, *silent)


def of_servers(document: Any, now: datetime) -> tuple[Trouble, ...]:
    """Return the servers that nobody makes: a service that is killed takes the order with it that it has accepted.

    Args:
        document: Nova's list of servers that are being made, as JSON.
        now: With its time zone.
    """
    found = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    late = [
        server
        for server in found.get("servers", ())
        if (now - datetime.fromisoformat(server["updated"])).total_seconds() > BUILD_SECONDS
    ]
    return tuple(
        Trouble(
            f"server {server['name']}",
            "stuck",
            f"it is being made, and nothing was heard of it since {server['updated']}",
            f"Make it again: openstack server delete {server['id']}",
        )
        for server in late
    )


def of_login(status: int, detail: str, applications: Mapping[str, str]) -> Trouble:
    """Return the trouble of a login that failed.

    Args:
        status: Of HTTP.
        detail: What was answered.
        applications: Name of the application by its charm.
    """
    keystone = applications.get("keystone-k8s", "keystone")
    if status == 401:
        return Trouble(
            "login",
            "refused",
            "Keystone refuses the administrator's password that its charm keeps: somebody has changed it",
            f"A new one that both know: juju run {keystone}/leader rotate-admin-password",
        )
    return Trouble(
        "login",
        "failed",
        f"Keystone gave no token, so the other APIs and their agents were not asked: {detail}",
        f"`daybreak logs {keystone}` says why.",
    )
