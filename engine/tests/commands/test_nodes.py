"""The commands for nodes, which Juju has not."""

from __future__ import annotations

import json

from .conftest import Cloud


def test_nodes_come_and_go(cloud: Cloud) -> None:
    assert cloud.ok("add-node", "node-1", "role=compute").out == "Added node node-1\n"
    shown = json.loads(cloud.ok("nodes", "--format", "json").out)
    assert shown["node-1"]["labels"] == {"role": "compute"}
    assert cloud.ok("nodes").out.splitlines()[1].split() == ["node-1", "10.0.0.1"]
    assert cloud.ok("remove-node", "node-1").out == "Removed node node-1\n"
    assert cloud("remove-node", "node-1").err == "ERROR node node-1 not found\n"


def test_a_label_needs_a_value(cloud: Cloud) -> None:
    answer = cloud("add-node", "node-1", "role")
    assert answer.code == 2
    assert "labels are written KEY=VALUE" in answer.err
