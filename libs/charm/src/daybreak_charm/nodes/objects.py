"""Kubernetes objects of what runs on nodes: programs, containers, and what of the node they get; pure."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Object = dict[str, Any]

PROGRAMS = "/opt/daybreak"
FILES = "/etc/daybreak"
HOSTNAME = "kubernetes.io/hostname"
"""Label that every node has, with another value on each."""
NAME = "app.kubernetes.io/name"
"""Label of every object and pod: the application's name and the component's."""
HASH = "daybreak/hash"
"""Annotation of an object: of what it was applied as; of a pod: of the files that it was started with."""
_WORD = re.compile(r"[A-Za-z0-9_.:,/ \[\]-]*")


def scripts(folder: Path) -> dict[str, str]:
    """Read the programs of a folder, by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


def shell(**values: str) -> str:
    """Return a file that a shell reads as variables.

    Raises:
        ValueError: A value holds what a shell would take for more than a word.
    """
    for name, value in values.items():
        if not _WORD.fullmatch(value):
            raise ValueError(f"{name} cannot be {value!r}")
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


@dataclass(frozen=True)
class HostPath:
    """A folder of the node.

    Attributes:
        path: On the node.
        shared: Whether what is mounted below is seen by all, containers and node alike.
        made: Whether it is made when it is missing.
    """

    path: str
    shared: bool = False
    made: bool = True


@dataclass(frozen=True)
class Resources:
    """What a container takes of its node.

    Attributes:
        cpu: Thousandths of a processor that it gets when others want them, too. It may take more: a limit would slow
            it down on an idle node.
        memory_mb: Memory that the node keeps for it.
        limit_mb: The most memory that its processes may have; None where these leave its control group, which no
            limit reaches.
    """

    cpu: int
    memory_mb: int
    limit_mb: int | None = None


@dataclass(frozen=True)
class Container:
    """A container of a component; all run as root with all rights, because they manage the node.

    Attributes:
        name: Its name.
        script: What it runs, one of its owner's programs.
        paths: What it sees of the node.
        ready: Command that exits with 0 when it does its work.
        resources: What it takes of its node.
        period: Seconds between two of these.
    """

    name: str
    script: str
    paths: tuple[str, ...]
    ready: tuple[str, ...]
    resources: Resources
    period: int = 10


@dataclass(frozen=True)
class Component:
    """A DaemonSet.

    Attributes:
        name: Its name behind that of the application.
        image: Name of the resource with its image.
        containers: Its containers.
        update: `OnDelete` for what nobody replaces without a decision; a `RollingUpdate` replaces the pods one node
            after the other when image, description or files change.
        files: Files of `FILES`; secrets among them.
        joined: Whether its containers are among the node's own processes and share its memory with them.
    """

    name: str
    image: str
    containers: tuple[Container, ...]
    update: Literal["OnDelete", "RollingUpdate"]
    files: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    joined: bool = True


@dataclass(frozen=True)
class Owner:
    """Whose objects they are.

    Attributes:
        app: Name of the application.
        model: Its namespace.
        selector: Labels of the nodes that it runs on.
        scripts: Programs that run on nodes, in whatever image, by name.
        host_paths: What containers may see of their node, by the path at which they see it.
    """

    app: str
    model: str
    selector: Mapping[str, str]
    scripts: Mapping[str, str] = field(repr=False)
    host_paths: Mapping[str, HostPath] = field(repr=False)


def digest(value: object) -> str:
    """Return a hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _stamped(item: Object) -> Object:
    """Return an object that says what it was applied as."""
    annotations = {**item["metadata"].get("annotations", {}), HASH: digest(item)}
    return {**item, "metadata": {**item["metadata"], "annotations": annotations}}


def _named(owner: Owner, name: str) -> Object:
    labels = {
        NAME: f"{owner.app}-{name}",
        "app.kubernetes.io/part-of": owner.app,
    }
    return {"name": f"{owner.app}-{name}", "namespace": owner.model, "labels": labels}


def programs(owner: Owner) -> Object:
    """Return the ConfigMap with the programs of all components."""
    return _stamped(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _named(owner, "programs"),
            "data": dict(owner.scripts),
        }
    )


def secret(owner: Owner, component: Component) -> Object:
    """Return the Secret with the files of a component."""
    data = {
        name: base64.b64encode(text.encode()).decode() for name, text in component.files.items()
    }
    return _stamped(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": _named(owner, component.name),
            "type": "Opaque",
            "data": data,
        }
    )


def daemonset(owner: Owner, component: Component, image: str) -> Object:
    """Return the DaemonSet of a component.

    Args:
        owner: Whose.
        component: What.
        image: Reference of its image.
    """
    metadata = _named(owner, component.name)
    labels = {NAME: metadata["name"]}
    paths = sorted({path for item in component.containers for path in item.paths})
    template: Object = {
        "metadata": {"labels": {**metadata["labels"]}},
        "spec": {
            "hostNetwork": True,
            "hostPID": component.joined,
            "hostIPC": component.joined,
            "dnsPolicy": "ClusterFirstWithHostNet",
            "nodeSelector": dict(owner.selector),
            # A node that is cordoned or under pressure keeps what servers need.
            "tolerations": [{"operator": "Exists"}],
            "priorityClassName": "system-node-critical",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 30,
            "containers": [_container(owner, item, image) for item in component.containers],
            "volumes": [
                _volume(
                    "programs", configMap={"name": f"{owner.app}-programs", "defaultMode": 0o555}
                ),
                _volume("files", secret={"secretName": metadata["name"], "defaultMode": 0o400}),
                *(_volume(_slug(path), hostPath=_host_path(owner, path)) for path in paths),
            ],
        },
    }
    if component.update == "RollingUpdate":
        # These read their files once: other files are other pods.
        restarted = digest([dict(component.files), dict(owner.scripts)])
        template["metadata"]["annotations"] = {HASH: restarted}
    return _stamped(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": labels},
                "updateStrategy": {"type": component.update},
                "template": template,
            },
        }
    )


def _container(owner: Owner, item: Container, image: str) -> Object:
    probe = {"exec": {"command": list(item.ready)}, "timeoutSeconds": 10}
    return {
        "name": item.name,
        "image": image,
        "command": [f"{PROGRAMS}/{item.script}"],
        "securityContext": {"privileged": True, "runAsUser": 0},
        "resources": _resources(item.resources),
        "env": [
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        ],
        "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 150},
        "readinessProbe": {**probe, "periodSeconds": item.period},
        "volumeMounts": [
            {"name": "programs", "mountPath": PROGRAMS, "readOnly": True},
            {"name": "files", "mountPath": FILES, "readOnly": True},
            *(
                {
                    "name": _slug(path),
                    "mountPath": path,
                    "mountPropagation": "Bidirectional"
                    if owner.host_paths[path].shared
                    else "HostToContainer",
                }
                for path in item.paths
            ),
        ],
    }


def _resources(wanted: Resources) -> Object:
    requests = {"cpu": f"{wanted.cpu}m", "memory": f"{wanted.memory_mb}Mi"}
    limits = {"memory": f"{wanted.limit_mb}Mi"} if wanted.limit_mb else {}
    return {"requests": requests, "limits": limits}


def _volume(name: str, **source: object) -> Object:
    return {"name": name, **source}


def _host_path(owner: Owner, path: str) -> Object:
    place = owner.host_paths[path]
    return {"path": place.path, "type": "DirectoryOrCreate" if place.made else "Directory"}


def _slug(path: str) -> str:
    return path.strip("/").replace("/", "-")


# --- what they say ----------------------------------------------------------------------------


def is_applied(present: Object, wanted: Object) -> bool:
    """Tell whether an object is there as it was wanted."""
    annotations: Object = present.get("metadata", {}).get("annotations") or {}
    return annotations.get(HASH) == wanted["metadata"]["annotations"][HASH]


def lacking(present: Object) -> str:
    """Return what a DaemonSet, `{}` for none, still waits for; empty when all its nodes have a pod that is ready.

    One that is replaced by hand alone is content with pods of an older description.
    """
    if not present:
        return "it is not there yet"
    status: Object = present.get("status") or {}
    spec: Object = present["spec"]
    wanted = int(status.get("desiredNumberScheduled", 0))
    ready = int(status.get("numberReady", 0))
    seen = int(status.get("observedGeneration", 0))
    if seen < int(present["metadata"].get("generation", 0)):
        return "it has not been looked at yet"
    if not wanted:
        return "no node has its labels"
    if ready < wanted:
        return f"{ready} of {wanted} nodes are ready"
    updated = int(status.get("updatedNumberScheduled", 0))
    if spec["updateStrategy"]["type"] == "RollingUpdate" and updated < wanted:
        return f"{updated} of {wanted} nodes are up to date"
    return ""


def outdated(present: Object) -> str:
    """Return how many nodes have a pod of an older description than a DaemonSet's; empty when none."""
    status: Object = present["status"]
    wanted, updated = (
        int(status.get(key, 0)) for key in ("desiredNumberScheduled", "updatedNumberScheduled")
    )
    return f"{wanted - updated} of {wanted} nodes have a pod of before" if updated < wanted else ""
