import dataclasses

import pytest
from ops import testing
from ops.pebble import CheckStatus, ServiceStatus

from daybreak_charm.openstack.testing import Cloud, seen_secrets
from daybreak_charm.testing import assert_idempotent


def test_it_serves_images_from_its_storage(cloud: Cloud, running: testing.State) -> None:
    assert running.unit_status == testing.ActiveStatus()
    conf = cloud.file("/etc/glance/glance-api.conf").read_text()
    assert "enabled_backends = local:file" in conf
    assert "[local]\nfilesystem_store_datadir = /var/lib/glance/images" in conf
    # Its paste file is the release's own.
    assert "config_file = /opt/openstack/etc/glance/glance-api-paste.ini" in conf
    assert "worker_self_reference_url = https://glance-k8s-0.glance-k8s-endpoints." in conf


def test_a_second_unit_on_a_store_of_its_own_is_refused(
    cloud: Cloud, running: testing.State
) -> None:
    two = dataclasses.replace(running, planned_units=2)
    out = cloud.run(two)
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "images of their own" in out.unit_status.message
    shared = dataclasses.replace(two, config={"shared-storage": True})
    assert cloud.run(shared).unit_status == testing.ActiveStatus()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("local: {filesystem_store_datadirr: /x}", "did you mean filesystem_store_datadir?"),
        ("glance_stor: {default_backend: x}", "did you mean glance_store?"),
    ],
)
def test_wrong_options_are_refused(
    cloud: Cloud, running: testing.State, text: str, said: str
) -> None:
    out = cloud.run(dataclasses.replace(running, config={"config-overrides": text}))
    assert said in out.unit_status.message


def test_the_second_run_writes_nothing(cloud: Cloud, running: testing.State) -> None:
    assert_idempotent(cloud.context, cloud.context.on.update_status(), running)


def test_no_secret_is_seen(running: testing.State) -> None:
    assert seen_secrets(running) == []


def test_a_full_store_is_named_and_served_from_all_the_same(
    cloud: Cloud, running: testing.State
) -> None:
    def room(status: CheckStatus) -> testing.State:
        container = running.get_container("glance-api")
        assert "room-images" in container.plan.checks
        infos = {info for info in container.check_infos if info.name != "room-images"}
        info = testing.CheckInfo("room-images", failures=1, threshold=1, status=status)
        changed = dataclasses.replace(container, check_infos=frozenset({*infos, info}))
        return dataclasses.replace(running, containers={changed})

    full = cloud.run(room(CheckStatus.DOWN))
    assert isinstance(full.unit_status, testing.BlockedStatus)
    assert full.unit_status.message.startswith("the volume images (/var/lib/glance/images) is full")
    services = full.get_container("glance-api").service_statuses
    assert set(services.values()) == {ServiceStatus.ACTIVE}

    assert cloud.run(room(CheckStatus.UP)).unit_status == testing.ActiveStatus()
