import base64
import dataclasses
import json

import charm
import pytest
import yaml
from fake_cloud import LAYOUT, TABLES, Cloud, client
from ops import testing

from daybreak_charm.testing import (
    assert_idempotent,
    quiet_effects,
    recorded,
)


def test_an_empty_database_is_migrated_once(cloud: Cloud) -> None:
    out = cloud.run(cloud.state())
    plan = out.get_container("keystone").plan
    assert "db_sync" in plan.services["migrate-keystone"].command
    assert "keystone" not in plan.services
    assert out.unit_status == testing.WaitingStatus("the schema is being migrated")
    assert plan.checks["wait-migrate-keystone-a"].threshold == 1
    cloud.migrate()
    cloud.bootstrap()
    with recorded() as writes:
        after = cloud.run(out)
    assert after.unit_status == testing.ActiveStatus()
    assert not any("db_sync" in word for words in writes.commands for word in words)


def test_the_other_units_lease_is_respected(cloud: Cloud) -> None:
    from daybreak_charm import schema

    state = cloud.state()
    schema.take(cloud.database, "keystone", "keystone-k8s/7")
    out = cloud.run(state)
    assert out.unit_status == testing.WaitingStatus("keystone-k8s/7 migrates the schema")
    assert "migrate-keystone" not in out.get_container("keystone").plan.services


def test_an_unknown_schema_blocks(cloud: Cloud) -> None:
    state = cloud.state()
    cloud.database.script(TABLES)
    cloud.database.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
    out = cloud.run(state)
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "ffffffffffff" in out.unit_status.message


def test_bootstrap_runs_when_an_endpoint_is_missing_and_tells_no_password(cloud: Cloud) -> None:
    state = cloud.state()
    cloud.migrate()
    with recorded() as writes:
        cloud.run(state)
    commands = [words for words in writes.commands if "bootstrap" in words]
    assert commands
    assert "https://keystone-k8s.openstack.svc.cluster.local:5000/v3" in commands[0]
    assert "--bootstrap-password" not in commands[0]


def test_only_the_leader_bootstraps(cloud: Cloud) -> None:
    state = cloud.run(cloud.state())
    cloud.migrate()
    with recorded() as writes:
        cloud.run(dataclasses.replace(state, leader=False))
    assert not [words for words in writes.commands if "bootstrap" in words]


def test_the_second_run_writes_nothing(cloud: Cloud, running: testing.State) -> None:
    assert_idempotent(cloud.context, cloud.context.on.update_status(), running)


def test_files_and_plan(cloud: Cloud, running: testing.State) -> None:
    out = cloud.run(running)
    assert out.unit_status == testing.ActiveStatus()
    etc = cloud.folder / "etc" / "keystone"
    conf = (etc / "keystone.conf").read_text()
    assert "mysql+pymysql://k1:db-s3cret@db.example:3306/keystone?charset=utf8mb4" in conf
    assert sorted(p.name for p in (etc / "fernet-keys").iterdir()) == ["0", "1"]
    assert (etc / "fernet-keys").stat().st_mode & 0o777 == 0o700
    key = (etc / "fernet-keys" / "1").read_text()
    assert len(base64.urlsafe_b64decode(key)) == 32
    assert "mount = /openstack-keystone-k8s=" in (etc / "uwsgi.ini").read_text()
    plan = out.get_container("keystone").plan
    assert plan.services["keystone"].command.endswith(
        " -- /opt/openstack/bin/uwsgi --ini /etc/keystone/uwsgi.ini"
    )
    assert plan.checks["online"].http == {"url": "http://127.0.0.1:5001/"}
    assert out.opened_ports == {testing.TCPPort(5000)}
    assert out.workload_version == "29.0.0"


def test_a_key_that_was_rotated_out_is_removed(cloud: Cloud, running: testing.State) -> None:
    out = cloud.run(running)
    old = cloud.folder / "etc" / "keystone" / "fernet-keys" / "7"
    old.write_text("old")
    cloud.run(out)
    assert not old.exists()


def test_no_secret_in_any_databag(cloud: Cloud, running: testing.State) -> None:
    out = cloud.run(running)
    bags = json.dumps([[r.local_app_data, r.local_unit_data] for r in out.relations])
    secrets = [v for s in out.secrets for v in (s.latest_content or {}).values() if len(v) > 12]
    assert secrets
    assert not [value for value in secrets if value in bags]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("token: {expirationn: 60}", "did you mean expiration?"),
        ("tokenn: {expiration: 60}", "did you mean token?"),
        ("[token]\nexpiration = soon\n", "a whole number"),
        ("- 1", "section"),
    ],
)
def test_wrong_overrides_are_refused(
    cloud: Cloud, running: testing.State, text: str, said: str
) -> None:
    out = cloud.run(dataclasses.replace(running, config={"config-overrides": text}))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert said in out.unit_status.message


def test_right_overrides_are_merged_last(cloud: Cloud, running: testing.State) -> None:
    config = {"config-overrides": "token: {expiration: 7200}"}
    cloud.run(dataclasses.replace(running, config=config))
    assert "expiration = 7200" in (cloud.folder / "etc" / "keystone" / "keystone.conf").read_text()


def test_policies_are_checked_and_rendered(cloud: Cloud, running: testing.State) -> None:
    wrong = {"policy-overrides": "identity:create_usr: '!'"}
    out = cloud.run(dataclasses.replace(running, config=wrong))
    assert "did you mean identity:create_user?" in out.unit_status.message
    right = {"policy-overrides": "identity:create_user: '!'"}
    cloud.run(dataclasses.replace(running, config=right))
    text = (cloud.folder / "etc" / "keystone" / "policy.yaml").read_text()
    assert yaml.safe_load(text) == {"identity:create_user": "!"}
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(text)  # an upgrade check refuses a file of policies that is JSON


@pytest.mark.parametrize("release", ["2025.1", "2026.1"])
def test_every_option_that_is_rendered_exists_in_each_release(
    cloud: Cloud, running: testing.State, release: str
) -> None:
    cache = testing.Relation("cache", remote_units_data={0: {"server": "m:11211"}})
    domain = {
        "domain-name": "corp",
        "config-contents": base64.b64encode(b"[ldap]\nurl = ldap://x\n").decode(),
    }
    config = testing.Relation("domain-config", remote_app_data=domain)
    layout = cloud.folder / "share" / "layout.json"
    layout.write_text(json.dumps({**LAYOUT, "release": release}))
    state = dataclasses.replace(running, relations={*running.relations, cache, config})
    out = cloud.run(state)
    assert out.unit_status == testing.ActiveStatus()
    conf = (cloud.folder / "etc" / "keystone" / "keystone.conf").read_text()
    assert "memcache_servers = m:11211" in conf
    assert (cloud.folder / "etc" / "keystone" / "domains" / "keystone.corp.conf").exists()
    assert ("domain", "corp") in cloud.calls


def test_a_service_gets_its_user_and_endpoints(cloud: Cloud) -> None:
    relation = client(**{"extra-roles": '["decrypter"]'})
    state = cloud.state(relation)
    cloud.migrate()
    cloud.bootstrap()
    out = assert_idempotent(cloud.context, cloud.context.on.update_status(), state)
    bag = out.get_relation(relation.id).local_app_data
    user = next(name for kind, name in cloud.calls if kind == "user")
    assert user.startswith("svc_placement_k8s_")
    assert ("role", "decrypter") in cloud.calls
    assert [n for k, n in cloud.calls if k == "endpoint"] == ["internal", "public", "admin"]
    secret = next(s for s in out.secrets if s.id == bag["service-credentials"])
    assert (secret.latest_content or {})["username"] == user
    assert secret.remote_grants
    assert bag["internal-auth-url"].endswith(":5000/v3")
    assert json.loads(bag["processed-extra-roles"]) == ["decrypter"]


def test_the_user_of_a_client_that_is_gone_is_deleted(cloud: Cloud) -> None:
    relation = client()
    state = cloud.state(relation)
    cloud.migrate()
    cloud.bootstrap()
    out = cloud.run(state)
    others = {r for r in out.relations if r.id != relation.id}
    cloud.run(dataclasses.replace(out, relations=others))
    assert cloud.calls[-1][0] == "delete"


def test_credentials_without_endpoints(cloud: Cloud) -> None:
    relation = testing.Relation(
        "identity-credentials", remote_app_name="horizon", remote_app_data={"username": "horizon"}
    )
    state = cloud.state(relation)
    cloud.migrate()
    cloud.bootstrap()
    bag = cloud.run(state).get_relation(relation.id).local_app_data
    assert bag["api-version"] == "3"
    assert bag["user-domain-name"] == "service_domain"


def test_urls_come_from_the_gateway(cloud: Cloud) -> None:
    url = "https://gateway.openstack.svc.cluster.local/openstack-keystone-k8s"
    relations = [
        testing.Relation(name, remote_app_data={"ingress": json.dumps({"url": url})})
        for name in ("ingress-internal", "ingress-public")
    ]
    state = cloud.state(*relations)
    cloud.migrate()
    cloud.bootstrap(url)
    out = cloud.run(state)
    assert out.unit_status == testing.ActiveStatus()
    bag = out.get_relation(relations[0].id).local_app_data
    assert json.loads(bag["scheme"]) == "https"
    assert json.loads(bag["healthcheck_params"])["port"] == 5001
    cloud.context.run(cloud.context.on.action("get-admin-account"), out)
    results = cloud.context.action_results or {}
    assert results["public-endpoint"] == f"{url}/v3"
    assert "OS_PASSWORD" in results["openrc"]


def test_the_account_is_refused_before_there_is_one(cloud: Cloud) -> None:
    state = testing.State(leader=True, containers={cloud.container()})
    with pytest.raises(testing.ActionFailed):
        cloud.context.run(cloud.context.on.action("get-admin-account"), state)


def test_a_database_that_does_not_answer_is_waited_for(
    cloud: Cloud, running: testing.State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charm.KeystoneCharm, "effects", quiet_effects(database=None))
    out = cloud.run(running)
    assert out.unit_status == testing.WaitingStatus("the database does not answer")
    check = out.get_container("keystone").plan.checks["wait-database"]
    assert check.tcp == {"host": "db.example", "port": 3306}
