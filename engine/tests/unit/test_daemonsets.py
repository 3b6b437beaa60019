"""What DaemonSets mean: pure decisions, and pods as podman is told of them."""

from __future__ import annotations

import base64
import copy
from pathlib import Path
from typing import Any

import pytest

from daybreak_engine.daemon.daemonpod import pause
from daybreak_engine.errors import InvalidError
from daybreak_engine.instance import Instance
from daybreak_engine.kubernetes import daemonsets
from daybreak_engine.substrate import daemonpod, health, nodes
from daybreak_engine.substrate.addresses import Plan, choose_subnet
from daybreak_engine.substrate.pods import run_arguments

LABELS = {"app": "x"}
BODY: dict[str, Any] = {
    "metadata": {"name": "agents", "namespace": "m", "uid": "u1"},
    "spec": {
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {
                "hostNetwork": True,
                "hostPID": True,
                "dnsPolicy": "ClusterFirstWithHostNet",
                "containers": [
                    {
                        "name": "main",
                        "image": "i",
                        "args": ["serve"],
                        "resources": {"limits": {"memory": "512Mi", "cpu": "250m"}},
                        "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}},
                        "volumeMounts": [
                            {
                                "name": "run",
                                "mountPath": "/run/x",
                                "mountPropagation": "Bidirectional",
                            },
                            {"name": "keys", "mountPath": "/keys", "readOnly": True},
                        ],
                    }
                ],
                "volumes": [
                    {"name": "run", "hostPath": {"path": "/run/x", "type": "DirectoryOrCreate"}},
                    {"name": "keys", "secret": {"secretName": "s", "defaultMode": 0o400}},
                ],
            },
        },
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The DaemonSet with one thing different."""
    body = copy.deepcopy(BODY)
    item: Any = body
    *parents, last = path.split(".")
    for key in parents:
        item = item[int(key)] if isinstance(item, list) else item.setdefault(key, {})
    item[int(last) if isinstance(item, list) else last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec.template.spec.hostNetwork", False, "hostNetwork: must be true"),
        ("spec.template.spec.affinity", {}, "spec.affinity: is not offered"),
        ("spec.template.spec.restartPolicy", "Never", "must be Always"),
        ("spec.template.spec.containers", [], "containers: Required value"),
        ("spec.template.spec.containers.0.lifecycle", {}, "containers[main].lifecycle"),
        ("spec.template.spec.containers.0.image", "", "needs an image"),
        ("spec.template.spec.initContainers", [{"name": "main", "image": "i"}], "of its own"),
        ("spec.template.spec.volumes", [], "'run' is no mounted volume"),
        ("spec.template.spec.volumes.0.hostPath.path", "/a/../b", "without `..`"),
        (
            "spec.template.spec.containers.0.env",
            [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "can only name",
        ),
        ("spec.template.metadata.labels", {"app": "y"}, "must match"),
        ("spec.updateStrategy", {"type": "Recreate"}, "RollingUpdate or OnDelete"),
    ],
)
def test_what_is_not_run_is_refused_with_its_place(path: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        daemonsets.completed(changed(path, value))
    assert words in caught.value.message


def test_defaults_are_filled_in_and_pods_know_their_template() -> None:
    whole = daemonsets.completed(BODY)
    assert whole["spec"]["updateStrategy"] == {"type": "RollingUpdate"}
    node = daemonsets.node("n1", "10.0.0.9", created="t", uid="u2", machine="amd64")
    pod = daemonsets.pod(whole, node, created="t", uid="u3")
    assert pod["metadata"]["labels"][daemonsets.REVISION_LABEL] == daemonsets.revision(whole)
    assert daemonsets.owner(pod) == ("agents", "u1")
    other = daemonsets.pod_name("agents", "n2")
    assert other != pod["metadata"]["name"]
    # A unit's name ends in its number.
    assert not other.rpartition("-")[2].isdigit()


def test_labels_decide_and_a_cordoned_node_keeps_its_pods() -> None:
    node = daemonsets.node("n1", "10.0.0.9", created="t", uid="u", machine="amd64")
    picky = changed("spec.template.spec.nodeSelector", {"role": "compute"})
    assert daemonsets.fits(node, BODY)
    assert not daemonsets.fits(node, picky)
    node["metadata"]["labels"]["role"] = "compute"
    node["spec"]["unschedulable"] = True
    assert daemonsets.fits(node, picky)


def shown(name: str, *, new: bool, ready: bool, leaving: bool = False) -> dict[str, Any]:
    """A pod as the API shows it."""
    revision = daemonsets.revision(BODY) if new else "old"
    metadata: dict[str, Any] = {"name": name, "labels": {daemonsets.REVISION_LABEL: revision}}
    if leaving:
        metadata["deletionTimestamp"] = "t"
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": metadata,
        "spec": {"nodeName": name},
        "status": {"conditions": [condition]},
    }


@pytest.mark.parametrize(
    ("pods", "due"),
    [
        ([shown("a", new=True, ready=True)], None),
        ([shown("a", new=False, ready=True), shown("b", new=False, ready=True)], "a"),
        # one is away: the next waits for it
        ([shown("a", new=True, ready=False), shown("b", new=False, ready=True)], None),
        ([shown("a", new=True, ready=True, leaving=True), shown("b", new=False, ready=True)], None),
        # it is away already, so nothing is lost
        ([shown("a", new=False, ready=True), shown("b", new=False, ready=False)], "b"),
    ],
)
def test_a_rolling_update_takes_one_at_a_time(pods: list[Any], due: str | None) -> None:
    assert daemonsets.next_update(daemonsets.completed(BODY), pods) == due
    by_hand = daemonsets.completed(changed("spec.updateStrategy", {"type": "OnDelete"}))
    assert daemonsets.next_update(by_hand, pods) is None


def test_status_counts() -> None:
    places = [
        daemonsets.node(name, "10.0.0.9", created="t", uid=name, machine="amd64") for name in "ab"
    ]
    pods = [shown("a", new=True, ready=True), shown("gone", new=False, ready=True)]
    status = daemonsets.status(BODY, places, pods)
    assert status["desiredNumberScheduled"] == 2
    assert status["currentNumberScheduled"] == 1
    assert (status["numberReady"], status["numberMisscheduled"]) == (1, 1)


# -- a pod as podman is told of it


def place(root: Path) -> daemonpod.Place:
    plan = Plan(choose_subnet("t", ()))
    return daemonpod.Place(Instance("t", root), plan, "m", "n1", "10.0.0.9", 4711)


def made(root: Path, body: dict[str, Any], **secrets: str) -> Any:
    node = daemonsets.node("n1", "10.0.0.9", created="t", uid="u2", machine="amd64")
    pod = daemonsets.pod(daemonsets.completed(body), node, created="t", uid="u3")
    data = {key: base64.b64encode(value.encode()).decode() for key, value in secrets.items()}

    def content(kind: str, name: str) -> dict[str, Any] | None:
        return {"data": data} if secrets else None

    return pod, daemonpod.spec(pod, place(root), content, field="containers")


def test_a_pod_shares_its_nodes_namespaces_and_files(tmp_path: Path) -> None:
    pod, spec = made(tmp_path, BODY, key="hunter2")
    arguments = run_arguments(Instance("t", tmp_path), spec, spec.containers[0])
    text = " ".join(arguments)
    assert "--pid=ns:/proc/4711/ns/pid" in arguments
    assert "--cgroupns=ns:/proc/4711/ns/cgroup" in arguments
    assert "--ipc" not in text
    assert "--network=ns:/run/netns/db-t.node.n1" in arguments
    assert "--hostname=n1" in arguments
    assert "--cap-add=NET_ADMIN" in arguments
    assert f"--memory={512 * 2**20}" in arguments
    assert "--cpus=0.25" in arguments
    assert arguments[-2:] == ("i", "serve")
    assert not any(argument.startswith("--entrypoint") for argument in arguments)
    tree = nodes.root(Instance("t", tmp_path), "n1")
    assert (
        f"--mount=type=bind,source={tree}/run/x,target=/run/x,bind-propagation=rshared" in arguments
    )
    assert "hunter2" not in text
    daemonpod.write(pod, place(tmp_path), spec.layout)
    written = Instance("t", tmp_path).pod(pod["metadata"]["name"]) / "volumes/keys/key"
    assert written.read_text() == "hunter2"
    assert written.stat().st_mode & 0o777 == 0o400
    _, spec = made(tmp_path, BODY, other="x")
    daemonpod.write(pod, place(tmp_path), spec.layout)
    assert not written.exists()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        made(tmp_path, BODY)
    assert 'secret "s" not found' in caught.value.message
    body = changed(
        "spec.template.spec.volumes.0", {"name": "run", "hostPath": {"path": "/etc/x", "type": ""}}
    )
    pod, _ = made(tmp_path, body, key="k")
    with pytest.raises(InvalidError) as caught:
        daemonpod.prepare_host_paths(pod, place(tmp_path))
    assert "hostPath /etc/x of node n1" in caught.value.message


def test_control_groups_and_network_devices_come_from_namespaces_alone(tmp_path: Path) -> None:
    body = changed(
        "spec.template.spec.volumes.0",
        {"name": "run", "hostPath": {"path": "/sys/fs/cgroup", "type": "Directory"}},
    )
    with pytest.raises(InvalidError) as caught:
        made(tmp_path, body, key="k")
    assert "needs a privileged container" in caught.value.message
    body["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    _, spec = made(tmp_path, body, key="k")
    assert not any("/sys" in mount.target for mount in spec.containers[0].mounts)


@pytest.mark.parametrize(
    ("text", "number"), [("512Mi", 2**29), ("250m", 0.25), ("2", 2), ("1k", 1000)]
)
def test_quantities(text: str, number: float) -> None:
    assert daemonpod.quantity(text) == number


def test_a_quantity_that_is_none() -> None:
    with pytest.raises(InvalidError):
        daemonpod.quantity("much")


def test_probes_count_in_a_row() -> None:
    container = {
        "livenessProbe": {"exec": {"command": ["x"]}, "failureThreshold": 2},
        "readinessProbe": {"httpGet": {"port": 80}, "successThreshold": 2},
    }
    asked = health.questions(container)
    assert asked["readiness"].path == "/"
    tally = health.Tally()
    seen = []
    for good in (False, False, True, False, True, True):
        tally = health.counted(tally, good=good)
        seen.append(
            (health.verdict(asked["liveness"], tally), health.verdict(asked["readiness"], tally))
        )
    assert [alive for alive, _ in seen] == [None, False, True, None, True, True]
    assert [ready for _, ready in seen] == [None, None, None, None, None, True]


def test_a_container_that_ends_again_and_again_waits_longer() -> None:
    assert [pause(count) for count in (1, 2, 3, 4, 20)] == [0.0, 1.0, 2.0, 4.0, 60.0]
