import dataclasses
import json

from ops import testing

from daybreak_charm.openstack.testing import Cloud, seen_secrets
from daybreak_charm.testing import assert_idempotent


def test_an_empty_database_is_migrated_before_it_serves(cloud: Cloud) -> None:
    out = cloud.run(cloud.state())
    plan = out.get_container("placement").plan
    assert "placement-manage db sync" in plan.services["migrate-placement"].command
    assert "placement" not in plan.services


def without_identity(state: testing.State) -> testing.State:
    """Keystone is related, and has not said anything yet."""
    [old] = state.get_relations("identity-service")
    new = testing.Relation("identity-service", id=old.id)
    return dataclasses.replace(state, relations=(set(state.relations) - {old}) | {new})


def test_its_schema_does_not_wait_for_keystone(cloud: Cloud) -> None:
    out = cloud.run(without_identity(cloud.state()))
    assert out.unit_status == testing.WaitingStatus("the schema is being migrated")
    assert "migrate-placement" in out.get_container("placement").plan.services


def test_it_does_not_serve_without_keystone(cloud: Cloud) -> None:
    state = without_identity(cloud.state())
    cloud.migrate()
    out = cloud.run(state)
    assert isinstance(out.unit_status, testing.WaitingStatus)
    assert "identity-service" in out.unit_status.message
    assert "placement" not in out.get_container("placement").plan.services


def test_one_that_serves_keeps_its_configuration_without_keystone(
    cloud: Cloud, running: testing.State
) -> None:
    before = cloud.file("/etc/placement/placement.conf").read_text()
    assert "[keystone_authtoken]" in before
    out = cloud.run(without_identity(running))
    assert isinstance(out.unit_status, testing.WaitingStatus)
    assert cloud.file("/etc/placement/placement.conf").read_text() == before
    services = out.get_container("placement").plan.services
    assert services["placement"].startup == "enabled"


def test_it_serves_over_tls_and_is_drained(cloud: Cloud, running: testing.State) -> None:
    assert running.unit_status == testing.ActiveStatus()
    plan = running.get_container("placement").plan
    assert "drain" in plan.services["placement"].command
    uwsgi = cloud.file("/etc/placement/placement.ini").read_text()
    assert "https-socket = 0.0.0.0:8778," in uwsgi
    assert "env = DAYBREAK_APPLICATION=placement.wsgi.api" in uwsgi
    assert plan.checks["online"].http == {"url": "http://127.0.0.1:8779/"}


def test_its_database_and_its_check_of_tokens(cloud: Cloud, running: testing.State) -> None:
    conf = cloud.file("/etc/placement/placement.conf").read_text()
    assert "[placement_database]\nconnection = mysql+pymysql://u1:db-s3cret@db.example" in conf
    assert "[keystone_authtoken]" in conf
    assert "auth_url = https://internal/identity/v3" in conf
    assert "cafile = /etc/placement/ca.pem" in conf
    assert running.workload_version == "1.0.0"


def test_it_says_what_the_catalogue_needs(running: testing.State) -> None:
    bag = running.get_relations("identity-service")[0].local_app_data
    (entry,) = json.loads(bag["service-endpoints"])
    assert (entry["service_name"], entry["type"]) == ("placement", "placement")
    assert entry["internal_url"].startswith("https://placement-k8s.openstack.svc")


def test_the_second_run_writes_nothing(cloud: Cloud, running: testing.State) -> None:
    assert_idempotent(cloud.context, cloud.context.on.update_status(), running)


def test_no_secret_is_seen(running: testing.State) -> None:
    assert seen_secrets(running) == []
