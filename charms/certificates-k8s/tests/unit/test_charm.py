"""The charm as a whole: state in, state out."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import charm
import ops
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ops import testing

from daybreak_interfaces import tls_certificates

NOW = datetime(2026, 11, 22, tzinfo=UTC)
HOST = "keystone-0.keystone-endpoints.openstack.svc.cluster.local"


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(charm, "now", clock)
    return clock


@pytest.fixture
def ctx(clock: Clock) -> testing.Context[charm.CertificatesCharm]:
    return testing.Context(charm.CertificatesCharm)


def make_csr(host: str = HOST) -> str:
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keystone-0")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
        .strip()
    )


def requests(*csrs: str) -> dict[str, str]:
    return {
        "certificate_signing_requests": json.dumps(
            [{"certificate_signing_request": csr, "ca": False} for csr in csrs]
        )
    }


def state(csr: str, **changes: Any) -> testing.State:
    relations = {
        testing.PeerRelation("peers"),
        testing.Relation(
            "certificates", remote_app_name="keystone", remote_units_data={0: requests(csr)}
        ),
        testing.Relation("send-ca-cert", remote_app_name="keystone"),
    }
    return testing.State(**{"leader": True, "planned_units": 1, "relations": relations, **changes})


def relation(out: testing.State, endpoint: str) -> testing.RelationBase:
    return out.get_relations(endpoint)[0]


def answers(out: testing.State) -> list[dict[str, object]]:
    return json.loads(relation(out, "certificates").local_app_data.get("certificates", "[]"))


def replace_units(out: testing.State, **changes: Any) -> testing.State:
    """Return the state with another remote side of the certificates relation."""
    old = relation(out, "certificates")
    new = testing.Relation(
        "certificates",
        id=old.id,
        remote_app_name="keystone",
        local_app_data=old.local_app_data,
        local_unit_data=old.local_unit_data,
        **changes,
    )
    return testing.State(
        leader=out.leader,
        planned_units=1,
        secrets=out.secrets,
        relations={new, *out.get_relations("peers"), *out.get_relations("send-ca-cert")},
    )


def test_a_request_is_answered_with_a_certificate_of_the_authority(ctx: testing.Context):
    csr = make_csr()
    out = ctx.run(ctx.on.install(), state(csr))
    (answer,) = answers(out)
    assert answer["certificate_signing_request"] == csr
    leaf = x509.load_pem_x509_certificate(str(answer["certificate"]).encode())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(str(answer["ca"]).encode()))
    assert answer["chain"] == [answer["certificate"], answer["ca"]]
    assert leaf.not_valid_after_utc == NOW + timedelta(days=365)
    assert out.unit_status == testing.ActiveStatus()


def test_a_request_of_an_application_is_answered_as_well(ctx: testing.Context):
    initial = testing.State(
        leader=True,
        planned_units=1,
        relations={
            testing.PeerRelation("peers"),
            testing.Relation(
                "certificates", remote_app_name="keystone", remote_app_data=requests(make_csr())
            ),
        },
    )
    assert len(answers(ctx.run(ctx.on.leader_elected(), initial))) == 1


def test_the_authority_is_sent_in_both_versions(ctx: testing.Context):
    out = ctx.run(ctx.on.update_status(), state(make_csr()))
    ca = answers(out)[0]["ca"]
    sent = relation(out, "send-ca-cert")
    assert json.loads(sent.local_app_data["certificates"]) == [ca]
    assert sent.local_app_data["version"] == "1"
    assert sent.local_unit_data["ca"] == ca
    assert json.loads(sent.local_unit_data["chain"]) == [ca]


def test_the_key_is_in_the_secret_and_nowhere_else(ctx: testing.Context):
    out = ctx.run(ctx.on.update_status(), state(make_csr()))
    (secret,) = out.secrets
    assert secret.owner == "app"
    assert "PRIVATE KEY" in secret.latest_content["private-key"]
    for each in out.relations:
        bags = [each.local_app_data, each.local_unit_data]
        assert "PRIVATE KEY" not in repr(bags)
    assert not [line for line in ctx.juju_log if "PRIVATE KEY" in line.message]


@pytest.mark.parametrize("event", ["update_status", "config_changed", "upgrade_charm"])
def test_the_second_run_changes_nothing(ctx: testing.Context, event: str):
    first = ctx.run(getattr(ctx.on, event)(), state(make_csr()))
    second = ctx.run(getattr(ctx.on, event)(), first)
    assert {r.id: r for r in second.relations} == {r.id: r for r in first.relations}
    assert set(second.secrets) == set(first.secrets)


def test_a_new_leader_goes_on_with_the_same_authority(clock: Clock):
    first = testing.Context(charm.CertificatesCharm)
    out = first.run(first.on.update_status(), state(make_csr()))
    other = testing.Context(charm.CertificatesCharm, unit_id=1)
    again = testing.State(
        leader=True, planned_units=2, relations=out.relations, secrets=out.secrets
    )
    assert answers(other.run(other.on.leader_elected(), again)) == answers(out)


def test_a_certificate_near_its_end_is_renewed(ctx: testing.Context, clock: Clock):
    out = ctx.run(ctx.on.update_status(), state(make_csr()))
    clock.now = NOW + timedelta(days=200)
    assert answers(ctx.run(ctx.on.update_status(), out)) == answers(out)
    clock.now = NOW + timedelta(days=300)
    renewed = answers(ctx.run(ctx.on.update_status(), out))
    assert renewed[0]["certificate"] != answers(out)[0]["certificate"]
    assert renewed[0]["ca"] == answers(out)[0]["ca"]


def test_a_unit_that_is_not_known_yet_keeps_its_certificate(ctx: testing.Context):
    out = ctx.run(ctx.on.update_status(), state(make_csr()))
    unknown = replace_units(out, remote_units_data={})
    assert answers(ctx.run(ctx.on.leader_elected(), unknown)) == answers(out)


def test_a_certificate_without_request_goes_when_nothing_else_is_due(ctx: testing.Context):
    out = ctx.run(ctx.on.update_status(), state(make_csr()))
    gone = replace_units(out, remote_units_data={})
    assert answers(ctx.run(ctx.on.update_status(), gone)) == []


def test_nonsense_is_refused_visibly_and_harms_nobody(ctx: testing.Context):
    csr = make_csr()
    initial = testing.State(
        leader=True,
        planned_units=1,
        relations={
            testing.PeerRelation("peers"),
            testing.Relation(
                "certificates",
                remote_app_name="keystone",
                remote_units_data={
                    0: requests("nonsense", csr),
                    1: {"certificate_signing_requests": "{"},
                    2: requests(make_csr("mariadb.openstack.svc.cluster.local")),
                },
            ),
        },
    )
    out = ctx.run(ctx.on.update_status(), initial)
    assert [answer["certificate_signing_request"] for answer in answers(out)] == [csr]
    assert "mariadb.openstack" in out.unit_status.message
    assert [line for line in ctx.juju_log if line.level == "WARNING" and "refused" in line.message]


def test_a_unit_that_does_not_lead_writes_its_own_side_only(ctx: testing.Context):
    first = ctx.run(ctx.on.update_status(), state(make_csr()))
    follower = testing.Context(charm.CertificatesCharm, unit_id=1)
    peers = first.get_relations("peers")[0]
    sent = testing.Relation("send-ca-cert", remote_app_name="keystone")
    initial = testing.State(
        leader=False, planned_units=2, relations={peers, sent}, secrets=first.secrets
    )
    out = follower.run(follower.on.update_status(), initial)
    assert relation(out, "send-ca-cert").local_unit_data["ca"] == answers(first)[0]["ca"]
    assert relation(out, "send-ca-cert").local_app_data == {}
    assert out.unit_status == testing.ActiveStatus()


def test_a_unit_that_does_not_lead_waits_for_the_authority(ctx: testing.Context):
    out = ctx.run(ctx.on.update_status(), state(make_csr(), leader=False, planned_units=2))
    assert out.unit_status == testing.WaitingStatus("waiting for the leader to make the authority")
    assert not out.secrets


def test_without_peers_it_waits(ctx: testing.Context):
    out = ctx.run(ctx.on.install(), testing.State(leader=True, planned_units=1))
    assert isinstance(out.unit_status, testing.WaitingStatus)


@pytest.mark.parametrize(
    "config",
    [{"certificate-validity": 0}, {"certificate-validity": 3651}, {"ca-common-name": "x" * 65}],
)
def test_a_bad_option_blocks_and_says_what_to_set(ctx: testing.Context, config: dict[str, object]):
    out = ctx.run(ctx.on.config_changed(), state(make_csr(), config=config))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "set" in out.unit_status.message
    assert not out.secrets


def test_a_unit_that_leaves_changes_nothing(clock: Clock):
    ctx = testing.Context(charm.CertificatesCharm)
    out = ctx.run(ctx.on.update_status(), state(make_csr(), planned_units=0))
    assert not out.secrets
    assert answers(out) == []


def test_a_relation_that_breaks_is_left_alone(ctx: testing.Context):
    first = ctx.run(ctx.on.update_status(), state(make_csr()))
    out = ctx.run(ctx.on.relation_broken(relation(first, "certificates")), first)
    assert answers(out) == answers(first)


def test_the_action_prints_the_certificate(ctx: testing.Context):
    out = ctx.run(ctx.on.update_status(), state(make_csr()))
    ctx.run(ctx.on.action("get-ca-certificate"), out)
    assert ctx.action_results == {"ca-certificate": answers(out)[0]["ca"]}


def test_the_action_fails_without_an_authority(ctx: testing.Context):
    with pytest.raises(testing.ActionFailed, match="no authority yet"):
        ctx.run(ctx.on.action("get-ca-certificate"), state(make_csr(), leader=False))


# --- one authority after another ----------------------------------------------------------------


def confirmed(out: testing.State, **changes: Any) -> testing.State:
    """The state after the unit has said that it runs with what is published."""
    old = relation(out, "certificates")
    assert isinstance(old, testing.Relation)
    bag = dict(old.remote_units_data[0])
    (answer,) = tls_certificates.read_certificates(old.local_app_data)
    tls_certificates.write_applied(bag, answer.fingerprint)
    changed = replace_units(out, remote_units_data={0: bag})
    return dataclasses.replace(changed, **changes)


def chain(out: testing.State) -> list[str]:
    """Who is trusted."""
    return [str(pem) for pem in answers(out)[0]["chain"]][1:]  # type: ignore[index] # JSON


def announced(ctx: testing.Context, **config: int) -> testing.State:
    first = confirmed(ctx.run(ctx.on.update_status(), state(make_csr())), config=config)
    return ctx.run(ctx.on.action("rotate-ca"), first)


def test_a_new_authority_is_trusted_before_it_signs_and_the_old_one_after(ctx: testing.Context):
    first = ctx.run(ctx.on.update_status(), state(make_csr()))
    (old,) = chain(first)
    out = ctx.run(ctx.on.action("rotate-ca"), confirmed(first, config={"ca-overlap": 0}))
    assert chain(out)[0] == old
    new = chain(out)[1]
    assert answers(out)[0]["certificate"] == answers(first)[0]["certificate"]
    assert json.loads(relation(out, "send-ca-cert").local_app_data["certificates"]) == sorted(
        [old, new]
    )
    # Nobody has confirmed: nothing goes on, however often it runs.
    out = ctx.run(ctx.on.update_status(), out)
    assert chain(out) == [old, new]
    assert out.unit_status == testing.ActiveStatus("the new CA signs when 1 trust it (keystone/0)")
    out = ctx.run(ctx.on.update_status(), confirmed(out, config={"ca-overlap": 0}))
    assert chain(out) == [new, old]
    leaf = x509.load_pem_x509_certificate(str(answers(out)[0]["certificate"]).encode())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(new.encode()))
    out = ctx.run(ctx.on.update_status(), out)
    assert chain(out) == [new, old]
    out = ctx.run(ctx.on.update_status(), confirmed(out))
    assert chain(out) == [new]
    assert json.loads(relation(out, "send-ca-cert").local_app_data["certificates"]) == [new]
    (secret,) = out.secrets
    assert set(secret.latest_content) == {"certificate", "private-key"}
    assert ctx.run(ctx.on.update_status(), confirmed(out)).unit_status == testing.ActiveStatus()


def test_the_time_to_hand_a_new_authority_out_passes_first(ctx: testing.Context, clock: Clock):
    out = announced(ctx)
    before = chain(out)
    out = ctx.run(ctx.on.update_status(), confirmed(out))
    assert chain(out) == before
    assert "ca-overlap" in out.unit_status.message
    clock.now += timedelta(hours=24)
    assert chain(ctx.run(ctx.on.update_status(), confirmed(out))) == before[::-1]


def test_a_requirer_that_says_nothing_is_waited_for_an_hour(ctx: testing.Context, clock: Clock):
    csr = make_csr()
    first = ctx.run(ctx.on.update_status(), state(csr, config={"ca-overlap": 0}))
    out = ctx.run(ctx.on.action("rotate-ca"), first)
    before = chain(out)
    assert chain(ctx.run(ctx.on.update_status(), out)) == before
    clock.now += timedelta(hours=1)
    assert chain(ctx.run(ctx.on.update_status(), out)) == before[::-1]


def test_a_new_leader_that_does_not_see_a_unit_waits(ctx: testing.Context):
    out = announced(ctx, **{"ca-overlap": 0})
    before = chain(out)
    blind = replace_units(out, remote_units_data={})
    after = ctx.run(ctx.on.config_changed(), dataclasses.replace(blind, config=out.config))
    assert chain(after) == before


def test_one_change_at_a_time_and_by_the_leader(ctx: testing.Context):
    out = announced(ctx)
    with pytest.raises(testing.ActionFailed, match="not finished"):
        ctx.run(ctx.on.action("rotate-ca"), out)
    with pytest.raises(testing.ActionFailed, match="leader"):
        ctx.run(ctx.on.action("rotate-ca"), dataclasses.replace(out, leader=False))


def test_the_authority_is_changed_on_its_schedule(ctx: testing.Context):
    out = ctx.run(ctx.on.update_status(), state(make_csr(), config={"ca-rotation": "yearly"}))
    (secret,) = out.secrets
    assert secret.rotate is ops.SecretRotate.YEARLY
    assert len(chain(ctx.run(ctx.on.secret_rotate(secret), out))) == 2
    bad = dataclasses.replace(out, config={"ca-rotation": "rarely"})
    assert isinstance(ctx.run(ctx.on.update_status(), bad).unit_status, testing.BlockedStatus)


def test_withdrawn_certificates_stay_until_their_holders_have_others(ctx: testing.Context):
    csr, other = make_csr(), make_csr()
    out = ctx.run(ctx.on.update_status(), state(csr))
    with pytest.raises(testing.ActionFailed, match="No related"):
        ctx.run(ctx.on.action("rotate-certificates", params={"application": "glance"}), out)
    out = ctx.run(ctx.on.action("rotate-certificates"), out)
    assert ctx.action_results == {"withdrawn": 1}
    out = ctx.run(ctx.on.update_status(), out)
    assert [a.get("revoked") for a in answers(out)] == [True]
    asked = replace_units(out, remote_units_data={0: requests(other, csr)})
    out = ctx.run(ctx.on.relation_changed(relation(asked, "certificates"), remote_unit=0), asked)
    found = {a["certificate_signing_request"]: a.get("revoked") for a in answers(out)}
    assert found == {csr: True, other: None}
    done = replace_units(out, remote_units_data={0: requests(other)})
    assert len(answers(ctx.run(ctx.on.update_status(), done))) == 1


def test_a_certificate_that_was_withdrawn_holds_no_new_authority_up(ctx: testing.Context):
    csr, other = make_csr(), make_csr()
    out = ctx.run(ctx.on.update_status(), state(csr, config={"ca-overlap": 0}))
    out = ctx.run(ctx.on.action("rotate-certificates"), out)

    def hears(out: testing.State, bag: dict[str, str]) -> testing.State:
        asked = replace_units(out, remote_units_data={0: bag})
        asked = dataclasses.replace(asked, config=out.config)
        where = relation(asked, "certificates")
        return ctx.run(ctx.on.relation_changed(where, remote_unit=0), asked)

    out = hears(out, requests(other))
    out = ctx.run(ctx.on.action("rotate-ca"), out)
    now = {a["certificate_signing_request"]: a for a in answers(out)}
    before = now[other]["chain"]
    bag = requests(other)
    mine = next(
        entry
        for entry in tls_certificates.read_certificates(
            relation(out, "certificates").local_app_data
        )
        if entry.csr == other
    )
    tls_certificates.write_applied(bag, mine.fingerprint)
    out = hears(out, bag)
    after = next(a for a in answers(out) if a["certificate_signing_request"] == other)
    assert after["certificate"] != now[other]["certificate"]
    assert after["chain"][1:] == before[1:][::-1]  # type: ignore[index] # JSON
