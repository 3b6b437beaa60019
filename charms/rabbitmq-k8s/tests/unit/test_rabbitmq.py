"""Files, sizes and accounts as pure functions."""

import base64
import hashlib

import pytest
import rabbitmq

from daybreak_charm.sizing import Machine


def test_sizes_follow_the_limit_of_the_container() -> None:
    sizes = rabbitmq.sizes(Machine(8, 64 * 1024, 2048))
    assert sizes == rabbitmq.Sizes(memory_mib=1228, schedulers=4, wal_mib=153, disk_mib=1228)


def test_without_a_limit_the_machine_is_shared() -> None:
    assert rabbitmq.sizes(Machine(2, 24 * 1024)).memory_mib == 921
    assert rabbitmq.sizes(Machine(1, 2 * 1024)) == rabbitmq.Sizes(307, 1, 38, 307)
    assert rabbitmq.sizes(Machine(64, 1024 * 1024)).wal_mib == 512


def test_the_operators_choice_of_memory() -> None:
    assert rabbitmq.sizes(Machine(2, 1024, 2048), memory_mib=1000).memory_mib == 600
    with pytest.raises(rabbitmq.InvalidError, match="512"):
        rabbitmq.sizes(Machine(2, 1024), memory_mib=100)


def test_a_hash_is_what_rabbitmq_checks() -> None:
    stored = base64.b64decode(rabbitmq.password_hash("secret"))
    salt, digest = stored[:4], stored[4:]
    assert hashlib.sha256(salt + b"secret").digest() == digest
    assert rabbitmq.password_hash("secret") == rabbitmq.password_hash("secret")
    assert rabbitmq.password_hash("other") != rabbitmq.password_hash("secret")


def test_plain_connections_only_within_the_pod_or_when_wanted() -> None:
    sizes = rabbitmq.sizes(Machine(1, 1024))
    safe = rabbitmq.configuration(sizes, "c", plaintext=False)
    assert "listeners.tcp.1 = 127.0.0.1:5672" in safe
    assert "listeners.tcp.default" not in safe
    assert "listeners.tcp.default = 5672" in rabbitmq.configuration(sizes, "c", plaintext=True)
    assert "cluster_partition_handling = pause_minority" in safe


def test_nodes_speak_tls_with_each_other_and_check_both_sides() -> None:
    text = rabbitmq.environment("r-0.r", schedulers=1, ipv6=False)
    assert "inet_tls" in text
    assert "inet6_tls" in rabbitmq.environment("r-0.r", schedulers=1, ipv6=True)
    assert "rabbit@r-0.r" in text
    options = rabbitmq.inter_node()
    assert options.count("verify_peer") == 2
    assert "fail_if_no_peer_cert" in options


def test_leaving_waits_for_others_only_where_there_are_some() -> None:
    alone = rabbitmq.leave_script("/bin", "/pid", replicated=False)
    assert "await_online_quorum_plus_one" not in alone
    assert "drain" in alone
    assert "await_online_quorum_plus_one" in rabbitmq.leave_script("/b", "/pid", replicated=True)


@pytest.mark.parametrize("name", ["openstack", "/", "a.b-c_d", "x" * 64])
def test_names_of_virtual_hosts(name: str) -> None:
    rabbitmq.check_vhost(name)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ä", 'a"'])
def test_names_that_no_virtual_host_has(name: str) -> None:
    with pytest.raises(rabbitmq.InvalidError, match="virtual host"):
        rabbitmq.check_vhost(name)


@pytest.mark.parametrize(("name", "generation"), [("guest", False), ("", False), ("a.r1.g1", True)])
def test_names_that_no_application_may_choose(name: str, generation: bool) -> None:
    with pytest.raises(rabbitmq.InvalidError, match="user"):
        rabbitmq.check_user(name, generation=generation)


ONE = rabbitmq.Account("nova.r1.g1", frozenset({"openstack"}), "hash")
DONE = rabbitmq.Inventory(
    {"nova.r1.g1": "hash"},
    frozenset({"nova.r1.g1"}),
    frozenset({"openstack"}),
    frozenset({("nova.r1.g1", "openstack")}),
)


def test_nothing_to_do_is_nothing() -> None:
    assert rabbitmq.changes([ONE], [], DONE).nothing


def test_all_is_made_from_nothing() -> None:
    empty = rabbitmq.Inventory({}, frozenset(), frozenset(), frozenset())
    changes = rabbitmq.changes([ONE], [], empty)
    assert changes == rabbitmq.Changes(vhosts=("openstack",), accounts=(ONE,))


def test_more_rights_than_wanted_are_taken() -> None:
    more = rabbitmq.Inventory(
        DONE.users, DONE.ours, DONE.vhosts, DONE.permissions | {("nova.r1.g1", "other")}
    )
    assert rabbitmq.changes([ONE], [], more).revoke == (("nova.r1.g1", "other"),)


def test_only_users_of_ours_are_dropped() -> None:
    inventory = rabbitmq.Inventory(
        {**DONE.users, "old.r2.g1": "h", "kept.r3.g1": "h", "operators": "h"},
        DONE.ours | {"old.r2.g1", "kept.r3.g1"},
        DONE.vhosts,
        DONE.permissions | {("operators", "openstack")},
    )
    changes = rabbitmq.changes([ONE], ["kept.r3.g1"], inventory)
    assert changes == rabbitmq.Changes(drop=("old.r2.g1",))
