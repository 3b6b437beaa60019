"""The cloud as its users see it: every API asked, agents, what carries them, and what is wrong."""

from __future__ import annotations

from concurrent import futures
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jubilant

from . import access, agents, bootstrap, probe, troubles, waiting
from .agents import Agent
from .errors import DaybreakError
from .troubles import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from jubilant.statustypes import Status

    from .bundles import Bundle
    from .places import Instance
    from .preflight import Finding
    from .waiting import UnitView

APIS = {
    "keystone-k8s": "identity",
    "glance-k8s": "image",
    "placement-k8s": "placement",
    "neutron-k8s": "network",
    "nova-k8s": "compute",
    "cinder-k8s": "block-storage",
}
"""Type in Keystone's catalogue by charm."""
SITES = {"horizon-k8s": "dashboard"}
"""What users reach by a browser, by charm."""
PARTS = {
    "gateway-k8s": "gateway",
    "mariadb-k8s": "database",
    "rabbitmq-k8s": "queue",
    "memcached-k8s": "cache",
    "ovn-central-k8s": "ovn",
    "hypervisor-k8s": "hypervisor",
    "certificates-k8s": "certificates",
}
"""What only services use, by charm."""
HYPERVISOR = "hypervisor-k8s"
SYNONYMS = {"volumev3": "block-storage", "volumev2": "block-storage", "volume": "block-storage"}
ORDER = (*APIS.values(), *SITES.values(), *PARTS.values())
ACTION_SECONDS = 10
"""How long Keystone's unit may take to give the account: it may be in the middle of a hook."""
BUILT = "/servers/detail?all_tenants=1&status=BUILD"
"""Every project's servers that are being made, behind Nova's URL."""
THREADS = 16


@dataclass(frozen=True)
class Service:
    """One service: whether it works, seen from outside where that is possible.

    Attributes:
        name: What it is for users.
        application: The application that gives it; empty for one of somebody else's.
        state: `up`, `down`, `waiting` while its units are not active, or `unknown` when it could not be asked.
        detail: The answer of its API, or what it waits for.
        url: Where users reach it; empty for what only services use.
        seconds: Time of the answer; None where nothing was asked.
    """

    name: str
    application: str
    state: str
    detail: str
    url: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Overview:
    """Everything that `daybreak status` reports."""

    instance: str
    services: tuple[Service, ...]
    agents: tuple[Agent, ...]
    units: tuple[UnitView, ...]
    troubles: tuple[Trouble, ...]

    @property
    def healthy(self) -> bool:
        """Whether all services work, all agents report and no unit waits."""
        return (
            bool(self.services)
            and all(service.state == "up" for service in self.services)
            and all(agent.state == "up" for agent in self.agents)
            and all(unit.ready for unit in self.units)
            and all(trouble.state in ("missing", "stuck") for trouble in self.troubles)
        )


def overview(
    instance: Instance,
    juju: jubilant.Juju,
    whole: Bundle | None,
    machine: Callable[[bool], Iterable[Finding]] | None = None,
    *,
    now: datetime,
) -> Overview:
    """Look at an instance; what is down is reported, and keeps nothing else from being looked at.

    Args:
        instance: Which.
        juju: Its model.
        whole: A bundle with all services, for who gives what; None where there is none.
        machine: Looks whether this machine is still fit, where the cloud runs on it; told whether hypervisors do.
        now: With its time zone.

    Raises:
        DaybreakError: Its engine or controller does not answer.
    """
    status = _status(instance, juju)
    progress = waiting.progress(status)
    with futures.ThreadPoolExecutor(THREADS) as pool:
        sites = {name: pool.submit(_site, juju, status, name) for name in _named(status, SITES)}
        identity, session, refused = _identity(juju, status, progress, pool)
        apis = _ask_apis(session, pool) if session else {}
        asked = _ask_agents(session, pool) if session else {}
        made = pool.submit(session.get, "compute", BUILT) if session and "compute" in apis else None
        services = [
            *identity,
            *(
                _row(name, _application(status, name), url, future.result())
                for name, (url, future) in apis.items()
            ),
            *(future.result() for future in sites.values()),
        ]
        services += _rest(status, progress, {s.application for s in services}, login=bool(session))
        found, silent = _agents(asked, progress)
    types = {service.name for service in services}
    servers = access.application_of(status, HYPERVISOR) is not None
    here = [finding for finding in (machine(servers) if machine else ()) if not finding.ok]
    wrong = (
        *refused,
        *(Trouble("this machine", "unfit", finding.detail, finding.remedy) for finding in here),
        *(troubles.of_unit(unit, status, whole) for unit in _roots_first(progress.waiting)),
        *silent,
        *(troubles.of_agent(agent, status) for agent in found if agent.state == "down"),
        *troubles.missing_services(
            types if session else (),
            found,
            {app.charm_name: name for name, app in status.apps.items()},
        ),
        *troubles.of_servers(made.result().document if made else None, now),
    )
    return Overview(
        instance.name, tuple(sorted(services, key=_place)), found, progress.units, wrong
    )


def _roots_first(units: tuple[UnitView, ...]) -> list[UnitView]:
    """Return units in the order of interest: what only waits for others comes last."""
    return sorted(units, key=lambda unit: unit.state in ("waiting", "maintenance"))


def _place(service: Service) -> tuple[int, str]:
    known = service.name in ORDER
    # an API of somebody else's stands behind ours, and before what carries them
    place = ORDER.index(service.name) if known else len(APIS) - 1
    return (place, service.name)


def _status(instance: Instance, juju: jubilant.Juju) -> Status:
    try:
        return juju.status()
    except jubilant.CLIError as error:
        said = (error.stderr or "").strip()
        if "not found" in said:
            raise DaybreakError(
                f"instance {instance.name} has no cloud yet",
                remedy=f"Make it: daybreak bootstrap --instance {instance.name}",
            ) from error
        if instance.place is not None:
            raise DaybreakError(
                f"the controller of instance {instance.name} does not answer",
                details=tuple(said.splitlines()),
                remedy=f"Look at it: juju show-controller {str(juju.model).partition(':')[0]}; on"
                " MicroK8s: microk8s status",
            ) from error
        raise DaybreakError(
            f"the engine of instance {instance.name} does not answer",
            details=tuple(said.splitlines()),
            remedy=f"Start it: daybreak-engine --instance {instance.name} start; its log is"
            f" {instance.state}/logs/supervisor.log",
        ) from error


def _named(status: Status, charms: dict[str, str]) -> dict[str, str]:
    """Return the applications of these charms, by name, with what they are."""
    return {
        name: charms[app.charm_name]
        for name, app in status.apps.items()
        if app.charm_name in charms
    }


def _application(status: Status, what: str) -> str:
    charms = {role: charm for charm, role in (APIS | SITES).items()}
    return access.application_of(status, charms.get(what, "")) or ""


# --- what is asked ----------------------------------------------------------------------------


def _identity(
    juju: jubilant.Juju,
    status: Status,
    progress: waiting.Progress,
    pool: futures.ThreadPoolExecutor,
) -> tuple[list[Service], probe.Session | None, tuple[Trouble, ...]]:
    """Return Keystone's row, a login if it gives one, and what is wrong with that."""
    keystone = access.application_of(status, access.KEYSTONE)
    if keystone is None:
        return [], None, ()
    account = pool.submit(bootstrap.fetch_access, juju, status, ACTION_SECONDS)
    found = access.public_url(juju, status)
    if found is None:
        behind = [unit for unit in progress.waiting if unit.name.partition("/")[0] == keystone]
        why = behind[0].message if behind else "no public URL yet"
        futures.wait([account])
        return [Service("identity", keystone, "waiting", why)], None, ()
    answer = probe.identity(*found, timeout=probe.LOOK_SECONDS)
    row = _row("identity", keystone, found[0], answer)
    if not answer.ok:
        futures.wait([account])
        return [row], None, ()
    try:
        session = probe.login(account.result())
    except DaybreakError as error:
        words = "; ".join((error.message, *error.details))
        return [row], None, (troubles.of_login(0, words, {access.KEYSTONE: keystone}),)
    if isinstance(session, probe.Answer):
        names = {access.KEYSTONE: keystone}
        return [row], None, (troubles.of_login(session.status, session.detail, names),)
    return [row], session, ()


def _row(name: str, application: str, url: str, answer: probe.Answer) -> Service:
    state = "up" if answer.ok else "down"
    return Service(name, application, state, answer.detail, url, answer.seconds)


def _ask_apis(
    session: probe.Session, pool: futures.Executor
) -> dict[str, tuple[str, futures.Future[probe.Answer]]]:
    """Ask every API of the catalogue but Keystone, each once."""
    urls = {SYNONYMS.get(name, name): url for name, url in session.endpoints.items()}
    urls.pop("identity", None)
    return {
        name: (url, pool.submit(probe.api, url, session.certificate)) for name, url in urls.items()
    }


def _site(juju: jubilant.Juju, status: Status, application: str) -> Service:
    name = SITES[str(status.apps[application].charm_name)]
    url, certificate = (
        access.route(juju, status, application) if status.apps[application].units else ("", "")
    )
    if not url:
        return Service(name, application, "waiting", "no public URL yet")
    return _row(name, application, f"{url}/", probe.page(f"{url}/", certificate))


def _ask_agents(
    session: probe.Session, pool: futures.Executor
) -> dict[str, futures.Future[probe.Answer]]:
    types = {SYNONYMS.get(name, name): name for name in session.endpoints}
    return {
        service: pool.submit(session.get, types[service], path)
        for service, path in agents.PATHS.items()
        if service in types
    }


def _agents(
    asked: dict[str, futures.Future[probe.Answer]], progress: waiting.Progress
) -> tuple[tuple[Agent, ...], tuple[Trouble, ...]]:
    gone = agents.removed([unit.name for unit in progress.units if "/" in unit.name])
    found: list[Agent] = []
    silent: list[Trouble] = []
    for service, future in asked.items():
        answer = future.result()
        if answer.ok:
            found += agents.read(service, answer.document, gone)
        else:
            why = f"its agents could not be asked for: {answer.detail}"
            remedy = "An API that is up and answers so has trouble behind it: `daybreak logs` of its application."
            silent.append(Trouble(service, "down", why, remedy))
    return tuple(found), tuple(silent)


# --- what only Juju knows ---------------------------------------------------------------------


def _rest(
    status: Status, progress: waiting.Progress, told: set[str], *, login: bool
) -> list[Service]:
    """Return the rows of applications that no answer was about."""
    rows: list[Service] = []
    for name, role in _named(status, APIS | PARTS).items():
        if name in told:
            continue
        mine = [unit for unit in progress.units if unit.name.partition("/")[0] == name]
        behind = [unit for unit in mine if not unit.ready]
        ready = len(mine) - len(behind)
        if not mine:
            rows.append(Service(role, name, "down", "scaled to 0 units"))
        elif ready == 0:
            rows.append(Service(role, name, "waiting", behind[0].message))
        elif role in APIS.values():
            why = "not in the catalogue yet" if login else "without a login its URL is not known"
            rows.append(Service(role, name, "waiting" if login else "unknown", why))
        else:
            said = sorted({unit.message for unit in mine if unit.ready and unit.message})
            detail = ", ".join([f"{ready} of {len(mine)} units active", *said])
            rows.append(Service(role, name, "up", detail))
    return rows


def as_json(found: Overview) -> dict[str, Any]:
    """Return an overview for programs."""
    import dataclasses

    report = dataclasses.asdict(found) | {"healthy": found.healthy}
    report["agents"] = [
        dataclasses.asdict(agent) | {"state": agent.state} for agent in found.agents
    ]
    return report
