"""The node of this unit: how it is asked and told."""

import base64
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import erlang
import rabbitmq
from ops import pebble

from daybreak_charm import Context, program

logger = logging.getLogger(__name__)

CONTAINER = "rabbitmq"
PROGRAMS = "/usr/lib/rabbitmq/bin"


class BrokerError(RuntimeError):
    """The node did not do it; the text holds nothing of what was said to it."""


@dataclass(frozen=True)
class State:
    """What a node says of itself and its cluster."""

    members: frozenset[str]
    running: frozenset[str]
    """Members that serve."""
    connected: frozenset[str]
    """Nodes that are there, whether they serve or not, this one included."""
    partitioned: bool
    alarms: tuple[tuple[str, str], ...]
    """Resource and node."""
    draining: bool
    handling: str
    """How partitions are taken for now."""
    critical: int
    """Queues and the like that stop if one more node does."""
    replicas: tuple[frozenset[str], ...]
    """Nodes of each replicated queue."""
    accounts: rabbitmq.Inventory


def parse(text: str) -> State:
    """Return the state that the answer to `erlang.STATE` tells.

    Raises:
        BrokerError: the text is no such answer.
    """
    try:
        found: dict[str, Any] = json.loads(text.partition("\n")[0])
        return State(
            members=frozenset(found["members"]),
            running=frozenset(found["running"]),
            connected=frozenset(found["connected"]),
            partitioned=found["partitioned"],
            alarms=tuple((alarm["what"], alarm["node"]) for alarm in found["alarms"]),
            draining=found["draining"],
            handling=found["handling"],
            critical=found["critical"],
            replicas=tuple(frozenset(nodes) for nodes in found["replicas"]),
            accounts=rabbitmq.Inventory(
                users={user["name"]: user["hash"] for user in found["users"]},
                ours=frozenset(u["name"] for u in found["users"] if erlang.TAG in u["tags"]),
                vhosts=frozenset(found["vhosts"]),
                permissions=frozenset(
                    (p["user"], p["vhost"])
                    for p in found["permissions"]
                    if {p["configure"], p["write"], p["read"]} == {".*"}
                ),
            ),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BrokerError("the node's answer has another form than expected") from None


def ask(context: Context) -> State:
    """Return the state of the node.

    Raises:
        BrokerError: it did not answer.
    """
    return parse(tell(context, erlang.STATE))


def tell(
    context: Context,
    text: str,
    data: Mapping[str, Any] | None = None,
    *,
    timeout: float = 60,
) -> str:
    """Run Erlang on the node and return what it printed.

    It goes in over standard input: an argument could be seen in the list of processes.

    Args:
        context: This dispatch.
        text: What to run.
        data: Bound to `Data` in it.
        timeout: Seconds.

    Raises:
        BrokerError: the node did not answer or failed.
    """
    if data is not None:
        coded = base64.b64encode(json.dumps(data).encode()).decode()
        text = f'Data = rabbit_json:decode(base64:decode(<<"{coded}">>)),\n{text}'
    return run(context, "rabbitmqctl", "eval", stdin=text, timeout=timeout)


def run(context: Context, *words: str, stdin: str | None = None, timeout: float = 60) -> str:
    """Run one of RabbitMQ's programs and return what it printed.

    Raises:
        BrokerError: the node did not answer or the program failed.
    """
    layout = context.layout(CONTAINER)
    user = layout.user if layout else "rabbitmq"
    process = context.container(CONTAINER).exec(
        [f"{layout.bin if layout else PROGRAMS}/{words[0]}", *words[1:]],
        stdin=stdin,
        user=user,
        group=user,
        environment={"HOME": str(rabbitmq.HOME)},
        timeout=timeout,
    )
    try:
        return process.wait_output()[0]
    except pebble.ExecError as error:
        # The original may hold what was said to the node: it must not get into a log by a traceback.
        if stdin == erlang.STATE:
            logger.info("the node: %s", program.last_words(str(error.stderr or "").splitlines()))
        raise BrokerError(f"the node refused ({error.exit_code})") from None
    except (pebble.ChangeError, TimeoutError):
        raise BrokerError("the node did not answer in time") from None
