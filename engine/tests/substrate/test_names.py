from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from daybreak_engine.errors import InvalidError, RefusedError
from daybreak_engine.instance import Instance, instance_from
from daybreak_engine.substrate import addresses, network, podman, services
from daybreak_engine.substrate.images import is_local

PLAN = addresses.Plan(IPv4Network("10.9.192.0/20"))


def test_everything_of_an_instance_follows_from_its_name_and_root() -> None:
    environ = {"DAYBREAK_INSTANCE": "blue", "DAYBREAK_ROOT": "/srv/x"}
    instance = instance_from(None, environ)
    assert instance.state == Path("/srv/x/var/lib/daybreak/blue")
    assert instance.daemon_socket == Path("/srv/x/run/daybreak/blue/engine.sock")
    assert instance.pebble == Path("/srv/x/var/cache/daybreak/bin/pebble")
    assert instance.container("keystone/0", "charm") == "db-blue-keystone-0-charm"
    assert instance_from("green", environ).netns == "db-green"
    assert Instance().state == Path("/var/lib/daybreak/daybreak")


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "a" * 21, "a-", "a/b", "ä"])
def test_a_bad_name_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Instance(name)
    assert "lower-case" in caught.value.remedy


def test_names_fit_the_kernel_and_podman() -> None:
    long = Instance("a" * 20, Path("/" + "x" * 100))
    assert len(long.host_interface) <= 15
    assert len(long.pod_interface("a-very-long-application-name/100")) <= 15
    assert len(str(long.podman_runroot)) <= 50
    assert Instance("a").pod_netns("b-keystone/0") != Instance("a-b").pod_netns("keystone/0")
    assert Instance("a").host_interface != Instance("a", Path("/tmp")).host_interface


def test_the_subnet_follows_from_the_name_and_avoids_what_is_taken() -> None:
    first = addresses.choose_subnet("daybreak", [])
    assert first == addresses.choose_subnet("daybreak", [])
    second = addresses.choose_subnet("daybreak", [first])
    assert not first.overlaps(second)
    default = IPv4Network("0.0.0.0/0")
    assert addresses.choose_subnet("daybreak", [default]) == first
    with pytest.raises(RefusedError, match=r"10\.0\.0\.0/8"):
        addresses.choose_subnet("daybreak", [IPv4Network("10.0.0.0/8")])


def test_ranges_of_the_subnet_do_not_overlap() -> None:
    parts = [PLAN.pods, PLAN.services, PLAN.load_balancers]
    for part in parts:
        assert part.subnet_of(PLAN.subnet)
        assert not any(part.overlaps(other) for other in parts if other is not part)
    assert PLAN.free_pod([]) not in (PLAN.gateway, PLAN.host)
    used = [PLAN.free_pod([])]
    assert PLAN.free_pod(used) == used[0] + 1
    assert PLAN.free_service([]) in PLAN.services


def test_no_free_address_says_what_to_do() -> None:
    tight = addresses.Plan(IPv4Network("10.9.192.0/27"))
    with pytest.raises(RefusedError) as caught:
        tight.free_pod(tight.subnet)
    assert caught.value.remedy


def test_cluster_names_are_those_of_kubernetes() -> None:
    pods = [
        network.PodName("web/0", "web", IPv4Address("10.9.192.16")),
        network.PodName("web/1", "web", IPv4Address("10.9.192.17")),
    ]
    hosts = network.cluster_hosts("cloud", pods, {"web": IPv4Address("10.9.200.1")})
    assert [(str(host.address), host.names) for host in hosts] == [
        (
            "10.9.192.16",
            (
                "web-0.web-endpoints.cloud.svc.cluster.local",
                "web-endpoints.cloud.svc.cluster.local",
            ),
        ),
        (
            "10.9.192.17",
            (
                "web-1.web-endpoints.cloud.svc.cluster.local",
                "web-endpoints.cloud.svc.cluster.local",
            ),
        ),
        ("10.9.200.1", ("web.cloud.svc.cluster.local",)),
    ]


def test_the_rules_do_not_depend_on_order() -> None:
    one = services.Service(
        "one",
        (IPv4Address("10.9.200.1"),),
        (services.ServicePort(80, 8080),),
        (IPv4Address("10.9.192.17"), IPv4Address("10.9.192.16")),
    )
    two = services.Service(
        "two", (IPv4Address("10.9.200.2"),), (services.ServicePort(53, 53, "udp"),), ()
    )
    rules = services.ruleset([two, one], PLAN)
    assert rules == services.ruleset([one, two], PLAN)
    assert "10.9.192.16 . 8080, 1 : 10.9.192.17 . 8080" in rules
    assert "10.9.200.2" not in rules


def test_podmans_limits_come_from_the_machine() -> None:
    text = podman.containers_conf(Instance(), podman.Machine(20000, 4096, "runc"))
    assert 'default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]' in text
    assert 'runtime = "runc"' in text


def test_podman_gets_a_closed_environment(tmp_path: Path) -> None:
    runner = podman.podman_for(
        Instance(root=tmp_path), {"PATH": "/bin", "CONTAINER_HOST": "x", "STORAGE_DRIVER": "vfs"}
    )
    assert set(runner.env) == {
        *("PATH", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "PODMAN_IGNORE_CGROUPSV1_WARNING")
    }
    assert Path(runner.env["CONTAINERS_CONF"]).is_relative_to(tmp_path)


def test_local_images_are_never_pulled() -> None:
    assert is_local("localhost:32000/daybreak/keystone:2026.1")
    assert is_local("localhost/x")
    assert not is_local("docker.io/library/x")
    assert not is_local("localhost.example.com/x")
