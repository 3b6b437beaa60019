"""Who belongs to the cluster, and where replicas are: each unit's part, and the leader's.

A unit that serves says so in its peer databag (`member`: `yes`). The first unit begins the cluster,
and every other one without data joins those that serve: RabbitMQ's own peer discovery does it before
the node serves anybody, and never gives up. A unit without the data that the cluster may know it by
says `lost`, and the leader takes that node out of the cluster, so that it can join as a new one.
"""

import logging
from collections.abc import Iterable

import broker
import erlang
import rabbitmq

from daybreak_charm import Context, Outcome, Ready, Waiting

logger = logging.getLogger(__name__)

MEMBER = "member"
YES, LOST = "yes", "lost"
PAUSE = "pause_minority"
_BATCH = 50
_ROUNDS = 12


def others(context: Context) -> list[str]:
    """Return the host names of the other units that serve, sorted."""
    relation = context.peers
    if relation is None:
        return []
    names = [unit.name for unit in relation.units if relation.data[unit].get(MEMBER) == YES]
    return sorted(context.unit_fqdn(name) for name in names)


def place(context: Context) -> Outcome:
    """Whether the node may start: with its data, as the first of all, or to join those that serve."""
    container = context.container(broker.CONTAINER)
    if not context.acting or _runs(context):
        return Ready()
    has_data = container.exists(str(rabbitmq.DATA))
    was_member = context.peer_unit.get(MEMBER) == YES
    if has_data and was_member:
        return Ready()
    if was_member:
        context.put_peer_unit(**{MEMBER: LOST})
    if not others(context):
        if context.ordinal == 0:
            return Ready()
        return Waiting("the first unit begins the cluster", "peers-relation-changed")
    if has_data:
        # Of an earlier unit with this name, or of a start that did not become a member.
        logger.info("removing data that belong to no member")
        container.remove_path(str(rabbitmq.DATA), recursive=True)
        context.put_peer_unit(**{MEMBER: LOST})
    return Ready()


def planned(context: Context) -> frozenset[str]:
    """Return the nodes of the units that the application shall have."""
    return frozenset(
        rabbitmq.node(context.unit_fqdn(f"{context.app}/{number}"))
        for number in range(context.planned)
    )


def owed(replicas: Iterable[frozenset[str]], stay: frozenset[str]) -> int:
    """Return how many queues have too few replicas on the nodes that stay, or some elsewhere."""
    target = min(rabbitmq.REPLICAS, len(stay))
    return sum(len(nodes & stay) < target or bool(nodes - stay) for nodes in replicas)


def lost(context: Context, state: broker.State) -> list[str]:
    """Return members that do not run and will not come back as they were.

    One that is just joining, or leaving, does not serve either, but is connected.
    """
    relation = context.peers
    empty = {
        rabbitmq.node(context.unit_fqdn(unit.name))
        for unit in (relation.units if relation else ())
        if relation and relation.data[unit].get(MEMBER) == LOST
    }
    away = state.members - state.running - state.connected
    return sorted(away & empty | away - planned(context))


def tend(context: Context, state: broker.State) -> Outcome:
    """Keep the cluster as it should be (leader only).

    Raises:
        BrokerError: the node did not do it.
    """
    gone = lost(context, state)
    stay = (state.members & planned(context)) - frozenset(gone)
    if owed(state.replicas, stay) and state.running >= stay:
        settled = move(context, stay, rounds=2)
        if not settled:
            return Waiting("queues get their replicas", "retry")
    for node in gone:
        logger.info("forgetting %s", node)
        broker.tell(context, erlang.FORGET, {"node": node})
    if state.handling != PAUSE and state.members <= planned(context):
        handle(context, state.running, PAUSE)
    return Ready()


def move(context: Context, stay: frozenset[str], *, rounds: int) -> bool:
    """Bring all replicas to the nodes that stay; returns whether they are there.

    Raises:
        BrokerError: the node did not answer.
    """
    data = {"stay": sorted(stay), "target": rabbitmq.REPLICAS, "most": _BATCH}
    for _ in range(rounds):
        broker.tell(context, erlang.REPLICAS, data, timeout=300)
        if not owed(broker.ask(context).replicas, stay):
            return True
    return False


def handle(context: Context, nodes: Iterable[str], handling: str) -> None:
    """Have nodes take partitions in another way, until they start again.

    Raises:
        BrokerError: the node did not answer.
    """
    data = {"nodes": sorted(nodes), "handling": handling}
    broker.tell(context, erlang.HANDLING, data)


def leave(context: Context) -> None:
    """Take this unit's node out of the cluster, its replicas first.

    Raises:
        BrokerError: it could not; to be tried again.
    """
    try:
        state = broker.ask(context)
    except broker.BrokerError as error:
        if _runs(context):
            raise
        logger.warning("%s: the leader takes it out of the cluster", error)
        return
    here = rabbitmq.node(context.fqdn)
    stay = state.members & planned(context)
    if not stay & state.running or here not in state.members:
        # Nobody to leave to, or the whole application goes.
        return
    if len(stay) * 2 <= len(state.members):
        # Those who stay would take this for the loss of the majority, and stop.
        handle(context, stay & state.running, "ignore")
    broker.tell(context, erlang.RETREAT)
    if not move(context, stay, rounds=_ROUNDS):
        raise broker.BrokerError(
            "queues still have replicas here: are all units that stay running?"
        )
    broker.run(context, "rabbitmqctl", "stop_app")
    broker.run(context, "rabbitmqctl", "reset")
    # No event follows for those who stay: the last one who leaves undoes it.
    data = {
        "nodes": sorted(stay & state.running),
        "planned": sorted(planned(context)),
        "handling": PAUSE,
    }
    broker.tell(context, erlang.RETURNED, data)
    context.put_peer_unit(**{MEMBER: None})


def _runs(context: Context) -> bool:
    container = context.container(broker.CONTAINER)
    service = container.get_services(broker.CONTAINER).get(broker.CONTAINER)
    return bool(service and service.is_running())
