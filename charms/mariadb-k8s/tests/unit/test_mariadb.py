"""Sizes, configuration, SQL and the proxy, as pure functions."""

import galera
import mariadb
import proxy
import pytest

from daybreak_charm.sizing import Machine

ROOM = Machine(2, 8192, 1024)
HASH = mariadb.password_hash("a password")
NOVA = mariadb.Account("nova.r5.g1", ("nova", "nova_cell0"), HASH)
KEYSTONE = mariadb.Account("keystone.r7.g1", ("keystone",), HASH)
GLANCE = mariadb.Account("glance.r8.g1", ("glance_api",), HASH)
MEMBER = galera.Member("db-0", "db-0.db-endpoints.m.svc.cluster.local", ("db-1",))
EMPTY = mariadb.Inventory("11.8.6", frozenset({"mysql"}), {}, frozenset())


def memory_used(sizes: mariadb.Sizes) -> int:
    """Memory in MiB at full load, by the server's own documented needs."""
    return 160 + sizes.buffer_pool_mib + 2 * sizes.max_connections


@pytest.mark.parametrize("limit_mb", [512, 1024, 2048, 8192])
def test_the_sizes_fit_the_limit_of_the_container(limit_mb: int):
    assert memory_used(mariadb.sizes(Machine(8, 65536, limit_mb))) <= limit_mb


def test_without_a_limit_only_a_part_of_the_machine_is_used():
    assert memory_used(mariadb.sizes(Machine(2, 24 * 1024))) <= 24 * 1024 / 16


def test_a_small_machine_still_gets_a_working_server():
    tiny = mariadb.sizes(Machine(1, 4096, 100))
    assert tiny.buffer_pool_mib >= 64
    assert tiny.max_connections >= 50
    assert mariadb.sizes(Machine(1, 0)).max_connections >= 50


def test_the_operator_decides():
    sizes = mariadb.sizes(ROOM, max_connections=321, buffer_pool_mib=123)
    assert sizes == mariadb.Sizes(buffer_pool_mib=123, max_connections=321)
    with pytest.raises(mariadb.InvalidError):
        mariadb.sizes(ROOM, max_connections=-1)


def test_connections_must_be_encrypted():
    options = mariadb.settings(mariadb.sizes(ROOM), MEMBER, "m-db")["mariadbd"]
    assert options["require_secure_transport"] is True
    assert options["ssl_cert"] == options["ssl_key"] == str(mariadb.TLS_BUNDLE)


def test_a_row_that_others_changed_is_no_error_as_openstack_expects():
    options = mariadb.settings(mariadb.sizes(ROOM), MEMBER, "m-db")["mariadbd"]
    assert options["innodb_snapshot_isolation"] is False


def test_rendering():
    text = mariadb.render({"mariadbd": {"port": 1, "local_infile": False}, "client": {"a": "b"}})
    assert text == "[mariadbd]\nport = 1\nlocal_infile = 0\n\n[client]\na = b\n"


@pytest.mark.parametrize("value", ["a\nb", "a # b"])
def test_a_value_that_would_be_read_otherwise_is_refused(value: str):
    with pytest.raises(mariadb.InvalidError):
        mariadb.render({"mariadbd": {"port": value}})


def test_the_known_hash_of_a_password():
    # The value that MariaDB's documentation of PASSWORD() shows.
    assert mariadb.password_hash("notagoodpwd") == "*3A70EE9FC6594F88CE9E959CD51C5A1C002DC937"


def test_an_account_is_made_from_nothing():
    sql = mariadb.statements([GLANCE], [], EMPTY)
    assert sql == (
        "CREATE DATABASE IF NOT EXISTS `glance_api`;",
        "CREATE USER IF NOT EXISTS 'glance.r8.g1'@'%' IDENTIFIED VIA mysql_native_password"
        f" USING '{HASH}' REQUIRE SSL;",
        "GRANT ALL PRIVILEGES ON `glance\\_api`.* TO 'glance.r8.g1'@'%';",
    )


ANSWER = "\n".join(
    [
        "version\t11.8.6-MariaDB-0+deb13u1 from Debian\t",
        "database\tmysql\t",
        "database\tglance_api\t",
        "database\tkeystone\t",
        f"user\tglance.r8.g1\t{HASH}",
        f"user\tkeystone.r7.g1\t{HASH}",
        "user\tbackup\t*0123",
        "grant\tglance.r8.g1\tglance\\_api",
        "grant\tkeystone.r7.g1\tkeystone",
        "",
    ]
)


def test_nothing_is_said_twice():
    inventory = mariadb.parse_inventory(ANSWER)
    assert inventory.version == "11.8.6"
    assert mariadb.statements([KEYSTONE, GLANCE], [], inventory) == ()


def test_a_user_may_have_several_databases() -> None:
    made = mariadb.statements([NOVA], [], EMPTY)
    assert [line.split()[0] for line in made] == ["CREATE", "CREATE", "CREATE", "GRANT", "GRANT"]
    assert sum("CREATE USER" in line for line in made) == 1
    assert "`nova\\_cell0`.* TO 'nova.r5.g1'@'%'" in made[-1]


def test_two_accounts_may_share_a_database():
    other = mariadb.Account("cinder-volume.r9.g1", ("keystone",), HASH)
    sql = mariadb.statements([KEYSTONE, other], [], EMPTY)
    assert sum("CREATE DATABASE" in line for line in sql) == 1


def test_another_password_or_missing_tls_is_repaired_in_place():
    for wrong in ("*OTHER", ""):
        inventory = mariadb.Inventory(
            "11.8.6",
            frozenset({"keystone"}),
            {KEYSTONE.user: wrong},
            frozenset({(KEYSTONE.user, "keystone")}),
        )
        (line,) = mariadb.statements([KEYSTONE], [], inventory)
        assert line.startswith("ALTER USER")
        assert line.endswith("REQUIRE SSL;")


def test_users_of_relations_that_are_gone_are_dropped_and_nothing_else():
    inventory = mariadb.parse_inventory(ANSWER)
    assert mariadb.statements([KEYSTONE], [], inventory) == (
        "DROP USER IF EXISTS 'glance.r8.g1'@'%';",
    )
    assert mariadb.statements([KEYSTONE], ["glance.r8.g1"], inventory) == ()


@pytest.mark.parametrize(
    "database", ["", "a`b", "a.b", "x" * 65, "mysql", "SYS", "a\\b", "daybreak"]
)
def test_a_bad_database_name_is_refused(database: str):
    with pytest.raises(mariadb.InvalidError):
        mariadb.statements([mariadb.Account("a.r1.g1", (database,), HASH)], [], EMPTY)


@pytest.mark.parametrize("user", ["root", "a'b.r1.g1", "a.r1", "A.r1.g1"])
def test_a_user_of_another_form_is_refused(user: str):
    with pytest.raises(mariadb.InvalidError):
        mariadb.statements([mariadb.Account(user, ("keystone",), HASH)], [], EMPTY)


def test_a_user_name_tells_its_relation_and_generation():
    name = mariadb.user_name("cinder-volume", 12, 3)
    assert name == "cinder-volume.r12.g3"
    assert mariadb.parse_user(name) == mariadb.User(12, 3)
    assert len(mariadb.user_name("x" * 200, 1, 1)) <= 80


@pytest.mark.parametrize("text", ["", "nonsense\n", "grant\tx\n", "version\tunknown\t\n"])
def test_an_answer_of_another_form_is_refused(text: str):
    with pytest.raises(mariadb.InvalidError):
        mariadb.parse_inventory(text)


def servers(config: str) -> list[str]:
    return [line.strip() for line in config.splitlines() if line.strip().startswith("server ")]


def test_every_proxy_uses_the_member_that_says_it_is_the_writer():
    hosts = [f"db-{n}.db-endpoints.openstack.svc.cluster.local" for n in range(3)]
    config = proxy.config(hosts, 3307)
    both = [f"server db-{n} {host}:3307" for n, host in enumerate(hosts)] * 2
    assert servers(config) == both
    assert "use-server db-2 if { srv_is_up(rule/db-2) }" in config
    traffic, _, rule = config.partition("backend rule")
    assert "names=writer&names=mariadb-serving" in rule
    assert "on-marked-down shutdown-sessions" in traffic
    assert "on-marked-down shutdown-sessions" not in rule


def test_a_recovering_server_is_not_restarted_by_the_up_check():
    # The check must not fail by its exit code: see UP_COMMAND.
    assert mariadb.UP_COMMAND.endswith("|| true'")
