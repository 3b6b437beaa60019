"""The charm as a whole: state in, state out."""

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import accounts
import charm
import mariadb
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID
from fake_server import FakeServer
from ops import pebble, testing

from daybreak_charm.testing import quiet_effects, recorded

Ctx = testing.Context[charm.MariadbCharm]
MakeState = Callable[..., testing.State]
NOW = datetime(2027, 1, 1, tzinfo=UTC)
INVENTORY = "version\t11.8.6-MariaDB\t\ndatabase\tmysql\t\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    fake = FakeServer()
    monkeypatch.setattr(accounts, "run", fake.run)
    return fake


def sign(csr_pem: str) -> dict[str, object]:
    """Answer a signing request as a provider of certificates does."""
    csr = x509.load_pem_x509_csr(csr_pem.encode())
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])

    def build(subject: x509.Name, public: CertificatePublicKeyTypes) -> str:
        return (
            x509.CertificateBuilder(name, subject, public, x509.random_serial_number())
            .not_valid_before(NOW)
            .not_valid_after(NOW + timedelta(days=365))
            .sign(key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
            .decode()
            .strip()
        )

    ca, leaf = build(name, key.public_key()), build(csr.subject, csr.public_key())
    return {
        "ca": ca,
        "certificate": leaf,
        "certificate_signing_request": csr_pem,
        "chain": [leaf, ca],
    }


@pytest.fixture
def ctx(monkeypatch: pytest.MonkeyPatch) -> Ctx:
    monkeypatch.setattr(charm.MariadbCharm, "effects", quiet_effects(now=NOW.timestamp()))
    return testing.Context(charm.MariadbCharm)


def mount(location: str, source: Path) -> testing.Mount:
    source.parent.mkdir(parents=True, exist_ok=True)
    if not source.suffix:
        source.mkdir(exist_ok=True)
    return testing.Mount(location=location, source=source)


@pytest.fixture
def containers(tmp_path: Path) -> set[testing.Container]:
    layout = tmp_path / "layout.json"
    layout.write_text(json.dumps({"project": "mariadb", "version": "11.8.6", "user": "mysql"}))
    limit = tmp_path / "limit.txt"
    limit.write_text(f"{2**30}\n")
    (tmp_path / "storage" / "data").mkdir(parents=True)
    shared = {"layout": mount("/usr/share/daybreak/layout.json", layout)}
    server = testing.Container(
        "mariadb",
        can_connect=True,
        mounts={
            **shared,
            "limit": mount("/sys/fs/cgroup/memory.max", limit),
            "storage": mount("/var/lib/mysql", tmp_path / "storage"),
            "etc": mount("/etc/mysql", tmp_path / "etc"),
            "run": mount("/run", tmp_path / "run"),
        },
        execs={
            testing.Exec(["mariadb"], stdout=INVENTORY),
            testing.Exec(["chown"]),
            testing.Exec(["chmod"]),
        },
    )
    proxy = testing.Container(
        "proxy",
        can_connect=True,
        mounts={
            "etc": mount("/etc/haproxy", tmp_path / "proxy-etc"),
            "run": mount("/run", tmp_path / "proxy-run"),
        },
    )
    return {server, proxy}


@pytest.fixture
def make_state(containers: set[testing.Container], ctx: Ctx) -> MakeState:
    """States of a unit that has its certificate and a client that wants a database."""

    def make(database: str = "keystone", **changes: object) -> testing.State:
        state = testing.State(
            leader=True,
            planned_units=1,
            containers=containers,
            relations={
                testing.PeerRelation("peers"),
                testing.Relation("certificates", remote_app_name="certificates"),
                testing.Relation(
                    "database",
                    id=70,
                    remote_app_name="keystone",
                    remote_app_data={"database": database},
                ),
            },
        )
        return dataclasses.replace(certify(ctx.run(ctx.on.config_changed(), state)), **changes)

    return make


def certify(state: testing.State) -> testing.State:
    relation = state.get_relations("certificates")[0]
    wanted = json.loads(relation.local_unit_data["certificate_signing_requests"])
    answers = [sign(entry["certificate_signing_request"]) for entry in wanted]
    return replace_relation(state, relation, remote_app_data={"certificates": json.dumps(answers)})


def replace_relation(
    state: testing.State, relation: testing.RelationBase, **changes: object
) -> testing.State:
    others = {other for other in state.relations if other.id != relation.id}
    return dataclasses.replace(state, relations={*others, dataclasses.replace(relation, **changes)})


def published(state: testing.State) -> dict[str, str]:
    return dict(state.get_relation(70).local_app_data)


def secret(state: testing.State, key: str) -> testing.Secret:
    return state.get_secret(id=published(state)[key])


def credentials(state: testing.State) -> dict[str, str]:
    return dict(secret(state, "secret-user").latest_content or {})


def file(state: testing.State, ctx: Ctx, path: str, container: str = "mariadb") -> str:
    root = state.get_container(container).get_filesystem(ctx)
    return (root / path.lstrip("/")).read_text()


def test_a_relation_gets_a_database_and_a_user_of_its_own(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state("keystone_main"))
    bag = published(out)
    assert server.accepts(credentials(out), "keystone_main")
    assert credentials(out)["username"] == "keystone.r70.g1"
    assert bag["database"] == "keystone_main"
    assert bag["endpoints"] == f"mariadb-k8s.{out.model.name}.svc.cluster.local:3306"
    assert bag["version"] == "11.8.6"
    assert "read-only-endpoints" not in bag
    tls = secret(out, "secret-tls").latest_content or {}
    assert tls["tls"] == "True"
    assert tls["tls-ca"].startswith("-----BEGIN CERTIFICATE")
    for key in ("secret-user", "secret-tls"):
        assert secret(out, key).owner == "app"
        assert secret(out, key).remote_grants == {70: {"keystone"}}
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
    assert plan.services["mariadb"].kill_delay == "25s"
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
    relation = out.get_relation(70)
    ctx.run(ctx.on.relation_broken(relation), out)
    assert server.users == {}
    assert "keystone" in server.databases


def test_a_relation_that_says_nothing_for_now_keeps_its_user(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state())
    silent = replace_relation(out, out.get_relation(70), remote_app_data={})
    ctx.run(ctx.on.update_status(), silent)
    assert set(server.users) == {"keystone.r70.g1"}


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
    server.users["keystone.r70.g1"] = "*0"
    ctx.run(ctx.on.update_status(), out)
    assert server.accepts(credentials(out), "keystone")


def test_rotation_adds_a_user_and_the_old_one_goes_when_nobody_tracks_it(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    first = ctx.run(ctx.on.update_status(), make_state())
    out = ctx.run(ctx.on.action("rotate-credentials"), first)
    assert ctx.action_results == {"rotated": "keystone"}
    assert credentials(out)["username"] == "keystone.r70.g2"
    assert server.accepts(credentials(out), "keystone")
    assert server.accepts(credentials(first), "keystone")

    later = ctx.run(ctx.on.update_status(), out)
    assert server.accepts(credentials(first), "keystone")
    assert credentials(later) == credentials(out)

    ctx.run(ctx.on.secret_remove(secret(later, "secret-user"), revision=1), later)
    assert set(server.users) == {"keystone.r70.g2"}
    assert ctx.removed_secret_revisions == [1]


def test_what_a_failed_rotation_left_is_dropped(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state())
    server.users["keystone.r70.g2"] = "*0"
    ctx.run(ctx.on.update_status(), out)
    assert set(server.users) == {"keystone.r70.g1"}


def test_rotation_of_one_application_leaves_the_others(
    ctx: Ctx, make_state: MakeState, server: FakeServer
):
    out = ctx.run(ctx.on.update_status(), make_state())
    with pytest.raises(testing.ActionFailed, match="No related application"):
        ctx.run(ctx.on.action("rotate-credentials", params={"application": "glance"}), out)
    assert set(server.users) == {"keystone.r70.g1"}


def test_only_the_leader_rotates(ctx: Ctx, make_state: MakeState, server: FakeServer):
    with pytest.raises(testing.ActionFailed, match="leader"):
        ctx.run(ctx.on.action("rotate-credentials"), make_state(leader=False))


def test_a_further_unit_is_a_proxy_and_says_so(make_state: MakeState, server: FakeServer):
    ctx: Ctx = testing.Context(charm.MariadbCharm, unit_id=1)
    state = testing.State(
        planned_units=2,
        containers=make_state().containers,
        relations={
            testing.PeerRelation("peers"),
            testing.Relation("certificates", remote_app_name="certificates"),
        },
    )
    out = ctx.run(ctx.on.update_status(), certify(ctx.run(ctx.on.update_status(), state)))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "scale-application" in out.unit_status.message
    assert "proxy" in out.get_container("proxy").plan.services
    assert "server mariadb-k8s-0 " in file(out, ctx, "/etc/haproxy/daybreak.cfg", "proxy")


def test_a_negative_option_blocks(ctx: Ctx, make_state: MakeState, server: FakeServer):
    out = ctx.run(ctx.on.config_changed(), make_state(config={"max-connections": -1}))
    assert isinstance(out.unit_status, testing.BlockedStatus)


def test_a_password_is_new_each_time_and_fits_a_url():
    passwords = {accounts.new_password() for _ in range(10)}
    assert len(passwords) == 10
    assert all(p.replace("-", "").replace("_", "").isalnum() for p in passwords)
