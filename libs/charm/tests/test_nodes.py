"""What charms run on nodes: labels, shares, and how far DaemonSets are."""

from typing import Any

import pytest

from daybreak_charm.nodes import (
    Component,
    Container,
    HostPath,
    Owner,
    Resources,
    cluster,
    objects,
    shares,
)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a=b", {"a": "b"}),
        ("example.org/a=b, c=", {"example.org/a": "b", "c": ""}),
        ("a", None),
        ("", None),
        ("=b", None),
    ],
)
def test_labels(text: str, labels: dict[str, str] | None) -> None:
    assert cluster.labels(text) == labels


@pytest.mark.parametrize("share", ["nfs.example.org:/export/v", "192.0.2.1:/", "[2001:db8::1]:/v"])
def test_shares_of_a_server(share: str) -> None:
    assert shares.fault(share) is None


@pytest.mark.parametrize("share", ["/export", "nfs:export", "nfs:/a'b", "no server:/a", "local:/a"])
def test_what_is_no_share_of_a_server(share: str) -> None:
    assert shares.fault(share)


def owner(**scripts: str) -> Owner:
    return Owner("app", "m", {"a": "b"}, scripts, {"/x": HostPath("/y", shared=True)})


def component(update: Any, **files: str) -> Component:
    container = Container("main", "main.sh", ("/x",), ("true",), Resources(50, 64, 512))
    return Component("part", "image", (container,), update, files, joined=False)


def test_a_pod_has_of_its_node_what_it_asks_for() -> None:
    item = objects.daemonset(owner(), component("OnDelete"), "image:1")
    spec = item["spec"]["template"]["spec"]
    assert (spec["hostPID"], spec["hostIPC"], spec["hostNetwork"]) == (False, False, True)
    (container,) = spec["containers"]
    mount = {"name": "x", "mountPath": "/x", "mountPropagation": "Bidirectional"}
    assert mount in container["volumeMounts"]
    assert {"name": "x", "hostPath": {"path": "/y", "type": "DirectoryOrCreate"}} in spec["volumes"]


def test_other_files_and_programs_are_other_pods_unless_those_are_replaced_by_hand() -> None:
    def pod(update: str, files: dict[str, str], programs: dict[str, str]) -> Any:
        item = objects.daemonset(owner(**programs), component(update, **files), "image:1")
        return item["spec"]["template"]["metadata"]

    variants: tuple[Any, ...] = (({}, {}), ({"a": "1"}, {}), ({}, {"main": "2"}))
    rolling = [pod("RollingUpdate", *variant) for variant in variants]
    assert len({str(item) for item in rolling}) == len(variants)
    by_hand = [pod("OnDelete", *variant) for variant in variants]
    assert len({str(item) for item in by_hand}) == 1


@pytest.mark.parametrize(
    ("status", "generation", "why"),
    [
        ({"desiredNumberScheduled": 1, "numberReady": 1, "updatedNumberScheduled": 1}, 0, ""),
        ({"desiredNumberScheduled": 2, "numberReady": 1}, 0, "1 of 2 nodes are ready"),
        ({"desiredNumberScheduled": 1, "numberReady": 1}, 0, "0 of 1 nodes are up to date"),
        ({}, 0, "no node has its labels"),
        ({}, 1, "it has not been looked at yet"),
    ],
)
def test_what_a_daemonset_lacks(status: dict[str, int], generation: int, why: str) -> None:
    item = objects.daemonset(owner(), component("RollingUpdate"), "image:1")
    item["metadata"]["generation"] = generation
    assert objects.lacking({**item, "status": status}) == why


def test_a_daemonset_that_is_not_there() -> None:
    assert objects.lacking({}) == "it is not there yet"
