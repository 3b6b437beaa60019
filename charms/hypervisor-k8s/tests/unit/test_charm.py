"""The charm as a whole: state in, state out, and what it applies to the cluster."""

import base64
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import charm
import components
import pytest
from ops import testing

from daybreak_charm.nodes import Owner, objects
from daybreak_charm.nodes.testing import Cluster
from daybreak_charm.testing import TestCA, assert_idempotent, quiet_effects
from daybreak_interfaces import nova, ovsdb_cms, rabbitmq

Ctx = testing.Context[charm.HypervisorCharm]
Make = Callable[..., testing.State]
SECRETS = ("mq-s3cret", "svc-s3cret", "md-s3cret")
NAMES = {"openvswitch", "libvirt", "ovn-controller", "nova-compute", "neutron-ovn-agent"}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("node-0", "node-1")


@pytest.fixture
def ctx(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> Ctx:
    monkeypatch.setattr(charm.HypervisorCharm, "effects", quiet_effects(kubernetes=cluster))
    return testing.Context(charm.HypervisorCharm, app_name="hypervisor")


def bag(write: Callable[..., object], *args: Any, **words: Any) -> dict[str, str]:
    """What a codec writes."""
    result: dict[str, str] = {}
    write(result, *args, **words)
    return result


@pytest.fixture
def make(tmp_path: Path, ctx: Ctx) -> Make:
    """States in which every relation has answered."""
    layout = tmp_path / "layout.json"
    layout.write_text(
        json.dumps(
            {
                "project": "nova",
                "release": "2026.1",
                "version": "33.0.0",
                "user": "nova",
                "bin": "/opt/openstack/bin",
            }
        )
    )
    images: set[testing.Resource] = set()
    for name in charm.IMAGES:
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"registrypath: registry/{name}:1\n")
        images.add(testing.Resource(name=name, path=path))
    container = testing.Container(
        "nova",
        can_connect=True,
        mounts={"layout": testing.Mount(location="/usr/share/daybreak/layout.json", source=layout)},
    )
    ca = TestCA()
    folder = tmp_path / "run"
    folder.mkdir()
    mounts = {**container.mounts, "run": testing.Mount(location="/run/daybreak", source=folder)}
    container = dataclasses.replace(container, mounts=mounts)

    def secret(**content: str) -> testing.Secret:
        return testing.Secret(content, owner=None)

    def build(
        config: dict[str, Any] | None = None,
        *,
        leader: bool = True,
        facts: nova.Facts | None = None,
        planned: int = 1,
    ) -> testing.State:
        queue = secret(username="q1", password=SECRETS[0])
        user = secret(username="hv", password=SECRETS[1])
        metadata = secret(**{nova.METADATA_SECRET: SECRETS[2]})
        credentials = {
            "credentials": user.id,
            "internal-endpoint": "https://internal/identity/v3",
            "public-endpoint": "https://public/identity/v3",
            "user-domain-name": "service_domain",
            "project-name": "services",
            "project-domain-name": "service_domain",
            "region": "RegionOne",
        }
        known = facts or nova.Facts(
            "RegionOne",
            metadata_url="https://nova.m.svc.cluster.local:8775",
            vnc_proxy_url="https://public/vnc_auto.html",
            pci_aliases='[{"name": "gpu", "vendor_id": "10de"}]',
        )
        server = ovsdb_cms.Server("ovn-0.ovn", "10.0.0.5")
        relations = [
            testing.PeerRelation("peers"),
            testing.Relation("certificates"),
            testing.Relation(
                "amqp",
                remote_app_data=bag(
                    rabbitmq.write_answer, hostname="mq", tls_port=5671, secret_user=queue.id
                ),
            ),
            testing.Relation("identity-credentials", remote_app_data=credentials),
            testing.Relation("ovsdb-cms", remote_units_data={0: bag(ovsdb_cms.write_unit, server)}),
            testing.Relation(
                "nova-service",
                remote_app_data=bag(nova.write_answer, known, metadata_secret=metadata.id),
            ),
        ]
        state = testing.State(
            leader=leader,
            model=testing.Model(name="m"),
            planned_units=planned,
            config=config or {},
            containers={container},
            relations=relations,
            secrets={queue, user, metadata},
            resources=images,
        )
        return ca.answer(ctx.run(ctx.on.update_status(), state))

    return build


def text(item: Any) -> dict[str, str]:
    """Files of a Secret."""
    return {key: base64.b64decode(value).decode() for key, value in item["data"].items()}


@pytest.mark.parametrize("release", ["2025.1", "2026.1"])
def test_both_releases_know_what_it_sets(ctx: Ctx, make: Make, release: str) -> None:
    state = make()
    [container] = state.containers
    layout = Path(container.mounts["layout"].source)
    layout.write_text(layout.read_text().replace("2026.1", release))
    out = ctx.run(ctx.on.update_status(), state)
    assert out.unit_status == testing.ActiveStatus()
    assert release in layout.read_text()


def test_the_nodes_run_it_and_a_second_run_applies_nothing(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    out = assert_idempotent(ctx, ctx.on.update_status(), make())
    assert out.unit_status == testing.ActiveStatus()
    sets = cluster.named("DaemonSet")
    assert set(sets) == {f"hypervisor-{name}" for name in NAMES}
    applied = list(cluster.patched)
    assert len(applied) == len(set(applied)) == 1 + 2 * len(NAMES)
    ctx.run(ctx.on.update_status(), out)
    assert cluster.patched == applied


def test_switch_and_libvirt_do_not_wait_for_nova(ctx: Ctx, make: Make, cluster: Cluster) -> None:
    state = make()
    silent = {
        dataclasses.replace(relation, remote_app_data={})
        if relation.endpoint == charm.NOVA
        else relation
        for relation in state.relations
    }
    out = ctx.run(ctx.on.update_status(), dataclasses.replace(state, relations=silent))
    assert out.unit_status.message.startswith(f"{charm.NOVA}: ")
    early = {"hypervisor-openvswitch", "hypervisor-libvirt", "hypervisor-ovn-controller"}
    assert set(cluster.named("DaemonSet")) == early
    whole = dataclasses.replace(out, relations=state.relations)
    assert ctx.run(ctx.on.update_status(), whole).unit_status == testing.ActiveStatus()
    assert set(cluster.named("DaemonSet")) == {f"hypervisor-{name}" for name in NAMES}


def test_each_container_asks_for_what_it_takes_and_only_what_outlives_it_has_no_limit(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    ctx.run(ctx.on.update_status(), make())
    for name, item in cluster.named("DaemonSet").items():
        for container in item["spec"]["template"]["spec"]["containers"]:
            asked = container["resources"]
            assert asked["requests"].keys() == {"cpu", "memory"}
            outlives = name in ("hypervisor-openvswitch", "hypervisor-libvirt")
            assert asked["limits"].keys() == (set() if outlives else {"memory"})


def test_what_servers_hang_on_is_replaced_by_hand_alone(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    out = ctx.run(ctx.on.update_status(), make())
    sets = cluster.named("DaemonSet")
    updates = {name: item["spec"]["updateStrategy"]["type"] for name, item in sets.items()}
    by_hand = {name for name, update in updates.items() if update == "OnDelete"}
    assert by_hand == {"hypervisor-openvswitch", "hypervisor-libvirt"}
    before = {name: item["spec"]["template"] for name, item in sets.items()}
    ctx.run(ctx.on.config_changed(), dataclasses.replace(out, config={"debug": True}))
    after = {name: item["spec"]["template"] for name, item in cluster.named("DaemonSet").items()}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"hypervisor-nova-compute", "hypervisor-neutron-ovn-agent"}


def test_no_secret_is_anywhere_but_in_secrets(ctx: Ctx, make: Make, cluster: Cluster) -> None:
    out = ctx.run(ctx.on.update_status(), make())
    places = [
        *cluster.named("DaemonSet").values(),
        *cluster.named("ConfigMap").values(),
        *[(dict(r.local_app_data), dict(getattr(r, "local_unit_data", {}))) for r in out.relations],
        str(out.unit_status),
    ]
    seen = json.dumps(places)
    assert not [password for password in SECRETS if password in seen]
    assert "PRIVATE KEY" not in seen
    files = cluster.named("Secret")
    assert SECRETS[0] in text(files["hypervisor-nova-compute"])["nova.conf"]
    assert SECRETS[2] in text(files["hypervisor-neutron-ovn-agent"])["neutron.conf"]
    assert "key" not in "".join(text(files["hypervisor-openvswitch"]))


def test_pods_have_the_nodes_namespaces_and_what_outlives_them_has_its_groups(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    ctx.run(ctx.on.update_status(), make())
    for name, item in cluster.named("DaemonSet").items():
        spec = item["spec"]["template"]["spec"]
        assert (spec["hostPID"], spec["hostNetwork"], spec["hostIPC"]) == (True, True, True)
        assert spec["nodeSelector"] == {"openstack-compute-node": "enabled"}
        kept = any("/sys/fs/cgroup" in str(c["volumeMounts"]) for c in spec["containers"])
        assert kept == (name in ("hypervisor-openvswitch", "hypervisor-libvirt"))
    (compute,) = cluster.named("DaemonSet")["hypervisor-nova-compute"]["spec"]["template"]["spec"][
        "containers"
    ]
    shared = {m["mountPath"]: m.get("mountPropagation") for m in compute["volumeMounts"]}
    assert shared["/var/lib/nova"] == "Bidirectional"


def test_the_certificate_names_every_node(ctx: Ctx, make: Make, cluster: Cluster) -> None:
    out = ctx.run(ctx.on.update_status(), make())
    assert out.get_relations("peers")[0].local_app_data[charm.NODES].split() == [
        "10.0.0.16",
        "10.0.0.17",
        "node-0",
        "node-1",
    ]
    files = text(cluster.named("Secret")["hypervisor-libvirt"])
    assert 'tls_allowed_dn_list = ["*CN=hypervisor-*"]' in files["libvirtd.conf"]


def test_libvirt_hears_that_nova_lives_while_all_its_threads_wait(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    ctx.run(ctx.on.update_status(), make())
    conf = text(cluster.named("Secret")["hypervisor-libvirt"])["libvirtd.conf"]
    limits = dict(line.split(" = ") for line in conf.splitlines() if "=" in line)
    threads = 20
    assert int(limits["max_client_requests"]) > threads
    assert int(limits["max_workers"]) > threads


def test_consoles_and_devices_are_those_that_nova_names(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    ctx.run(ctx.on.update_status(), make())
    conf = text(cluster.named("Secret")["hypervisor-nova-compute"])["nova.conf"]
    assert "novncproxy_base_url = https://public/vnc_auto.html" in conf
    assert 'alias = {"name": "gpu", "vendor_id": "10de"}' in conf
    assert "[spice]\nenabled = false" in conf
    agent = text(cluster.named("Secret")["hypervisor-neutron-ovn-agent"])["neutron.conf"]
    assert "nova_metadata_host = nova.m.svc.cluster.local" in agent
    assert "nova_metadata_port = 8775" in agent
    assert "ovn_sb_connection = ssl:10.0.0.5:6642" in agent
    controller = text(cluster.named("Secret")["hypervisor-ovn-controller"])["settings"]
    assert "SOUTHBOUND='ssl:ovn-0.ovn:6642,ssl:10.0.0.5:6642'" in controller


def test_it_says_how_far_the_nodes_are_and_looks_again(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    cluster.ready = False
    out = ctx.run(ctx.on.update_status(), make())
    assert isinstance(out.unit_status, testing.WaitingStatus)
    assert "openvswitch: 1 of 2 nodes are ready" in out.unit_status.message
    assert any("retry" in name for name in out.get_container("nova").plan.checks)
    cluster.ready = True
    assert ctx.run(ctx.on.update_status(), out).unit_status == testing.ActiveStatus()


def test_without_trust_it_says_so(ctx: Ctx, make: Make, cluster: Cluster) -> None:
    state = make()
    cluster.trusted = False
    out = ctx.run(ctx.on.update_status(), state)
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "juju trust hypervisor" in out.unit_status.message


def test_another_unit_than_the_leader_applies_nothing(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    out = ctx.run(ctx.on.update_status(), make(leader=False))
    assert not cluster.patched
    assert out.unit_status == testing.ActiveStatus()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"bridges": "physnet1"}, "is not NETWORK:BRIDGE"),
        ({"bridges": "physnet1:br-ex:eth1;reboot"}, "is not NETWORK:BRIDGE"),
        ({"tunnel-network": "10.0.0.1/8"}, "tunnel-network"),
        ({"encap": "gre"}, "geneve, vxlan"),
        ({"virt-type": "xen"}, "auto, kvm, qemu"),
        ({"node-selector": "compute"}, "LABEL=VALUE"),
        ({"config-overrides": "libvirt: {cpu_mod: none}"}, "cpu_mod"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    ctx: Ctx, make: Make, cluster: Cluster, config: dict[str, Any], words: str
) -> None:
    out = ctx.run(ctx.on.config_changed(), make(config))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert words in out.unit_status.message
    assert not cluster.patched


def test_the_operators_options_come_last(ctx: Ctx, make: Make, cluster: Cluster) -> None:
    overrides = "libvirt: {num_pcie_ports: 8}"
    ctx.run(ctx.on.config_changed(), make({"config-overrides": overrides}))
    conf = text(cluster.named("Secret")["hypervisor-nova-compute"])["nova.conf"]
    assert "num_pcie_ports = 8" in conf


def test_the_end_of_the_application_leaves_nothing_in_the_cluster(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    out = ctx.run(ctx.on.update_status(), make())
    assert cluster.objects
    ctx.run(ctx.on.remove(), out)
    assert cluster.objects
    ctx.run(ctx.on.remove(), dataclasses.replace(out, planned_units=0))
    assert not cluster.objects


def test_pods_that_nobody_replaces_by_himself_are_said(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    out = ctx.run(ctx.on.update_status(), make())
    cluster.old = {"hypervisor-libvirt"}
    out = ctx.run(ctx.on.update_status(), out)
    assert isinstance(out.unit_status, testing.ActiveStatus)
    assert out.unit_status.message == (
        "libvirt: 1 of 2 nodes have a pod of before:"
        " juju run hypervisor/leader replace-pods component=libvirt"
    )


@pytest.mark.parametrize(("node", "pods"), [("", ["node-0", "node-1"]), ("node-1", ["node-1"])])
def test_pods_are_replaced_by_an_action(
    ctx: Ctx, make: Make, cluster: Cluster, node: str, pods: list[str]
) -> None:
    params = {"component": "libvirt", **({"node": node} if node else {})}
    state = make()
    ctx.run(ctx.on.action("replace-pods", params=params), state)
    model = state.model.name
    assert cluster.deleted == [
        f"/api/v1/namespaces/{model}/pods/hypervisor-libvirt-{name}" for name in pods
    ]
    lines = [f"hypervisor-libvirt-{name} on {name}" for name in pods]
    assert ctx.action_results == {"pods": "\n".join(lines)}


@pytest.mark.parametrize(
    ("component", "node", "trusted", "why"),
    [
        ("libvrit", "", True, "there is no component 'libvrit': take one of libvirt, "),
        ("libvirt", "node-9", True, "libvirt has no pod on node 'node-9'"),
        ("libvirt", "", False, "juju trust hypervisor --scope=cluster"),
    ],
)
def test_pods_that_cannot_be_replaced(
    ctx: Ctx, make: Make, cluster: Cluster, component: str, node: str, trusted: bool, why: str
) -> None:
    cluster.trusted = trusted
    params = {"component": component, "node": node}
    with pytest.raises(testing.ActionFailed, match=why):
        ctx.run(ctx.on.action("replace-pods", params=params), make())
    assert cluster.deleted == []


@pytest.mark.parametrize(
    ("ready", "served", "wanted", "refused"),
    [
        (True, "2026.1", "2025.1", ""),
        (True, "2026.1", "2026.2", ""),
        (True, "2026.1", "2028.1", "in one step"),
        (False, "", "2026.1", ""),
    ],
)
def test_the_release_that_nodes_run(
    ctx: Ctx, make: Make, cluster: Cluster, ready: bool, served: str, wanted: str, refused: str
) -> None:
    out = ctx.run(ctx.on.update_status(), make())
    cluster.ready = ready
    ctx.run(ctx.on.action("upgrade-status", params={"release": wanted}), out)
    report = json.loads((ctx.action_results or {})["report"])
    assert (report["running"], report["units"]) == ("2026.1", {"hypervisor/0": served})
    assert refused in report["refused"]
    assert bool(refused) == bool(report["refused"])
    assert not report["missed"]
    assert [step["phase"] for step in report["steps"]] == ["roll"]


def test_a_description_says_what_it_was_applied_as() -> None:
    owner = Owner("hv", "m", {"a": "b"}, components.SCRIPTS, components.HOST_PATHS)
    item = objects.programs(owner)
    assert objects.is_applied(item, item)
    other = objects.programs(dataclasses.replace(owner, app="other"))
    assert not objects.is_applied(item, other)
    assert set(item["data"]) == set(components.SCRIPTS)
