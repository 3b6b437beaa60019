"""A unit whose server is part of no cluster: what it says, and when it begins one."""

import dataclasses
import json
from pathlib import Path

import charm
import galera
import pytest
import recovery
from conftest import Ctx, MakeState
from fake_server import FakeServer
from ops import pebble, testing
from states import NOW, file, replace_relation

from daybreak_charm.testing import quiet_effects

A = "0f8b0f9e-0000-11f1-0000-000000000001"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, ctx: Ctx) -> Ctx:
    """No other unit answers."""
    effects = quiet_effects(now=NOW.timestamp(), answers=False)
    monkeypatch.setattr(charm.MariadbCharm, "effects", effects)
    return ctx


def down(
    ctx: Ctx,
    state: testing.State,
    tmp_path: Path,
    position: str,
    others: dict[int, str],
    *,
    waited: float = 300,
    leader: bool = True,
) -> testing.State:
    """Unit 0 of three has waited for the others for a while."""
    state = ctx.run(ctx.on.update_status(), state)
    run = tmp_path / "run" / "mysqld"
    (run / "position").write_text(position + "\n")
    server = state.get_container("mariadb")
    space = testing.Exec(["df"], stdout="Avail\n 1000000\n")
    infos = {info for info in server.check_infos if info.name != "online"}
    online = next(info for info in server.check_infos if info.name == "online")
    failing = dataclasses.replace(online, status=pebble.CheckStatus.DOWN, failures=9)
    server = dataclasses.replace(
        server, check_infos={*infos, failing}, execs={*server.execs, space}
    )
    peers = state.get_relations("peers")[0]
    bags = {
        n: {"cluster": A, "position": text} if text else {"cluster": A}
        for n, text in others.items()
    }
    state = replace_relation(
        state,
        peers,
        local_unit_data={
            **peers.local_unit_data,
            "cluster": A,
            "position": position,
            "position-since": str(NOW.timestamp() - waited),
        },
        local_app_data={**peers.local_app_data, "cluster": A},
        peers_data=bags,
    )
    return dataclasses.replace(
        state,
        planned_units=3,
        leader=leader,
        containers={server, state.get_container("proxy")},
    )


def held(state: testing.State) -> testing.State:
    """The others have read the ticket, and keep their servers from running."""
    (peers,) = (r for r in state.relations if isinstance(r, testing.PeerRelation))
    ticket = peers.local_app_data["bootstrap"]
    bags = {n: {**bag, recovery.HELD: ticket} for n, bag in peers.peers_data.items()}
    return replace_relation(state, peers, peers_data=bags)


def test_all_have_spoken_and_the_newest_begins_once(
    alone: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    state = down(alone, make_state(), tmp_path, f"{A} 9", {1: f"{A} 8", 2: f"{A} 9"})
    named = alone.run(alone.on.update_status(), state)
    peers = named.get_relations("peers")[0]
    assert peers.local_unit_data["position"] == f"{A} 9"
    assert json.loads(peers.local_app_data["bootstrap"])["unit"] == "mariadb-k8s/0"
    folder = tmp_path / "run" / "mysqld"
    assert not (folder / "bootstrap").exists()

    first = alone.run(alone.on.update_status(), held(named))
    assert file(first, alone, str(galera.PERMIT)) == peers.local_app_data["bootstrap"]
    assert "begins" in first.unit_status.message

    # The server has taken it and is on its way: nothing is started again.
    (folder / "bootstrap").rename(folder / "bootstrapped")
    alone.run(alone.on.update_status(), first)
    assert not (folder / "bootstrap").exists()


def test_the_others_keep_their_servers_from_running_until_one_serves(
    alone: Ctx,
    make_state: MakeState,
    tmp_path: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
):
    state = down(alone, make_state(), tmp_path, f"{A} 9", {1: f"{A} 8", 2: f"{A} 12"})
    out = alone.run(alone.on.update_status(), state)
    ticket = out.get_relations("peers")[0].local_app_data["bootstrap"]
    folder = tmp_path / "run" / "mysqld"
    assert (folder / "hold").read_text() == ticket
    assert recovery.HELD not in out.get_relations("peers")[0].local_unit_data
    (folder / "held").write_text(ticket)
    out = alone.run(alone.on.update_status(), out)
    assert out.get_relations("peers")[0].local_unit_data[recovery.HELD] == ticket

    monkeypatch.setattr(charm.MariadbCharm, "effects", quiet_effects(now=NOW.timestamp()))
    alone.run(alone.on.update_status(), out)
    assert not (folder / "hold").exists()


def test_another_unit_is_newer(
    alone: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    state = down(alone, make_state(), tmp_path, f"{A} 9", {1: f"{A} 8", 2: f"{A} 12"})
    out = alone.run(alone.on.update_status(), state)
    assert out.unit_status == testing.WaitingStatus("mariadb-k8s/2 has the newest data and begins")
    assert not (tmp_path / "run/mysqld/bootstrap").exists()


def test_only_the_unit_that_the_leader_named_for_this_very_state_begins(
    alone: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    state = down(alone, make_state(), tmp_path, f"{A} 9", {1: f"{A} 8", 2: f"{A} 9"}, leader=False)
    peers = state.get_relations("peers")[0]
    old = json.dumps({"state": "another", "unit": "mariadb-k8s/0"}, sort_keys=True)
    stale = replace_relation(
        state, peers, local_app_data={**peers.local_app_data, "bootstrap": old}
    )
    for given in (state, stale):
        alone.run(alone.on.update_status(), given)
        assert not (tmp_path / "run/mysqld/bootstrap").exists()


def test_without_the_word_of_every_other_unit_nobody_begins(
    alone: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    state = down(alone, make_state(), tmp_path, f"{A} 9", {1: f"{A} 8", 2: f"{A} 9"})
    state = held(alone.run(alone.on.update_status(), state))
    (peers,) = (r for r in state.relations if isinstance(r, testing.PeerRelation))
    bags = {n: dict(bag) for n, bag in peers.peers_data.items()}
    bags[2][recovery.HELD] = "of an earlier ticket"
    alone.run(alone.on.update_status(), replace_relation(state, peers, peers_data=bags))
    assert not (tmp_path / "run/mysqld/bootstrap").exists()


def test_a_server_that_somebody_ended_says_nothing(
    alone: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    state = down(alone, make_state(), tmp_path, f"{A} 9", {1: f"{A} 8", 2: f"{A} 9"})
    (tmp_path / "run/mysqld/position").unlink()
    alone.run(alone.on.update_status(), state)
    assert not (tmp_path / "run/mysqld/bootstrap").exists()


@pytest.mark.parametrize("others", [{1: f"{A} 8"}, {1: f"{A} 8", 2: ""}, {1: f"{A} 8", 2: "none"}])
def test_with_a_unit_missing_it_says_what_to_do(
    alone: Ctx,
    make_state: MakeState,
    tmp_path: Path,
    server: FakeServer,
    others: dict[int, str],
):
    out = alone.run(alone.on.update_status(), down(alone, make_state(), tmp_path, f"{A} 9", others))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "mariadb-k8s/2" in out.unit_status.message
    assert "juju run mariadb-k8s/0 begin-anew" in out.unit_status.message
    assert not (tmp_path / "run/mysqld/bootstrap").exists()


def test_galera_is_given_time_to_do_it_itself(
    alone: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    state = down(alone, make_state(), tmp_path, f"{A} 9", {1: f"{A} 8", 2: f"{A} 9"}, waited=3)
    out = alone.run(alone.on.update_status(), state)
    assert out.unit_status == testing.WaitingStatus("waits for the other members")
    assert "bootstrap" not in out.get_relations("peers")[0].local_app_data


def test_where_another_unit_serves_nobody_begins(
    ctx: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    # The bags are old, the answers are not.
    state = down(ctx, make_state(), tmp_path, f"{A} 9", {1: f"{A} 8", 2: f"{A} 9"})
    ctx.run(ctx.on.update_status(), state)
    assert not (tmp_path / "run/mysqld/bootstrap").exists()
    with pytest.raises(testing.ActionFailed, match="serves"):
        ctx.run(ctx.on.action("begin-anew", params={"confirm": True}), state)


def test_by_hand_it_says_first_what_may_be_lost(
    alone: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    state = down(alone, make_state(), tmp_path, f"{A} 9", {1: f"{A} 12", 2: ""})
    state = alone.run(alone.on.update_status(), state)
    with pytest.raises(testing.ActionFailed) as refused:
        alone.run(alone.on.action("begin-anew"), state)
    assert "3 transactions are lost" in refused.value.message
    assert "mariadb-k8s/2 has not said what it has" in refused.value.message
    assert not (tmp_path / "run/mysqld/bootstrap").exists()
    alone.run(alone.on.action("begin-anew", params={"confirm": True}), state)
    assert (tmp_path / "run/mysqld/bootstrap").exists()


def test_a_full_volume_is_named(
    alone: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    state = down(alone, make_state(), tmp_path, f"{A} 9", {})
    container = state.get_container("mariadb")
    execs = {e for e in container.execs if e.command_prefix != ("df",)}
    full = testing.Exec(["df"], stdout="Avail\n 12\n")
    container = dataclasses.replace(container, execs={*execs, full})
    out = alone.run(
        alone.on.update_status(),
        dataclasses.replace(state, containers={container, state.get_container("proxy")}),
    )
    assert "full" in out.unit_status.message


def test_the_first_data_are_made_by_the_lowest_unit_only_when_nobody_had_any(
    alone: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    state = down(alone, make_state(), tmp_path, "none", {1: f"{A} 8"})
    (tmp_path / "storage" / "data").rmdir()
    out = alone.run(alone.on.update_status(), state)
    assert "prepare" not in out.get_container("mariadb").plan.services


def test_serving_again_takes_back_what_was_said(
    ctx: Ctx, make_state: MakeState, tmp_path: Path, server: FakeServer
):
    (tmp_path / "storage/data/grastate.dat").write_text(f"uuid:    {A}\nseqno:   -1\n")
    state = make_state()
    peers = state.get_relations("peers")[0]
    said = {recovery.POSITION: f"{A} 3", recovery.CLUSTER: A}
    state = replace_relation(
        state,
        peers,
        local_unit_data={**peers.local_unit_data, **said},
        local_app_data={"bootstrap": "x"},
    )
    out = ctx.run(ctx.on.update_status(), state).get_relations("peers")[0]
    assert recovery.POSITION not in out.local_unit_data
    assert out.local_app_data[recovery.CLUSTER] == A
    assert "bootstrap" not in out.local_app_data
