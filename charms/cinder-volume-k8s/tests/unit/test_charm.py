"""The charm as a whole: state in, state out, and what it applies to the cluster."""

import base64
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import charm
import pytest
from ops import testing

from daybreak_charm.nodes.objects import HOSTNAME
from daybreak_charm.nodes.testing import Cluster
from daybreak_charm.testing import SqliteDatabase, TestCA, assert_idempotent, mounts, quiet_effects
from daybreak_interfaces import rabbitmq

Ctx = testing.Context[charm.CinderVolumeCharm]
Make = Callable[..., testing.State]
SECRETS = ("db-s3cret", "mq-s3cret", "svc-s3cret")
HEAD = "aaaa00000002"
LAYOUT = {
    "project": "cinder",
    "release": "2026.1",
    "version": "28.0.0",
    "user": "cinder",
    "bin": "/opt/openstack/bin",
    "heads": {"cinder": [HEAD]},
    "revisions": {"cinder": ["aaaa00000001", HEAD]},
}
AGENT = "cinder-volume-agent"
SHARE = "nfs.example.org:/export/volumes"


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("node-0")


@pytest.fixture
def database() -> SqliteDatabase:
    made = SqliteDatabase()
    made.script("CREATE TABLE alembic_version (version_num TEXT)")
    made.execute("INSERT INTO alembic_version VALUES (%s)", HEAD)
    return made


@pytest.fixture
def ctx(monkeypatch: pytest.MonkeyPatch, cluster: Cluster, database: SqliteDatabase) -> Ctx:
    effects = quiet_effects(kubernetes=cluster, database=database)
    monkeypatch.setattr(charm.CinderVolumeCharm, "effects", effects)
    return testing.Context(charm.CinderVolumeCharm, app_name="cinder-volume")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """States in which every relation has answered."""
    container = testing.Container("cinder", can_connect=True, mounts=mounts(tmp_path, LAYOUT))
    image = tmp_path / "image.yaml"
    image.write_text("registrypath: registry/cinder:1\n")

    def secret(**content: str) -> testing.Secret:
        return testing.Secret(content, owner=None)

    def build(
        config: dict[str, Any] | None = None, *, leader: bool = True, ready: bool = True
    ) -> testing.State:
        users = [
            secret(username=f"u{number}", password=word) for number, word in enumerate(SECRETS)
        ]
        queue: dict[str, str] = {}
        rabbitmq.write_answer(
            queue, hostname="mq", tls_port=5671, ca=TestCA().ca, secret_user=users[1].id
        )
        answers = {
            "database": {
                "database": "cinder",
                "endpoints": "db.example:3306",
                "secret-user": users[0].id,
            },
            "amqp": queue,
            "identity-credentials": {
                "credentials": users[2].id,
                "internal-endpoint": "https://internal/identity/v3",
                "user-domain-name": "service_domain",
                "project-name": "services",
                "project-domain-name": "service_domain",
                "region": "RegionTwo",
            },
            "storage-backend": {"ready": "true"} if ready else {},
        }
        return testing.State(
            leader=leader,
            model=testing.Model(name="m"),
            planned_units=1,
            config=config or {},
            containers={container},
            relations=[
                testing.PeerRelation("peers"),
                *(testing.Relation(name, remote_app_data=bag) for name, bag in answers.items()),
            ],
            secrets=set(users),
            resources={testing.Resource(name="cinder-image", path=image)},
        )

    return build


def run(ctx: Ctx, state: testing.State) -> testing.State:
    return ctx.run(ctx.on.update_status(), state)


def files(cluster: Cluster) -> dict[str, str]:
    """What the service's container finds."""
    data = cluster.named("Secret")[AGENT]["data"]
    return {name: base64.b64decode(text).decode() for name, text in data.items()}


def where(cluster: Cluster) -> str:
    """The node that has the service."""
    pod = cluster.named("DaemonSet")[AGENT]["spec"]["template"]["spec"]
    return pod["nodeSelector"][HOSTNAME]


def test_a_node_runs_it_and_a_second_run_applies_nothing(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    out = assert_idempotent(ctx, ctx.on.update_status(), make())
    assert out.unit_status == testing.ActiveStatus()
    assert set(cluster.named("DaemonSet")) == {AGENT}
    assert len(cluster.patched) == 3
    (container,) = cluster.named("DaemonSet")[AGENT]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry/cinder:1"
    assert container["securityContext"]["privileged"]


def test_its_name_is_the_applications_wherever_it_runs(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    run(ctx, make())
    conf = files(cluster)["cinder.conf"]
    assert "host = cinder-volume\n" in conf
    assert "enabled_backends = nfs\n" in conf
    assert "volume_backend_name = cinder-volume\n" in conf
    assert "processname = cinder-volume\n" in conf
    assert "region_name = RegionTwo\n" in conf
    # What Cinder tells of a volume made of an image is wrong otherwise: see backends.py.
    assert "nfs_qcow2_volumes = false\n" in conf


def test_without_shares_volumes_are_in_a_folder_of_the_node(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    run(ctx, make())
    assert files(cluster)["nfs_shares"] == "local:/cinder-volume\n"
    assert "FOLDER='cinder-volume'\nMOUNTS='1'\nPORT='5671'\n" in files(cluster)["settings"]
    pod = cluster.named("DaemonSet")[AGENT]["spec"]["template"]["spec"]
    assert "/var/lib/daybreak-volumes" in json.dumps(pod["volumes"])


def test_shares_of_servers_are_mounted_with_their_options(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    run(ctx, make({"shares": f"{SHARE} [2001:db8::1]:/v", "mount-options": "vers=4.2"}))
    assert files(cluster)["nfs_shares"] == f"{SHARE} -o vers=4.2\n[2001:db8::1]:/v -o vers=4.2\n"
    assert "FOLDER=''\nMOUNTS='2'\n" in files(cluster)["settings"]


def test_a_folder_of_one_node_is_refused_to_servers_on_several(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    out = run(ctx, make())
    applied = list(cluster.patched)
    cluster.nodes["node-1"] = True
    out = run(ctx, out)
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "2 have the labels" in out.unit_status.message
    assert "shares=SERVER:/PATH" in out.unit_status.message
    assert cluster.patched == applied
    out = run(ctx, dataclasses.replace(out, config={"shares": SHARE}))
    assert out.unit_status == testing.ActiveStatus()
    assert where(cluster) == "node-0"


def test_volumes_do_not_go_with_the_labels(ctx: Ctx, make: Make, cluster: Cluster) -> None:
    out = run(ctx, make())
    cluster.nodes = {"node-1": True}
    out = run(ctx, out)
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "folder of node node-0" in out.unit_status.message
    assert where(cluster) == "node-0"


def test_another_node_takes_over_when_its_own_is_gone(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    cluster.nodes["node-1"] = True
    out = run(ctx, make({"shares": SHARE}))
    assert where(cluster) == "node-0"
    cluster.nodes["node-0"] = False
    out = run(ctx, out)
    assert where(cluster) == "node-1"
    cluster.nodes["node-0"] = True
    out = run(ctx, out)
    assert where(cluster) == "node-1"
    cluster.nodes = {"node-0": False, "node-1": False}
    out = run(ctx, out)
    assert out.unit_status == testing.WaitingStatus(
        "no node with the labels of node-selector is ready"
    )
    cluster.nodes = {}
    out = run(ctx, out)
    assert out.unit_status == testing.WaitingStatus("no node has the labels of node-selector")


@pytest.mark.parametrize("heads", [(), ("aaaa00000001",)])
def test_it_waits_for_cinder_to_bring_the_database_to_its_release(
    ctx: Ctx, make: Make, cluster: Cluster, database: SqliteDatabase, heads: tuple[str, ...]
) -> None:
    database.execute("DELETE FROM alembic_version")
    for head in heads:
        database.execute("INSERT INTO alembic_version VALUES (%s)", head)
    out = run(ctx, make())
    assert isinstance(out.unit_status, testing.WaitingStatus)
    assert "older than 2026.1" in out.unit_status.message
    assert not cluster.patched


def test_a_newer_database_keeps_the_old_release_running(
    ctx: Ctx, make: Make, database: SqliteDatabase
) -> None:
    database.execute("UPDATE alembic_version SET version_num = %s", "aaaa00000003")
    assert run(ctx, make()).unit_status == testing.ActiveStatus()


def test_it_begins_when_cinder_says_so(ctx: Ctx, make: Make, cluster: Cluster) -> None:
    out = run(ctx, make(ready=False))
    assert isinstance(out.unit_status, testing.WaitingStatus)
    assert "storage-backend" in out.unit_status.message
    assert not cluster.patched


def test_no_secret_is_anywhere_but_in_secrets(ctx: Ctx, make: Make, cluster: Cluster) -> None:
    out = run(ctx, make())
    places = [
        *cluster.named("DaemonSet").values(),
        *cluster.named("ConfigMap").values(),
        *[(dict(r.local_app_data), dict(getattr(r, "local_unit_data", {}))) for r in out.relations],
        str(out.unit_status),
    ]
    seen = json.dumps(places)
    assert not [password for password in SECRETS if password in seen]
    assert all(password in files(cluster)["cinder.conf"] for password in SECRETS)


def test_it_moves_to_a_new_password_when_the_node_has(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    """Until then the old one is in use, and whoever gave it must keep it."""
    cluster.ready = False
    waiting = run(ctx, make())
    assert isinstance(waiting.unit_status, testing.WaitingStatus)
    assert "agent: 0 of 1 nodes are ready" in waiting.unit_status.message
    assert "applied" not in waiting.get_relations("peers")[0].local_unit_data
    cluster.ready = True
    out = run(ctx, waiting)
    assert out.unit_status == testing.ActiveStatus()
    assert "applied" in out.get_relations("peers")[0].local_unit_data


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"shares": "/export"}, "is not SERVER:/PATH"),
        ({"shares": "local:/x"}, "no server's name"),
        ({"mount-options": "vers=4 ro"}, "without blanks"),
        ({"node-selector": "compute"}, "LABEL=VALUE"),
        ({"config-overrides": "nfs: {nfs_qcow_volumes: true}"}, "nfs_qcow2_volumes"),
        ({"config-overrides": "[DEFAULT]\ndebgu = true"}, "did you mean debug"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    ctx: Ctx, make: Make, cluster: Cluster, config: dict[str, Any], words: str
) -> None:
    out = ctx.run(ctx.on.config_changed(), make(config))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert words in out.unit_status.message
    assert not cluster.patched


def test_the_operators_options_come_last(ctx: Ctx, make: Make, cluster: Cluster) -> None:
    run(ctx, make({"config-overrides": "nfs: {max_over_subscription_ratio: 2}"}))
    assert "max_over_subscription_ratio = 2" in files(cluster)["cinder.conf"]


def test_without_trust_it_says_so(ctx: Ctx, make: Make, cluster: Cluster) -> None:
    cluster.trusted = False
    out = run(ctx, make())
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "juju trust cinder-volume" in out.unit_status.message


def test_another_unit_than_the_leader_applies_nothing(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    assert run(ctx, make(leader=False)).unit_status == testing.ActiveStatus()
    assert not cluster.patched


def test_the_end_of_the_application_leaves_nothing_in_the_cluster(
    ctx: Ctx, make: Make, cluster: Cluster
) -> None:
    out = run(ctx, make())
    ctx.run(ctx.on.remove(), out)
    assert cluster.objects
    ctx.run(ctx.on.remove(), dataclasses.replace(out, planned_units=0))
    assert not cluster.objects
