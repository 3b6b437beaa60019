"""An instance of the engine, the Kubernetes API as a trusted charm sees it, and a node to look into."""

from __future__ import annotations

import json
import os
import runpy
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jubilant

from daybreak_charm.nodes import Component, Owner, objects

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
sys.path[:0] = [str(ROOT / "charms/hypervisor-k8s/src")]

import components  # noqa: E402  # the charm's

# A charm that is there, for its service account; its module has a name that others have, too.
tracer: Any = runpy.run_path(str(ROOT / "engine/tests/engine/charm.py"))

PATHS = {
    "ConfigMap": "/api/v1/namespaces/m/configmaps",
    "Secret": "/api/v1/namespaces/m/secrets",
    "DaemonSet": "/apis/apps/v1/namespaces/m/daemonsets",
}


def wait(condition: Callable[[], object], seconds: float = 120, what: str = "") -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what or "it did not happen in time"
        time.sleep(0.2)


class Node:
    """The node node-0 of an engine, with the objects of a hypervisor charm on it.

    Args:
        name: Of the instance.
        directory: For files.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.state = Path("/var/lib/daybreak") / name
        self.tree = self.state / "nodes/node-0"
        labels = {objects.HOSTNAME: "node-0"}
        self.owner = Owner("hv", "m", labels, components.SCRIPTS, components.HOST_PATHS)
        self._juju = jubilant.Juju(model="m", cli_binary=str(BIN / "juju"), wait_timeout=120)
        self._directory = directory

    def start(self) -> None:
        """Make the instance."""
        self._juju.cli("add-model", "m", include_model=False)
        archive = tracer["pack"](self._directory)
        self._juju.deploy(str(archive), "a", trust=True, resources={"main-image": tracer["IMAGE"]})
        self._juju.wait(lambda status: jubilant.all_active(status, "a"), delay=0.5)

    def remove(self) -> None:
        """Remove it with all that runs on its node."""
        subprocess.run([BIN / "daybreak-engine", "remove"], check=True, capture_output=True)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API as the application does."""
        account = self.state / "pods/a-0/serviceaccount"
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        network = json.loads((self.state / "network.json").read_text())["subnet"]
        host = network.rpartition(".")[0] + ".1"
        request = urllib.request.Request(
            f"https://{host}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {(account / 'token').read_text()}",
                "Content-Type": kind,
            },
        )
        tls = ssl.create_default_context(cafile=str(account / "ca.crt"))
        with urllib.request.urlopen(request, context=tls) as answer:
            return json.load(answer)

    def apply(self, component: Component, image: str) -> None:
        """Apply a component and wait until its pods are ready."""
        wanted = (
            objects.programs(self.owner),
            objects.secret(self.owner, component),
            objects.daemonset(self.owner, component, image),
        )
        for item in wanted:
            path = f"{PATHS[item['kind']]}/{item['metadata']['name']}?fieldManager=t&force=true"
            self.api("PATCH", path, item)
        self.settle(component.name)

    def settle(self, component: str) -> None:
        """Wait until the pods of a component are ready."""
        path = f"{PATHS['DaemonSet']}/hv-{component}"
        wait(lambda: not objects.lacking(self.api("GET", path)), what=f"{component} is not ready")

    def pods(self) -> list[Any]:
        """The pods of all components."""
        items = self.api("GET", "/api/v1/namespaces/m/pods")["items"]
        return [item for item in items if "ownerReferences" in item["metadata"]]

    def delete(self, pod: str) -> None:
        """Delete a pod; the next one follows."""
        self.api("DELETE", f"/api/v1/namespaces/m/pods/{pod}")

    def containers(self) -> list[tuple[str, str, int]]:
        """Pod, container and process 1 of everything that runs on the node."""
        found: list[tuple[str, str, int]] = []
        for pod in self.pods():
            for status in pod["status"]["containerStatuses"]:
                name = pod["metadata"]["name"]
                pid = self.pid(name, status["name"])
                if pid:
                    found.append((name, status["name"], pid))
        return found

    def pid(self, pod: str, container: str) -> int:
        """Process 1 of a container, as this machine sees it; 0 while there is none."""
        called = self._called(pod, container)
        return int(self._podman("inspect", "--format={{.State.Pid}}", called, check=False) or 0)

    def inside(self, container: str, *argv: str, check: bool = True) -> str:
        """Run a program in a container, in whatever pod it is now."""
        pod = next(name for name, found, _ in self.containers() if found == container)
        return self._podman("exec", self._called(pod, container), *argv, check=check)

    def process(self, name: str) -> tuple[int, str]:
        """Number and start of the oldest process of a name, as the node sees it."""
        init = self.pid("node.node-0", "node")
        own = Path(f"/proc/{init}/ns/pid").readlink()
        found: list[tuple[int, int, str]] = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "ns/pid").readlink() == own:
                    stat = (entry / "stat").read_text()
                    words = stat.rpartition(")")[2].split()
                    comm = stat[stat.index("(") + 1 : stat.rindex(")")]
                    if comm == name[:15] and words[0] != "Z":
                        found.append((int(words[19]), int(entry.name), words[19]))
            except OSError:
                continue
        assert found, f"{name} does not run"
        _, pid, began = min(found)
        return pid, began

    def _called(self, pod: str, container: str) -> str:
        return f"db-{self.name}-{pod}-{container}"

    def _podman(self, *argv: str, check: bool = True) -> str:
        cache = Path(os.environ.get("DAYBREAK_CACHE") or "/var/cache/daybreak")
        conf = cache / "podman-conf"
        environment = {
            **os.environ,
            "CONTAINERS_CONF": str(conf / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(conf / "storage.conf"),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }
        done = subprocess.run(
            ["podman", *argv], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, f"{argv}: {done.stderr}"
        return done.stdout


def bootable(code: Sequence[int]) -> bytes:
    """A disk of one sector that runs this code."""
    return bytes(code).ljust(510, b"\0") + b"\x55\xaa"
