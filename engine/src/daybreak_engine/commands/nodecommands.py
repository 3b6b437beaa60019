"""The nodes of the cluster that charms see: not a part of Juju, whose clusters have them already."""

from collections.abc import Iterable, Mapping

from .command import Call, Command, format_flag
from .deps import Node, Out, Output
from .failures import UsageError
from .output import table


async def _add(call: Call) -> Iterable[Output]:
    name, *labels = call.args or ("",)
    if not name:
        raise UsageError("no node name given")
    call.model().add_node(name, _labels(labels))
    return [Out(f"Added node {name}\n")]


async def _remove(call: Call) -> Iterable[Output]:
    if len(call.args) != 1:
        raise UsageError("exactly one node name is needed")
    model, name = call.model(), call.args[0]
    model.remove_node(name)

    def gone() -> bool | None:
        return None if any(node.name == name for node in model.nodes()) else True

    await model.wait(gone, None)
    return [Out(f"Removed node {name}\n")]


async def _list(call: Call) -> Iterable[Output]:
    nodes = call.model().nodes()
    if call.parsed.text("format") != "tabular":
        return [call.formatted({node.name: _shown(node) for node in nodes})]
    rows = [(node.name, node.address, " ".join(node.pods)) for node in nodes]
    return [Out(table([("Node", "Address", "Pods"), *rows]))]


def _shown(node: Node) -> Mapping[str, object]:
    return {"address": node.address, "labels": dict(node.labels), "pods": list(node.pods)}


def _labels(words: Iterable[str]) -> Mapping[str, str]:
    pairs = [word.partition("=") for word in words]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise UsageError(f"invalid label {key!r}", remedy="labels are written KEY=VALUE")
    return {key: value for key, _, value in pairs}


COMMANDS = (
    Command(
        "add-node",
        _add,
        "<node> [<label>=<value> ...]",
        "Add a node to the embedded cluster, for the pods of DaemonSets.",
        details="The node is a set of namespaces on this machine. Not a command of Juju.",
    ),
    Command(
        "remove-node",
        _remove,
        "<node>",
        "End a node of the embedded cluster, with everything that runs on it.",
        details="Like pulling a machine's plug: what ran there ends at once. Not a command of Juju.",
    ),
    Command(
        "nodes",
        _list,
        "",
        "List the nodes of the embedded cluster.",
        flags=(format_flag("tabular"),),
        details="Not a command of Juju.",
    ),
)
