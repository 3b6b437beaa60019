"""The charm as a whole: state in, state out; and the traps of Neutron that a run has shown."""

import configparser
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import charm
import neutron
import pytest
from ops import testing

from daybreak_charm.openstack.testing import BIN, Cloud, seen_secrets
from daybreak_charm.testing import assert_idempotent, quiet_effects
from daybreak_interfaces import ovsdb_cms

HEADS = {"neutron": ("5c85685d616d", "b1bca967e19d")}
RELEASES = sorted(p.stem for p in (Path(charm.__file__).parent / "catalogue").glob("*.json"))
NAMES = [f"ovn-central-{n}.ovn-central-endpoints.openstack.svc.cluster.local" for n in (0, 1, 2)]


def ovn(names: Iterable[str] = NAMES) -> testing.Relation:
    bags: dict[int, dict[str, str]] = {}
    for number, name in enumerate(names):
        bags[number] = {}
        ovsdb_cms.write_unit(bags[number], ovsdb_cms.Server(name, f"10.1.0.{number}"))
    return testing.Relation(neutron.OVN, remote_app_name="ovn-central", remote_units_data=bags)


def make(monkeypatch: pytest.MonkeyPatch, folder: Path, release: str) -> Cloud:
    root = Path(__file__).parents[2]
    found = Cloud(charm.NeutronCharm, root, folder, neutron.SERVICE, HEADS, release=release)
    effects = quiet_effects(database=found.database)
    monkeypatch.setattr(charm.NeutronCharm, "effects", effects)
    return found


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cloud:
    return make(monkeypatch, tmp_path, "2026.1")


def options(cloud: Cloud) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(cloud.file("/etc/neutron/neutron.conf").read_text())
    return parser


def services(state: testing.State) -> dict[str, object]:
    return dict(state.get_container("neutron").plan.to_dict().get("services", {}))


def test_it_runs_with_three_processes_and_an_entry_in_the_catalogue(cloud: Cloud) -> None:
    out = cloud.running(ovn())
    assert out.unit_status == testing.ActiveStatus()
    assert set(services(out)) == {
        "neutron",
        "neutron-periodic-workers",
        "neutron-ovn-maintenance-worker",
    }
    entry = json.loads(out.get_relations("identity-service")[0].local_app_data["service-endpoints"])
    assert (entry[0]["service_name"], entry[0]["type"]) == ("neutron", "network")
    assert entry[0]["internal_url"].endswith(":9696")
    assert out.opened_ports == {testing.TCPPort(9696)}
    assert not seen_secrets(out)


def test_the_second_run_changes_nothing(cloud: Cloud) -> None:
    assert_idempotent(cloud.context, cloud.context.on.update_status(), cloud.running(ovn()))


def test_it_reaches_every_member_of_both_databases_by_name_and_tls(cloud: Cloud) -> None:
    cloud.running(ovn())
    found = options(cloud)["ovn"]
    assert found["ovn_nb_connection"] == ",".join(f"ssl:{name}:6641" for name in NAMES)
    assert found["ovn_sb_connection"] == ",".join(f"ssl:{name}:6642" for name in NAMES)
    for database in ("nb", "sb"):
        assert found[f"ovn_{database}_private_key"] == "/etc/neutron/tls.key"
        assert found[f"ovn_{database}_certificate"] == "/etc/neutron/tls.crt"
        assert found[f"ovn_{database}_ca_cert"] == "/etc/neutron/ca.pem"
    assert found["ovn_metadata_enabled"] == "true"


def test_without_ovn_it_waits(cloud: Cloud) -> None:
    state = cloud.state(testing.Relation(neutron.OVN))
    cloud.migrate()
    out = cloud.run(state)
    assert out.unit_status == testing.WaitingStatus(
        "ovsdb-cms: not every unit has said where it is"
    )
    assert not services(out)


def test_its_api_paste_is_the_one_that_came_with_the_release(cloud: Cloud) -> None:
    # Beside its configuration it finds none: the file belongs to the release.
    cloud.running(ovn())
    etc = f"{BIN.removesuffix('/bin')}/etc/neutron"
    assert options(cloud)["DEFAULT"]["api_paste_config"] == f"{etc}/api-paste.ini"


def test_its_reply_queue_is_its_own(cloud: Cloud) -> None:
    # Under uwsgi every service would be called "uwsgi", and lose the others' replies.
    cloud.running(ovn())
    text = cloud.file("/etc/neutron/neutron.ini").read_text()
    assert "env = DAYBREAK_ARGUMENTS=neutron --config-file /etc/neutron/neutron.conf" in text
    driver = options(cloud)["oslo_messaging_rabbit"]
    assert driver["use_queue_manager"] == "true"
    # Fanout by streams needs it.
    assert driver["rabbit_stream_fanout"] == "true"
    assert driver["rabbit_qos_prefetch_count"] == "1"
    # Deprecated, and nothing with threads.
    assert "heartbeat_in_pthread" not in driver


def test_each_worker_loads_the_application_itself(cloud: Cloud) -> None:
    # Connections to OVN and their threads do not survive a fork; the start's time tells OVN's hash ring who is of now.
    cloud.running(ovn())
    text = cloud.file("/etc/neutron/neutron.ini").read_text()
    assert "lazy-apps = true" in text
    assert "start-time = %t" in text
    workers = next(line for line in text.splitlines() if line.startswith("processes"))
    assert options(cloud)["DEFAULT"]["api_workers"] == workers.rpartition(" ")[2]


def test_what_stops_slowly_is_not_waited_for(cloud: Cloud) -> None:
    plan = cloud.running(ovn()).get_container("neutron").plan.services
    for name in ("neutron-periodic-workers", "neutron-ovn-maintenance-worker"):
        assert plan[name].kill_delay == "5s"
    # The API leaves traffic first.
    assert "/drain " in plan["neutron"].command


def test_it_logs_to_its_output(cloud: Cloud) -> None:
    # A file of a log under uwsgi gets a name that nobody looks for.
    cloud.running(ovn())
    assert not {"log_dir", "log_file"} & set(options(cloud)["DEFAULT"])


def test_nova_is_told_of_ports_as_the_service_user(cloud: Cloud) -> None:
    cloud.running(ovn())
    found = options(cloud)
    assert found["DEFAULT"]["notify_nova_on_port_status_changes"] == "true"
    assert found["nova"]["auth_url"] == "https://internal/identity/v3"
    assert found["nova"]["username"] == "svc"


def test_networks_are_as_the_options_say(cloud: Cloud) -> None:
    config = {
        "dns-domain": "cloud.example.",
        "physical-networks": "physnet1, physnet2",
        "vlan-ranges": "physnet1:100:200,physnet2",
        "project-network-types": "vlan,geneve",
        "geneve-ranges": "100:200",
        "physical-network-mtu": 9000,
        "physical-network-mtus": "physnet2:1500",
        "dns-servers": "192.0.2.53, 2001:db8::53",
        "distributed-floating-ip": True,
        "igmp-snooping": True,
    }
    cloud.running(ovn(), config=config)
    found = options(cloud)
    assert found["DEFAULT"]["dns_domain"] == "cloud.example."
    assert found["DEFAULT"]["global_physnet_mtu"] == "9000"
    assert found["ml2"]["path_mtu"] == "9000"
    assert found["ml2"]["physical_network_mtus"] == "physnet2:1500"
    assert found["ml2"]["project_network_types"] == "vlan,geneve"
    assert found["ml2_type_flat"]["flat_networks"] == "physnet1,physnet2"
    assert found["ml2_type_vlan"]["network_vlan_ranges"] == "physnet1:100:200,physnet2"
    assert found["ml2_type_geneve"]["vni_ranges"] == "100:200"
    assert found["ovn"]["dns_servers"] == "192.0.2.53,2001:db8::53"
    assert found["ovn"]["enable_distributed_floating_ip"] == "true"
    assert found["ovs"]["igmp_snooping_enable"] == "true"
    assert "quotas" not in found


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("dns-domain", "cloud.example"),
        ("dns-domain", ""),
        ("physical-networks", "a b"),
        ("vlan-ranges", "physnet1:0:10"),
        ("vlan-ranges", "physnet1:10:9"),
        ("vlan-ranges", "physnet1:1:4095"),
        ("project-network-types", "vxlan"),
        ("geneve-ranges", "0:1"),
        ("geneve-ranges", ""),
        ("physical-network-mtu", 100),
        ("physical-network-mtus", "9000"),
        ("dns-servers", "dns.example"),
    ],
)
def test_a_wrong_option_blocks_and_says_what_to_set(
    cloud: Cloud, option: str, value: str | int
) -> None:
    out = cloud.run(cloud.state(ovn(), config={option: value}))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert out.unit_status.message.startswith(f"{option}: ")
    assert "set it to" in out.unit_status.message
    assert not services(out)


def test_an_option_that_the_release_lacks_is_refused(cloud: Cloud) -> None:
    config = {"config-overrides": "ovn: {ovn_metadata_enable: true}"}
    out = cloud.run(cloud.state(ovn(), config=config))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "ovn_metadata_enabled" in out.unit_status.message


def test_policies_of_the_release_may_differ(cloud: Cloud) -> None:
    cloud.running(ovn(), config={"policy-overrides": 'create_network: "role:admin"'})
    assert '"create_network": "role:admin"' in cloud.file("/etc/neutron/policy.yaml").read_text()
    out = cloud.run(cloud.state(ovn(), config={"policy-overrides": 'create_networks: "!"'}))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "create_network" in out.unit_status.message


@pytest.mark.parametrize("release", RELEASES)
def test_every_option_exists_in_every_release(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: str
) -> None:
    # The charm itself refuses to write another one.
    cloud = make(monkeypatch, tmp_path, release)
    out = cloud.running(ovn(), config={"dns-servers": "192.0.2.53"})
    assert out.unit_status == testing.ActiveStatus()
    types = "tenant" if release == "2025.1" else "project"
    assert options(cloud)["ml2"][f"{types}_network_types"] == "geneve"


def test_an_upgrade_expands_before_the_roll_and_contracts_after_it() -> None:
    found = {step.name: (step.phase, " ".join(step.command)) for step in neutron.UPGRADE}
    assert list(found) == ["check", "expand", "offline", "roll", "contract"]
    conf = "--config-file /etc/neutron/neutron.conf"
    assert found["expand"] == ("expand", f"neutron-db-manage {conf} upgrade --expand")
    assert found["offline"] == ("expand", f"neutron-db-manage {conf} has_offline_migrations")
    assert found["contract"] == ("contract", f"neutron-db-manage {conf} upgrade --contract")
    assert neutron.SERVICE.sync == ("neutron-db-manage", *conf.split(), "upgrade", "heads")


def test_nothing_runs_before_the_schema_is_there(cloud: Cloud) -> None:
    # A server that started earlier would stay in OVN's hash ring as it was then.
    state = cloud.state(ovn())
    container = dataclasses.replace(
        state.get_container("neutron"), execs={testing.Exec(["/bin/sh"], return_code=1)}
    )
    out = cloud.run(dataclasses.replace(state, containers={container}))
    assert "neutron" not in services(out)


def test_ovn_is_compared_with_neutron_by_an_action(cloud: Cloud) -> None:
    state = cloud.running(ovn())
    program = f"{BIN}/neutron-ovn-db-sync-util"
    said = "INFO begun\nWARNING Port found in Neutron but not in OVN DB, port_id=1\n"
    container = dataclasses.replace(
        state.get_container("neutron"), execs={testing.Exec([program], stdout=said)}
    )
    state = dataclasses.replace(state, containers={container})
    cloud.context.run(cloud.context.on.action("sync-ovn", params={"mode": "repair"}), state)
    assert cloud.context.action_results == {
        "mode": "repair",
        "differences": "1",
        "log": "WARNING Port found in Neutron but not in OVN DB, port_id=1",
    }


def test_the_action_says_why_it_cannot_run(cloud: Cloud) -> None:
    with pytest.raises(testing.ActionFailed, match="Neutron is not set up yet"):
        cloud.context.run(cloud.context.on.action("sync-ovn"), cloud.state())
