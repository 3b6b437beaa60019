"""What a unit does while its server is part of no cluster: it says what it has, and begins anew if that is the newest.

Galera itself brings the members together that were there before. What it cannot know is who is the newest after all
have ended cleanly, or whether one that is away will come back: that is decided here, from what all units say in the
peer databags. The leader names the unit (`bootstrap` in the application's databag) for one state of these reports, so
that no two units can begin.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import PurePosixPath

import accounts
import galera
import mariadb
import ops
import proxy
from galera import Newest, Report

from daybreak_charm import RETRY, Blocked, Check, Context, Outcome, Ready, Waiting, containers

logger = logging.getLogger(__name__)

CLUSTER = "cluster"
"""Key in peer databags: UUID of the cluster that the unit's data, or the application's, are part of."""
POSITION = "position"
"""Key in a unit's peer databag while its server is part of no cluster; see `galera.Report`."""
SINCE = "position-since"
"""Key in a unit's peer databag: when it began to be part of none, in seconds since the epoch."""
TICKET = "bootstrap"
"""Key in the application's peer databag: the unit that begins, and the state of the reports for which it may."""
HELD = "held"
"""Key in a unit's peer databag: the ticket for whose unit it keeps its own server from running."""
FULL_KIB = 64 * 1024
PATIENCE = 15
"""Seconds in which Galera itself brings members together that can be."""
ABSENCE = 120
"""Seconds after which a unit that has not spoken is more than late."""
PEBBLE = "http://{host}:{port}/v1/health?names=online"
STATUS_SQL = (
    "SHOW STATUS WHERE Variable_name IN"
    " ('wsrep_cluster_state_uuid', 'wsrep_last_committed', 'wsrep_ready', 'wsrep_connected');"
)


class RefusedError(RuntimeError):
    """A unit that must not begin; the text says why."""


def founder(context: Context) -> bool:
    """Whether this unit makes the first data: the lowest one, when nobody has ever had any."""
    known = {report.cluster for report in reports(context).values()}
    return context.ordinal == 0 and not context.peer_app.get(CLUSTER) and known <= {""}


def units(context: Context) -> list[str]:
    """Names of all planned units."""
    return [f"{context.app}/{n}" for n in range(context.planned)]


def reports(context: Context) -> dict[str, Report]:
    """What the units have said."""
    relation = context.peers
    bags: dict[str, Mapping[str, str]] = {}
    if relation is not None:
        bags = {unit.name: relation.data[unit] for unit in relation.units}
    bags[context.unit] = context.peer_unit
    return {name: Report(bag.get(CLUSTER, ""), bag.get(POSITION, "")) for name, bag in bags.items()}


def gate(context: Context) -> Outcome:
    """Whether the server is part of a cluster, or will be; has it begin one if that is this unit's turn."""
    container = context.container(accounts.CONTAINER)
    if _online(container) or _read(container, galera.USED_PERMIT):
        # Well; or on its way without anybody.
        return Ready()
    position = _position(context, _read(container, galera.POSITION))
    if not position:
        # Not started yet, or ended by somebody.
        return Ready()
    if full := _full(container):
        return full
    now = context.effects.now()
    since = context.peer_unit.get(SINCE) or f"{now:.0f}"
    if context.acting:
        context.put_peer_unit(**{POSITION: position, SINCE: since})
    if not (context.peer_unit.get(CLUSTER) or context.peer_app.get(CLUSTER)):
        # The first unit is about to make one.
        return Ready()
    return _decide(context, container, now - float(since))


def note(context: Context) -> None:
    """Say what the data are part of, now that the server serves."""
    bag = context.peer_unit
    cluster = bag.get(CLUSTER, "")
    if not cluster or bag.get(POSITION):
        cluster = _saved(context.container(accounts.CONTAINER)) or cluster
        context.put_peer_unit(**{CLUSTER: cluster or None, POSITION: None, SINCE: None, HELD: None})
    if context.leader and cluster and context.peer_app.get(CLUSTER) != cluster:
        context.put_peer_app(**{CLUSTER: cluster})
    if context.leader and context.peer_app.get(TICKET):
        context.put_peer_app(**{TICKET: None})


def begin(context: Context, *, confirmed: bool) -> None:
    """Have this unit begin the cluster anew with its own data, by somebody's will.

    Raises:
        RefusedError: It may not, or what may be lost was not confirmed.
    """
    container = context.container(accounts.CONTAINER)
    if serving := [context.unit] if _online(container) else _ready(context):
        raise RefusedError(f"{', '.join(serving)} serves: the others join by themselves")
    said = reports(context)
    mine = said[context.unit].position
    if mine in ("", galera.NONE, galera.PARTIAL):
        raise RefusedError(f"{context.unit} has no complete data to begin with")
    if not confirmed:
        text = galera.losses(context.unit, units(context), said)
        raise RefusedError(f"{text} If that is so: run it again with confirm=true")
    _start(container, f"by hand {mine}")


def _decide(context: Context, container: ops.Container, waited: float) -> Outcome:
    known = reports(context)
    said = {unit: known.get(unit, Report()) for unit in units(context)}
    if others := _ready(context):
        logger.info("%s serve: this unit joins", ", ".join(others))
        _release(context, container)
        if context.acting and _status(context).get("wsrep_connected") == "OFF":
            # It was put out of the cluster, and tries nothing by itself.
            container.pebble.restart_services([accounts.CONTAINER], timeout=0)
        return Ready()
    waiting = Waiting("waits for the other members", RETRY)
    if _read(container, galera.HOLD) != context.peer_app.get(TICKET, ""):
        _release(context, container)
    if waited < PATIENCE:
        return waiting
    decision = galera.newest(units(context), said)
    if not isinstance(decision, Newest):
        if waited < ABSENCE:
            return waiting
        return Blocked(
            f"no unit is part of a cluster, and {decision.why}",
            f"bring it back; if that cannot be, juju run {context.unit} begin-anew says what would be lost",
        )
    ticket = json.dumps({"unit": decision.unit, "state": galera.digest(said)}, sort_keys=True)
    if context.acting and context.leader and context.peer_app.get(TICKET) != ticket:
        context.put_peer_app(**{TICKET: ticket})
    if context.acting and context.peer_app.get(TICKET) == ticket:
        if decision.unit != context.unit:
            _hold(context, container, ticket)
        elif context.peers and all(
            context.peers.data[unit].get(HELD) == ticket for unit in context.peers.units
        ):
            _start(container, ticket)
    return Waiting(f"{decision.unit} has the newest data and begins", RETRY)


def _hold(context: Context, container: ops.Container, ticket: str) -> None:
    """Keep the server from running, and confirm it: what this unit said was true after the ticket, too.

    Servers without data could form a cluster that has none, and go on so for ever.
    """
    if _read(container, galera.HELD) == ticket:
        context.put_peer_unit(**{HELD: ticket})
    elif _read(container, galera.HOLD) != ticket:
        container.push(str(galera.HOLD), ticket)
        container.pebble.restart_services([accounts.CONTAINER], timeout=0)


def _release(context: Context, container: ops.Container) -> None:
    if context.acting and _read(container, galera.HOLD):
        container.remove_path(str(galera.HOLD))


def _start(container: ops.Container, permit: str) -> None:
    """Restart the server with a permission, which is good once."""
    logger.warning("this unit begins the cluster anew")
    container.push(str(galera.PERMIT), permit)
    container.pebble.restart_services([accounts.CONTAINER], timeout=0)


def _read(container: ops.Container, path: PurePosixPath) -> str:
    """Text of a file, "" where there is none."""
    try:
        return containers.read_text(container, str(path)).strip()
    except ops.pebble.PathError:
        return ""


def _saved(container: ops.Container) -> str:
    """UUID of the cluster as the server's data have it."""
    text = _read(container, mariadb.DATA / "grastate.dat")
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    cluster = fields.get("uuid", "").strip()
    return cluster if cluster.strip("0-") else ""


def _online(container: ops.Container) -> bool:
    info = container.get_checks("online").get("online")
    up = ops.pebble.CheckStatus.UP
    return info is not None and info.status is up and not info.failures


def _ready(context: Context) -> list[str]:
    """Other units that serve, asked themselves: what they said may be old."""
    container = context.container(accounts.CONTAINER)
    found: list[str] = []
    for unit in units(context):
        url = PEBBLE.format(host=context.unit_fqdn(unit), port=proxy.PEBBLE_PORT)
        if unit != context.unit and context.effects.probe(Check("member", http=url), container):
            found.append(unit)
    return found


def _position(context: Context, before: str) -> str:
    """How far the data are: a server that runs outside of a cluster has gone on since it started."""
    status = _status(context)
    cluster = status.get("wsrep_cluster_state_uuid", "")
    if cluster.strip("0-") and status.get("wsrep_ready") == "OFF":
        return f"{cluster} {status['wsrep_last_committed']}"
    return before


def _status(context: Context) -> dict[str, str]:
    try:
        text = accounts.run(context, STATUS_SQL)
    except accounts.ServerError:
        return {}
    pairs = (line.partition("\t") for line in text.splitlines())
    return {name: value for name, _, value in pairs}


def _full(container: ops.Container) -> Blocked | None:
    command = ["df", "--output=avail", "-k", str(mariadb.STORAGE)]
    try:
        words = container.exec(command, timeout=5).wait_output()[0].split()
    except (ops.pebble.Error, TimeoutError):
        return None
    if words and words[-1].isdecimal() and int(words[-1]) < FULL_KIB:
        return Blocked(
            "the volume of the data is full", "make it larger; the server goes on itself"
        )
    return None
