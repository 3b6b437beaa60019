"""Neutron on OVN as data: its processes, its options, and what the charm's own options may say."""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path

from daybreak_charm import Blocked, Step
from daybreak_charm.ini import Options
from daybreak_charm.openstack import Api, Entry, Inputs, Service, Worker, options, service, steps
from daybreak_interfaces import ovsdb_cms

CONTAINER = "neutron"
OVN = "ovsdb-cms"
CONF = "/etc/neutron"
_FILE = ("--config-file", f"{CONF}/neutron.conf")
_MANAGE = ("neutron-db-manage", *_FILE)
# A graceful stop of these takes longer than a restart may, and they have nothing that could be lost: what they do,
# they do again.
_HASTE = "5s"

UPGRADE = (
    steps.check("neutron-status", *_FILE, "upgrade", "check"),
    steps.expand(*_MANAGE, "upgrade", "--expand"),
    Step(
        "offline",
        "expand",
        "make sure that no migration is owed for which all units would have to stop",
        (*_MANAGE, "has_offline_migrations"),
    ),
    steps.ROLL,
    steps.contract(*_MANAGE, "upgrade", "--contract"),
)


def _list(value: object) -> list[str]:
    return [part for item in str(value).split(",") if (part := item.strip())]


def _ovn(inputs: Inputs) -> dict[str, str]:
    """Where OVN's databases are, and the files for TLS with them."""
    answer = inputs.needs[OVN]
    assert isinstance(answer, ovsdb_cms.Answer)  # the need's gate is open
    found = {"nb": answer.northbound, "sb": answer.southbound}
    result: dict[str, str] = {}
    for name, methods in found.items():
        result |= {
            f"ovn_{name}_connection": ",".join(methods),
            f"ovn_{name}_private_key": f"{CONF}/tls.key",
            f"ovn_{name}_certificate": f"{CONF}/tls.crt",
            f"ovn_{name}_ca_cert": f"{CONF}/ca.pem",
        }
    return result


def neutron_options(inputs: Inputs) -> Options:
    """Neutron's own options."""
    config, identity = inputs.config, inputs.identity
    client = options.client(identity, inputs.region, f"{CONF}/ca.pem") if identity else {}
    if client:
        # Neutron's own word for it.
        client["endpoint_type"] = "internal"
        del client["valid_interfaces"]
    old = inputs.layout.release == "2025.1"
    types = "tenant_network_types" if old else "project_network_types"
    return {
        "DEFAULT": {
            "core_plugin": "ml2",
            "service_plugins": ["ovn-router", "qos", "segments", "trunk", "port_forwarding"],
            # One place of OVN's hash ring for each; until all are there, it is read from the database each time.
            "api_workers": inputs.size.workers,
            "api_paste_config": f"{inputs.layout.etc}/api-paste.ini",
            "state_path": "/var/lib/neutron",
            "dns_domain": config["dns-domain"],
            "global_physnet_mtu": config["physical-network-mtu"],
            "notify_nova_on_port_status_changes": bool(client),
            "notify_nova_on_port_data_changes": bool(client),
        },
        "nova": client,
        "placement": client,
        "oslo_concurrency": {"lock_path": "/var/lib/neutron/lock"},
        "ml2": {
            "mechanism_drivers": ["ovn"],
            "type_drivers": ["geneve", "vlan", "flat", "local"],
            types: _list(config["project-network-types"]),
            "extension_drivers": ["port_security", "qos", "dns_domain_ports"],
            "path_mtu": config["physical-network-mtu"],
            "physical_network_mtus": _list(config["physical-network-mtus"]) or None,
            "overlay_ip_version": 4,
        },
        # 38 bytes: OVN's options in geneve's header.
        "ml2_type_geneve": {
            "vni_ranges": _list(config["geneve-ranges"]),
            "max_header_size": 38,
        },
        "ml2_type_vlan": {"network_vlan_ranges": _list(config["vlan-ranges"])},
        "ml2_type_flat": {"flat_networks": _list(config["physical-networks"])},
        "securitygroup": {"enable_security_group": True},
        "ovn": {
            **_ovn(inputs),
            "ovn_metadata_enabled": True,
            "ovn_l3_scheduler": "leastloaded",
            "enable_distributed_floating_ip": config["distributed-floating-ip"],
            "dns_servers": _list(config["dns-servers"]) or None,
        },
        "ovs": {"igmp_snooping_enable": config["igmp-snooping"]},
    }


def _database(inputs: Inputs) -> tuple[int]:
    """What a worker that has nothing to do with messages is connected to."""
    return (service.database_address(inputs.databases["database"]).port,)


SERVICE = Service(
    project="neutron",
    # Each of uwsgi's workers has its own connections to OVN, and its own place in OVN's hash ring.
    apis=(Api("neutron", "neutron.wsgi.api", 9696, 9697, CONTAINER, lazy=True),),
    workers=(
        Worker("neutron-periodic-workers", CONTAINER, ports=_database, kill_delay=_HASTE),
        Worker(
            "neutron-ovn-maintenance-worker",
            CONTAINER,
            ports=lambda _: (ovsdb_cms.NORTHBOUND_PORT,),
            kill_delay=_HASTE,
        ),
    ),
    entries=(Entry("neutron", "network", "OpenStack Networking"),),
    options=neutron_options,
    databases={"database": "neutron"},
    sync=(*_MANAGE, "upgrade", "heads"),
    upgrade=UPGRADE,
    messaging=True,
    catalogue=Path(__file__).parent / "catalogue",
)


# --- the charm's options ----------------------------------------------------------------------

_NAME = r"[A-Za-z0-9_.-]+"
_TYPES = frozenset({"geneve", "vlan", "flat", "local"})


def _range(text: str, limit: int) -> bool:
    first, _, last = text.partition(":")
    return first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last) <= limit


def _vlan(text: str) -> bool:
    name, _, numbers = text.partition(":")
    return bool(re.fullmatch(_NAME, name)) and (not numbers or _range(numbers, 4094))


def _mtu(text: str) -> bool:
    return text.isdecimal() and 576 <= int(text) <= 9216


def _named_mtu(text: str) -> bool:
    name, _, number = text.rpartition(":")
    return bool(re.fullmatch(_NAME, name)) and _mtu(number)


def _domain(text: str) -> bool:
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    return bool(re.fullmatch(rf"({label}\.)+", text))


def _address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_RULES: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "dns-domain": (_domain, "a domain with a dot at its end, such as openstack.internal."),
    "physical-networks": (
        lambda text: text == "*" or bool(re.fullmatch(_NAME, text)),
        "* or names, such as physnet1,physnet2",
    ),
    "vlan-ranges": (_vlan, "NAME[:FIRST:LAST] within 1 to 4094, such as physnet1:100:200"),
    "project-network-types": (_TYPES.__contains__, "some of geneve, vlan, flat and local"),
    "geneve-ranges": (
        lambda text: _range(text, 2**24 - 1),
        "FIRST:LAST within 1 to 16777215, such as 1:65536",
    ),
    "physical-network-mtu": (_mtu, "576 to 9216"),
    "physical-network-mtus": (_named_mtu, "NAME:BYTES of 576 to 9216, such as physnet1:9000"),
    "dns-servers": (_address, "addresses, such as 192.0.2.53"),
}
_ONE = ("dns-domain", "physical-network-mtu", "project-network-types", "geneve-ranges")
"""Options that may not be empty."""


def refused(config: Mapping[str, object]) -> Blocked | None:
    """What is wrong with the charm's options; None when nothing is."""
    for option, (right, remedy) in _RULES.items():
        values = _list(config[option])
        wrong = [value for value in values if not right(value)]
        if wrong or (option in _ONE and not values):
            what = f"'{wrong[0]}' is not right" if wrong else "it is empty"
            return Blocked(f"{option}: {what}", f"set it to {remedy}")
    return None
