"""DaemonSets through lightkube, as a charm uses it: real pods on nodes with namespaces of their own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightkube
import pytest
from lightkube.codecs import from_dict
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.resources.apps_v1 import DaemonSet
from lightkube.resources.core_v1 import Node, Pod, Secret

from . import charm
from .conftest import Engine

pytestmark = pytest.mark.pods

LOOP = "trap 'exit 0' TERM; while :; do sleep 0.2; done"
# Out of the groups of its container, as a charm does it with what has to outlive that.
ESCAPE = """
for group in /sys/fs/cgroup/*/; do
    mkdir -p $group/outside
    case $group in */cpuset/)
        cat $group/cpuset.cpus > $group/outside/cpuset.cpus
        cat $group/cpuset.mems > $group/outside/cpuset.mems ;;
    esac
    echo $$ > $group/outside/cgroup.procs
done
setsid sleep 86400 > /dev/null 2>&1 < /dev/null &
echo $! > /host/outside
"""


def daemonset(name: str, command: str, **spec: Any) -> Any:
    """A DaemonSet with one privileged container and a folder of its node."""
    labels = {"app.kubernetes.io/name": name}
    container = {
        "name": "main",
        "image": charm.IMAGE,
        "command": ["/bin/sh", "-c", command],
        "securityContext": {"privileged": True},
        "env": [
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "volumeMounts": [
            {"name": "host", "mountPath": "/host", "mountPropagation": "Bidirectional"}
        ],
        **spec.pop("container", {}),
    }
    return from_dict(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": "m"},
            "spec": {
                "selector": {"matchLabels": labels},
                "updateStrategy": {"type": spec.pop("strategy", "RollingUpdate")},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "hostNetwork": True,
                        "hostPID": True,
                        "hostIPC": True,
                        "terminationGracePeriodSeconds": 5,
                        "containers": [container],
                        "volumes": [
                            {
                                "name": "host",
                                "hostPath": {
                                    "path": "/var/lib/tested",
                                    "type": "DirectoryOrCreate",
                                },
                            },
                            *spec.pop("volumes", []),
                        ],
                        **spec,
                    },
                },
            },
        }
    )


class Site:
    """An engine, and the Kubernetes API as one of its charms sees it."""

    def __init__(self, engine: Engine, kube: Any) -> None:
        self.engine = engine
        self.kube = kube
        self.state = Path("/var/lib/daybreak") / engine.name

    def tree(self, node: str) -> Path:
        return self.state / "nodes" / node

    def pods(self, name: str) -> list[Any]:
        found: list[Any] = list(self.kube.list(Pod, labels={"app.kubernetes.io/name": name}))
        return sorted(found, key=lambda pod: pod.spec.nodeName)

    def settle(self, name: str, count: int = 1) -> list[Any]:
        """Wait until a DaemonSet has so many pods, all of them new and ready."""

        def settled() -> bool:
            status: Any = self.kube.get(DaemonSet, name).status
            return (
                status.desiredNumberScheduled == count
                and status.numberReady == count
                and status.updatedNumberScheduled == count
                and status.numberMisscheduled == 0
                and len(self.pods(name)) == count
            )

        wait(settled)
        return self.pods(name)

    def pid(self, pod: Any, container: str = "main") -> int:
        return self.engine.pod(pod.metadata.name, container)


def wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def leftovers(name: str) -> list[str]:
    """What of an instance the machine still has."""
    commands = (("ip", "netns", "list"), ("ip", "-o", "link"), ("ps", "-ewwo", "args"))
    seen = [
        line for argv in commands for line in subprocess.check_output(argv, text=True).splitlines()
    ]
    seen += Path("/proc/self/mountinfo").read_text().splitlines()
    marks = (f"db-{name}", f"daybreak/{name}", f"daybreak-{name}")
    found = [line for line in seen if any(mark in line for mark in marks)]
    groups = [*Path("/sys/fs/cgroup").glob(f"daybreak-{name}*")]
    groups += Path("/sys/fs/cgroup").glob(f"*/daybreak-{name}*")
    return found + [str(group) for group in groups]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An instance of its own with one trusted application; nothing of it may stay."""
    name = f"nodes-{os.getpid() % 10000}"
    patch = pytest.MonkeyPatch()
    patch.setenv("DAYBREAK_INSTANCE", name)
    patch.delenv("OPERATOR_DISPATCH", raising=False)
    engine = Engine(name, tmp_path_factory.mktemp("charms"))
    try:
        engine.juju.cli("add-model", "m", include_model=False)
        engine.deploy("a", trust=True)
        engine.settle("a")
        kube = client(engine)
        yield Site(engine, kube)
        kube.close()
    finally:
        engine.run("remove")
        patch.undo()
    assert leftovers(name) == []


def client(engine: Engine) -> lightkube.Client:
    """lightkube with the service account of a/0."""
    account = Path("/var/lib/daybreak") / engine.name / "pods/a-0/serviceaccount"
    environment = engine.juju.exec("env", unit="a/0").stdout.splitlines()
    host = dict(line.split("=", 1) for line in environment)["KUBERNETES_SERVICE_HOST"]
    cluster = {"server": f"https://{host}", "certificate-authority": str(account / "ca.crt")}
    config = KubeConfig.from_dict(
        {
            "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "m"}}],
            "users": [{"name": "u", "user": {"token": (account / "token").read_text()}}],
            "current-context": "c",
        }
    )
    return lightkube.Client(config=config, field_manager="a", trust_env=False)


@pytest.fixture
def emptied(site: Site) -> Iterator[Site]:
    """The site; without DaemonSets after the test."""
    yield site
    for item in list(site.kube.list(DaemonSet)):
        site.kube.delete(DaemonSet, item.metadata.name)
    wait(lambda: len(list(site.kube.list(Pod))) == 1)


def test_a_pod_has_the_nodes_namespaces_and_paths_and_is_restarted(emptied: Site) -> None:
    init = {
        "name": "prepare",
        "image": charm.IMAGE,
        "command": ["/bin/sh", "-c", "echo prepared >> /host/init"],
        "volumeMounts": [{"name": "host", "mountPath": "/host"}],
    }
    say = "echo $NODE $ADDRESS $(hostname) > /host/said; cat /secret/word > /host/word; "
    emptied.kube.create(Secret.from_dict({"metadata": {"name": "s"}, "stringData": {"word": "x"}}))
    wanted = daemonset(
        "first",
        say + LOOP,
        initContainers=[init],
        volumes=[{"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o600}}],
        container={
            "volumeMounts": [
                {"name": "host", "mountPath": "/host"},
                {"name": "secret", "mountPath": "/secret", "readOnly": True},
            ],
            "readinessProbe": {
                "exec": {"command": ["test", "-e", "/host/said"]},
                "periodSeconds": 1,
            },
        },
    )
    emptied.kube.apply(wanted)
    (pod,) = emptied.settle("first")
    folder = emptied.tree("node-0") / "var/lib/tested"
    (node,) = emptied.kube.list(Node)
    address = node.status.addresses[0].address
    assert (folder / "said").read_text().split() == ["node-0", address, "node-0"]
    assert pod.status.podIP == address
    pid = emptied.pid(pod)
    own = Path("/proc/self/ns")
    for namespace in ("net", "pid", "ipc", "uts", "cgroup"):
        assert Path(f"/proc/{pid}/ns/{namespace}").readlink() != (own / namespace).readlink()

    os.kill(pid, 9)
    wait(lambda: emptied.pods("first")[0].status.containerStatuses[0].restartCount == 1)
    emptied.settle("first")
    assert (folder / "init").read_text() == "prepared\n"

    emptied.kube.apply(
        Secret.from_dict(
            {"metadata": {"name": "s", "namespace": "m"}, "stringData": {"word": "changed"}}
        )
    )
    shared = emptied.state / "pods" / pod.metadata.name / "volumes/secret"
    wait(lambda: (shared / "word").read_text() == "changed")
    assert (shared / "word").stat().st_mode & 0o777 == 0o600


def test_updates_wait_for_a_hand_or_roll(emptied: Site) -> None:
    def image_of(name: str) -> str:
        return Path(f"/proc/{emptied.pid(emptied.pods(name)[0])}/cmdline").read_text()

    emptied.kube.apply(daemonset("hand", f": one; {LOOP}", strategy="OnDelete"))
    emptied.kube.apply(daemonset("rolls", f": one; {LOOP}"))
    emptied.settle("hand")
    emptied.settle("rolls")
    emptied.kube.apply(daemonset("hand", f": two; {LOOP}", strategy="OnDelete"))
    emptied.kube.apply(daemonset("rolls", f": two; {LOOP}"))
    emptied.settle("rolls")
    assert ": two" in image_of("rolls")
    status: Any = emptied.kube.get(DaemonSet, "hand").status
    assert (status.numberReady, status.updatedNumberScheduled) == (1, 0)
    # A container that is restarted stays as it was.
    os.kill(emptied.pid(emptied.pods("hand")[0]), 9)

    def restarted() -> bool:
        (container,) = emptied.pods("hand")[0].status.containerStatuses
        return container.restartCount == 1 and container.ready

    wait(restarted)
    assert ": one" in image_of("hand")
    emptied.kube.delete(Pod, emptied.pods("hand")[0].metadata.name)
    emptied.settle("hand")
    assert ": two" in image_of("hand")


def test_what_leaves_its_container_outlives_it_but_not_its_node(emptied: Site) -> None:
    run = emptied.engine.juju.cli
    run("add-node", "extra", "role=lives")
    emptied.kube.apply(daemonset("lives", ESCAPE + LOOP, nodeSelector={"role": "lives"}))
    (pod,) = emptied.settle("lives")
    assert pod.spec.nodeName == "extra"
    # A pod without a probe is ready before its program has done anything.
    noted = emptied.tree("extra") / "var/lib/tested/outside"
    wait(lambda: noted.exists() and noted.read_text().endswith("\n"))
    outside = int(noted.read_text())
    # The node's processes are those of no other node.
    container = emptied.pid(pod)
    inside = Path(f"/proc/{container}/root/proc/{outside}/comm")
    wait(lambda: inside.read_text() == "sleep\n")
    started = Path(f"/proc/{container}/root/proc/{outside}/stat").read_text().split()[21]

    os.kill(container, 9)
    wait(lambda: emptied.pods("lives")[0].status.containerStatuses[0].restartCount == 1)
    (pod,) = emptied.settle("lives")
    emptied.kube.delete(Pod, pod.metadata.name)
    emptied.settle("lives")
    node = emptied.engine.pod("node.extra", "node")
    seen = Path(f"/proc/{node}/root/proc/{outside}/stat").read_text().split()
    assert seen[21] == started

    run("remove-node", "extra")
    assert not emptied.tree("extra").exists()
    assert not Path(f"/proc/{node}").exists()
    emptied.settle("lives", 0)


def test_labels_decide_and_a_node_that_ends_comes_back(emptied: Site) -> None:
    emptied.engine.juju.cli("add-node", "second")
    emptied.kube.apply(
        daemonset(
            "mounts",
            "mkdir -p /host/here; mount -t tmpfs none /host/here; touch /host/here/x; " + LOOP,
            nodeSelector={"role": "compute"},
        )
    )
    assert emptied.settle("mounts", 0) == []
    for node in ("node-0", "second"):
        emptied.kube.patch(Node, node, {"metadata": {"labels": {"role": "compute"}}})
    first, second = emptied.settle("mounts", 2)
    assert [pod.spec.nodeName for pod in (first, second)] == ["node-0", "second"]
    seen = emptied.tree("second") / "var/lib/tested/here/x"
    wait(seen.exists)
    before = emptied.pid(second)
    os.kill(emptied.engine.pod("node.second", "node"), 9)
    wait(lambda: not Path(f"/proc/{before}").exists())
    emptied.settle("mounts", 2)
    wait(seen.exists)
    emptied.kube.patch(Node, "second", {"metadata": {"labels": {"role": None}}})
    emptied.settle("mounts", 1)
    emptied.engine.juju.cli("remove-node", "second")


def test_what_cannot_run_is_refused_and_what_is_missing_is_said(emptied: Site) -> None:
    apart = daemonset("apart", LOOP, hostNetwork=False)
    with pytest.raises(ApiError) as caught:
        emptied.kube.create(apart)
    assert caught.value.status.code == 422
    assert "hostNetwork: must be true" in str(caught.value.status.message)
    emptied.kube.create(daemonset("lacks", LOOP, container={"image": "localhost/no/such:image"}))

    def state() -> Any:
        pods: list[Any] = emptied.pods("lacks")
        return pods[0].status.containerStatuses[0].state.waiting if pods else None

    wait(lambda: state() is not None and state().reason == "ErrImagePull")
    assert "localhost/no/such:image" in state().message
