"""DaemonSets: what the engine accepts, where pods go and what is said of them; pure functions.

The decisions are those of Kubernetes' controller (`pkg/controller/daemon`). A pod runs in the
network of its node, so one that asks for a network of its own is refused.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

from ..errors import InvalidError
from ..instance import short_hash
from ..substrate.part import part, parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .backend import Object

REVISION_LABEL = "controller-revision-hash"
# Added by the controller: what each node has by itself.
HOSTNAME_LABEL = "kubernetes.io/hostname"

# fmt: off
_POD_FIELDS = frozenset({
    "containers", "initContainers", "volumes", "nodeSelector", "hostNetwork", "hostPID", "hostIPC",
    "dnsPolicy", "terminationGracePeriodSeconds", "restartPolicy", "securityContext",
    # Without meaning here: there are no taints, priorities, registries or accounts for pods.
    "tolerations", "priorityClassName", "schedulerName", "imagePullSecrets", "serviceAccountName",
    "serviceAccount", "automountServiceAccountToken", "enableServiceLinks",
})
_CONTAINER_FIELDS = frozenset({
    "name", "image", "command", "args", "workingDir", "env", "resources", "volumeMounts",
    "livenessProbe", "readinessProbe", "startupProbe", "securityContext", "ports",
    "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy",
})
_SECURITY_FIELDS = frozenset({
    "privileged", "capabilities", "runAsUser", "runAsGroup", "allowPrivilegeEscalation",
})
# fmt: on
_VOLUME_KINDS = frozenset({"hostPath", "secret", "configMap", "emptyDir"})
_HOST_PATH_TYPES = frozenset(
    {"", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice"}
)
_PROPAGATIONS = frozenset({"None", "HostToContainer", "Bidirectional"})
FIELD_REFERENCES = frozenset(
    {
        "spec.nodeName",
        "status.hostIP",
        "status.podIP",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
    }
)


def completed(body: Object) -> Object:
    """Return a DaemonSet with its defaults filled in.

    Raises:
        InvalidError: Something is missing, or is not run by the engine; says what and where.
    """
    result = copy.deepcopy(body)
    spec = _mapping(result, "spec", "")
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] not in ("RollingUpdate", "OnDelete"):
        raise _refused("spec.updateStrategy.type", "must be RollingUpdate or OnDelete")
    template = _mapping(spec, "template", "spec")
    labels = part(template, "metadata", "labels")
    wanted = part(spec, "selector", "matchLabels")
    if not wanted or any(labels.get(key) != value for key, value in wanted.items()):
        raise _refused("spec.selector", "must match the labels of the template")
    _check_pod(_mapping(template, "spec", "spec.template"))
    return result


def _check_pod(spec: Object) -> None:
    where = "spec.template.spec"
    _only(spec, _POD_FIELDS, where)
    if not spec.get("hostNetwork"):
        raise _refused(f"{where}.hostNetwork", "must be true: a pod has the network of its node")
    if spec.get("restartPolicy", "Always") != "Always":
        raise _refused(f"{where}.restartPolicy", "must be Always")
    _only(part(spec, "securityContext"), _SECURITY_FIELDS, f"{where}.securityContext")
    volumes = {_check_volume(volume, where) for volume in parts(spec, "volumes")}
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for container in parts(spec, field):
            name = str(container.get("name", ""))
            place = f"{where}.{field}[{name}]"
            if not name or not container.get("image") or name in names:
                raise _refused(place, "needs an image and a name of its own")
            names.add(name)
            _check_container(container, volumes, place)
    if not spec.get("containers"):
        raise _refused(f"{where}.containers", "Required value")


def _check_container(container: Object, volumes: set[str], where: str) -> None:
    _only(container, _CONTAINER_FIELDS, where)
    _only(part(container, "securityContext"), _SECURITY_FIELDS, f"{where}.securityContext")
    for mount in parts(container, "volumeMounts"):
        if mount.get("name") not in volumes or not str(mount.get("mountPath", "")).startswith("/"):
            raise _refused(f"{where}.volumeMounts", f"{mount.get('name')!r} is no mounted volume")
        if ".." in str(mount.get("subPath", "")).split("/"):
            raise _refused(f"{where}.volumeMounts", "subPath must not leave its volume")
        if mount.get("mountPropagation", "None") not in _PROPAGATIONS:
            raise _refused(f"{where}.volumeMounts", "unknown mountPropagation")
    for variable in parts(container, "env"):
        source = part(variable, "valueFrom")
        path = part(source, "fieldRef").get("fieldPath", "")
        if source and path not in FIELD_REFERENCES:
            allowed = ", ".join(sorted(FIELD_REFERENCES))
            raise _refused(f"{where}.env[{variable.get('name')}]", f"can only name {allowed}")


def _check_volume(volume: Object, where: str) -> str:
    name = str(volume.get("name", ""))
    kinds = set(volume) - {"name"}
    if not name or len(kinds) != 1 or not kinds <= _VOLUME_KINDS:
        known = ", ".join(sorted(_VOLUME_KINDS))
        raise _refused(f"{where}.volumes[{name}]", f"needs a name and one of {known}")
    host = volume.get("hostPath")
    if host is not None:
        path = str(host.get("path", ""))
        if not path.startswith("/") or ".." in path.split("/"):
            raise _refused(f"{where}.volumes[{name}]", "needs an absolute path without `..`")
        if host.get("type", "") not in _HOST_PATH_TYPES:
            raise _refused(f"{where}.volumes[{name}]", f"unknown type {host['type']!r}")
    return name


def revision(daemonset: Object) -> str:
    """Return the name of a DaemonSet's template: the same for the same text."""
    template = json.dumps(daemonset["spec"]["template"], sort_keys=True)
    return short_hash(template, length=10)


def fits(node: Object, daemonset: Object) -> bool:
    """Tell whether a DaemonSet has a pod on a node; one that is cordoned has it too."""
    labels = part(node, "metadata", "labels")
    selector = part(daemonset, "spec", "template", "spec", "nodeSelector")
    return all(labels.get(key) == value for key, value in selector.items())


def pod_name(daemonset: str, node: str) -> str:
    """Return the name of a DaemonSet's pod on a node; never that of a unit's."""
    letters = short_hash(daemonset, node, length=10).translate(
        str.maketrans("0123456789", "ghijkmnpqr")
    )
    return f"{daemonset}-{letters[:5]}"


def pod(daemonset: Object, node: Object, *, created: str, uid: str) -> Object:
    """Return the pod that a DaemonSet's present template makes on a node."""
    template: Object = copy.deepcopy(daemonset["spec"]["template"])
    own = part(template, "metadata")
    metadata, on = daemonset["metadata"], node["metadata"]["name"]
    return {
        "metadata": {
            "name": pod_name(metadata["name"], on),
            "namespace": metadata["namespace"],
            "uid": uid,
            "creationTimestamp": created,
            "labels": {**part(own, "labels"), REVISION_LABEL: revision(daemonset)},
            "annotations": part(own, "annotations"),
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {**template["spec"], "nodeName": on},
    }


def owner(item: Object) -> tuple[str, str]:
    """Return name and uid of the DaemonSet that a pod belongs to."""
    reference = item["metadata"]["ownerReferences"][0]
    return reference["name"], reference["uid"]


def address(node: Object) -> str:
    """Return a node's own address."""
    for entry in node["status"]["addresses"]:
        if entry["type"] == "InternalIP":
            return str(entry["address"])
    raise AssertionError("a node always has an address")


def node(name: str, address: str, *, created: str, uid: str, machine: str) -> Object:
    """Return a Node.

    Args:
        name: Its name, and its host name.
        address: Its own address.
        created: RFC 3339 time.
        uid: Its uid.
        machine: Architecture as in labels (``amd64``).
    """
    return {
        "metadata": {
            "name": name,
            "uid": uid,
            "creationTimestamp": created,
            "labels": {
                HOSTNAME_LABEL: name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": machine,
            },
            "annotations": {},
        },
        "spec": {},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": name},
            ],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


def is_ready(item: Object) -> bool:
    """Tell whether a pod's condition says that it is ready."""
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in item["status"]["conditions"]
    )


def next_update(daemonset: Object, pods: Sequence[Object]) -> str | None:
    """Return the pod that a rolling update ends now, None when it waits or is done.

    At most one is away at a time. One that has the old template and is away already goes first.

    Args:
        daemonset: Whose.
        pods: Its pods, as the API shows them.
    """
    if daemonset["spec"]["updateStrategy"]["type"] == "OnDelete":
        return None
    newest = revision(daemonset)
    if any("deletionTimestamp" in item["metadata"] for item in pods):
        return None
    old = [item for item in pods if item["metadata"]["labels"].get(REVISION_LABEL) != newest]
    away = [item for item in pods if not is_ready(item)]
    for item in (*(item for item in old if item in away), *(() if away else old)):
        return str(item["metadata"]["name"])
    return None


def status(daemonset: Object, nodes: Sequence[Object], pods: Sequence[Object]) -> Object:
    """Return the status of a DaemonSet.

    Args:
        daemonset: Whose.
        nodes: All nodes.
        pods: Its pods, as the API shows them.
    """
    wanted = {item["metadata"]["name"] for item in nodes if fits(item, daemonset)}
    placed = [item for item in pods if item["spec"]["nodeName"] in wanted]
    ready = sum(1 for item in placed if is_ready(item))
    newest = revision(daemonset)
    return {
        "desiredNumberScheduled": len(wanted),
        "currentNumberScheduled": len(placed),
        "numberMisscheduled": len(pods) - len(placed),
        "numberReady": ready,
        "numberAvailable": ready,
        "numberUnavailable": len(wanted) - ready,
        "updatedNumberScheduled": sum(
            1 for item in placed if item["metadata"]["labels"].get(REVISION_LABEL) == newest
        ),
        "observedGeneration": daemonset["metadata"].get("generation", 1),
    }


def _mapping(item: Object, key: str, where: str) -> Object:
    value = item.get(key)
    if not isinstance(value, dict):
        raise _refused(f"{where}.{key}".lstrip("."), "Required value")
    return value  # pyright: ignore[reportUnknownVariableType] # JSON


def _only(item: Object, known: frozenset[str], where: str) -> None:
    for key in sorted(set(item) - known):
        raise _refused(f"{where}.{key}", "is not offered by Daybreak's embedded engine")


def _refused(where: str, why: str) -> InvalidError:
    return InvalidError(f"DaemonSet is invalid: {where}: {why}")
