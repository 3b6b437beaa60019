"""The charm as a whole: state in, state out."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import accounts
import broker
import charm
import cluster
import erlang
import pytest
import rabbitmq
from fake_broker import FakeBroker, data_of
from ops import pebble, testing

from daybreak_charm.testing import TestCA, assert_idempotent, quiet_effects

Ctx = testing.Context[charm.RabbitmqCharm]
MakeState = Callable[..., testing.State]
MODEL = testing.Model("openstack", type="kubernetes")
DOMAIN = "openstack.svc.cluster.local"
OURS = {"username": "nova", "vhost": "openstack", "requested-secrets": '["username", "password"]'}
THEIRS = {"username": "cinder", "vhost": "openstack", "external_connectivity": "false"}


def node(number: int) -> str:
    return f"rabbit@rabbitmq-k8s-{number}.rabbitmq-k8s-endpoints.{DOMAIN}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    fake = FakeBroker(node(0))
    for name in ("ask", "tell", "run"):
        monkeypatch.setattr(broker, name, getattr(fake, name))
    return fake


@pytest.fixture
def ctx(monkeypatch: pytest.MonkeyPatch) -> Ctx:
    monkeypatch.setattr(charm.RabbitmqCharm, "effects", quiet_effects())
    return testing.Context(charm.RabbitmqCharm)


def mount(location: str, source: Path) -> testing.Mount:
    source.parent.mkdir(parents=True, exist_ok=True)
    if not source.suffix:
        source.mkdir(exist_ok=True)
    return testing.Mount(location=location, source=source)


@pytest.fixture
def container(tmp_path: Path) -> testing.Container:
    layout = tmp_path / "layout.json"
    layout.write_text(
        json.dumps(
            {
                "project": "rabbitmq",
                "version": "4.0.5",
                "user": "rabbitmq",
                "bin": "/usr/lib/rabbitmq/bin",
            }
        )
    )
    limit = tmp_path / "limit.txt"
    limit.write_text(f"{2**30}\n")
    return testing.Container(
        "rabbitmq",
        can_connect=True,
        mounts={
            "layout": mount("/usr/share/daybreak/layout.json", layout),
            "limit": mount("/sys/fs/cgroup/memory.max", limit),
            "storage": mount("/var/lib", tmp_path / "storage"),
            "etc": mount("/etc/rabbitmq", tmp_path / "etc"),
            "run": mount("/run", tmp_path / "run"),
        },
        execs={testing.Exec(["env"]), testing.Exec(["chown"]), testing.Exec(["chmod"])},
    )


@pytest.fixture
def make_state(container: testing.Container, ctx: Ctx) -> MakeState:
    """States of a unit that has its certificate; clients by their databags."""
    ca = TestCA()

    def make(
        *clients: dict[str, str], peers: dict[int, dict[str, str]] | None = None, **changes: object
    ) -> testing.State:
        state = testing.State(
            leader=True,
            planned_units=1,
            model=MODEL,
            containers={container},
            relations={
                testing.PeerRelation("peers", id=900, peers_data=peers or {}),
                testing.Relation("certificates", remote_app_name="certificates"),
                *(
                    testing.Relation(
                        "amqp", id=70 + n, remote_app_name=bag["username"], remote_app_data=bag
                    )
                    for n, bag in enumerate(clients)
                ),
            },
        )
        state = dataclasses.replace(state, **changes)
        return ca.answer(ctx.run(ctx.on.config_changed(), state))

    return make


def published(state: testing.State, relation: int = 70) -> dict[str, str]:
    return dict(state.get_relation(relation).local_app_data)


def credentials(state: testing.State, relation: int = 70) -> dict[str, str]:
    found = state.get_secret(id=published(state, relation)["secret-user"])
    return dict(found.latest_content or {})


def file(state: testing.State, ctx: Ctx, path: str) -> Path:
    return state.get_container("rabbitmq").get_filesystem(ctx) / path.lstrip("/")


def test_a_relation_gets_a_virtual_host_and_a_user_of_its_own(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    out = ctx.run(ctx.on.update_status(), make_state(OURS))
    bag = published(out)
    assert server.accepts(credentials(out), "openstack")
    assert credentials(out)["username"] == "nova.r70.g1"
    assert bag["hostname"] == f"rabbitmq-k8s.{DOMAIN}"
    assert bag["hosts"] == f"rabbitmq-k8s-0.rabbitmq-k8s-endpoints.{DOMAIN}"
    assert bag["ssl_port"] == "5671"
    assert bag["ssl_ca"].startswith("-----BEGIN CERTIFICATE")
    assert "password" not in bag
    assert out.get_secret(id=bag["secret-user"]).remote_grants == {70: {"nova"}}
    assert out.opened_ports == {testing.TCPPort(5671)}
    assert out.unit_status == testing.ActiveStatus()
    assert out.get_relation(900).local_unit_data[cluster.MEMBER] == "yes"


def test_a_second_run_changes_nothing(ctx: Ctx, make_state: MakeState, server: FakeBroker) -> None:
    assert_idempotent(ctx, ctx.on.update_status(), make_state(OURS, THEIRS))
    server.told.clear()


def test_an_application_without_secrets_gets_what_the_interface_has(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    out = ctx.run(ctx.on.update_status(), make_state(THEIRS))
    bag = published(out)
    assert server.accepts({"username": "cinder", "password": bag["password"]}, "openstack")
    assert bag["ssl_port"] == "5671"
    assert "secret-user" not in bag
    assert out.unit_status == testing.ActiveStatus("plain password in the databag of cinder")


def test_plain_connections_are_the_operators_choice(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    state = make_state(THEIRS, OURS, config={"plaintext": True})
    out = ctx.run(ctx.on.update_status(), state)
    assert "ssl_port" not in published(out)
    assert published(out, 71)["ssl_port"] == "5671"
    assert out.opened_ports == {testing.TCPPort(5671), testing.TCPPort(5672)}


def test_two_relations_with_one_name_share_the_user(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    out = ctx.run(ctx.on.update_status(), make_state(THEIRS, {**THEIRS, "vhost": "other"}))
    password = published(out)["password"]
    assert published(out, 71)["password"] == password
    for vhost in ("openstack", "other"):
        assert server.accepts({"username": "cinder", "password": password}, vhost)


def test_no_secret_in_databags_logs_arguments_or_what_is_told(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    out = ctx.run(ctx.on.update_status(), make_state(OURS))
    cookies = [s.latest_content or {} for s in out.secrets if "cookie" in (s.latest_content or {})]
    secrets = [credentials(out)["password"], cookies[0]["cookie"], "PRIVATE KEY"]
    said = [
        repr([(r.local_app_data, r.local_unit_data) for r in out.relations]),
        *server.told,
        *(line.message for line in ctx.juju_log),
        *(str(call.command) for call in ctx.exec_history.get("rabbitmq", [])),
        str(out.get_container("rabbitmq").plan.to_dict()),
    ]
    assert not [text for text in said if any(secret in text for secret in secrets)]


def test_what_is_told_goes_in_over_standard_input(
    ctx: Ctx, make_state: MakeState, container: testing.Container
) -> None:
    answer = json.dumps(
        {
            "members": [node(0)],
            "running": [node(0)],
            "connected": [node(0)],
            "partitioned": False,
            "alarms": [],
            "draining": False,
            "handling": "pause_minority",
            "critical": 0,
            "replicas": [[node(0)]],
            "users": [{"name": "operators", "hash": "h", "tags": []}],
            "vhosts": ["openstack"],
            "permissions": [],
        }
    )
    program = "/usr/lib/rabbitmq/bin/rabbitmqctl"
    talking = dataclasses.replace(
        container, execs={*container.execs, testing.Exec([program], stdout=f"{answer}\ndone\n")}
    )
    state = make_state(OURS)
    out = ctx.run(ctx.on.update_status(), dataclasses.replace(state, containers={talking}))
    assert out.unit_status == testing.ActiveStatus()
    calls = [call for call in ctx.exec_history["rabbitmq"] if call.command[0] == program]
    assert {tuple(call.command) for call in calls} == {(program, "eval")}
    assert str(calls[0].stdin) == erlang.STATE
    told = data_of(str(calls[1].stdin))["definitions"]
    assert told["vhosts"] == []
    assert told["users"][0]["name"] == "nova.r70.g1"
    assert told["permissions"][0]["vhost"] == "openstack"
    password = credentials(out)["password"]
    assert told["users"][0]["password_hash"] == rabbitmq.password_hash(password)


@pytest.mark.parametrize("answer", ["", "{}", "[1]", '{"members": 1}'])
def test_an_answer_of_another_form_is_an_error(answer: str) -> None:
    with pytest.raises(broker.BrokerError, match="form"):
        broker.parse(answer)


def test_the_files_and_the_process(ctx: Ctx, make_state: MakeState, server: FakeBroker) -> None:
    out = ctx.run(ctx.on.update_status(), make_state(OURS))
    main = file(out, ctx, "/etc/rabbitmq/conf.d/10-daybreak.conf").read_text()
    assert "vm_memory_high_watermark.absolute = 614MiB" in main
    assert file(out, ctx, "/var/lib/rabbitmq/.erlang.cookie").stat().st_mode & 0o777 == 0o400
    assert file(out, ctx, "/etc/rabbitmq/tls.pem").stat().st_mode & 0o777 == 0o600
    plan = out.get_container("rabbitmq").plan
    assert plan.services["rabbitmq"].kill_delay == "29s"
    assert plan.checks["up"].level is pebble.CheckLevel.UNSET
    assert plan.checks["online"].tcp == {"host": "127.0.0.1", "port": 5672}


def test_a_new_member_restarts_nobody(ctx: Ctx, make_state: MakeState, server: FakeBroker) -> None:
    first = ctx.run(ctx.on.update_status(), make_state(OURS, planned_units=2))
    before = first.get_container("rabbitmq").plan.services["rabbitmq"]
    joined = replace_peers(first, {1: {cluster.MEMBER: "yes"}})
    server.change(members=frozenset({node(0), node(1)}), running=frozenset({node(0), node(1)}))
    out = ctx.run(ctx.on.update_status(), joined)
    assert out.get_container("rabbitmq").plan.services["rabbitmq"] == before
    peers = file(out, ctx, "/etc/rabbitmq/conf.d/20-peers.conf").read_text()
    assert node(0) in peers
    assert node(1) in peers


def replace_peers(state: testing.State, data: dict[int, dict[str, str]]) -> testing.State:
    peers = state.get_relation(900)
    others = {other for other in state.relations if other.id != 900}
    return dataclasses.replace(
        state, relations={*others, dataclasses.replace(peers, peers_data=data)}
    )


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> Ctx:
    monkeypatch.setattr(charm.RabbitmqCharm, "effects", quiet_effects())
    return testing.Context(charm.RabbitmqCharm, unit_id=1)


def state_of_second(
    ctx: Ctx, container: testing.Container, peers: dict[int, dict[str, str]], **changes: object
) -> testing.State:
    cookie = testing.Secret({"cookie": "c" * 64}, owner="app")
    state = testing.State(
        leader=False,
        planned_units=2,
        model=MODEL,
        containers={container},
        secrets={cookie},
        relations={
            testing.PeerRelation(
                "peers", id=900, peers_data=peers, local_app_data={"cookie": cookie.id}
            ),
            testing.Relation("certificates", remote_app_name="certificates"),
        },
    )
    state = dataclasses.replace(state, **changes)
    return TestCA().answer(ctx.run(ctx.on.config_changed(), state))


def test_a_further_unit_waits_until_the_first_has_begun(
    second: Ctx, container: testing.Container, server: FakeBroker
) -> None:
    state = state_of_second(second, container, {0: {}})
    out = second.run(second.on.update_status(), state)
    assert out.unit_status == testing.WaitingStatus("the first unit begins the cluster")
    assert not out.get_container("rabbitmq").plan.services


def test_a_further_unit_joins_without_what_an_earlier_one_left(
    second: Ctx, container: testing.Container, server: FakeBroker, tmp_path: Path
) -> None:
    stale = tmp_path / "storage" / "rabbitmq" / "data"
    stale.mkdir(parents=True)
    server.change(members=frozenset({node(0), node(1)}), running=frozenset({node(0), node(1)}))
    state = state_of_second(second, container, {0: {cluster.MEMBER: "yes"}})
    out = second.run(second.on.update_status(), state)
    assert not stale.exists()
    assert out.get_relation(900).local_unit_data[cluster.MEMBER] == "yes"
    assert out.unit_status == testing.ActiveStatus()


def test_a_member_keeps_its_data_when_its_pod_is_new(
    second: Ctx, container: testing.Container, server: FakeBroker, tmp_path: Path
) -> None:
    own = tmp_path / "storage" / "rabbitmq" / "data"
    own.mkdir(parents=True)
    state = state_of_second(second, container, {0: {cluster.MEMBER: "yes"}})
    peers = state.get_relation(900)
    bag = {**peers.local_unit_data, cluster.MEMBER: "yes"}
    others = {other for other in state.relations if other.id != 900}
    known = dataclasses.replace(peers, local_unit_data=bag)
    second.run(second.on.update_status(), dataclasses.replace(state, relations={*others, known}))
    assert own.exists()


THREE = frozenset(node(n) for n in range(3))


def test_queues_get_replicas_on_new_members(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    server.change(members=THREE, running=THREE, replicas=(frozenset({node(0)}),))
    marks = {n: {cluster.MEMBER: "yes"} for n in (1, 2)}
    out = ctx.run(ctx.on.update_status(), make_state(peers=marks, planned_units=3))
    assert server.state.replicas == (THREE,)
    assert out.unit_status == testing.ActiveStatus()


def test_a_member_that_is_lost_is_forgotten(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    server.change(members=THREE, running=THREE - {node(2)})
    marks = {1: {cluster.MEMBER: "yes"}, 2: {cluster.MEMBER: "lost"}}
    ctx.run(ctx.on.update_status(), make_state(peers=marks, planned_units=3))
    assert server.state.members == THREE - {node(2)}


@pytest.mark.parametrize(("mark", "connected"), [({}, False), ({cluster.MEMBER: "lost"}, True)])
def test_a_member_that_is_just_joining_is_kept(
    ctx: Ctx, make_state: MakeState, server: FakeBroker, mark: dict[str, str], connected: bool
) -> None:
    there = THREE if connected else THREE - {node(2)}
    server.change(members=THREE, running=THREE - {node(2)}, connected=there)
    marks = {1: {cluster.MEMBER: "yes"}, 2: mark}
    ctx.run(ctx.on.update_status(), make_state(peers=marks, planned_units=3))
    assert server.state.members == THREE


def test_a_member_without_its_data_says_so_and_joins(
    second: Ctx, container: testing.Container, server: FakeBroker
) -> None:
    server.error = "not yet"
    state = state_of_second(second, container, {0: {cluster.MEMBER: "yes"}})
    peers = state.get_relation(900)
    bag = {**peers.local_unit_data, cluster.MEMBER: "yes"}
    others = {other for other in state.relations if other.id != 900}
    known = dataclasses.replace(peers, local_unit_data=bag)
    out = second.run(
        second.on.update_status(), dataclasses.replace(state, relations={*others, known})
    )
    assert out.get_relation(900).local_unit_data[cluster.MEMBER] == "lost"
    assert node(0) in file(out, second, "/etc/rabbitmq/conf.d/20-peers.conf").read_text()


def test_a_member_that_is_away_for_a_while_is_kept(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    server.change(members=THREE, running=THREE - {node(2)}, critical=4, replicas=(THREE,))
    marks = {n: {cluster.MEMBER: "yes"} for n in (1, 2)}
    out = ctx.run(ctx.on.update_status(), make_state(peers=marks, planned_units=3))
    assert server.state.members == THREE
    assert out.unit_status == testing.WaitingStatus("queues that cannot lose another node yet: 4")


def test_a_unit_that_goes_takes_its_replicas_away_first(
    monkeypatch: pytest.MonkeyPatch, container: testing.Container, server: FakeBroker
) -> None:
    monkeypatch.setattr(charm.RabbitmqCharm, "effects", quiet_effects())
    leaving = testing.Context(charm.RabbitmqCharm, unit_id=1)
    both = frozenset({node(0), node(1)})
    server.change(members=both, running=both, replicas=(both, frozenset({node(1)})))
    state = state_of_second(leaving, container, {0: {cluster.MEMBER: "yes"}}, planned_units=1)
    leaving.run(leaving.on.stop(), state)
    assert server.state.replicas == (frozenset({node(0)}),) * 2
    assert server.state.draining
    # The one that stays must not take the departure for the loss of its majority; afterwards as before.
    assert server.said_last == "ignore"
    assert server.state.handling == "pause_minority"
    assert server.ran == ["stop_app", "reset"]


def test_a_unit_that_goes_does_not_while_its_node_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch, container: testing.Container, server: FakeBroker
) -> None:
    """Juju tries the hook again: without its replicas elsewhere, the others might lose the majority."""
    monkeypatch.setattr(charm.RabbitmqCharm, "effects", quiet_effects())
    leaving = testing.Context(charm.RabbitmqCharm, unit_id=1)
    state = state_of_second(leaving, container, {0: {cluster.MEMBER: "yes"}})
    running = leaving.run(leaving.on.update_status(), state)
    server.error = "the node did not answer in time"
    going = dataclasses.replace(running, planned_units=1)
    with pytest.raises(testing.errors.UncaughtCharmError, match="did not answer"):
        leaving.run(leaving.on.stop(), going)
    # One that does not run has nothing to hand on.
    leaving.run(leaving.on.stop(), dataclasses.replace(state, planned_units=1))
    assert server.ran == []


def test_a_refresh_is_no_departure(
    second: Ctx, container: testing.Container, server: FakeBroker
) -> None:
    state = state_of_second(second, container, {0: {cluster.MEMBER: "yes"}})
    second.run(second.on.stop(), state)
    assert server.ran == []


def test_the_leader_undoes_what_a_departure_needed(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    server.change(handling="ignore")
    ctx.run(ctx.on.update_status(), make_state())
    assert server.state.handling == "pause_minority"


def test_an_alarm_says_what_to_do(ctx: Ctx, make_state: MakeState, server: FakeBroker) -> None:
    server.change(alarms=(("disk", node(0)),))
    out = ctx.run(ctx.on.update_status(), make_state())
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "disk alarm on rabbit@rabbitmq-k8s-0" in out.unit_status.message
    assert "make room" in out.unit_status.message


def test_a_split_says_what_to_do(ctx: Ctx, make_state: MakeState, server: FakeBroker) -> None:
    server.change(partitioned=True)
    out = ctx.run(ctx.on.update_status(), make_state())
    assert "pebble restart rabbitmq" in out.unit_status.message


def test_a_drain_that_was_given_up_is_undone(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    server.change(draining=True)
    ctx.run(ctx.on.update_status(), make_state())
    assert not server.state.draining


def test_a_node_that_refuses_is_waited_for_and_nothing_is_published(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    server.error = "the node refused (69)"
    out = ctx.run(ctx.on.update_status(), make_state(OURS))
    assert out.unit_status == testing.WaitingStatus("the node refused (69)")
    assert published(out) == {}


@pytest.mark.parametrize("bag", [{**OURS, "vhost": "a b"}, {**THEIRS, "username": "guest"}])
def test_a_bad_name_is_refused_visibly(
    ctx: Ctx, make_state: MakeState, server: FakeBroker, bag: dict[str, str]
) -> None:
    out = ctx.run(ctx.on.update_status(), make_state(bag))
    assert published(out) == {}
    assert "refused to" in out.unit_status.message


def test_rotation_adds_a_user_and_the_old_one_goes_when_nobody_tracks_it(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    first = ctx.run(ctx.on.update_status(), make_state(OURS))
    out = ctx.run(ctx.on.action("rotate-credentials"), first)
    assert ctx.action_results == {"rotated": "nova"}
    assert credentials(out)["username"] == "nova.r70.g2"
    assert server.accepts(credentials(out), "openstack")
    assert server.accepts(credentials(first), "openstack")

    later = ctx.run(ctx.on.update_status(), out)
    assert server.accepts(credentials(first), "openstack")

    found = later.get_secret(id=published(later)["secret-user"])
    ctx.run(ctx.on.secret_remove(found, revision=1), later)
    assert set(server.users) == {"nova.r70.g2"}


def test_rotation_that_the_node_refuses_changes_nothing(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    first = ctx.run(ctx.on.update_status(), make_state(OURS))
    server.error = "the node refused (69)"
    with pytest.raises(testing.ActionFailed, match="Nothing was rotated"):
        ctx.run(ctx.on.action("rotate-credentials"), first)
    assert set(server.users) == {"nova.r70.g1"}


def test_the_user_of_a_relation_that_is_gone_is_dropped_and_others_are_kept(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    out = ctx.run(ctx.on.update_status(), make_state(OURS, THEIRS))
    server.users["operators"] = "h"
    ctx.run(ctx.on.relation_broken(out.get_relation(70)), out)
    assert set(server.users) == {"cinder", "operators"}
    assert "openstack" in server.vhosts


def test_a_service_account_is_made_and_given_again(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    params = {"username": "agent", "vhost": "remote"}
    first = ctx.run(ctx.on.action("get-service-account", params=params), make_state())
    results = dict(ctx.action_results or {})
    assert server.accepts(results, "remote")
    assert results["url"].startswith("rabbit://agent:")
    assert results["port"] == "5671"
    again = ctx.run(ctx.on.action("get-service-account", params=params), first)
    assert (ctx.action_results or {})["password"] == results["password"]
    out = ctx.run(ctx.on.update_status(), again)
    assert set(server.users) == {"agent"}
    assert out.unit_status == testing.ActiveStatus()


def test_a_service_account_is_not_a_related_applications(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    out = ctx.run(ctx.on.update_status(), make_state(THEIRS))
    params = {"username": "cinder", "vhost": "openstack"}
    with pytest.raises(testing.ActionFailed, match="related application"):
        ctx.run(ctx.on.action("get-service-account", params=params), out)


def test_the_second_run_tells_the_node_nothing(
    ctx: Ctx, make_state: MakeState, server: FakeBroker
) -> None:
    first = ctx.run(ctx.on.update_status(), make_state(OURS, THEIRS))
    server.told.clear()
    ctx.run(ctx.on.update_status(), first)
    assert server.told == []
    assert accounts.ENDPOINT == "amqp"
