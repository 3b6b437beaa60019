"""An object store for images: which units run, what they are told, and what is said when it is not there."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import stores
from ops import testing

from daybreak_charm.openstack.testing import Cloud, seen_secrets
from daybreak_charm.testing import assert_idempotent
from daybreak_interfaces import s3

CONF = "/etc/glance/glance-api.conf"
KEYS = {"access-key": "AKs3cret", "secret-key": "s/3+s3cret="}
PEM = "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----"
BAG = {
    "bucket": "images",
    "endpoint": "https://s3.example.org:9000/",
    "region": "eu-1",
    "s3-uri-style": "path",
    "tls-ca-chain": json.dumps([PEM]),
}
TABLE = "CREATE TABLE image_locations (image_id TEXT, value TEXT, meta_data TEXT, deleted INT);"
Locate = Callable[..., None]


def related(**changes: str) -> testing.Relation:
    """A relation with version 0 of the integrator."""
    bag = {**BAG, **KEYS, **{key.replace("_", "-"): value for key, value in changes.items()}}
    return testing.Relation("s3-credentials", remote_app_data=bag)


@pytest.fixture
def locate(cloud: Cloud) -> Locate:
    """Writes an image's locations as Glance does."""
    cloud.database.script(TABLE)

    def write(image: str, *names: str, deleted: int = 0) -> None:
        for name in names:
            data = json.dumps({"store": name})
            sql = "INSERT INTO image_locations VALUES (%s, 'url', %s, %s)"
            cloud.database.execute(sql, image, data, deleted)

    return write


def with_units(state: testing.State, number: int, **changes: Any) -> testing.State:
    return dataclasses.replace(state, planned_units=number, **changes)


def without_bucket(state: testing.State) -> testing.State:
    kept = {relation for relation in state.relations if relation.endpoint != "s3-credentials"}
    return dataclasses.replace(state, relations=kept)


def everywhere_but_files(cloud: Cloud, state: testing.State) -> str:
    """What the world sees: databags of this side, plans, statuses, and the log."""
    bags = [(r.local_app_data, dict(getattr(r, "local_unit_data", {}))) for r in state.relations]
    plans = [container.plan.to_dict() for container in state.containers]
    log = [line.message for line in cloud.context.juju_log]
    return json.dumps([bags, plans, dataclasses.asdict(state.unit_status), log], default=str)


def test_new_images_go_to_the_bucket_and_old_files_stay_readable(cloud: Cloud) -> None:
    running = cloud.running(related())
    assert running.unit_status == testing.ActiveStatus()
    conf = cloud.file(CONF).read_text()
    assert "enabled_backends = s3:s3,local:file" in conf
    assert "default_backend = s3" in conf
    assert "[local]\nfilesystem_store_datadir = /var/lib/glance/images" in conf
    section = conf.partition("[s3]\n")[2].partition("\n\n")[0]
    assert section.splitlines() == [
        "s3_store_host = https://s3.example.org:9000",
        "s3_store_region_name = eu-1",
        "s3_store_access_key = AKs3cret",
        "s3_store_secret_key = s/3+s3cret=",
        "s3_store_bucket = images",
        "s3_store_bucket_url_format = path",
        "s3_store_create_bucket_on_put = true",
        "s3_store_cacert = /etc/glance/s3-ca.pem",
        "s3_store_large_object_size = 0",
    ]
    assert cloud.file("/etc/glance/s3-ca.pem").read_text() == PEM + "\n"
    assert cloud.file(CONF).stat().st_mode & 0o777 == 0o640
    assert_idempotent(cloud.context, cloud.context.on.update_status(), running)


def test_the_charm_names_a_bucket_and_asks_for_a_secret(cloud: Cloud) -> None:
    running = cloud.running(testing.Relation("s3-credentials"))
    (relation,) = running.get_relations("s3-credentials")
    assert relation.local_app_data == {
        "bucket": "openstack-glance-k8s",
        "requested-secrets": '["access-key", "secret-key"]',
        "version": "1",
    }


@pytest.mark.parametrize("leader", [True, False])
def test_three_units_are_active_with_a_bucket_and_refused_without(
    cloud: Cloud, leader: bool
) -> None:
    asked = cloud.state(planned_units=3, leader=leader)
    cloud.migrate()
    refused = cloud.run(asked)
    assert isinstance(refused.unit_status, testing.BlockedStatus)
    assert "images of their own" in refused.unit_status.message
    assert "juju integrate glance-k8s:s3-credentials" in refused.unit_status.message
    with_bucket = dataclasses.replace(refused, relations={*refused.relations, related()})
    assert cloud.run(with_bucket).unit_status == testing.ActiveStatus()
    conf = cloud.file(CONF).read_text()
    # A user who asked for `local` would have an image that two of three requests do not find.
    assert "enabled_backends = s3:s3\n" in conf
    assert "[local]" not in conf


def test_keys_are_in_one_file_alone(cloud: Cloud) -> None:
    running = cloud.running(related())
    seen = everywhere_but_files(cloud, running)
    assert seen_secrets(running) == []
    assert [key for key in KEYS.values() if key in seen] == []
    etc = cloud.file("/etc")
    holders = {
        path.name
        for path in etc.rglob("*")
        if path.is_file() and any(key in path.read_text() for key in KEYS.values())
    }
    assert holders == {"glance-api.conf"}


def test_keys_may_come_by_a_secret(cloud: Cloud) -> None:
    secret = testing.Secret(KEYS, owner=None)
    bag = {**BAG, "secret-extra": secret.id, "version": "1"}
    asked = cloud.state(testing.Relation("s3-credentials", remote_app_data=bag))
    cloud.migrate()
    early = cloud.run(asked)
    assert early.unit_status == testing.WaitingStatus(
        "s3-credentials: the object store's keys cannot be read yet"
    )
    later = cloud.run(dataclasses.replace(asked, secrets={*asked.secrets, secret}))
    assert later.unit_status == testing.ActiveStatus()
    assert "s3_store_secret_key = s/3+s3cret=" in cloud.file(CONF).read_text()


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"secret_key": ""}, "waiting", "has not said its secret-key yet"),
        ({"endpoint": "s3.example.org"}, "waiting", "endpoint is no URL"),
        ({"tls_ca_chain": "x"}, "waiting", "tls-ca-chain is no JSON list"),
        ({"path": "backups"}, "blocked", "names a path"),
        ({"secret_key": "a@s3cret"}, "blocked", "cannot keep the object store's keys"),
        ({"secret_key": "a//s3cret"}, "blocked", "cannot keep the object store's keys"),
        ({"secret_key": "a\ns3cret"}, "blocked", "cannot keep the object store's keys"),
        ({"access_key": "a:s3cret"}, "blocked", "cannot keep the object store's keys"),
    ],
)
def test_what_cannot_be_used_is_said_and_no_image_goes_to_a_file_meanwhile(
    cloud: Cloud, changes: dict[str, str], status: str, said: str
) -> None:
    out = cloud.running(related(**changes))
    assert out.unit_status.name == status
    assert said in out.unit_status.message
    assert not cloud.file(CONF).exists()
    assert "s3cret" not in everywhere_but_files(cloud, out)


def test_files_of_one_unit_keep_others_away(cloud: Cloud, locate: Locate) -> None:
    running = cloud.running(related())
    locate("old", "local")
    locate("moved", "local", "s3")
    locate("gone", "local", deleted=1)
    locate("new", "s3")
    assert cloud.run(running).unit_status == testing.ActiveStatus()
    before = cloud.file(CONF).read_text()
    out = cloud.run(with_units(running, 3))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "only one of 3 units has in its storage: 1:" in out.unit_status.message
    # It serves on as it did.
    assert cloud.file(CONF).read_text() == before
    shared = cloud.run(with_units(running, 3, config={"shared-storage": True}))
    assert shared.unit_status == testing.ActiveStatus()
    assert "enabled_backends = s3:s3,local:file" in cloud.file(CONF).read_text()


def test_without_its_bucket_a_unit_says_how_many_images_are_missed(
    cloud: Cloud, locate: Locate
) -> None:
    running = cloud.running(related())
    locate("one", "s3")
    locate("both", "s3", "local")
    left = cloud.run(without_bucket(running))
    assert isinstance(left.unit_status, testing.BlockedStatus)
    assert left.unit_status.message == (
        "images that cannot be read, because they are in the bucket images at https://s3.example.org:9000: 1: "
        "juju integrate glance-k8s:s3-credentials <application>"
    )
    # It serves what it has.
    conf = cloud.file(CONF).read_text()
    assert "enabled_backends = local:file\n" in conf
    assert "s3cret" not in conf.replace("svc-s3cret", "").replace("db-s3cret", "")
    back = cloud.run(dataclasses.replace(left, relations={*left.relations, related()}))
    assert back.unit_status == testing.ActiveStatus()


def test_an_empty_bucket_is_forgotten(cloud: Cloud, locate: Locate) -> None:
    running = cloud.running(related())
    locate("gone", "s3", deleted=1)
    left = cloud.run(without_bucket(running))
    assert left.unit_status == testing.ActiveStatus()
    (peers,) = left.get_relations("peers")
    assert "s3-credentials" not in peers.local_app_data


def test_amazon_needs_no_endpoint() -> None:
    answer = s3.Answer("images", "AK", "secret")
    options = stores.in_bucket(answer, "/etc/glance", "2025.1").options
    assert options["s3_store_host"] == "https://s3.amazonaws.com"
    assert options["s3_store_bucket_url_format"] == "virtual"
    assert options["s3_store_cacert"] is None
    # Its driver would refuse the first image.
    assert options["s3_store_large_object_size"] is None
    there = stores.in_bucket(dataclasses.replace(answer, region="eu-1"), "/etc/glance", "2026.1")
    assert there.options["s3_store_host"] == "https://s3.eu-1.amazonaws.com"


def test_a_store_shows_no_key() -> None:
    store = stores.in_bucket(s3.Answer("images", "AK", "s3cret"), "/etc/glance", "2026.1")
    assert "s3cret" not in repr(store)
