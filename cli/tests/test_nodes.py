"""Machines of a MicroK8s cluster, from what kubectl prints of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daybreak import nodes, output
from daybreak.bootstrap import Clock
from daybreak.errors import DaybreakError

from .conftest import Programs

GET = ("microk8s", "kubectl", "get")


def node(name: str, ready: str = "True", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "addresses": [{"type": "InternalIP", "address": f"192.0.2.{len(name)}"}],
            "images": [{"names": ["registry/x:1"]}] if name != "new" else [],
        },
    }


def pod(name: str, where: str) -> dict[str, Any]:
    application = name.rpartition("-")[0]
    labels = {"app.kubernetes.io/name": application}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"nodeName": where}}


def volume(claim: str, where: str) -> dict[str, Any]:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [where]}
    terms = [{"matchExpressions": [expression]}]
    return {
        "metadata": {"name": "pvc-1"},
        "spec": {
            "claimRef": {"namespace": "openstack", "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    }


@pytest.fixture
def cluster(programs: Programs) -> Programs:
    juju_own = {"metadata": {"name": "modeloperator-6c4-x"}, "spec": {"nodeName": "one"}}
    pods = [pod("keystone-0", "one"), pod("keystone-1", "three"), juju_own]
    programs.expect(*GET, "pods", "-n", "openstack", "-o", "json", stdout=items(*pods))
    programs.expect(
        *GET, "persistentvolumes", "-o", "json", stdout=items(volume("data-mariadb-0", "one"))
    )
    return programs


def items(*entries: dict[str, Any]) -> str:
    return json.dumps({"items": list(entries)})


def nodes_are(programs: Programs, *entries: dict[str, Any]) -> None:
    programs.expect(*GET, "nodes", "-o", "json", stdout=items(*entries))


WORKER = {"node.kubernetes.io/microk8s-worker": "microk8s-worker"}


def test_each_machine_is_shown_with_its_units_and_volumes(cluster: Programs):
    nodes_are(cluster, node("three", "False", **WORKER), node("one"))

    one, three = nodes.listed("openstack")

    assert (one.units, one.volumes) == (("keystone/0",), ("openstack/data-mariadb-0",))
    assert (one.ready, one.control, one.address) == (True, True, "192.0.2.3")
    assert (three.units, three.ready, three.control) == (("keystone/1",), False, False)


def test_limits_are_said(cluster: Programs):
    nodes_are(cluster, node("one"), node("two"), node("three"))

    found = nodes.limits(nodes.listed("openstack"))

    assert not any("of 3 machines" in text for text in found)
    assert any("1 volumes are directories of one machine" in text for text in found)
    cluster.known.clear()


def test_two_machines_are_not_highly_available(cluster: Programs):
    nodes_are(cluster, node("one"), node("two"))

    assert "2 of 3 machines" in nodes.limits(nodes.listed("openstack"))[0]


def test_images_that_a_new_machine_lacks(programs: Programs):
    nodes_are(programs, node("one"), node("two"))
    nodes_are(programs, node("one"), node("new"))
    nodes_are(programs, node("one"))

    assert nodes.images_everywhere() == {"registry/x:1"}
    assert nodes.images_everywhere() == frozenset()
    assert nodes.images_everywhere() is None


def test_the_new_machine_is_waited_for(cluster: Programs):
    nodes_are(cluster, node("one"))
    nodes_are(cluster, node("one"))
    nodes_are(cluster, node("one"), node("two", "False"))
    nodes_are(cluster, node("one"), node("two"))
    slept: list[float] = []
    before = nodes.listed("openstack")

    new = nodes.await_new(
        before,
        lambda: nodes.listed("openstack"),
        60,
        Clock(now=lambda: sum(slept), sleep=slept.append),
    )

    assert new.name == "two"
    assert len(slept) == 2


def test_a_machine_that_does_not_come(cluster: Programs):
    nodes_are(cluster, node("one"))
    slept: list[float] = []
    before = nodes.listed("openstack")

    with pytest.raises(DaybreakError, match="no machine has joined after 60 s") as caught:
        nodes.await_new(
            before,
            lambda: nodes.listed("openstack"),
            60,
            Clock(now=lambda: sum(slept), sleep=slept.append),
        )

    assert "daybreak node list" in caught.value.remedy


def test_data_is_not_lost_by_accident(cluster: Programs):
    nodes_are(cluster, node("one"), node("two"))
    one = nodes.listed("openstack")[0]

    with pytest.raises(DaybreakError, match="data-mariadb-0") as caught:
        nodes.remove(one, output.Silent(), 60, lose=False, gone=False)

    assert "--lose-volumes" in caught.value.remedy


DRAIN = (
    *("microk8s", "kubectl", "drain", "one", "--ignore-daemonsets"),
    *("--delete-emptydir-data", "--timeout=60s"),
)


@pytest.mark.parametrize("gone", [False, True])
def test_units_leave_before_their_machine(cluster: Programs, gone: bool):
    nodes_are(cluster, node("one"), node("two"))
    remove = ("microk8s", "remove-node", "one", *(("--force",) if gone else ()))
    cluster.expect(*DRAIN)
    cluster.expect(*remove)
    one = nodes.listed("openstack")[0]

    nodes.remove(one, output.Silent(), 60, lose=True, gone=gone)

    assert cluster.calls[-2:] == ([DRAIN, remove] if not gone else [cluster.calls[-2], remove])
    assert (DRAIN in cluster.calls) is not gone


def test_a_microk8s_that_does_not_answer(programs: Programs):
    programs.expect(*GET, "pods", "-n", "openstack", "-o", "json", code=1, stderr="refused\n")

    with pytest.raises(DaybreakError, match="MicroK8s does not answer"):
        nodes.listed("openstack")
