"""The charm as a whole: state in, state out."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import charm
import cluster
import ovn
import pytest
from fake_cluster import FakePrograms
from ops import testing

from daybreak_charm.testing import TestCA, assert_idempotent, quiet_effects

Ctx = testing.Context[charm.OvnCentralCharm]
Make = Callable[..., testing.State]
NORTHBOUND = ovn.NB.schema


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "lib" / "ovn"
    folder.mkdir(parents=True, mode=0o750)
    return folder


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, data: Path) -> FakePrograms:
    fake = FakePrograms(data)
    monkeypatch.setattr(cluster, "run", fake.run)
    return fake


@pytest.fixture
def ctx(monkeypatch: pytest.MonkeyPatch, programs: FakePrograms) -> Ctx:
    monkeypatch.setattr(charm.OvnCentralCharm, "effects", quiet_effects())
    return testing.Context(charm.OvnCentralCharm, unit_id=0)


def context_of(unit: int) -> Ctx:
    return testing.Context(charm.OvnCentralCharm, unit_id=unit)


@pytest.fixture
def make(tmp_path: Path, data: Path) -> Make:
    """States of a unit whose containers answer."""
    layout = tmp_path / "layout.json"
    layout.write_text(
        json.dumps({"project": "ovn", "version": "25.03.0", "user": "ovn", "bin": "/usr/bin"})
    )

    def container(name: str) -> testing.Container:
        folders = {key: tmp_path / name / key for key in ("etc", "run")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        return testing.Container(
            name,
            can_connect=True,
            mounts={
                "layout": testing.Mount(location="/usr/share/daybreak/layout.json", source=layout),
                "etc": testing.Mount(location="/etc/ovn", source=folders["etc"]),
                "run": testing.Mount(location="/run", source=folders["run"]),
                "data": testing.Mount(location="/var/lib", source=data.parent),
            },
            execs={
                testing.Exec(["chown"]),
                testing.Exec(["chmod"]),
                testing.Exec(["/usr/bin/ovs-appctl"]),
            },
        )

    def state(
        *,
        peer_app: dict[str, str] | None = None,
        peer_unit: dict[str, str] | None = None,
        **changes: object,
    ) -> testing.State:
        peers = testing.PeerRelation(
            "peers", local_app_data=peer_app or {}, local_unit_data=peer_unit or {}
        )
        relations = {
            peers,
            testing.Relation("certificates", remote_app_name="certificates"),
            testing.Relation("ovsdb-cms", remote_app_name="neutron"),
        }
        return testing.State(
            **{
                "leader": True,
                "planned_units": 1,
                "containers": {container(name) for name in ("nb", "sb", "northd")},
                "relations": relations,
                **changes,
            }
        )

    return state


def certified(ctx: Ctx, state: testing.State) -> testing.State:
    """The state after the unit's certificate was asked for and came."""
    return TestCA().answer(ctx.run(ctx.on.update_status(), state))


def peers(state: testing.State) -> testing.PeerRelation:
    return next(r for r in state.relations if isinstance(r, testing.PeerRelation))


def bag(state: testing.State, endpoint: str) -> dict[str, str]:
    relation = state.get_relations(endpoint)[0]
    return dict(relation.local_unit_data)


def host(unit: int, state: testing.State) -> str:
    return f"ovn-central-k8s-{unit}.ovn-central-k8s-endpoints.{state.model.name}.svc.cluster.local"


def running(ctx: Ctx, make: Make, **changes: object) -> testing.State:
    return ctx.run(ctx.on.update_status(), certified(ctx, make(**changes)))


def test_a_lone_unit_forms_both_clusters_and_tells_its_stable_name(
    ctx: Ctx, make: Make, programs: FakePrograms
) -> None:
    out = running(ctx, make)
    name = host(0, out)
    assert programs.did == [
        f"form nb /usr/share/ovn/ovn-nb.ovsschema ssl:{name}:6643 4000",
        f"form sb /usr/share/ovn/ovn-sb.ovsschema ssl:{name}:6644 4000",
    ]
    assert bag(out, "ovsdb-cms")["bound-hostname"] == name
    assert peers(out).local_app_data["nb-cluster"] == f"1 {programs.databases['nb'].cid}"
    assert out.unit_status == testing.ActiveStatus()
    assert out.opened_ports == {testing.TCPPort(6641), testing.TCPPort(6642)}
    assert out.workload_version == "25.03.0"


def test_the_second_run_changes_nothing(ctx: Ctx, make: Make, programs: FakePrograms) -> None:
    state = running(ctx, make)
    done = list(programs.did)
    assert_idempotent(ctx, ctx.on.update_status(), state)
    assert programs.did == done


def test_three_processes_in_three_containers(ctx: Ctx, make: Make) -> None:
    out = running(ctx, make)
    nb = out.get_container("nb").plan.services["nb"]
    assert nb.user == "ovn"
    # It is asked to exit, so that its leadership goes over to another member at once.
    assert "'/usr/bin/ovs-appctl -T 5 -t /run/ovn/nb.ctl exit'" in nb.command
    assert list(out.get_container("sb").plan.services) == ["sb"]
    northd = out.get_container("northd").plan.services["northd"]
    assert f"--ovnsb-db=ssl:{host(0, out)}:6642" in northd.command
    assert "PRIVATE" not in nb.command + northd.command
    assert northd.kill_delay == "5s"


def test_every_listener_wants_certificates(ctx: Ctx, make: Make, tmp_path: Path) -> None:
    running(ctx, make, config={"inactivity-probe": 30})
    for name, port in (("nb", 6641), ("sb", 6642)):
        config = json.loads((tmp_path / name / "etc" / f"{name}.json").read_text())
        assert config["remotes"] == {
            f"punix:/run/ovn/{name}.sock": {},
            f"pssl:{port}": {"inactivity-probe": 30000},
        }
        assert config["databases"] == {f"/var/lib/ovn/{name}.db": {}}


def test_a_new_certificate_restarts_nothing(ctx: Ctx, make: Make, tmp_path: Path) -> None:
    state = running(ctx, make)
    before = state.get_container("nb").plan.services["nb"].environment
    key = (tmp_path / "nb" / "etc" / "tls.pem").read_text()
    out = ctx.run(ctx.on.update_status(), TestCA().answer(state))
    assert (tmp_path / "nb" / "etc" / "tls.pem").read_text() != key
    assert out.get_container("nb").plan.services["nb"].environment == before


def test_a_hook_that_failed_after_forming_forms_nothing_again(
    ctx: Ctx, make: Make, programs: FakePrograms
) -> None:
    for database in programs.databases.values():
        database.file.touch()
    out = running(ctx, make)
    assert programs.did == []
    assert peers(out).local_unit_data["nb-member"].split()[0] == programs.databases["nb"].cid
    assert out.unit_status == testing.ActiveStatus()


def test_another_unit_waits_for_the_first_and_then_joins(
    ctx: Ctx, make: Make, programs: FakePrograms
) -> None:
    second = context_of(1)
    state = certified(second, make(planned_units=3, leader=False))
    out = second.run(second.on.update_status(), state)
    assert programs.did == []
    assert "the first unit forms the northbound cluster" in out.unit_status.message

    told = dataclasses.replace(
        peers(out), local_app_data={"nb-cluster": "1 north", "sb-cluster": "1 south"}
    )
    others = {r for r in out.relations if r.id != told.id}
    for database in programs.databases.values():
        database.member = False
    out = second.run(second.on.update_status(), dataclasses.replace(out, relations={*others, told}))
    names = [host(n, out) for n in (1, 0, 2)]
    addresses = " ".join(f"ssl:{name}:6643" for name in names)
    assert programs.did[0] == f"join nb north {NORTHBOUND} {addresses}"
    assert peers(out).local_unit_data["nb-member"].startswith("north ")
    assert out.unit_status == testing.WaitingStatus("joins the northbound cluster")


def test_a_unit_that_lost_its_storage_joins_and_takes_its_former_self_out(
    make: Make, programs: FakePrograms, ctx: Ctx
) -> None:
    unit = context_of(1)
    known = {"nb-cluster": "1 north", "sb-cluster": "1 south"}
    state = make(
        planned_units=3,
        leader=False,
        peer_app=known,
        peer_unit={"nb-member": "north old", "sb-member": "south old"},
    )
    name = host(1, state)
    for database in programs.databases.values():
        database.role = "follower"
        database.others = {"0000": host(0, state), "bbbb": name, "2222": host(2, state)}
    out = unit.run(unit.on.update_status(), certified(unit, state))
    assert [line.split()[0] for line in programs.did if "kick" not in line] == ["join", "join"]
    assert [line for line in programs.did if "kick" in line] == [
        "cluster/kick OVN_Northbound bbbb",
        "cluster/kick OVN_Southbound bbbb",
    ]
    expected = "northbound follower, southbound follower, northd active"
    assert out.unit_status == testing.ActiveStatus(expected)


def test_a_copy_that_an_earlier_unit_left_is_put_aside(
    make: Make, programs: FakePrograms, ctx: Ctx
) -> None:
    unit = context_of(2)
    for database in programs.databases.values():
        database.file.touch()
    known = {"nb-cluster": "1 north", "sb-cluster": "1 south"}
    state = make(planned_units=3, leader=False, peer_app=known)
    unit.run(unit.on.update_status(), certified(unit, state))
    assert [line.split()[0] for line in programs.did] == ["aside", "join", "aside", "join"]


def test_the_leader_takes_out_who_is_gone_without_a_word(
    ctx: Ctx, make: Make, programs: FakePrograms
) -> None:
    state = running(ctx, make)
    programs.did.clear()
    programs.databases["nb"].others = {"2222": host(2, state)}
    out = ctx.run(ctx.on.update_status(), state)
    assert programs.did == ["cluster/kick OVN_Northbound 2222"]
    assert out.unit_status == testing.ActiveStatus()
    assert_idempotent(ctx, ctx.on.update_status(), out)


def test_a_unit_that_leaves_is_no_member_before_its_pod_goes(
    ctx: Ctx, make: Make, programs: FakePrograms
) -> None:
    unit = context_of(1)
    state = make(planned_units=1, leader=False)
    for database in programs.databases.values():
        database.others = {"0000": host(0, state)}
    unit.run(unit.on.stop(), state)
    assert programs.did == ["cluster/leave OVN_Northbound", "cluster/leave OVN_Southbound"]


@pytest.mark.parametrize("planned", [0, 2])
def test_who_only_stops_or_goes_with_the_whole_application_stays_a_member(
    ctx: Ctx, make: Make, programs: FakePrograms, planned: int
) -> None:
    unit = context_of(1)
    state = make(planned_units=planned)
    for database in programs.databases.values():
        database.others = {"0000": host(0, state)}
    unit.run(unit.on.stop(), state)
    assert programs.did == []


def test_the_loss_of_the_only_copy_is_not_covered_up(
    ctx: Ctx, make: Make, programs: FakePrograms
) -> None:
    state = running(ctx, make)
    for database in programs.databases.values():
        database.file.unlink()
        database.runs = False
    programs.did.clear()
    out = ctx.run(ctx.on.update_status(), state)
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "juju run ovn-central-k8s/0 recover-cluster" in out.unit_status.message
    assert programs.did == []
    with pytest.raises(testing.ActionFailed, match="empty=true"):
        ctx.run(ctx.on.action("recover-cluster"), out)
    assert programs.did == []


def test_recovery_begins_with_an_empty_database_only_when_told_to(
    ctx: Ctx, make: Make, programs: FakePrograms
) -> None:
    state = running(ctx, make)
    programs.databases["nb"].file.unlink()
    programs.databases["nb"].runs = False
    programs.did.clear()
    out = ctx.run(ctx.on.action("recover-cluster", params={"empty": True}), state)
    assert ctx.action_results == {"recovered": "northbound"}
    assert [line.split()[:3] for line in programs.did] == [
        ["form", "nb", "/usr/share/ovn/ovn-nb.ovsschema"]
    ]
    assert peers(out).local_app_data["nb-cluster"].startswith("2 ")
    assert peers(out).local_app_data["sb-cluster"].startswith("1 ")
    # Or it would take the new cluster's data for old ones.
    plans = [s.get_container("northd").plan.services["northd"].environment for s in (state, out)]
    assert plans[0] != plans[1]


def test_recovery_keeps_what_this_unit_has_and_the_others_join_it(
    make: Make, programs: FakePrograms, ctx: Ctx
) -> None:
    known = {"nb-cluster": "1 north", "sb-cluster": "1 south"}
    members = {"nb-member": "north one", "sb-member": "south one"}
    for database in programs.databases.values():
        database.file.touch()
        database.leader, database.role = "unknown", "candidate"
    unit = context_of(1)
    state = certified(unit, make(planned_units=3, leader=False, peer_app=known, peer_unit=members))
    out = unit.run(unit.on.update_status(), state)
    assert "has no leader" in out.unit_status.message
    assert "juju run ovn-central-k8s/1 recover-cluster" in out.unit_status.message
    out = unit.run(unit.on.action("recover-cluster"), out)
    assert [line.split()[0] for line in programs.did] == ["alone", "aside", "form"] * 2
    formed = peers(out).local_unit_data["nb-formed"]
    assert formed == f"2 {programs.databases['nb'].cid}"

    # Another unit hears of it from the leader, and joins.
    programs.did.clear()
    third = context_of(2)
    told = {"nb-cluster": formed, "sb-cluster": "1 south"}
    state = make(planned_units=3, leader=False, peer_app=told, peer_unit=members)
    third.run(third.on.update_status(), certified(third, state))
    assert [line.split()[0] for line in programs.did] == ["aside", "join"]


def test_recovery_leaves_a_cluster_alone_that_works(
    ctx: Ctx, make: Make, programs: FakePrograms
) -> None:
    state = running(ctx, make)
    programs.did.clear()
    ctx.run(ctx.on.action("recover-cluster", params={"empty": True}), state)
    assert ctx.action_results == {"recovered": "nothing, both clusters work"}
    assert programs.did == []


def test_the_election_timer_follows_its_option_in_steps(
    ctx: Ctx, make: Make, programs: FakePrograms
) -> None:
    state = running(ctx, make)
    programs.did.clear()
    ctx.run(ctx.on.config_changed(), dataclasses.replace(state, config={"election-timer": 10}))
    assert [line for line in programs.did if "Northbound" in line] == [
        "cluster/change-election-timer OVN_Northbound 8000",
        "cluster/change-election-timer OVN_Northbound 10000",
    ]


def test_schemas_are_converted_when_every_unit_has_the_new_image(
    ctx: Ctx, make: Make, programs: FakePrograms
) -> None:
    programs.converts = "yes"
    state = running(ctx, make)
    out = ctx.run(ctx.on.update_status(), state)
    assert [line for line in programs.did if "convert" in line] == ["convert nb", "convert sb"]
    assert_idempotent(ctx, ctx.on.update_status(), out)


def test_northd_that_reaches_nothing_is_no_health(
    ctx: Ctx, make: Make, programs: FakePrograms
) -> None:
    programs.northd = ["Status: standby", "connected", "not connected"]
    out = running(ctx, make)
    assert out.unit_status == testing.WaitingStatus("northd does not reach the databases")
    assert "bound-hostname" not in bag(out, "ovsdb-cms")


@pytest.mark.parametrize(
    ("option", "value"), [("election-timer", 0), ("election-timer", 61), ("inactivity-probe", 1)]
)
def test_an_option_out_of_range_blocks_and_says_what_to_set(
    ctx: Ctx, make: Make, option: str, value: int
) -> None:
    out = running(ctx, make, config={option: value})
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert option in out.unit_status.message
    assert "set it to" in out.unit_status.message


def test_a_program_that_fails_is_tried_again(ctx: Ctx, make: Make, programs: FakePrograms) -> None:
    programs.refuses = "create-cluster"
    out = running(ctx, make)
    assert isinstance(out.unit_status, testing.WaitingStatus)
    assert "create-cluster was refused" in out.unit_status.message
    programs.refuses = ""
    assert ctx.run(ctx.on.update_status(), out).unit_status == testing.ActiveStatus()
