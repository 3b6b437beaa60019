"""The charm as a whole: state in, state out."""

import dataclasses
from pathlib import Path

import accounts
import mariadb
import pytest
from conftest import Ctx, MakeState
from fake_server import FakeServer
from ops import pebble, testing
from states import certify, file, replace_relation

from daybreak_charm.testing import recorded


def published(state: testing.State) -> dict[str, str]:
    return dict(state.get_relation(7070).local_app_data)


def secret(state: testing.State, key: str) -> testing.Secret:
    return state.get_secret(id=published(state)[key])


def credentials(state: testing.State) -> dict[str, str]:
    return dict(secret(state, "secret-user").latest_content or {})


def test_a_relation_gets_a_database_and_a_user_of_its_own(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state("keystone_main"))
    bag = published(out)
    assert server.accepts(credentials(out), "keystone_main")
    assert credentials(out)["username"] == "keystone.r7070.g1"
    assert bag["database"] == "keystone_main"
    assert bag["endpoints"] == f"mariadb-k8s.{out.model.name}.svc.cluster.local:3306"
    assert bag["version"] == "11.8.6"
    assert "read-only-endpoints" not in bag
    tls = secret(out, "secret-tls").latest_content or {}
    assert tls["tls"] == "True"
    assert tls["tls-ca"].startswith("-----BEGIN CERTIFICATE")
    for key in ("secret-user", "secret-tls"):
        assert secret(out, key).owner == "app"
        assert secret(out, key).remote_grants == {7070: {"keystone"}}
    assert out.opened_ports == {testing.TCPPort(3306)}
    assert out.unit_status == testing.ActiveStatus()


def test_no_secret_in_databags_logs_or_statements(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state())
    password = credentials(out)["password"]
    bags = [(r.local_app_data, r.local_unit_data) for r in out.relations]
    said = [repr(bags), *server.statements, *(line.message for line in ctx.juju_log)]
    assert not [text for text in said if password in text or "PRIVATE KEY" in text]


def test_the_second_run_changes_nothing(ctx: Ctx, make_state: MakeState, server: FakeServer):
    first = ctx.run(ctx.on.update_status(), make_state())
    server.statements.clear()
    with recorded() as writes:
        second = ctx.run(ctx.on.update_status(), first)
    assert writes.nothing, writes
    assert server.statements == []
    assert {r.id: r for r in second.relations} == {r.id: r for r in first.relations}
    assert {s.id: s.latest_content for s in second.secrets} == {
        s.id: s.latest_content for s in first.secrets
    }


def test_sql_goes_in_over_standard_input(ctx: Ctx, make_state: MakeState):
    ctx.run(ctx.on.update_status(), make_state())
    calls = [call for call in ctx.exec_history["mariadb"] if call.command[0] == "mariadb"]
    inventory, change = calls[-2:]
    assert inventory.stdin == mariadb.INVENTORY_SQL
    assert "CREATE USER" in str(change.stdin)
    assert not [word for call in calls for word in call.command if "CREATE" in word]


def test_the_server_demands_encryption_and_the_key_is_its_own(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state())
    assert "require_secure_transport = 1" in file(out, ctx, "/etc/mysql/daybreak.cnf")
    assert "max_connections = 324" in file(out, ctx, "/etc/mysql/daybreak.cnf")
    bundle = file(out, ctx, "/etc/mysql/daybreak-tls.pem")
    assert bundle.count("PRIVATE KEY") == 2
    assert bundle.count("BEGIN CERTIFICATE") == 2
    path = out.get_container("mariadb").get_filesystem(ctx) / "etc/mysql/daybreak-tls.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    plan = out.get_container("mariadb").plan
    assert plan.services["mariadb"].kill_delay == "29s"
    assert plan.services["mariadb"].user == "mysql"
    assert plan.checks["up"].level is pebble.CheckLevel.UNSET


def test_a_new_certificate_is_read_in_place(ctx: Ctx, make_state: MakeState, server: FakeServer):
    first = ctx.run(ctx.on.update_status(), make_state())
    before = first.get_container("mariadb").plan.services["mariadb"]
    out = ctx.run(ctx.on.update_status(), certify(first))
    assert out.get_container("mariadb").plan.services["mariadb"] == before
    assert list(mariadb.RELOAD_COMMAND) in [c.command for c in ctx.exec_history["mariadb"]]
    assert "tls-ca" in (secret(out, "secret-tls").latest_content or {})


def test_without_certificates_it_waits_with_its_data_prepared(
    ctx: Ctx, containers: set[testing.Container], tmp_path: Path, server: FakeServer
):
    (tmp_path / "storage" / "data").rmdir()
    state = testing.State(
        leader=True,
        planned_units=1,
        containers=containers,
        relations={
            testing.PeerRelation("peers"),
            testing.Relation("certificates", remote_app_name="certificates"),
        },
    )
    container = state.get_container("mariadb")
    out = ctx.run(ctx.on.pebble_ready(container), state)
    service = out.get_container("mariadb").plan.services["prepare"]
    assert service.command == mariadb.PREPARE_COMMAND
    statuses = out.get_container("mariadb").service_statuses
    assert statuses["prepare"] is pebble.ServiceStatus.ACTIVE
    assert isinstance(out.unit_status, testing.WaitingStatus)
    assert "certificate" in out.unit_status.message


def test_the_end_of_the_preparation_wakes_the_loop(
    ctx: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    state = make_state()
    (tmp_path / "storage" / "data").rmdir()
    out = ctx.run(ctx.on.update_status(), state)
    assert out.unit_status == testing.WaitingStatus("the data directory is being made")
    checks = out.get_container("mariadb").plan.checks
    assert checks["wait-data"].exec == {"command": "test -d /var/lib/mysql/data"}


def test_without_the_relation_it_says_what_to_do(
    ctx: Ctx, containers: set[testing.Container], server: FakeServer
):
    state = testing.State(
        leader=True,
        planned_units=1,
        containers=containers,
        relations={testing.PeerRelation("peers")},
    )
    out = ctx.run(ctx.on.update_status(), state)
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "juju integrate" in out.unit_status.message


def test_the_user_of_a_relation_that_is_gone_is_dropped_and_its_data_kept(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state())
    relation = out.get_relation(7070)
    ctx.run(ctx.on.relation_broken(relation), out)
    assert server.users == {}
    assert "keystone" in server.databases


def test_a_relation_that_says_nothing_for_now_keeps_its_user(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state())
    silent = replace_relation(out, out.get_relation(7070), remote_app_data={})
    ctx.run(ctx.on.update_status(), silent)
    assert set(server.users) == {"keystone.r7070.g1"}


def test_a_bad_name_is_refused_visibly(ctx: Ctx, make_state: MakeState, server: FakeServer):
    out = ctx.run(ctx.on.update_status(), make_state("mysql"))
    assert published(out) == {}
    assert server.statements == []
    assert "refused to keystone" in out.unit_status.message


def test_a_server_that_refuses_is_waited_for_and_nothing_is_published(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    server.error = "the server refused with error 1205"
    out = ctx.run(ctx.on.update_status(), make_state())
    assert out.unit_status == testing.WaitingStatus("the server refused with error 1205")
    assert published(out) == {}


def test_an_error_of_the_server_keeps_the_statement_to_itself(
    ctx: Ctx, make_state: MakeState, containers: set[testing.Container]
):
    stderr = "ERROR 1064 (42000) at line 1: You have an error near 'USING *ABC'"
    refusing = {
        dataclasses.replace(c, execs={testing.Exec(["mariadb"], return_code=1, stderr=stderr)})
        for c in make_state().containers
        if c.name == "mariadb"
    }
    state = make_state()
    proxy = state.get_container("proxy")
    out = ctx.run(ctx.on.update_status(), dataclasses.replace(state, containers={*refusing, proxy}))
    assert out.unit_status.message == "the server refused with error 1064"
    assert not [line for line in ctx.juju_log if "*ABC" in line.message]


def test_a_user_that_somebody_changed_is_repaired(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state())
    server.users["keystone.r7070.g1"] = "*0"
    ctx.run(ctx.on.update_status(), out)
    assert server.accepts(credentials(out), "keystone")


def test_rotation_adds_a_user_and_the_old_one_goes_when_nobody_tracks_it(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    first = ctx.run(ctx.on.update_status(), make_state())
    out = ctx.run(ctx.on.action("rotate-credentials"), first)
    assert ctx.action_results == {"rotated": "keystone"}
    assert credentials(out)["username"] == "keystone.r7070.g2"
    assert server.accepts(credentials(out), "keystone")
    assert server.accepts(credentials(first), "keystone")

    later = ctx.run(ctx.on.update_status(), out)
    assert server.accepts(credentials(first), "keystone")
    assert credentials(later) == credentials(out)

    ctx.run(ctx.on.secret_remove(secret(later, "secret-user"), revision=1), later)
    assert set(server.users) == {"keystone.r7070.g2"}
    assert ctx.removed_secret_revisions == [1]


def test_what_a_failed_rotation_left_is_dropped(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state())
    server.users["keystone.r7070.g2"] = "*0"
    ctx.run(ctx.on.update_status(), out)
    assert set(server.users) == {"keystone.r7070.g1"}


def test_rotation_of_one_application_leaves_the_others(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state())
    with pytest.raises(testing.ActionFailed, match="No related application"):
        ctx.run(ctx.on.action("rotate-credentials", params={"application": "glance"}), out)
    assert set(server.users) == {"keystone.r7070.g1"}


def test_only_the_leader_rotates(ctx: Ctx, make_state: MakeState, server: FakeServer):
    with pytest.raises(testing.ActionFailed, match="leader"):
        ctx.run(ctx.on.action("rotate-credentials"), make_state(leader=False))


def test_a_negative_option_blocks(ctx: Ctx, make_state: MakeState, server: FakeServer):
    out = ctx.run(ctx.on.config_changed(), make_state(config={"max-connections": -1}))
    assert isinstance(out.unit_status, testing.BlockedStatus)


def test_a_password_is_new_each_time_and_fits_a_url():
    passwords = {accounts.new_password() for _ in range(10)}
    assert len(passwords) == 10
    assert all(p.replace("-", "").replace("_", "").isalnum() for p in passwords)
