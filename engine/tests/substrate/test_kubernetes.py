"""The API as lightkube, the client that charms use, sees it."""

from __future__ import annotations

import asyncio
import copy
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
import lightkube
import pytest
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.models.policy_v1 import PodDisruptionBudgetSpec
from lightkube.resources.apps_v1 import Deployment, StatefulSet
from lightkube.resources.core_v1 import Namespace, Node, Pod, Secret, Service, ServiceAccount
from lightkube.resources.policy_v1 import PodDisruptionBudget
from lightkube.types import PatchType

from daybreak_engine.errors import ExistsError
from daybreak_engine.kubernetes import certificates, objects, patch, selectors, server
from daybreak_engine.kubernetes.backend import Account, Object
from daybreak_engine.kubernetes.failures import ApiError as ServerError
from daybreak_engine.kubernetes.kinds import Kind

MODEL = "cloud"


class Cluster:
    """A backend in memory."""

    def __init__(self) -> None:
        self.deleted: list[tuple[str, float | None]] = []
        self.items: dict[tuple[str, str], Object] = {}
        self.put(
            "StatefulSet",
            objects.statefulset(
                "web",
                MODEL,
                replicas=2,
                ready=2,
                updated=2,
                revisions=(objects.revision("web", 1), objects.revision("web", 2)),
                partition=0,
                grace=30,
                containers=[("charm", "charm-base"), ("web", "image")],
            ),
        )
        ports = [objects.juju_port(8080, "tcp")]
        self.put(
            "Service",
            objects.service("web", MODEL, application="web", cluster_ip="10.0.0.1", ports=ports),
        )
        for unit in ("web-0", "web-1"):
            containers = [("charm", "charm-base", True), ("web", "image", True)]
            self.put(
                "Pod",
                objects.pod(
                    unit,
                    MODEL,
                    application="web",
                    address="10.0.1.1",
                    ready=True,
                    template=objects.revision("web", 2),
                    containers=containers,
                ),
            )
        self.put("Namespace", objects.namespace(MODEL, model_uuid="u"))

    def put(self, kind: str, item: Object) -> None:
        self.items[kind, item["metadata"]["name"]] = item

    async def account(self, token: str) -> Account | None:
        return {"trusted": Account("web", MODEL, True), "plain": Account("db", MODEL, False)}.get(
            token
        )

    async def list(self, kind: Kind, namespace: str | None) -> Sequence[Object]:
        return [item for (name, _), item in self.items.items() if name == kind.kind]

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        return copy.deepcopy(self.items.get((kind.kind, name)))

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        name = body["metadata"]["name"]
        if (kind.kind, name) in self.items:
            raise ExistsError(f"{kind.plural} {name!r} already exists")
        if kind.kind == "Service" and body["spec"].get("type") == "LoadBalancer":
            body["status"] = {"loadBalancer": {"ingress": [{"ip": "10.0.2.1"}]}}
        self.put(kind.kind, body)
        return body

    async def update(self, kind: Kind, namespace: str, name: str, body: Object) -> Object:
        self.put(kind.kind, body)
        return body

    async def delete(
        self, kind: Kind, namespace: str, name: str, grace: float | None
    ) -> Object | None:
        self.deleted.append((name, grace))
        return self.items.pop((kind.kind, name), None)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[tuple[Cluster, str, Path]]:
    files = await certificates.ensure(directory / "tls", IPv4Address("127.0.0.1"))
    again = await certificates.ensure(directory / "tls", IPv4Address("127.0.0.1"))
    assert files == again
    listener = socket.create_server(("127.0.0.1", 0))
    cluster = Cluster()
    api = server.Server(cluster)
    await api.start(listener, files.context())
    try:
        yield cluster, f"https://127.0.0.1:{listener.getsockname()[1]}", files.ca
    finally:
        await api.stop()


@asynccontextmanager
async def client(url: str, ca: Path, token: str) -> AsyncIterator[Any]:
    """lightkube as in a pod: server, CA file, token, namespace."""
    config = KubeConfig.from_dict(
        {
            "clusters": [
                {"name": "c", "cluster": {"server": url, "certificate-authority": str(ca)}}
            ],
            "contexts": [
                {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": MODEL}}
            ],
            "users": [{"name": "u", "user": {"token": token}}],
            "current-context": "c",
        }
    )
    made = lightkube.AsyncClient(config=config, field_manager="test", trust_env=False)
    try:
        yield made
    finally:
        await made.close()


async def refused(awaitable: Any) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        await awaitable
    return caught.value.status.code or 0, caught.value.status.message or ""


def test_a_trusted_charm_rolls_its_statefulset(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as (_, url, ca), client(url, ca, "trusted") as kube:
            partition = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}}
            for kind in (PatchType.STRATEGIC, PatchType.MERGE):
                partition["spec"]["updateStrategy"]["rollingUpdate"]["partition"] += 1
                changed = await kube.patch(StatefulSet, "web", partition, patch_type=kind)
            assert changed.spec.updateStrategy.rollingUpdate.partition == 3
            assert changed.spec.updateStrategy.type == "RollingUpdate"
            assert changed.spec.replicas == 2
            grace = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 90}}}}
            await kube.patch(StatefulSet, "web", grace, patch_type=PatchType.STRATEGIC)
            found = await kube.get(StatefulSet, "web")
            assert found.spec.template.spec.terminationGracePeriodSeconds == 90
            assert [c.name for c in found.spec.template.spec.containers] == ["charm", "web"]
            found.spec.updateStrategy.rollingUpdate.partition = 0
            assert (await kube.replace(found)).spec.updateStrategy.rollingUpdate.partition == 0
            code, message = await refused(kube.patch(StatefulSet, "web", {"spec": {"replicas": 5}}))
            assert code == 422
            assert "cannot change spec.replicas" in message
            assert (await kube.get(StatefulSet, "web")).spec.replicas == 2

    asyncio.run(main())


def test_services_and_disruption_budgets_are_made_changed_and_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as (_, url, ca), client(url, ca, "trusted") as kube:
            wanted = Service(
                metadata=ObjectMeta(name="web-lb", namespace=MODEL, labels={"a": "b"}),
                spec=ServiceSpec(
                    type="LoadBalancer",
                    selector={"app.kubernetes.io/name": "web"},
                    ports=[ServicePort(name="https", port=443, targetPort=8443)],
                ),
            )
            made = await kube.create(wanted)
            assert made.status.loadBalancer.ingress[0].ip == "10.0.2.1"
            assert (await refused(kube.create(wanted)))[0] == 409
            await kube.patch(Service, "web-lb", {"spec": {"ports": [{"port": 80, "name": "http"}]}})
            ports = (await kube.get(Service, "web-lb")).spec.ports
            assert sorted(port.port for port in ports) == [80, 443]
            assert [s.metadata.name async for s in kube.list(Service, labels={"a": "b"})] == [
                "web-lb"
            ]
            await kube.delete(Service, "web-lb")
            assert (await refused(kube.get(Service, "web-lb")))[0] == 404
            budget = PodDisruptionBudget(
                metadata=ObjectMeta(name="web", namespace=MODEL),
                spec=PodDisruptionBudgetSpec(
                    minAvailable=1,
                    selector=LabelSelector(matchLabels={"app.kubernetes.io/name": "web"}),
                ),
            )
            assert (await kube.apply(budget)).spec.minAvailable == 1
            assert budget.spec is not None
            budget.spec.minAvailable = 2
            assert (await kube.apply(budget)).spec.minAvailable == 2

    asyncio.run(main())


def test_pods_are_listed_and_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as (cluster, url, ca), client(url, ca, "trusted") as kube:
            names = [
                pod.metadata.name
                async for pod in kube.list(Pod, labels={"app.kubernetes.io/name": "web"})
            ]
            assert names == ["web-0", "web-1"]
            only = [
                pod.metadata.name async for pod in kube.list(Pod, fields={"metadata.name": "web-1"})
            ]
            assert only == ["web-1"]
            assert (await kube.get(Pod, "web-0")).status.podIP == "10.0.1.1"
            await kube.delete(Pod, "web-0", grace_period=5)
            await kube.delete(Pod, "web-1")
            assert cluster.deleted == [("web-0", 5.0), ("web-1", None)]

    asyncio.run(main())


def test_nodes_have_no_namespace_and_what_is_applied_is_the_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as (cluster, url, ca), client(url, ca, "trusted") as kube:
            named = {"name": "node-0", "labels": {"a": "b"}}
            cluster.put("Node", {"metadata": named, "spec": {}})
            await kube.patch(Node, "node-0", {"metadata": {"labels": {"role": "x"}}})
            found = [node.metadata.labels async for node in kube.list(Node)]
            assert found == [{"a": "b", "role": "x"}]
            code, message = await refused(
                kube.patch(Node, "node-0", {"spec": {"podCIDR": "10.0.0.0/8"}})
            )
            assert code == 422
            assert "cannot change spec.podCIDR" in message

            def secret(**data: str) -> Secret:
                return Secret(metadata=ObjectMeta(name="s", namespace=MODEL), data=dict(data))

            await kube.apply(secret(a="YQ==", b="Yg=="))
            assert (await kube.apply(secret(b="Yg=="))).data == {"b": "Yg=="}
        async with serving(tmp_path) as (_, url, ca), client(url, ca, "plain") as kube:
            assert (await refused(kube.get(Node, "node-0")))[0] == 403
            assert (await refused(kube.get(Secret, "s")))[0] == 403

    asyncio.run(main())


def test_without_trust_only_what_juju_gives(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as (_, url, ca), client(url, ca, "plain") as kube:
            assert (await kube.get(Pod, "web-0")).metadata.name == "web-0"
            assert (await kube.get(Namespace, MODEL)).metadata.name == MODEL
            await kube.patch(Service, "web", {"metadata": {"labels": {"x": "y"}}})
            code, message = await refused(kube.get(StatefulSet, "web"))
            assert code == 403
            assert (
                'statefulsets.apps "web" is forbidden: User "system:serviceaccount:cloud:db" cannot '
                'get resource "statefulsets" in API group "apps" in the namespace "cloud"'
            ) in message
            assert "juju trust db" in message
            assert (await refused(kube.delete(Pod, "web-0")))[0] == 403
            assert (await refused(kube.get(Pod, "web-0", namespace="other")))[0] == 403

    asyncio.run(main())


def test_what_is_not_offered_fails_at_once_and_clearly(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as (_, url, ca), client(url, ca, "trusted") as kube:
            for call in (kube.get(Deployment, "x"), kube.get(ServiceAccount, "x")):
                code, message = await refused(call)
                assert code == 501
                assert "not offered by Daybreak's embedded engine" in message
            assert (await refused(kube.delete(StatefulSet, "web")))[0] == 405
            assert (await refused(kube.get(Service, "none")))[0] == 404
            code, message = await refused(
                kube.patch(StatefulSet, "web", [], patch_type=PatchType.JSON)
            )
            assert code == 415
        async with serving(tmp_path) as (_, url, ca), client(url, ca, "wrong") as kube:
            assert (await refused(kube.get(Pod, "web-0")))[0] == 401

    asyncio.run(main())


def test_raw_answers_are_status_objects(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as (_, url, ca):
            tls = ssl.create_default_context(cafile=str(ca))
            headers = {"Authorization": "Bearer trusted"}
            async with aiohttp.ClientSession(headers=headers) as session:
                for path, code in (
                    ("/api/v1/namespaces/cloud/pods/none", 404),
                    ("/apis/apps/v1/namespaces/cloud/deployments", 501),
                    ("/api/v1/namespaces/cloud/pods?watch=1", 501),
                    ("/nonsense", 404),
                ):
                    async with session.get(url + path, ssl=tls) as response:
                        body = await response.json()
                        assert (response.status, body["kind"], body["code"]) == (
                            code,
                            "Status",
                            code,
                        )
                async with session.post(
                    f"{url}/api/v1/namespaces/cloud/services", data="{", ssl=tls
                ) as response:
                    assert response.status == 400
                async with session.get(f"{url}/version", ssl=tls) as response:
                    assert (await response.json())["gitVersion"] == f"v{server.VERSION}"

    asyncio.run(main())


def test_merging() -> None:
    present = {"a": 1, "b": {"c": [1, 2]}, "containers": [{"name": "x", "v": 1}, {"name": "y"}]}
    assert patch.merge(present, {"a": None, "b": {"c": [3]}})["b"] == {"c": [3]}
    assert "a" not in patch.merge(present, {"a": None})
    merged = patch.strategic_merge(present, {"containers": [{"name": "x", "w": 2}, {"name": "z"}]})
    assert merged["containers"] == [{"name": "x", "v": 1, "w": 2}, {"name": "y"}, {"name": "z"}]
    removed = {"containers": [{"name": "x", "$patch": "delete"}]}
    assert patch.strategic_merge(present, removed)["containers"] == [{"name": "y"}]
    with pytest.raises(ServerError):
        patch.strategic_merge({}, {"$setElementOrder/containers": []})
    assert present["containers"] == [{"name": "x", "v": 1}, {"name": "y"}]
    changes = list(patch.changed_paths({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4}))
    assert changes == ["a.c", "d"]
    assert patch.outside(changes, ["a"]) == ["d"]


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("a=b", {"a": "b"}, True),
        ("a=b,c!=d", {"a": "b"}, True),
        ("a=b,c!=d", {"a": "b", "c": "d"}, False),
        ("a in (b,c)", {"a": "c"}, True),
        ("a notin (b,c)", {"a": "c"}, False),
        ("a", {"a": ""}, True),
        ("!a", {}, True),
        ("", {}, True),
    ],
)
def test_label_selectors(text: str, labels: dict[str, str], matches: bool) -> None:
    assert selectors.labels(text)({"metadata": {"labels": labels}}) is matches


def test_no_certificate_authority_key_is_readable(tmp_path: Path) -> None:
    files = asyncio.run(certificates.ensure(tmp_path / "tls", IPv4Address("10.0.0.1")))
    assert files.ca.parent.stat().st_mode & 0o077 == 0
    for key in files.ca.parent.glob("*.key"):
        assert key.stat().st_mode & 0o077 == 0
