import dataclasses
import json
from pathlib import Path
from typing import Any

import charm
import haproxy
import pytest
from ops import testing

from daybreak_charm import kube
from daybreak_charm.testing import TestCA, assert_idempotent, quiet_effects, recorded
from daybreak_interfaces import ingress

CA = TestCA()
LAYOUT = {"project": "haproxy", "version": "3.0.11", "user": "haproxy", "bin": "/usr/sbin"}


class Cluster:
    """The Kubernetes API, as far as the charm asks it."""

    def __init__(self) -> None:
        self.trusted = True
        self.address: str | None = "10.64.0.10"
        self.services: dict[str, Any] = {}
        self.writes = 0

    def request(
        self, method: str, path: str, body: dict[str, Any] | None = None, kind: str = ""
    ) -> dict[str, Any]:
        name = path.partition("?")[0]
        if method == "GET":
            if name not in self.services:
                raise kube.KubernetesError(404, "Not Found")
            return self._shown(name)
        if not self.trusted:
            raise kube.KubernetesError(403, "Forbidden")
        self.writes += 1
        if method == "DELETE":
            del self.services[name]
            return {}
        self.services[name] = body
        return self._shown(name)

    def _shown(self, name: str) -> dict[str, Any]:
        entries = [{"ip": self.address}] if self.address else []
        return {**self.services[name], "status": {"loadBalancer": {"ingress": entries}}}


class Edge:
    def __init__(self, folder: Path):
        self.folder = folder
        self.context = testing.Context(charm.GatewayCharm, charm_root=Path(__file__).parents[2])

    def container(self) -> testing.Container:
        mounts: dict[str, testing.Mount] = {}
        for name in ("etc", "run", "usr"):
            source = self.folder / name
            source.mkdir(exist_ok=True)
            mounts[name] = testing.Mount(location=f"/{name}", source=source)
        layout = self.folder / "usr" / "share" / "daybreak" / "layout.json"
        layout.parent.mkdir(parents=True, exist_ok=True)
        layout.write_text(json.dumps(LAYOUT))
        return testing.Container("gateway", can_connect=True, mounts=mounts)

    def state(self, *relations: Any, **changes: Any) -> testing.State:
        start = testing.State(
            leader=True,
            model=testing.Model(name="openstack"),
            planned_units=1,
            containers={self.container()},
            relations={
                testing.PeerRelation("peers"),
                testing.Relation("certificates"),
                *relations,
            },
            **changes,
        )
        return CA.answer(self.run(start))

    def run(self, state: testing.State) -> testing.State:
        return self.context.run(self.context.on.update_status(), state)

    @property
    def config(self) -> str:
        return (self.folder / "etc" / "haproxy" / "haproxy.cfg").read_text()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(kube, "request", made.request)
    monkeypatch.setattr(charm.GatewayCharm, "effects", quiet_effects())
    return made


@pytest.fixture
def edge(tmp_path: Path, cluster: Cluster) -> Edge:
    return Edge(tmp_path)


def application(endpoint: str = "ingress-public", **changes: Any) -> testing.Relation:
    health = ingress.HealthCheck("/", port=5001, scheme="http", interval="2s")
    request = ingress.Request("openstack", "keystone", 5000, "https", healthcheck=health)
    bag: dict[str, str] = {}
    ingress.write_request(bag, dataclasses.replace(request, **changes))
    units: dict[int, dict[str, str]] = {}
    for number in (0, 1):
        units[number] = {}
        host = f"keystone-{number}.keystone-endpoints.openstack.svc.cluster.local"
        ingress.write_unit(units[number], ingress.Server(host))
    return testing.Relation(endpoint, remote_app_data=bag, remote_units_data=units)


def test_urls_are_published_before_the_gateway_runs(edge: Edge) -> None:
    inner, outer = application("ingress-internal"), application()
    start = testing.State(
        leader=True,
        model=testing.Model(name="openstack"),
        planned_units=1,
        containers={testing.Container("gateway", can_connect=False)},
        relations={testing.PeerRelation("peers"), inner, outer},
    )
    out = edge.run(start)
    assert out.get_relation(inner.id).local_app_data["ingress"] == (
        '{"url": "https://gateway-k8s.openstack.svc.cluster.local/openstack-keystone"}'
    )
    assert out.get_relation(outer.id).local_app_data["ingress"] == (
        '{"url": "https://10.64.0.10/openstack-keystone"}'
    )


def test_the_certificate_has_the_outer_address(edge: Edge) -> None:
    from cryptography import x509

    from daybreak_interfaces import tls_certificates

    out = edge.state(config={"external-hostname": "cloud.example"})
    relation = next(r for r in out.relations if r.endpoint == "certificates")
    csr = tls_certificates.read_requests(relation.local_unit_data)[0].csr
    sans = x509.load_pem_x509_csr(csr.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "cloud.example" in sans.value.get_values_for_type(x509.DNSName)
    assert "10.64.0.10" in [str(a) for a in sans.value.get_values_for_type(x509.IPAddress)]


def test_it_routes(edge: Edge) -> None:
    out = edge.run(edge.state(application()))
    assert out.unit_status == testing.ActiveStatus()
    assert out.opened_ports == {testing.TCPPort(443), testing.TCPPort(80)}
    assert "use_backend openstack-keystone if { path /openstack-keystone }" in edge.config
    server = next(line for line in edge.config.splitlines() if "server keystone-1 " in line)
    assert "keystone-1.keystone-endpoints.openstack.svc.cluster.local:5000" in server
    assert "check port 5001 no-check-ssl" in server
    assert "verify required" in server
    pem = self_mode(edge.folder / "etc" / "haproxy" / "gateway.pem")
    assert pem == 0o600


def self_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_second_run_writes_nothing(edge: Edge, cluster: Cluster) -> None:
    state = edge.state(application())
    assert_idempotent(edge.context, edge.context.on.update_status(), state)
    assert cluster.writes == 1


def test_a_new_unit_reloads_and_restarts_nothing(edge: Edge) -> None:
    relation = application()
    out = edge.run(edge.state(relation))
    now = out.get_relation(relation.id)
    assert isinstance(now, testing.Relation)
    fewer = dataclasses.replace(now, remote_units_data={0: now.remote_units_data[0]})
    others = {r for r in out.relations if r.id != relation.id}
    with recorded() as writes:
        edge.run(dataclasses.replace(out, relations={*others, fewer}))
    assert writes.signals == ["('SIGUSR2', 'gateway')"]
    assert not writes.layers


def test_without_trust_the_status_has_a_hint(edge: Edge, cluster: Cluster) -> None:
    cluster.trusted = False
    relation = application()
    out = edge.run(edge.state(relation))
    assert out.unit_status == testing.ActiveStatus(
        "no load balancer: juju trust gateway-k8s --scope=cluster"
    )
    url = json.loads(out.get_relation(relation.id).local_app_data["ingress"])["url"]
    assert url == "https://gateway-k8s.openstack.svc.cluster.local/openstack-keystone"


def test_an_address_that_comes_late_is_waited_for(edge: Edge, cluster: Cluster) -> None:
    cluster.address = None
    relation = application()
    out = edge.run(edge.state(relation))
    assert out.unit_status == testing.WaitingStatus("the load balancer has no address yet")
    assert "ingress" not in out.get_relation(relation.id).local_app_data
    assert out.get_container("gateway").plan.checks["wait-retry-a"].period == "10s"


def test_the_load_balancer_goes_with_the_last_unit(edge: Edge, cluster: Cluster) -> None:
    state = edge.run(edge.state())
    assert cluster.services
    gone = dataclasses.replace(state, planned_units=0)
    edge.context.run(edge.context.on.remove(), gone)
    assert not cluster.services


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "x y"},
        {"name": "a\n    use_backend evil"},
        {"scheme": "ftp"},
        {"healthcheck": ingress.HealthCheck("/ hdr X")},
    ],
)
def test_a_request_that_would_break_the_configuration_is_not_routed(
    edge: Edge, changes: dict[str, Any]
) -> None:
    edge.run(edge.state(application(**changes)))
    assert "evil" not in edge.config
    assert "    server " not in edge.config


def test_a_new_gateway_waits_until_it_knows_a_unit_of_each_route(edge: Edge) -> None:
    known = application()
    alone = dataclasses.replace(known, remote_units_data={})
    out = edge.run(edge.state(alone))
    message = "no unit of openstack-keystone has joined yet"
    assert out.unit_status == testing.WaitingStatus(message)
    assert "gateway" not in out.get_container("gateway").plan.services
    others = {r for r in out.relations if r.id != alone.id}
    joined = edge.run(dataclasses.replace(out, relations={*others, known}))
    assert joined.unit_status == testing.ActiveStatus()
    # One that runs goes on, and follows its other routes.
    gone = edge.run(dataclasses.replace(joined, relations={*others, alone}))
    assert gone.unit_status == testing.ActiveStatus()
    assert "    server " not in edge.config


def test_gateways_share_what_a_unit_can_work_on() -> None:
    names = [f"a-{number}.a-endpoints.m.svc.cluster.local" for number in (0, 1)]
    servers = [ingress.Server(names[0], concurrency=9), ingress.Server(names[1])]
    route = haproxy.route(ingress.Request("m", "a", 80), servers)
    assert route is not None
    inputs = haproxy.Inputs("/h", "3", "haproxy", "", "", (route,), gateways=2)
    text = haproxy.config(inputs)
    assert f"server a-0 {names[0]}:80 check maxconn 5\n" in text
    # Whoever does not say gets all of it.
    assert f"server a-1 {names[1]}:80 check\n" in text


def test_a_prefix_can_be_stripped() -> None:
    request = ingress.Request("m", "a", 80, strip_prefix=True)
    route = haproxy.route(request, [ingress.Server("a-0.a-endpoints.m.svc.cluster.local")])
    assert route is not None
    text = haproxy.config(haproxy.Inputs("/h", "3", "haproxy", "", "", (route,)))
    assert r"http-request replace-path ^/m\-a/?(.*)$ /\1" in text
    assert "X-Forwarded-Prefix /m-a" in text


def test_show_urls(edge: Edge) -> None:
    out = edge.run(edge.state(application()))
    edge.context.run(edge.context.on.action("show-urls"), out)
    assert edge.context.action_results == {"remote.public": "https://10.64.0.10/openstack-keystone"}
