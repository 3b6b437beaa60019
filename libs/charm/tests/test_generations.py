"""What a unit reads, what it lives by, and when it says so; TLS answers step by step."""

import dataclasses
import json
from typing import Any

import ops
import pytest
from ops import testing

from daybreak_charm import Context, rotation, tls
from daybreak_charm.containers import digest
from daybreak_charm.description import Tls
from daybreak_charm.testing import TestCA, quiet_effects
from daybreak_interfaces import tls_certificates

META = {
    "name": "echo",
    "peers": {"peers": {"interface": "echo-peers"}},
    "requires": {"database": {"interface": "d"}, "certificates": {"interface": "tls-certificates"}},
    "provides": {"echo": {"interface": "echo"}},
}
CA = TestCA()
OLD, NEW = {"password": "the old one"}, {"password": "the new one"}


class Echo(ops.CharmBase):
    """A charm without a loop: the test calls the context itself."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self.context = Context(self, quiet_effects())


@pytest.fixture
def ctx() -> testing.Context[Echo]:
    return testing.Context(Echo, meta=META)


def state(secret: testing.Secret, **changes: Any) -> testing.State:
    return testing.State(
        **{"relations": {testing.PeerRelation("peers")}, "secrets": {secret}, **changes}
    )


def unit_bag(out: testing.State) -> dict[str, str]:
    return dict(next(r for r in out.relations if r.endpoint == "peers").local_unit_data)


def test_reading_moves_nothing_and_settling_does(ctx: testing.Context[Echo]) -> None:
    secret = testing.Secret(tracked_content=OLD, latest_content=NEW, owner=None)
    with ctx(ctx.on.update_status(), state(secret)) as manager:
        context = manager.charm.context
        assert context.secret(secret.id) == NEW
        assert secret.tracked_content == OLD
        context.settle()
        out = manager.run()
    assert out.get_secret(id=secret.id).tracked_content == NEW
    name = secret.id.removeprefix("secret:")
    assert json.loads(unit_bag(out)["applied"]) == {name: digest(NEW)}
    assert "new one" not in str(unit_bag(out))


def test_settling_again_calls_no_tool(ctx: testing.Context[Echo]) -> None:
    secret = testing.Secret(NEW, owner=None)
    with ctx(ctx.on.update_status(), state(secret)) as manager:
        manager.charm.context.secret(secret.id)
        manager.charm.context.settle()
        first = manager.run()
    with ctx(ctx.on.update_status(), first) as manager:
        context = manager.charm.context
        context.secret(secret.id)
        context.settle()
        assert not context.changed


def test_who_led_before_follows_what_it_no_longer_reads(ctx: testing.Context[Echo]) -> None:
    secret = testing.Secret(tracked_content=OLD, latest_content=NEW, owner="app")
    bag = {"applied": json.dumps({secret.id.removeprefix("secret:"): digest(OLD)})}
    peers = testing.PeerRelation("peers", local_unit_data=bag)
    with ctx(ctx.on.update_status(), state(secret, relations={peers})) as manager:
        manager.charm.context.settle()
        still = manager.run()
    assert still.get_secret(id=secret.id).tracked_content == OLD
    told = dataclasses.replace(peers, local_app_data={"generation": "1"})
    with ctx(ctx.on.update_status(), state(secret, relations={told})) as manager:
        manager.charm.context.settle()
        out = manager.run()
    assert out.get_secret(id=secret.id).tracked_content == NEW
    assert unit_bag(out)["generation"] == "1"


def test_a_secret_that_is_gone_is_forgotten(ctx: testing.Context[Echo]) -> None:
    peers = testing.PeerRelation(
        "peers",
        local_unit_data={"applied": '{"gone": "0"}'},
        local_app_data={"generation": "1"},
    )
    with ctx(ctx.on.update_status(), testing.State(relations={peers})) as manager:
        manager.charm.context.settle()
        out = manager.run()
    assert "gone" not in str(unit_bag(out))


def test_who_lags(ctx: testing.Context[Echo]) -> None:
    secret = testing.Secret(NEW, owner="app")
    name = secret.id.removeprefix("secret:")
    bags: dict[int, dict[str, str]] = {
        1: {"applied": json.dumps({name: digest(NEW)})},
        2: {"applied": json.dumps({name: digest(OLD)})},
    }
    peers = testing.PeerRelation("peers", local_unit_data=bags[1], peers_data=bags)
    known = state(secret, relations={peers}, leader=True, planned_units=4)
    with ctx(ctx.on.update_status(), known) as manager:
        assert manager.charm.context.lagging(secret.id) == ["echo", "echo/2"]


def test_a_policy_is_set_once_and_followed(ctx: testing.Context[Echo]) -> None:
    relation = testing.Relation("echo")
    start = testing.State(leader=True, relations={testing.PeerRelation("peers"), relation})

    def run(before: testing.State, policy: str) -> testing.State:
        with ctx(ctx.on.update_status(), before) as manager:
            context = manager.charm.context
            found = context.relations("echo")[0]
            secret_id = context.grant(found, "secret-user", OLD, rotate=policy) or ""
            context.rotates(policy, secret_id)
            return manager.run()

    first = run(start, "weekly")
    assert next(iter(first.secrets)).rotate is ops.SecretRotate.WEEKLY
    again = run(first, "weekly")
    assert again.relations == first.relations
    after = run(again, "never")
    assert next(iter(after.secrets)).rotate is ops.SecretRotate.NEVER


def test_an_unknown_policy_is_refused() -> None:
    wrong = rotation.refused("rotation", "sometimes")
    assert wrong
    assert "monthly" in wrong.remedy
    assert rotation.refused("rotation", "never") is None


# --- certificates -----------------------------------------------------------------------------


def requested(ctx: testing.Context[Echo], before: testing.State) -> testing.State:
    """What one run of the TLS part leaves; with a certificate it says that it runs with it."""
    with ctx(ctx.on.update_status(), before) as manager:
        context = manager.charm.context
        context.acting = True
        tls.request(context, Tls())
        tls.gate(context, Tls())
        context.settle()
        tls.confirm(context, Tls())
        return manager.run()


def certificates(out: testing.State) -> testing.Relation:
    return next(
        r for r in out.relations if r.endpoint == "certificates" and isinstance(r, testing.Relation)
    )


def with_bag(out: testing.State, bag: dict[str, str]) -> testing.State:
    relation = certificates(out)
    changed = dataclasses.replace(relation, remote_app_data=bag)
    others = {r for r in out.relations if r.id != relation.id}
    return dataclasses.replace(out, relations={*others, changed})


def test_a_ca_to_come_is_trusted_and_not_shown(ctx: testing.Context[Echo]) -> None:
    peers, relation = testing.PeerRelation("peers"), testing.Relation("certificates")
    first = CA.answer(requested(ctx, testing.State(relations={peers, relation})))
    (answer,) = tls_certificates.read_certificates(certificates(first).remote_app_data)
    both = dataclasses.replace(answer, chain=(*answer.chain, "the CA to come"))
    assert both.fingerprint != answer.fingerprint
    found: list[tls.Certificate] = []
    for item in (answer, both):
        bag: dict[str, str] = {}
        tls_certificates.write_certificates(bag, [item])
        with ctx(ctx.on.update_status(), with_bag(first, bag)) as manager:
            tls.gate(manager.charm.context, Tls())
            held = manager.charm.context.certificate
            assert held
            found.append(held)
    assert found[0].certificate == found[1].certificate
    assert found[1].ca == found[0].ca + "the CA to come\n"


def test_a_certificate_that_was_withdrawn_is_replaced_with_its_key(
    ctx: testing.Context[Echo],
) -> None:
    peers, relation = testing.PeerRelation("peers"), testing.Relation("certificates")
    start = testing.State(relations={peers, relation})
    first = requested(ctx, CA.answer(requested(ctx, start)))
    keys = dict(next(iter(first.secrets)).latest_content or {})
    (answer,) = tls_certificates.read_certificates(certificates(first).remote_app_data)
    assert tls_certificates.read_applied(certificates(first).local_unit_data) == answer.fingerprint

    bag: dict[str, str] = {}
    tls_certificates.write_certificates(bag, [dataclasses.replace(answer, revoked=True)])
    second = requested(ctx, with_bag(first, bag))
    requests = tls_certificates.read_requests(certificates(second).local_unit_data)
    # The new request is first; the withdrawn certificate serves until its answer comes.
    assert [r.csr == answer.csr for r in requests] == [False, True]
    with ctx(ctx.on.update_status(), second) as manager:
        tls.gate(manager.charm.context, Tls())
        held = manager.charm.context.certificate
        assert held
        assert answer.certificate in held.certificate

    third = requested(ctx, CA.answer(second))
    with ctx(ctx.on.update_status(), third) as manager:
        tls.gate(manager.charm.context, Tls())
        held = manager.charm.context.certificate
        assert held
        assert answer.certificate not in held.certificate
        assert held.key.strip() not in {key.strip() for key in keys.values()}
    assert len(tls_certificates.read_requests(certificates(third).local_unit_data)) == 1
    assert not keys.items() & (next(iter(third.secrets)).latest_content or {}).items()
