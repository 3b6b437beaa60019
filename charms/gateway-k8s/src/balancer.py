"""The Service of type LoadBalancer in front of the gateway."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from haproxy import HTTP_PORT, HTTPS_PORT

from daybreak_charm import kube


@dataclass(frozen=True)
class Balancer:
    """What is known of it.

    Attributes:
        address: Address or host name that leads to it, None while it has none.
        why: Why there is none and none is coming; "" when one is there or will be.
    """

    address: str | None = None
    why: str = ""


def manifest(app: str) -> dict[str, Any]:
    """The Service as it shall be."""
    label = {"app.kubernetes.io/name": app}
    ports = [("https", HTTPS_PORT), ("http", HTTP_PORT)]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name(app), "labels": label},
        "spec": {
            "type": "LoadBalancer",
            "selector": label,
            "ports": [
                {"name": word, "port": port, "targetPort": port, "protocol": "TCP"}
                for word, port in ports
            ],
        },
    }


def name(app: str) -> str:
    """Its name; `<app>` itself is Juju's."""
    return f"{app}-lb"


def _path(model: str, app: str) -> str:
    return f"/api/v1/namespaces/{model}/services/{name(app)}"


def ensure(model: str, app: str, *, make: bool) -> Balancer:
    """Look the Service up, and make or correct it.

    Args:
        model: Namespace.
        app: Application.
        make: Whether this unit may change it.
    """
    try:
        try:
            found = kube.request("GET", _path(model, app))
        except kube.KubernetesError as error:
            if error.status != 404:
                raise
            found = {}
        if make and not _fits(found, manifest(app)["spec"]):
            wanted = f"{_path(model, app)}?fieldManager=daybreak&force=true"
            found = kube.request("PATCH", wanted, manifest(app), kube.APPLY)
    except kube.KubernetesError as error:
        if error.status == 403:
            return Balancer(why=f"no load balancer: juju trust {app} --scope=cluster")
        return Balancer(why=f"no load balancer: the Kubernetes API says {error}")
    return Balancer(address(found))


def remove(model: str, app: str) -> None:
    """Delete the Service; whoever may not leaves it."""
    try:
        kube.request("DELETE", _path(model, app))
    except kube.KubernetesError:
        return


def address(service: Mapping[str, Any]) -> str | None:
    """Where a Service can be reached from outside."""
    for entry in service.get("status", {}).get("loadBalancer", {}).get("ingress") or ():
        if found := entry.get("ip") or entry.get("hostname"):
            return str(found)
    return None


def _fits(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    spec = found.get("spec", {})
    have = [(p.get("port"), p.get("targetPort", p.get("port"))) for p in spec.get("ports", ())]
    return (
        spec.get("type") == wanted["type"]
        and spec.get("selector") == wanted["selector"]
        and have == [(p["port"], p["targetPort"]) for p in wanted["ports"]]
    )
