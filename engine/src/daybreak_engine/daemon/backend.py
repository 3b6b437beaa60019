"""The objects of the Kubernetes API, over the model and the pods."""

from __future__ import annotations

import base64
import copy
import uuid
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from daybreak_engine import errors
from daybreak_engine.daemon.unitpod import CHARM_IMAGE
from daybreak_engine.kubernetes import daemonsets, kinds, objects
from daybreak_engine.kubernetes.backend import Account
from daybreak_engine.model import applications, charms, kubernetes_objects, models, resources, units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from daybreak_engine.daemon.cluster import Cluster
    from daybreak_engine.kubernetes.backend import Object
    from daybreak_engine.kubernetes.kinds import Kind
    from daybreak_engine.model import rows
    from daybreak_engine.model.store import Transaction

_ENDPOINTS = "-endpoints"


class Backend:
    """`kubernetes.backend.Backend` over a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def account(self, token: str) -> Account | None:
        """Return whose token this is."""
        name = self._cluster.application_of(token)
        if name is None:
            return None
        tx = self._cluster.store.read()
        return Account(name, models.get(tx).name, applications.get(tx, name).trust)

    async def list(self, kind: Kind, namespace: str | None) -> Sequence[Object]:
        """Return all objects of a kind."""
        tx = self._cluster.store.read()
        model = models.get(tx)
        if kind is kinds.NAMESPACE:
            return [
                objects.namespace(model.name, model_uuid=model.uuid, created=_time(model.created))
            ]
        if namespace and namespace != model.name:
            return []
        found = {app.name: app for app in applications.all_(tx)}
        if kind is kinds.STATEFULSET:
            return [self._statefulset(tx, app, model.name) for app in found.values()]
        if kind is kinds.POD:
            own = [
                self._pod(tx, unit, model.name) for unit in units.all_(tx) if unit.pod_generation
            ]
            return [*own, *self._cluster.daemonsets.pods(tx)]
        stored = [_body(item) for item in kubernetes_objects.of_kind(tx, kind.kind)]
        if kind is kinds.DAEMONSET:
            for item in stored:
                item["status"] = self._cluster.daemonsets.status(tx, item)
        if kind is not kinds.SERVICE:
            return stored
        return [
            *(self._service(tx, app, model.name) for app in found.values()),
            *(self._headless(app, model.name) for app in found.values()),
            *stored,
        ]

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """Return an object."""
        for item in await self.list(kind, namespace):
            if item["metadata"]["name"] == name:
                return item
        return None

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """Make an object of a charm's own."""
        name = str(body["metadata"]["name"])
        if await self.get(kind, namespace, name) is not None:
            raise errors.ExistsError(f'{kind.qualified} "{name}" already exists')
        return self._store(kind, namespace, name, body)

    async def update(self, kind: Kind, namespace: str, name: str, body: Object) -> Object:
        """Make an existing object `body`."""
        tx = self._cluster.store.read()
        application = applications.find(tx, name)
        if kind is kinds.STATEFULSET:
            self._update_statefulset(name, body)
        elif kind is kinds.SERVICE and application is not None:
            self._update_service(application, body)
        elif kind not in (kinds.NAMESPACE, kinds.POD):
            return self._store(kind, namespace, name, body)
        found = await self.get(kind, namespace, name)
        if found is None:
            raise errors.NotFoundError(f'{kind.qualified} "{name}" not found')
        return found

    async def delete(
        self, kind: Kind, namespace: str, name: str, grace: float | None
    ) -> Object | None:
        """Delete an object; a pod is ended and made anew."""
        found = await self.get(kind, namespace, name)
        if found is None:
            return None
        with self._cluster.store.transaction() as tx:
            if kind is kinds.POD and "ownerReferences" in found["metadata"]:
                self._cluster.daemonsets.delete(tx, name)
            elif kind is kinds.POD:
                application, _, ordinal = name.rpartition("-")
                units.set_stopping(tx, f"{application}/{ordinal}", stopping=True)
            elif not kubernetes_objects.remove(tx, kind.kind, name):
                raise errors.RefusedError(
                    f'{kind.qualified} "{name}" belongs to an application',
                    remedy="remove the application: juju remove-application",
                )
        return found

    # -- objects of applications

    def _statefulset(self, tx: Transaction, app: rows.Application, model: str) -> Object:
        members = units.of(tx, app.name)
        pods = [self._cluster.unit_pod(unit.name) for unit in members]
        newest = app.charm_modified_version
        oldest = min((unit.charm_modified_version for unit in members), default=newest)
        return objects.statefulset(
            app.name,
            model,
            replicas=app.scale,
            ready=sum(1 for pod in pods if pod is not None and pod.ready),
            updated=sum(
                1 for unit in members if unit.charm_modified_version == newest and not unit.stopping
            ),
            revisions=(objects.revision(app.name, oldest), objects.revision(app.name, newest)),
            partition=app.partition,
            grace=int(app.grace_period),
            containers=_containers(tx, app),
            version=_version(tx, "StatefulSet", app.name),
            created=_time(app.created),
        )

    def _pod(self, tx: Transaction, unit: rows.Unit, model: str) -> Object:
        pod = self._cluster.unit_pod(unit.name)
        ready = pod is not None and pod.ready
        app = applications.get(tx, unit.application)
        return objects.pod(
            unit.provider_id,
            model,
            application=unit.application,
            address=unit.address or None,
            ready=ready,
            template=objects.revision(unit.application, unit.charm_modified_version),
            containers=[(name, image, ready) for name, image in _containers(tx, app)],
            version=unit.pod_generation,
            created=_time(unit.created),
        )

    def _service(self, tx: Transaction, app: rows.Application, model: str) -> Object:
        ports = {
            objects.juju_port(port.port, port.protocol)
            for unit in units.of(tx, app.name)
            for port in units.ports(tx, unit.name)
            if port.protocol != "icmp"
        }
        return objects.service(
            app.name,
            model,
            application=app.name,
            cluster_ip=app.service_address,
            ports=sorted(ports),
            load_balancer=app.load_balancer_address or None,
            version=_version(tx, "Service", app.name),
            created=_time(app.created),
        )

    def _headless(self, app: rows.Application, model: str) -> Object:
        return objects.service(
            app.name + _ENDPOINTS,
            model,
            application=app.name,
            cluster_ip=None,
            ports=[],
            created=_time(app.created),
        )

    def _update_statefulset(self, name: str, body: Object) -> None:
        strategy: Object = body["spec"].get("updateStrategy") or {}
        rolling: Object = strategy.get("rollingUpdate") or {}
        partition: int = rolling.get("partition") or 0
        grace = body["spec"]["template"]["spec"].get("terminationGracePeriodSeconds")
        with self._cluster.store.transaction() as tx:
            applications.set_partition(tx, name, partition)
            if grace is not None:
                applications.set_grace_period(tx, name, float(grace))
            _count(tx, "StatefulSet", name)

    def _update_service(self, app: rows.Application, body: Object) -> None:
        wanted = body["spec"].get("type") == "LoadBalancer"
        with self._cluster.store.transaction() as tx:
            if wanted and not app.load_balancer_address:
                address = str(self._cluster.plan.free_load_balancer(balancers(tx)))
                applications.set_addresses(tx, app.name, load_balancer=address)
            elif not wanted:
                applications.set_addresses(tx, app.name, load_balancer="")
            _count(tx, "Service", app.name)

    def _store(self, kind: Kind, namespace: str, name: str, body: Object) -> Object:
        """Keep an object of a charm's own; a Service gets its addresses."""
        kept = _completed(kind, body)
        with self._cluster.store.transaction() as tx:
            if kind is kinds.SERVICE:
                spec = kept.setdefault("spec", {})
                if not spec.get("clusterIP"):
                    used = {IPv4Address(a) for a in _service_addresses(tx)}
                    spec["clusterIP"] = str(self._cluster.plan.free_service(used))
                spec.setdefault("type", "ClusterIP")
                status: dict[str, Any] = kept.setdefault("status", {})
                if spec["type"] != "LoadBalancer":
                    status["loadBalancer"] = {}
                elif not status.get("loadBalancer"):
                    address = str(self._cluster.plan.free_load_balancer(balancers(tx)))
                    status["loadBalancer"] = {"ingress": [{"ip": address}]}
            stored = kubernetes_objects.find(tx, kind.kind, name)
            created = kept["metadata"].get("creationTimestamp") or _time(tx.now)
            kept["metadata"] |= {"creationTimestamp": created}
            if kind.namespaced:
                kept["metadata"]["namespace"] = namespace
            kept["metadata"].setdefault("uid", str(uuid.uuid4()))
            changed = stored is None or stored.body.get("spec") != kept.get("spec")
            kept["metadata"]["generation"] = kept["metadata"].get("generation", 0) + int(changed)
            if stored is not None and _same(stored.body, kept):
                return _body(stored)
            return _body(kubernetes_objects.put(tx, kind.kind, name, kept))


def _completed(kind: Kind, body: Object) -> Object:
    """Return an object as it is kept."""
    kept = copy.deepcopy(body)
    if kind is kinds.DAEMONSET:
        kept = daemonsets.completed(kept)
        kept.pop("status", None)
    if kind is kinds.SECRET and "stringData" in kept:
        texts: Mapping[str, str] = kept.pop("stringData")
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        kept["data"] = {**(kept.get("data") or {}), **encoded}
    return kept


def balancers(tx: Transaction) -> set[IPv4Address]:
    """Return the LoadBalancer addresses that are given."""
    own = {app.load_balancer_address for app in applications.all_(tx)}
    charms_own = {
        entry["ip"]
        for item in kubernetes_objects.of_kind(tx, "Service")
        for entry in item.body.get("status", {}).get("loadBalancer", {}).get("ingress", ())
    }
    return {IPv4Address(address) for address in own | charms_own if address}


def _service_addresses(tx: Transaction) -> set[str]:
    own = {app.service_address for app in applications.all_(tx)}
    stored = {
        item.body["spec"].get("clusterIP", "") for item in kubernetes_objects.of_kind(tx, "Service")
    }
    return {address for address in own | stored if address not in ("", "None")}


def _containers(tx: Transaction, app: rows.Application) -> list[tuple[str, str]]:
    images = {item.name: item.value.get("registrypath", "") for item in resources.of(tx, app.name)}
    meta = charms.meta(tx, app.charm_id)
    workloads = [(item.name, images.get(item.resource, "")) for item in meta.containers.values()]
    return [("charm", CHARM_IMAGE), *workloads]


def _body(item: rows.KubernetesObject) -> Object:
    body: Object = copy.deepcopy(dict(item.body))
    body["metadata"]["resourceVersion"] = str(item.version)
    return body


def _same(stored: Any, body: Object) -> bool:
    def bare(value: Any) -> Any:
        value = copy.deepcopy(dict(value))
        value["metadata"].pop("resourceVersion", None)
        return value

    return bare(stored) == bare(body)


def _version(tx: Transaction, kind: str, name: str) -> int:
    """Return how often an application's own object was changed through the API, counted from 1."""
    row = tx.one("SELECT next FROM sequences WHERE name = ?", f"object:{kind}:{name}")
    return 1 + (row["next"] if row is not None else 0)


def _count(tx: Transaction, kind: str, name: str) -> None:
    tx.next_number(f"object:{kind}:{name}")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
