import dataclasses
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

from daybreak_charm import (
    Check,
    DaybreakCharm,
    Description,
    Gate,
    Process,
    Waiting,
    kube,
    online,
)
from daybreak_charm.testing import (
    TestCA,
    assert_idempotent,
    mounts,
    quiet_effects,
    recorded,
    statefulset,
)

CA = TestCA()
README = Path(__file__).parents[1] / "README.md"


def load() -> types.ModuleType:
    """The example's module."""
    source = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert source
    module = types.ModuleType("echo_example")
    # dataclasses look their module up by name.
    sys.modules["echo_example"] = module
    exec(compile(source.group(1), str(README), "exec"), module.__dict__)  # noqa: S102 - own text
    return module


META = {
    "name": "echo-k8s",
    "containers": {"echo": {"resource": "echo-image"}},
    "resources": {"echo-image": {"type": "oci-image"}},
    "requires": {
        "database": {"interface": "mysql_client"},
        "certificates": {"interface": "tls-certificates"},
        "ingress": {"interface": "ingress", "optional": True},
    },
    "provides": {"echo": {"interface": "echo"}},
    "peers": {"peers": {"interface": "echo-peers"}},
}
CONFIG = {"options": {"debug": {"type": "boolean", "default": False}}}

LAYOUT = {
    "project": "echo",
    "release": "1",
    "version": "1.2",
    "user": "echo",
    "bin": "/opt/echo/bin",
}


@dataclasses.dataclass
class World:
    module: Any
    context: testing.Context[Any]
    folder: Path
    kubernetes: Any = None

    def effects(self, **changes: Any) -> None:
        self.module.EchoCharm.effects = quiet_effects(kubernetes=self.kubernetes, **changes)

    def container(self, **changes: Any) -> testing.Container:
        where = mounts(self.folder, LAYOUT, etc="/etc/echo")
        return testing.Container("echo", can_connect=True, mounts=where, **changes)

    def state(self, *relations: Any, **changes: Any) -> testing.State:
        defaults: dict[str, Any] = {
            "leader": True,
            "containers": {self.container()},
            "relations": {testing.PeerRelation("peers"), *relations},
            "model": testing.Model(name="cloud"),
            "planned_units": 1,
        }
        return testing.State(**{**defaults, **changes})


@pytest.fixture
def world(tmp_path: Path) -> World:
    module = load()
    context = testing.Context(module.EchoCharm, meta=META, config=CONFIG)
    made = World(module, context, tmp_path)
    made.effects()
    return made


def database(**changes: Any) -> tuple[testing.Relation, testing.Secret]:
    secret = testing.Secret({"username": "echo-1", "password": "s3cret"}, owner=None)
    bag = {"database": "echo", "endpoints": "db:3306", "secret-user": secret.id}
    return testing.Relation("database", remote_app_data={**bag, **changes}), secret


def ready(world: World, **changes: Any) -> testing.State:
    """A state in which nothing is waited for."""
    db, secret = database()
    tls = testing.Relation("certificates")
    start = world.state(db, tls, secrets={secret}, **changes)
    asked = world.context.run(world.context.on.config_changed(), start)
    return CA.answer(asked)


def test_a_missing_relation_blocks_and_says_what_to_do(world: World) -> None:
    out = world.context.run(world.context.on.start(), world.state())
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "juju integrate echo-k8s:database" in out.unit_status.message


def test_requests_are_written_before_any_gate_opens(world: World) -> None:
    db = testing.Relation("database")
    tls = testing.Relation("certificates")
    container = testing.Container("echo", can_connect=False)
    out = world.context.run(world.context.on.start(), world.state(db, tls, containers={container}))
    assert out.get_relation(db.id).local_app_data["database"] == "echo"
    assert "certificate_signing_requests" in out.get_relation(tls.id).local_unit_data
    assert out.unit_status == testing.WaitingStatus("container echo is starting")


def test_an_unreadable_secret_is_a_wait_not_an_error(world: World) -> None:
    db, _ = database(**{"secret-user": "secret:d50p1p7mp25c77u8v7pg"})
    out = world.context.run(world.context.on.update_status(), world.state(db))
    assert isinstance(out.unit_status, testing.WaitingStatus)


def test_it_runs_when_all_is_there(world: World) -> None:
    out = world.context.run(world.context.on.update_status(), ready(world))
    assert out.unit_status == testing.ActiveStatus()
    plan = out.get_container("echo").plan
    assert plan.services["echo"].command == "/opt/echo/bin/echod --config /etc/echo/echo.conf"
    assert plan.checks["online"].level is ops.pebble.CheckLevel.READY
    assert plan.checks["up"].level in (ops.pebble.CheckLevel.UNSET, "")
    assert plan.services["echo"].on_check_failure == {"up": "restart"}
    assert (world.folder / "etc" / "echo.conf").stat().st_mode & 0o777 == 0o640
    assert out.opened_ports == {testing.TCPPort(8080)}
    assert out.workload_version == "1.0"


def test_a_relation_that_is_made_is_looked_at_at_once(world: World) -> None:
    relation = testing.Relation("database")
    blocked = testing.BlockedStatus("relation database is missing")
    state = dataclasses.replace(world.state(relation), unit_status=blocked)
    out = world.context.run(world.context.on.relation_created(relation), state)
    assert out.get_relation(relation.id).local_app_data["database"] == "echo"
    assert isinstance(out.unit_status, testing.WaitingStatus)


def starting(state: testing.State, container: str = "echo") -> str:
    return str(state.get_container(container).plan.checks["starting"].startup).lower()


def test_a_pod_gets_no_traffic_before_its_process_has_answered(world: World) -> None:
    context = world.context
    shut = context.run(context.on.upgrade_charm(), world.state())
    check = shut.get_container("echo").plan.checks["starting"]
    assert check.level == ops.pebble.CheckLevel.READY
    assert "enabled" in starting(shut)
    world.effects(answers=False)
    silent = context.run(context.on.update_status(), ready(world))
    assert "enabled" in starting(silent)
    world.effects()
    done = context.run(context.on.update_status(), silent)
    assert "disabled" in starting(done)
    # The checks of the process have it from here: it is not kept out a second time.
    world.effects(answers=False)
    again = context.run(context.on.update_status(), done)
    assert "disabled" in starting(again)


@pytest.mark.parametrize(("refreshes", "period"), [(True, "5m"), (False, "500ms")])
def test_the_check_that_keeps_a_pod_out_says_it_once(
    world: World, monkeypatch: pytest.MonkeyPatch, refreshes: bool, period: str
) -> None:
    """It fails in every period, and each failure is a line in a log."""
    world.effects()
    made = dataclasses.replace(world.module.EchoCharm.effects, look_now=lambda *_: refreshes)
    monkeypatch.setattr(world.module.EchoCharm, "effects", made)
    shut = world.context.run(world.context.on.upgrade_charm(), world.state())
    assert shut.get_container("echo").plan.checks["starting"].period == period
    assert_idempotent(world.context, world.context.on.update_status(), shut)


def test_a_container_that_starts_again_alone_is_kept_out_too(world: World) -> None:
    context, pebble = world.context, world.folder / "pebble"
    pebble.mkdir()
    folder = testing.Mount(location="/charm/container/pebble", source=pebble)
    made = world.container()
    made = dataclasses.replace(made, mounts={**made.mounts, "pebble": folder})
    context.run(context.on.upgrade_charm(), world.state(containers={made}))
    # What Pebble reads when it starts: red at once, until a hook has seen it.
    text = (pebble / "layers/900-daybreak-starting.yaml").read_text()
    found = ops.pebble.Layer(text)
    assert (found.checks["starting"].period, found.checks["starting"].threshold) == ("100ms", 1)
    info = testing.CheckInfo(
        "starting",
        level=ops.pebble.CheckLevel.READY,
        threshold=1,
        failures=9,
        status=ops.pebble.CheckStatus.DOWN,
    )
    again = dataclasses.replace(
        made, layers={"daybreak-starting": found}, check_infos=frozenset({info})
    )
    out = context.run(context.on.pebble_ready(again), world.state(containers={again}))
    check = out.get_container("echo").plan.checks["starting"]
    assert (check.period, "enabled" in starting(out)) == ("5m", True)


def test_the_check_that_keeps_it_out_runs_no_loop(world: World) -> None:
    context = world.context
    shut = context.run(context.on.upgrade_charm(), world.state())
    container = shut.get_container("echo")
    info = testing.CheckInfo(
        "starting",
        level=ops.pebble.CheckLevel.READY,
        threshold=1,
        failures=1,
        status=ops.pebble.CheckStatus.DOWN,
    )
    others = {i for i in container.check_infos if i.name != "starting"}
    down = dataclasses.replace(container, check_infos=frozenset({*others, info}))
    state = dataclasses.replace(shut, containers={down})
    with recorded() as writes:
        out = context.run(context.on.pebble_check_failed(down, info), state)
    assert writes.nothing
    assert out.unit_status == shut.unit_status


def test_the_second_run_writes_nothing(world: World) -> None:
    context = world.context
    assert_idempotent(context, context.on.update_status(), ready(world))


def test_no_secret_in_any_databag(world: World) -> None:
    out = world.context.run(world.context.on.update_status(), ready(world))
    bags = json.dumps([[r.local_app_data, r.local_unit_data] for r in out.relations])
    assert "PRIVATE KEY" not in bags
    assert "s3cret" not in bags


def test_a_changed_option_restarts(world: World) -> None:
    first = world.context.run(world.context.on.update_status(), ready(world))
    changed = dataclasses.replace(first, config={"debug": True})
    with recorded() as writes:
        out = world.context.run(world.context.on.config_changed(), changed)
    assert writes.pushed == ["/etc/echo/echo.conf"]
    assert writes.layers == ["daybreak"]
    assert not writes.signals
    assert out.unit_status == testing.ActiveStatus()


def test_a_restart_lost_to_a_failed_hook_is_still_owed(world: World) -> None:
    first = world.context.run(world.context.on.update_status(), ready(world))
    wanted = dataclasses.replace(first, config={"debug": True})
    done = world.context.run(world.context.on.config_changed(), wanted)
    # The file was written, but the plan is the old one: the hook ended in between.
    old = {first.get_container("echo")}
    again = dataclasses.replace(done, containers=old)
    with recorded() as writes:
        world.context.run(world.context.on.update_status(), again)
    assert writes.layers == ["daybreak"]


def test_a_new_certificate_reloads(world: World) -> None:
    first = world.context.run(world.context.on.update_status(), ready(world))
    renewed = CA.answer(first)
    with recorded() as writes:
        world.context.run(world.context.on.update_status(), renewed)
    assert "/etc/echo/tls.crt" in writes.pushed
    assert writes.signals == ["('SIGHUP', 'echo')"]
    assert not writes.layers


def test_with_two_units_a_restart_waits_for_its_turn(world: World, cluster: "Cluster") -> None:
    first = world.context.run(world.context.on.update_status(), ready(world, planned_units=2))
    follower = dataclasses.replace(first, config={"debug": True}, leader=False)
    with recorded() as writes:
        waiting = world.context.run(world.context.on.config_changed(), follower)
    assert not writes.layers
    assert waiting.unit_status == testing.WaitingStatus("waits for its turn to restart")
    peers = next(r for r in waiting.relations if r.endpoint == "peers")
    assert peers.local_unit_data["roll"] == "yes"
    granted = dataclasses.replace(peers, local_app_data={"roll-holder": "echo-k8s/0"})
    others = {r for r in waiting.relations if r.id != peers.id}
    turn = dataclasses.replace(waiting, relations={*others, granted})
    done = world.context.run(world.context.on.update_status(), turn)
    assert done.unit_status == testing.ActiveStatus()
    assert "roll" not in done.get_relation(peers.id).local_unit_data


def with_database(state: testing.State, **bag: str) -> testing.State:
    """The state with another databag of the database's application."""
    (db,) = state.get_relations("database")
    assert isinstance(db, testing.Relation)
    changed = dataclasses.replace(db, remote_app_data=bag)
    others = {r for r in state.relations if r.id != db.id}
    return dataclasses.replace(state, relations={*others, changed})


def test_a_unit_whose_gate_closes_hands_its_turn_on(world: World, cluster: "Cluster") -> None:
    first = world.context.run(world.context.on.update_status(), ready(world, planned_units=2))
    follower = dataclasses.replace(first, config={"debug": True}, leader=False)
    waiting = world.context.run(world.context.on.config_changed(), follower)
    (db,) = waiting.get_relations("database")
    assert isinstance(db, testing.Relation)
    shut = world.context.run(world.context.on.update_status(), with_database(waiting))
    peers = next(r for r in shut.relations if r.endpoint == "peers")
    assert "roll" not in peers.local_unit_data
    # It asks again when the gate is open.
    opened = with_database(shut, **db.remote_app_data)
    again = world.context.run(world.context.on.update_status(), opened)
    assert again.get_relation(peers.id).local_unit_data["roll"] == "yes"


def test_a_unit_that_has_begun_keeps_its_turn(world: World, cluster: "Cluster") -> None:
    first = world.context.run(world.context.on.update_status(), ready(world, planned_units=2))
    peers = next(r for r in first.relations if r.endpoint == "peers")
    granted = dataclasses.replace(peers, local_app_data={"roll-holder": "echo-k8s/0"})
    others = {r for r in first.relations if r.id != peers.id}
    mine = dataclasses.replace(
        first, config={"debug": True}, leader=False, relations={*others, granted}
    )
    world.effects(answers=False)
    begun = world.context.run(world.context.on.config_changed(), mine)
    assert begun.get_relation(peers.id).local_unit_data["roll"] == "begun"
    shut = world.context.run(world.context.on.update_status(), with_database(begun))
    assert shut.get_relation(peers.id).local_unit_data["roll"] == "begun"


def test_the_leader_names_who_may_restart(world: World) -> None:
    peers = testing.PeerRelation(
        "peers", peers_data={1: {"roll": "yes"}, 2: {"roll": "yes"}}, local_app_data={}
    )
    state = world.state(relations={peers}, planned_units=3)
    out = world.context.run(world.context.on.update_status(), state)
    assert out.get_relation(peers.id).local_app_data["roll-holder"] == "echo-k8s/1"


def test_a_leaving_unit_changes_nothing(world: World) -> None:
    state = dataclasses.replace(ready(world), planned_units=0)
    with recorded() as writes:
        out = world.context.run(world.context.on.update_status(), state)
    assert writes.nothing
    assert [r.local_unit_data for r in out.relations] == [
        r.local_unit_data for r in state.relations
    ]


def test_a_silent_process_gets_a_waiter(world: World) -> None:
    state = ready(world)
    world.effects(answers=False)
    out = world.context.run(world.context.on.update_status(), state)
    assert out.unit_status == testing.WaitingStatus("echo does not answer yet")
    waiter = out.get_container("echo").plan.checks["wait-online"]
    assert (waiter.threshold, waiter.period) == (1, "1s")
    assert waiter.level in (ops.pebble.CheckLevel.UNSET, "")
    world.effects(answers=True)
    after = world.context.run(world.context.on.update_status(), out)
    assert after.unit_status == testing.ActiveStatus()
    assert after.get_container("echo").plan.checks["wait-online"].startup in (
        ops.pebble.CheckStartup.DISABLED,
        "disabled",
    )


def test_a_wait_whose_waiter_is_content_at_once_gets_a_timer(world: World) -> None:
    # As when a proxy accepts connections for a database that does not: such a check raises no event.
    state = ready(world)
    world.effects(answers=False)
    waiting = world.context.run(world.context.on.update_status(), state).get_container("echo")
    content = dataclasses.replace(
        waiting,
        check_infos=frozenset(
            dataclasses.replace(info, successes=1) if info.name == "wait-online" else info
            for info in waiting.check_infos
        ),
    )
    state = dataclasses.replace(state, containers={content})
    for event in (world.context.on.update_status(), world.context.on.collect_unit_status()):
        out = world.context.run(event, state)
        assert out.unit_status == testing.WaitingStatus("echo does not answer yet")
        plan = out.get_container("echo").plan
        assert plan.checks["wait-retry-a"].startup != ops.pebble.CheckStartup.DISABLED


def test_a_waiter_whose_first_try_is_late_gets_a_timer_beside_it(world: World) -> None:
    # On a busy machine: a try that succeeds after the hook has looked raises no event.
    state = ready(world)
    world.effects(answers=False)
    plan = world.context.run(world.context.on.update_status(), state).get_container("echo").plan
    active = {
        name
        for name, check in plan.checks.items()
        if name.startswith("wait-") and check.startup != ops.pebble.CheckStartup.DISABLED
    }
    assert active == {"wait-online", "wait-retry-a"}


def test_a_timer_that_has_gone_off_is_followed_by_another_again_and_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Gate("other", lambda _: Waiting("it is not there yet", "retry"))
    charm = world.module.EchoCharm
    monkeypatch.setattr(
        charm, "description", dataclasses.replace(charm.description, gates=(waits,))
    )
    timers: list[str] = []
    state = ready(world)
    for _ in range(4):
        out = world.context.run(world.context.on.update_status(), state)
        container = out.get_container("echo")
        (timer,) = [
            name
            for name, check in container.plan.checks.items()
            if name.startswith("wait-") and check.startup != ops.pebble.CheckStartup.DISABLED
        ]
        timers.append(timer)
        # Pebble goes on to tell how often a check had failed that was stopped since.
        infos = {
            dataclasses.replace(info, failures=1, status=ops.pebble.CheckStatus.DOWN)
            if info.name == timer
            else info
            for info in container.check_infos
        }
        gone_off = dataclasses.replace(container, check_infos=frozenset(infos))
        state = dataclasses.replace(out, containers={gone_off})
    assert timers == ["wait-retry-a", "wait-retry-b", "wait-retry-a", "wait-retry-b"]


def test_a_wait_that_is_found_without_the_loop_ends_by_itself(world: World) -> None:
    # As in an action: nothing else would run the loop again, and the status would stay.
    state = ready(world)
    world.effects(answers=False)
    out = world.context.run(world.context.on.collect_unit_status(), state)
    assert out.unit_status == testing.WaitingStatus("echo does not answer yet")
    assert "wait-online" in out.get_container("echo").plan.checks


def test_a_hook_of_pebble_never_raises(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    state = ready(world)

    def broken(*_: Any, **__: Any) -> None:
        raise ops.pebble.ChangeError("no", None)  # type: ignore[arg-type]  # not looked at

    monkeypatch.setattr(ops.Container, "add_layer", broken)
    monkeypatch.setattr("daybreak_charm.containers.set_waiters", lambda *_: False)
    container = state.get_container("echo")
    out = world.context.run(world.context.on.pebble_ready(container), state)
    assert isinstance(out.unit_status, testing.WaitingStatus)
    with pytest.raises(testing.errors.UncaughtCharmError):
        world.context.run(world.context.on.config_changed(), state)


def test_a_changed_secret_is_followed_in_its_own_event(world: World) -> None:
    secret = testing.Secret(
        {"username": "echo-1", "password": "old"},
        latest_content={"username": "echo-2", "password": "new"},
        owner=None,
    )
    bag = {"database": "echo", "endpoints": "db:3306", "secret-user": secret.id}
    db = testing.Relation("database", remote_app_data=bag)
    start = world.state(db, testing.Relation("certificates"), secrets={secret})
    state = CA.answer(world.context.run(world.context.on.config_changed(), start))
    world.context.run(world.context.on.secret_changed(secret), state)
    assert "echo-2:new@" in (world.folder / "etc" / "echo.conf").read_text()


def test_the_process_before_is_not_taken_for_the_new_one(world: World) -> None:
    state = ready(world)
    world.effects(settled=False)
    out = world.context.run(world.context.on.config_changed(), state)
    assert out.unit_status == testing.WaitingStatus("echo does not answer yet")
    peers = next(r for r in out.relations if r.endpoint == "peers")
    assert "applied" not in peers.local_unit_data
    world.effects()
    out = world.context.run(world.context.on.config_changed(), out)
    peers = next(r for r in out.relations if r.endpoint == "peers")
    assert "applied" in peers.local_unit_data


# --- the partition ---


class Cluster:
    def __init__(self) -> None:
        self.found = statefulset(partition=0, replicas=2, updated=2)
        self.pod = "new"
        self.trusted = True
        self.asked: list[str] = []

    @property
    def partition(self) -> int:
        return self.found["spec"]["updateStrategy"]["rollingUpdate"]["partition"]

    def request(self, method: str, path: str, body: Any = None, kind: str = "") -> dict[str, Any]:
        self.asked.append(method)
        if "/pods/" in path:
            return {"metadata": {"labels": {"controller-revision-hash": self.pod}}}
        assert path == "/apis/apps/v1/namespaces/cloud/statefulsets/echo-k8s"
        if not self.trusted:
            raise kube.KubernetesError(403, "Forbidden")
        if method == "PATCH":
            assert kind == kube.MERGE
            self.found["spec"]["updateStrategy"] |= body["spec"]["updateStrategy"]
        return self.found


@pytest.fixture
def cluster(world: World) -> Cluster:
    made = Cluster()
    world.kubernetes = made.request
    world.effects()
    return made


def test_the_leader_parks_it_once(world: World, cluster: Cluster) -> None:
    context = world.context
    out = context.run(context.on.update_status(), ready(world, planned_units=2))
    assert cluster.partition == 1
    cluster.asked.clear()
    context.run(context.on.leader_elected(), out)
    assert cluster.asked == []


def test_trust_that_is_taken_away_is_noticed(world: World, cluster: Cluster) -> None:
    context = world.context
    out = context.run(context.on.update_status(), ready(world, planned_units=2))
    assert out.unit_status == testing.ActiveStatus()
    cluster.trusted = False
    out = context.run(context.on.config_changed(), out)
    assert "juju trust echo-k8s --scope=cluster" in out.unit_status.message
    cluster.trusted = True
    out = context.run(context.on.config_changed(), out)
    assert out.unit_status == testing.ActiveStatus()


def test_a_roll_goes_on_when_there_is_trust_again(world: World, cluster: Cluster) -> None:
    context = world.context
    cluster.found = statefulset(partition=0, replicas=2, updated=1)
    cluster.trusted = False
    start = ready(world, planned_units=2, leader=False)
    out = context.run(context.on.update_status(), start)
    assert "juju trust echo-k8s --scope=cluster" in out.unit_status.message
    # What could not be handed on is handed on later.
    cluster.trusted = True
    out = context.run(context.on.update_status(), out)
    assert (cluster.partition, out.unit_status) == (1, testing.ActiveStatus())


def test_the_leader_says_so_when_there_is_trust_again(world: World, cluster: Cluster) -> None:
    context = world.context
    cluster.found = statefulset(partition=1, replicas=2, updated=1)
    cluster.trusted = False
    out = context.run(context.on.update_status(), ready(world, planned_units=2))
    cluster.trusted = True
    out = context.run(context.on.config_changed(), out)
    [peers] = out.get_relations("peers")
    assert "partition" not in peers.local_app_data, "others would not try again"
    assert cluster.partition == 1


def test_a_new_unit_lowers_it_when_it_is_online(world: World, cluster: Cluster) -> None:
    context = world.context
    start = ready(world, planned_units=2, leader=False)
    cluster.found = statefulset(partition=0, replicas=2, updated=1)
    # echo-k8s/0 is the lowest: it parks.
    world.effects(answers=False)
    waiting = context.run(context.on.update_status(), start)
    assert cluster.partition == 0
    world.effects()
    out = context.run(context.on.update_status(), waiting)
    assert out.unit_status == testing.ActiveStatus()
    assert cluster.partition == 1


def test_without_trust_the_unit_serves_and_says_so(world: World, cluster: Cluster) -> None:
    context = world.context
    cluster.trusted = False
    start = ready(world, planned_units=2)
    out = context.run(context.on.update_status(), start)
    again = context.run(context.on.start(), out)
    assert isinstance(again.unit_status, testing.ActiveStatus)
    assert "juju trust echo-k8s" in again.unit_status.message
    asked = len(cluster.asked)
    context.run(context.on.start(), again)
    assert len(cluster.asked) == asked
    cluster.trusted = True
    healed = context.run(context.on.config_changed(), again)
    assert cluster.partition == 1
    last = context.run(context.on.start(), healed)
    assert last.unit_status == testing.ActiveStatus()


def test_a_lone_unit_asks_nothing(world: World, cluster: Cluster) -> None:
    world.context.run(world.context.on.update_status(), ready(world))
    assert cluster.asked == []


# --- two containers ---


def test_a_container_gets_traffic_when_its_own_processes_answer(tmp_path: Path) -> None:
    """The proxy waits until it sees that its server is let in."""

    def process(name: str) -> Process:
        return Process(name, f"/bin/{name}", container=name, checks=(online(tcp=1, name=name),))

    class Pair(DaybreakCharm):
        description: Any = Description(
            containers=("server", "proxy"),
            read=lambda _: "inputs",
            render=lambda _: [],
            processes=lambda _: [process("proxy"), process("server")],
        )

    def answers(check: Check, _: ops.Container) -> bool:
        return check.name == "server"

    Pair.effects = dataclasses.replace(quiet_effects(), probe=answers)
    meta: dict[str, Any] = {
        "name": "pair",
        "containers": {"server": {}, "proxy": {}},
        "peers": {"peers": {"interface": "pair-peers"}},
    }
    context = testing.Context(Pair, meta=meta)
    both = {
        testing.Container(name, can_connect=True, mounts=mounts(folder(tmp_path, name), LAYOUT))
        for name in ("server", "proxy")
    }
    state = testing.State(
        containers=both, relations={testing.PeerRelation("peers")}, planned_units=1
    )
    out = context.run(context.on.update_status(), state)
    assert out.unit_status == testing.WaitingStatus("proxy does not answer yet")
    assert "disabled" in starting(out, "server")
    assert "enabled" in starting(out, "proxy")


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made
