"""Rotations of what the charm keeps, as `ops.testing` shows them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import charm
import ops
import pytest
from fake_cloud import Cloud, client
from ops import testing

from daybreak_charm.containers import digest
from daybreak_charm.testing import recorded


def secret(state: testing.State, key: str) -> testing.Secret:
    peers = next(r for r in state.relations if r.endpoint == "peers")
    return next(s for s in state.secrets if s.id == peers.local_app_data[key])


def ready(cloud: Cloud, *relations: Any) -> testing.State:
    state = cloud.state(*relations)
    cloud.migrate()
    cloud.bootstrap()
    cloud.database.script("CREATE TABLE credential (id TEXT, key_hash TEXT)")
    return cloud.run(state)


def act(cloud: Cloud, state: testing.State, action: str, **params: Any) -> testing.State:
    return cloud.context.run(cloud.context.on.action(action, params=params), state)


def files(cloud: Cloud, ring: str = "fernet") -> dict[str, str]:
    folder: Path = cloud.folder / "etc" / "keystone" / f"{ring}-keys"
    return {path.name: path.read_text() for path in folder.iterdir()}


def with_peer(state: testing.State, **bag: str) -> testing.State:
    peers = next(r for r in state.relations if r.endpoint == "peers")
    changed = dataclasses.replace(peers, peers_data={1: bag})
    others = {r for r in state.relations if r.id != peers.id}
    return dataclasses.replace(state, planned_units=2, relations={*others, changed})


def test_the_action_rotates_and_the_leader_lives_by_it_at_once(cloud: Cloud) -> None:
    state = ready(cloud)
    before = files(cloud)
    with recorded() as writes:
        out = act(cloud, state, "rotate-keys")
    assert files(cloud)["2"] == before["0"]
    assert files(cloud)["1"] == before["1"]
    assert len(files(cloud)) == 3
    assert [p.rpartition("/")[2] for p in writes.pushed] == ["2", "0"]
    assert not writes.replans
    assert not writes.signals
    assert cloud.run(out).unit_status == testing.ActiveStatus()


def test_no_rotation_before_every_unit_has_the_staged_key(cloud: Cloud) -> None:
    state = ready(cloud)
    lone = dataclasses.replace(state, planned_units=2)
    with pytest.raises(testing.ActionFailed, match="not everywhere yet"):
        act(cloud, lone, "rotate-keys")
    ring = secret(state, "fernet-keys")
    name = ring.id.removeprefix("secret:")
    old = with_peer(state, applied=json.dumps({name: "something older"}))
    with pytest.raises(testing.ActionFailed, match="keystone-k8s/1"):
        act(cloud, old, "rotate-keys")
    here = json.dumps({name: digest(ring.latest_content)})
    act(cloud, with_peer(state, applied=here), "rotate-keys")
    assert len(files(cloud)) == 3


def test_keys_are_rotated_when_they_are_due(cloud: Cloud) -> None:
    state = ready(cloud)
    now = charm.KeystoneCharm.effects.now()
    week = dataclasses.replace(charm.KeystoneCharm.effects, now=lambda: now + 7 * 86400)
    charm.KeystoneCharm.effects = week
    ring = secret(state, "fernet-keys")
    assert ring.rotate is ops.SecretRotate.WEEKLY
    out = cloud.context.run(cloud.context.on.secret_rotate(ring), state)
    assert len(files(cloud)) == 3
    assert len(files(cloud, "credential")) == 2
    # The next event finds nothing due.
    cloud.run(out)
    assert len(files(cloud)) == 3
    later = dataclasses.replace(week, now=lambda: now + 7 * 86400 + 3600 + 172800 + 120)
    charm.KeystoneCharm.effects = later
    cloud.run(out)
    assert len(files(cloud)) == 2


def test_revoking_drops_every_former_key(cloud: Cloud) -> None:
    state = ready(cloud)
    before = set(files(cloud).values())
    act(cloud, state, "rotate-keys", revoke=True)
    assert not before & set(files(cloud).values())
    with pytest.raises(testing.ActionFailed, match="cannot be read without"):
        act(cloud, state, "rotate-keys", which="credential", revoke=True)


def test_the_cache_forgets_what_revoked_keys_have_signed(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    reachable = False

    def forget(server: str) -> bool:
        asked.append(server)
        return reachable

    monkeypatch.setattr(charm.cache, "forget", forget)
    servers = {"servers": "memcached-0:11211"}
    cached = testing.Relation("cache", remote_app_data=servers)
    state = act(cloud, ready(cloud, cached), "rotate-keys")
    assert asked == [], "a rotation makes nothing void"
    out = act(cloud, state, "rotate-keys", revoke=True)
    assert asked
    message = "revoked tokens may still be in the cache of memcached-0:11211"
    assert out.unit_status == testing.WaitingStatus(message)
    reachable = True
    out = cloud.run(out)
    assert out.unit_status == testing.ActiveStatus()
    asked.clear()
    # Once is enough.
    cloud.run(out)
    assert asked == []


def test_credentials_are_encrypted_anew_before_their_key_goes(cloud: Cloud) -> None:
    state = ready(cloud)
    cloud.database.execute("INSERT INTO credential VALUES ('c', 'the old one')")
    with recorded() as writes:
        out = act(cloud, state, "rotate-keys", which="credential")
    assert [c for c in writes.commands if "credential_migrate" in c]
    # Keystone has done nothing here: the key stays, and no other rotation begins.
    now = charm.KeystoneCharm.effects.now()
    charm.KeystoneCharm.effects = dataclasses.replace(
        charm.KeystoneCharm.effects, now=lambda: now + 500
    )
    out = cloud.run(out)
    assert len(files(cloud, "credential")) == 3
    with pytest.raises(testing.ActionFailed, match="not finished"):
        act(cloud, out, "rotate-keys", which="credential")
    cloud.database.execute("DELETE FROM credential")
    cloud.run(out)
    assert len(files(cloud, "credential")) == 2


def test_a_service_user_is_a_generation(cloud: Cloud) -> None:
    relation = client()
    state = ready(cloud, relation)
    out = act(cloud, state, "rotate-credentials")
    name = f"svc_placement_k8s_r{relation.id}"
    assert [n for k, n in cloud.calls if k == "user"] == [f"{name}_g1", f"{name}_g2"]
    assert not [c for c in cloud.calls if c[0] == "delete"]
    bag = out.get_relation(relation.id).local_app_data
    held = next(s for s in out.secrets if s.id == bag["service-credentials"])
    assert (held.latest_content or {})["username"] == f"{name}_g2"
    # While somebody tracks the old revision, its user stays, whatever happens.
    out = cloud.run(out)
    assert not [c for c in cloud.calls if c[0] == "delete"]
    gone = cloud.context.run(cloud.context.on.secret_remove(held, revision=1), out)
    assert len([c for c in cloud.calls if c[0] == "delete"]) == 1
    cloud.run(gone)
    assert len([c for c in cloud.calls if c[0] == "delete"]) == 1


def test_a_user_is_rotated_on_its_schedule(cloud: Cloud) -> None:
    relation = client()
    state = ready(cloud, relation)
    bag = state.get_relation(relation.id).local_app_data
    held = next(s for s in state.secrets if s.id == bag["service-credentials"])
    assert held.rotate is ops.SecretRotate.MONTHLY
    cloud.context.run(cloud.context.on.secret_rotate(held), state)
    assert [n[-3:] for k, n in cloud.calls if k == "user"] == ["_g1", "_g2"]


def test_what_a_killed_rotation_left_is_deleted(cloud: Cloud) -> None:
    relation = client()
    state = ready(cloud, relation)
    act(cloud, state, "rotate-credentials")  # its state is lost: the hook was killed
    cloud.run(state)
    assert len([c for c in cloud.calls if c[0] == "delete"]) == 1


def test_the_administrators_new_password_is_set_by_bootstrap(cloud: Cloud) -> None:
    state = ready(cloud)
    before = secret(state, "admin-password").latest_content
    with recorded() as writes:
        out = act(cloud, state, "rotate-admin-password")
    assert len([c for c in writes.commands if "bootstrap" in c]) == 1
    assert secret(out, "admin-password").latest_content != before
    with recorded() as writes:
        cloud.run(out)
    assert writes.nothing
    # Killed before its end: the next run makes it up.
    half = dataclasses.replace(out, relations=state.relations)
    with recorded() as writes:
        cloud.run(half)
    assert [c for c in writes.commands if "bootstrap" in c]


def test_only_the_leader_rotates(cloud: Cloud) -> None:
    state = dataclasses.replace(ready(cloud), leader=False)
    for action in ("rotate-keys", "rotate-credentials", "rotate-admin-password"):
        with pytest.raises(testing.ActionFailed, match="leader"):
            act(cloud, state, action)


def test_an_unknown_policy_blocks(cloud: Cloud) -> None:
    state = ready(cloud)
    out = cloud.run(dataclasses.replace(state, config={"user-rotation": "often"}))
    assert out.unit_status == testing.BlockedStatus(
        "user-rotation is 'often': set it to one of never, hourly, daily, weekly, monthly, quarterly,"
        " yearly"
    )


def test_a_unit_moves_only_when_its_process_runs_with_the_new_user(
    cloud: Cloud,
) -> None:
    out = ready(cloud)
    database = next(s for s in out.secrets if "db-s3cret" in s.tracked_content.values())
    new = dataclasses.replace(
        database,
        tracked_content=database.latest_content,
        latest_content={"username": "k2", "password": "db-s4cret"},
    )
    others = {s for s in out.secrets if s.id != database.id}
    moved = with_peer(dataclasses.replace(out, secrets={*others, new}), roll="yes")
    waits = cloud.context.run(cloud.context.on.secret_changed(new), moved)
    assert waits.unit_status == testing.WaitingStatus("waits for its turn to restart")
    held = next(s for s in waits.secrets if s.id == database.id)
    assert held.tracked_content == database.latest_content
    peers = next(r for r in waits.relations if r.endpoint == "peers")
    mine = dataclasses.replace(
        peers, local_app_data={**peers.local_app_data, "roll-holder": "keystone-k8s/0"}
    )
    turn = dataclasses.replace(
        waits, relations={*(r for r in waits.relations if r.id != peers.id), mine}
    )
    done = cloud.run(turn)
    held = next(s for s in done.secrets if s.id == database.id)
    assert held.tracked_content == new.latest_content
