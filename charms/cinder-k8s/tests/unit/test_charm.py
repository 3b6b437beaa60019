import json

from ops import testing

from daybreak_charm.openstack.testing import Cloud, seen_secrets
from daybreak_charm.testing import assert_idempotent


def test_it_serves_and_schedules(running: testing.State) -> None:
    assert running.unit_status == testing.ActiveStatus()
    plan = running.get_container("cinder").plan
    assert {"cinder-api", "cinder-scheduler"} <= plan.services.keys()
    assert plan.checks["cinder-api-online"].http == {"url": "http://127.0.0.1:8786/"}


def test_options(cloud: Cloud, running: testing.State) -> None:
    conf = cloud.file("/etc/cinder/cinder.conf").read_text()
    assert "api_paste_config = /opt/openstack/etc/cinder/api-paste.ini" in conf
    assert "rabbit_qos_prefetch_count = 1" in conf
    assert "send_service_user_token = true" in conf


def test_its_api_has_a_reply_queue_of_its_own(cloud: Cloud, running: testing.State) -> None:
    ini = cloud.file("/etc/cinder/cinder-api.ini").read_text()
    assert "env = DAYBREAK_ARGUMENTS=cinder-api --config-file /etc/cinder/cinder.conf" in ini


def test_both_names_of_the_service_are_in_the_catalogue(running: testing.State) -> None:
    bag = running.get_relations("identity-service")[0].local_app_data
    entries = json.loads(bag["service-endpoints"])
    assert {entry["type"] for entry in entries} == {"volumev3", "block-storage"}
    assert all(entry["public_url"].endswith("/v3/$(tenant_id)s") for entry in entries)


def test_a_back_end_hears_that_it_may_begin(cloud: Cloud) -> None:
    out = cloud.running(testing.Relation("storage-backend"))
    assert out.get_relations("storage-backend")[0].local_app_data == {"ready": "true"}


def test_the_second_run_writes_nothing(cloud: Cloud, running: testing.State) -> None:
    assert_idempotent(cloud.context, cloud.context.on.update_status(), running)


def test_no_secret_is_seen(running: testing.State) -> None:
    assert seen_secrets(running) == []
