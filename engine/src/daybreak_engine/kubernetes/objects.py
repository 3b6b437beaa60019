"""Objects as a Kubernetes under Juju shows them, from plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..instance import short_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .backend import Object

# (name of the port, port, protocol in capitals, port of the pods)
Port = tuple[str, int, str, int]

_NAME_LABEL = "app.kubernetes.io/name"
_MANAGED_LABEL = "app.kubernetes.io/managed-by"
# Juju's Service before any port is open.
PLACEHOLDER: Port = ("placeholder", 65535, "TCP", 65535)


def metadata(
    name: str,
    *,
    namespace: str | None = None,
    version: int = 1,
    created: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """Return the metadata of an object.

    Args:
        name: Its name.
        namespace: Its model; None for a namespace itself.
        version: Grows with every change of the object.
        created: RFC 3339 time.
        labels: Its labels.
        annotations: Its annotations.
    """
    digits = short_hash(namespace or "", name, length=32)
    uid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    result: Object = {
        "name": name,
        "uid": uid,
        "resourceVersion": str(version),
        "generation": version,
        "labels": dict(labels or {}),
        "annotations": dict(annotations or {}),
    }
    if namespace is not None:
        result["namespace"] = namespace
    if created:
        result["creationTimestamp"] = created
    return result


def namespace(model: str, *, model_uuid: str, created: str = "") -> Object:
    """Return the Namespace of a model."""
    labels = {
        _MANAGED_LABEL: "juju",
        "kubernetes.io/metadata.name": model,
        "model.juju.is/id": model_uuid,
        "model.juju.is/name": model,
    }
    return {
        "metadata": metadata(model, created=created, labels=labels),
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def revision(application: str, version: int) -> str:
    """Return the name of a pod template: its `charm-modified-version`, as Kubernetes names one."""
    return f"{application}-{short_hash(application, str(version), length=10)}"


def statefulset(
    application: str,
    model: str,
    *,
    replicas: int,
    ready: int,
    updated: int,
    revisions: tuple[str, str],
    partition: int,
    grace: int,
    containers: Sequence[tuple[str, str]],
    version: int = 1,
    created: str = "",
) -> Object:
    """Return the StatefulSet of an application.

    Args:
        application: Its name.
        model: Namespace.
        replicas: Planned units.
        ready: Units whose pod is ready.
        updated: Units whose pod has the newest template.
        revisions: Names of the template before the roll, and of the newest.
        partition: Ordinals below it are left alone by a rolling update.
        grace: Seconds between SIGTERM and SIGKILL.
        containers: Pairs of name and image, the charm container first.
        version: Grows with every change.
        created: RFC 3339 time.
    """
    labels = {_MANAGED_LABEL: "juju", _NAME_LABEL: application}
    selector = {_NAME_LABEL: application}
    return {
        "metadata": metadata(
            application, namespace=model, version=version, created=created, labels=labels
        ),
        "spec": {
            "podManagementPolicy": "Parallel",
            "replicas": replicas,
            "revisionHistoryLimit": 10,
            "selector": {"matchLabels": selector},
            "serviceName": f"{application}-endpoints",
            "template": {
                "metadata": {"labels": selector},
                "spec": {
                    "containers": [{"name": name, "image": image} for name, image in containers],
                    "restartPolicy": "Always",
                    "serviceAccountName": application,
                    "terminationGracePeriodSeconds": grace,
                },
            },
            "updateStrategy": {
                "rollingUpdate": {"partition": partition},
                "type": "RollingUpdate",
            },
        },
        "status": {
            "replicas": replicas,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": replicas - updated,
            "updatedReplicas": updated,
            "currentRevision": revisions[0],
            "updateRevision": revisions[1],
            "observedGeneration": version,
        },
    }


def service(
    name: str,
    model: str,
    *,
    application: str,
    cluster_ip: str | None,
    ports: Sequence[Port],
    load_balancer: str | None = None,
    version: int = 1,
    created: str = "",
) -> Object:
    """Return a Service in front of an application's pods.

    Args:
        name: Its name.
        model: Namespace.
        application: Whose pods.
        cluster_ip: Its address; None for the headless one, which also names pods that are not
            ready.
        ports: Its ports; none gives Juju's placeholder.
        load_balancer: Outer address; makes it a LoadBalancer.
        version: Grows with every change.
        created: RFC 3339 time.
    """
    address = cluster_ip or "None"
    spec: Object = {
        "clusterIP": address,
        "clusterIPs": [address],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "selector": {_NAME_LABEL: application},
        "sessionAffinity": "None",
        "type": "ClusterIP" if load_balancer is None else "LoadBalancer",
    }
    if cluster_ip is None:
        spec["publishNotReadyAddresses"] = True
    else:
        spec["ports"] = [
            {"name": label, "port": port, "protocol": protocol, "targetPort": target}
            for label, port, protocol, target in ports or (PLACEHOLDER,)
        ]
    balancer: Object = {} if load_balancer is None else {"ingress": [{"ip": load_balancer}]}
    return {
        "metadata": metadata(
            name,
            namespace=model,
            version=version,
            created=created,
            labels={_MANAGED_LABEL: "juju", _NAME_LABEL: application},
        ),
        "spec": spec,
        "status": {"loadBalancer": balancer},
    }


def juju_port(port: int, protocol: str) -> Port:
    """Return the Service port that Juju makes of an opened port."""
    return (f"juju-{port}-{protocol}", port, protocol.upper(), port)


def pod(
    unit: str,
    model: str,
    *,
    application: str,
    address: str | None,
    ready: bool,
    template: str,
    containers: Sequence[tuple[str, str, bool]],
    version: int = 1,
    created: str = "",
) -> Object:
    """Return the Pod of a unit.

    Args:
        unit: ``keystone-0``.
        model: Namespace.
        application: Whose unit.
        address: Its address, None while it has none.
        ready: All containers are ready.
        template: Name of the template that it was made of.
        containers: Name, image and readiness of each, the charm container first.
        version: Grows with every change.
        created: RFC 3339 time.
    """
    running = bool(containers) and address is not None
    word = "True" if ready else "False"
    status: Object = {
        "phase": "Running" if running else "Pending",
        "conditions": [{"type": kind, "status": word} for kind in ("Ready", "ContainersReady")],
        "containerStatuses": [
            {
                "name": name,
                "image": image,
                "imageID": "",
                "ready": container_ready,
                "restartCount": 0,
            }
            for name, image, container_ready in containers
        ],
    }
    if address is not None:
        status |= {"podIP": address, "podIPs": [{"ip": address}], "hostIP": address}
    return {
        "metadata": metadata(
            unit,
            namespace=model,
            version=version,
            created=created,
            labels={
                _NAME_LABEL: application,
                "controller-revision-hash": template,
                "apps.kubernetes.io/pod-index": unit.rpartition("-")[2],
                "statefulset.kubernetes.io/pod-name": unit,
            },
        ),
        "spec": {
            "containers": [{"name": name, "image": image} for name, image, _ in containers],
            "hostname": unit,
            "nodeName": "node-0",
            "restartPolicy": "Always",
            "serviceAccountName": application,
            "subdomain": f"{application}-endpoints",
        },
        "status": status,
    }
