import dataclasses
import json

import nova
import pytest
from conftest import Make, NovaCloud
from ops import testing

from daybreak_charm.openstack.testing import seen_secrets
from daybreak_charm.testing import assert_idempotent, recorded
from daybreak_interfaces import rabbitmq


def commands(state: testing.State) -> dict[str, str]:
    return {n: s.command for n, s in state.get_container("nova").plan.services.items()}


def test_the_databases_are_made_in_an_order_that_ends_with_the_heads(
    cloud: NovaCloud, placement: testing.Relation
) -> None:
    out = cloud.run(cloud.state(placement))
    first = commands(out)["api-nova"]
    assert "api_db sync" in first
    assert "nova-api" not in commands(out)
    request = out.get_relations("database")[0].local_app_data
    assert json.loads(request["extra-databases"]) == ["nova_cell0"]


def test_a_cell_is_made_once() -> None:
    # `create_cell` would make a second one of the same name, and the API would list every service twice.
    (step,) = [step for step in nova.NOVA.prepare if "create_cell" in step.command]
    assert step.unless is not None
    assert step.unless.database == nova.NOVA.databases["api-database"]
    assert nova.CELL in step.unless.values


def test_what_a_cell_is_mapped_by_holds_no_password() -> None:
    import nova

    for step in nova.NOVA.prepare:
        words = " ".join(step.command)
        assert "password" not in words.replace("{password}", "")
    assert nova.transport(1) == "{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}"
    assert nova.transport(2).startswith(
        "{scheme}://{username1}:{password1}@{hostname1}:{port1},{username2}:"
    )


def test_all_processes_run(running: testing.State) -> None:
    assert running.unit_status == testing.ActiveStatus()
    names = set(commands(running)) - {"api-nova", "cell0-nova", "cell1-nova", "migrate-nova"}
    assert names == {
        "nova-api",
        "nova-metadata",
        "nova-conductor",
        "nova-scheduler",
        "nova-novncproxy",
    }
    assert running.opened_ports == {testing.TCPPort(p) for p in (8774, 8775, 6080)}


def test_the_api_reads_the_releases_own_paste_file(cloud: NovaCloud, running: testing.State):
    assert (
        "env = OS_NOVA_CONFIG_FILES=/opt/openstack/etc/nova/api-paste.ini;/etc/nova/nova.conf"
        in cloud.file("/etc/nova/nova-api.ini").read_text()
    )


def test_its_applications_are_loaded_by_the_workers(cloud: NovaCloud, running: testing.State):
    # Threads that Nova starts as it is loaded do not live on in a fork, and what waits for them crashes.
    for name in ("nova-api", "nova-metadata"):
        ini = cloud.file(f"/etc/nova/{name}.ini").read_text()
        assert "lazy-apps = true" in ini
        assert "env = DAYBREAK_LAZY=yes" in ini


def test_every_process_has_a_reply_queue_of_its_own(cloud: NovaCloud, running: testing.State):
    # The name of the program names it, and uwsgi's programs would all be called uwsgi.
    ini = cloud.file("/etc/nova/nova-api.ini").read_text()
    assert "env = DAYBREAK_ARGUMENTS=nova-api --config-file" in ini
    ini = cloud.file("/etc/nova/nova-metadata.ini").read_text()
    assert "env = DAYBREAK_ARGUMENTS=nova-metadata --config-file" in ini


def test_a_scheduler_is_online_when_it_has_a_connection_to_the_queue(running: testing.State):
    check = running.get_container("nova").plan.checks["nova-scheduler-online"]
    command = (check.exec or {}).get("command", "")
    assert command.endswith("connected.py nova nova-scheduler 5671")


def test_options(cloud: NovaCloud, running: testing.State) -> None:
    conf = cloud.file("/etc/nova/nova.conf").read_text()
    assert "[upgrade_levels]\ncompute = auto" in conf
    assert "rabbit_qos_prefetch_count = 1" in conf
    assert "catalog_info = volumev3::internalURL" in conf
    assert "[api_database]\nconnection = mysql+pymysql://" in conf


def test_servers_are_all_listed_or_none(cloud: NovaCloud, running: testing.State) -> None:
    assert (
        "list_records_by_skipping_down_cells = false"
        in cloud.file("/etc/nova/nova.conf").read_text()
    )


def test_the_cells_mapping_follows_the_number_of_the_queues_servers(
    cloud: NovaCloud, running: testing.State
) -> None:
    relation = running.get_relations("amqp")[0]
    assert isinstance(relation, testing.Relation)
    bag = dict(relation.remote_app_data)
    rabbitmq.write_answer(
        bag,
        hostname="mq",
        hosts=("mq-0", "mq-1", "mq-2"),
        tls_port=5671,
        ca=bag["ssl_ca"],
        secret_user=bag["secret-user"],
    )
    more = dataclasses.replace(relation, remote_app_data=bag)
    others = {r for r in running.relations if r.id != relation.id}
    container = dataclasses.replace(
        running.get_container("nova"),
        execs={testing.Exec(["/opt/openstack/bin/nova-manage"])},
    )
    with recorded() as writes:
        cloud.run(dataclasses.replace(running, relations={*others, more}, containers={container}))
    (command,) = [words for words in writes.commands if "update_cell" in words]
    assert any("{hostname3}" in word for word in command)
    assert "u-1" in command


def test_a_hypervisor_is_told_where_the_metadata_is(
    cloud: NovaCloud, placement: testing.Relation
) -> None:
    out = cloud.running(placement, testing.Relation("nova-service"))
    bag = out.get_relations("nova-service")[0].local_app_data
    assert bag["metadata-url"] == "https://nova-k8s.openstack.svc.cluster.local:8775"
    secret = next(s for s in out.secrets if s.id == bag["metadata-proxy-shared-secret-id"])
    content = secret.latest_content or {}
    shared = content["metadata-proxy-shared-secret"]
    assert shared not in json.dumps(dict(bag))
    conf = cloud.file("/etc/nova/nova.conf").read_text()
    assert f"metadata_proxy_shared_secret = {shared}" in conf


def test_a_console_has_an_address(cloud: NovaCloud, placement: testing.Relation) -> None:
    url = {"ingress": json.dumps({"url": "https://gw/openstack-nova-console"})}
    out = cloud.running(
        placement,
        testing.Relation("nova-service"),
        testing.Relation("ingress-console", remote_app_data=url),
    )
    bag = out.get_relations("nova-service")[0].local_app_data
    page = "https://gw/openstack-nova-console/vnc_lite.html?path=openstack-nova-console"
    assert bag["vnc-proxy-url"] == page
    route = out.get_relations("ingress-console")[0]
    assert route.local_app_data["strip-prefix"] == "true"
    # a user who looks at a console is no request that others would have to wait for
    assert "concurrency" not in route.local_unit_data


def test_a_console_without_gateway_is_at_the_root(
    cloud: NovaCloud, placement: testing.Relation
) -> None:
    out = cloud.running(placement, testing.Relation("nova-service"))
    bag = out.get_relations("nova-service")[0].local_app_data
    assert bag["vnc-proxy-url"].endswith(":6080/vnc_lite.html")


def test_its_schema_does_not_wait_for_placement(cloud: NovaCloud) -> None:
    out = cloud.run(cloud.state(testing.Relation("placement")))
    assert out.unit_status == testing.WaitingStatus("the schema is being migrated")


def test_hypervisors_need_not_wait_for_its_schema(cloud: NovaCloud) -> None:
    state = cloud.state(testing.Relation("placement"), testing.Relation("nova-service"))
    out = cloud.run(state)
    assert out.unit_status == testing.WaitingStatus("the schema is being migrated")
    assert out.get_relations("nova-service")[0].local_app_data["metadata-url"]


def test_without_placement_it_waits(cloud: NovaCloud) -> None:
    out = cloud.running(testing.Relation("placement"))
    assert out.unit_status == testing.WaitingStatus("placement: the service is not there yet")
    assert "nova-api" not in out.get_container("nova").plan.services


def test_without_a_relation_with_placement_it_says_so(cloud: NovaCloud) -> None:
    cloud.migrate()
    out = cloud.run(cloud.state())
    assert out.unit_status == testing.BlockedStatus(
        "relation placement is missing: juju integrate nova-k8s:placement <application>"
    )


def test_the_second_run_writes_nothing(cloud: NovaCloud, running: testing.State) -> None:
    assert_idempotent(cloud.context, cloud.context.on.update_status(), running)


def test_no_secret_is_seen(running: testing.State) -> None:
    assert seen_secrets(running) == []


@pytest.mark.parametrize("option", ["[DEFAULT]\ncompute_drivr = x\n", "schedulr: {workers: 1}"])
def test_a_misspelt_option_is_refused(
    cloud: NovaCloud, running: testing.State, option: str
) -> None:
    out = cloud.run(dataclasses.replace(running, config={"config-overrides": option}))
    assert "did you mean" in out.unit_status.message


@pytest.mark.parametrize(("release", "threads"), [("2025.1", False), ("2026.1", True)])
def test_conductors_use_threads_where_their_release_can(
    make: Make, placement: testing.Relation, release: str, threads: bool
) -> None:
    plan = make(release).running(placement).get_container("nova").plan
    for name in ("nova-conductor", "nova-scheduler"):
        variables = plan.services[name].environment
        assert ("OS_NOVA_DISABLE_EVENTLET_PATCHING" in variables) == threads
