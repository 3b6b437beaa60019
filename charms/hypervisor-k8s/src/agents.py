"""Configuration of the agents on a node: OVN's, Nova's and Neutron's; pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from daybreak_charm import ini
from daybreak_charm.nodes import Component, Container, Resources, shares, shell
from daybreak_charm.nodes.objects import FILES, PROGRAMS
from daybreak_charm.openstack import options
from daybreak_charm.openstack.service import CONNECTED
from daybreak_interfaces import keystone, nova, ovsdb_cms, rabbitmq

CA = f"{FILES}/ca.pem"
KEY = f"{FILES}/tls.key"
CERTIFICATE = f"{FILES}/tls.crt"
SWITCH = "unix:/run/openvswitch/db.sock"
_BRIDGE = re.compile(r"[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]{1,15}(:[A-Za-z0-9_.-]{1,15})?")


@dataclass(frozen=True)
class Tls:
    """The nodes' certificate.

    Attributes:
        certificate: PEM with its chain.
        key: PEM of its key.
        ca: PEMs of all authorities that are trusted.
    """

    certificate: str = field(repr=False)
    key: str = field(repr=False)
    ca: str = field(repr=False)

    @property
    def files(self) -> Mapping[str, str]:
        """As files of a component."""
        return {"tls.crt": self.certificate, "tls.key": self.key, "ca.pem": self.ca}


@dataclass(frozen=True)
class Settings:
    """The operator's choices, checked.

    Attributes:
        bridges: `network:bridge[:interface]` of each physical network.
        tunnel_network: Network in which the ends of tunnels are; empty for the nodes' own addresses.
        encap: `geneve` or `vxlan`.
        gateway: Whether routers' gateways may be on these nodes.
        virt_type: `auto`, `kvm` or `qemu`.
        cpu_mode: Of libvirt; empty for what fits.
        debug: Whether DEBUG is logged.
    """

    bridges: tuple[str, ...] = ()
    tunnel_network: str = ""
    encap: str = "geneve"
    gateway: bool = True
    virt_type: str = "auto"
    cpu_mode: str = ""
    debug: bool = False


class InvalidError(ValueError):
    """An option cannot be used; the message says which and what to write."""


def settings(config: Mapping[str, bool | int | float | str]) -> Settings:
    """Check the charm's options.

    Raises:
        InvalidError: One of them cannot be used.
    """
    import ipaddress

    bridges = tuple(str(config["bridges"]).split())
    for bridge in bridges:
        if not _BRIDGE.fullmatch(bridge):
            raise InvalidError(
                f"bridges: {bridge!r} is not NETWORK:BRIDGE or NETWORK:BRIDGE:INTERFACE"
            )
    network = str(config["tunnel-network"]).strip()
    try:
        network = str(ipaddress.ip_network(network)) if network else ""
    except ValueError as error:
        raise InvalidError(f"tunnel-network: {error}") from error
    for name, known in (
        ("encap", ("geneve", "vxlan")),
        ("virt-type", ("auto", "kvm", "qemu")),
        ("cpu-mode", ("", "none", "host-model", "host-passthrough")),
    ):
        if config[name] not in known:
            raise InvalidError(
                f"{name}: {config[name]!r} is none of {', '.join(filter(None, known))}"
            )
    return Settings(
        bridges=bridges,
        tunnel_network=network,
        encap=str(config["encap"]),
        gateway=bool(config["gateway"]),
        virt_type=str(config["virt-type"]),
        cpu_mode=str(config["cpu-mode"]),
        debug=bool(config["debug"]),
    )


@dataclass(frozen=True)
class Cloud:
    """What the relations said.

    Attributes:
        messaging: User of the cell's message queue.
        identity: User with which nodes ask other services.
        databases: OVN's, by the names of their servers.
        addresses: The same by their addresses: Neutron's client of OVN resolves no names without a library that is
            not there.
    """

    messaging: rabbitmq.Answer
    identity: keystone.Answer
    databases: ovsdb_cms.Answer
    addresses: ovsdb_cms.Answer


# --- OVN --------------------------------------------------------------------------------------


def ovn_controller(chosen: Settings, cloud: Cloud, tls: Tls) -> Component:
    """OVN's agent."""
    return Component(
        "ovn-controller",
        "openvswitch-image",
        (
            Container(
                "ovn-controller",
                "ovn-controller.sh",
                ("/run/openvswitch", "/run/ovn"),
                (f"{PROGRAMS}/ovn-ready.sh",),
                Resources(cpu=50, memory_mb=64, limit_mb=1024),
            ),
        ),
        "RollingUpdate",
        {
            **tls.files,
            "settings": shell(
                # By address, too: its resolver gives up for a quarter of an hour on a name server that was away.
                SOUTHBOUND=",".join(
                    dict.fromkeys((*cloud.databases.southbound, *cloud.addresses.southbound))
                ),
                BRIDGES=" ".join(chosen.bridges),
                TUNNEL_NETWORK=chosen.tunnel_network,
                ENCAP=chosen.encap,
                GATEWAY="true" if chosen.gateway else "false",
            ),
        },
    )


def _connected(folder: str, program: str, port: str) -> tuple[str, ...]:
    """Command that looks whether a program has a connection to a port."""
    return (f"{folder}/python", "-SE", f"{FILES}/connected.py", "root", program, port)


# --- Nova -------------------------------------------------------------------------------------


def nova_options(chosen: Settings, cloud: Cloud, told: nova.Answer) -> dict[str, options.Section]:
    """Options of nova-compute that are the same on all nodes."""
    facts, identity = told.facts, cloud.identity
    helper: options.Section = {
        # The agent is root already: no sudo.
        "helper_command": f"privsep-helper --config-file {FILES}/nova.conf"
    }
    client = options.client(identity, facts.region, CA)
    return options.joined(
        options.messaging(cloud.messaging, CA),
        {
            "DEFAULT": {
                "debug": chosen.debug,
                "state_path": "/var/lib/nova",
                "compute_driver": "libvirt.LibvirtDriver",
                # A server is started again when its node was: that is what its user asked for.
                "resume_guests_state_on_host_boot": True,
            },
            "libvirt": {
                "connection_uri": "qemu+unix:///system?socket=/run/libvirt/libvirt-sock",
                "live_migration_scheme": "tls",
                "live_migration_with_native_tls": True,
                "nfs_mount_point_base": "/var/lib/nova/mnt",
                # Slots for devices that are plugged into a server that runs.
                "num_pcie_ports": 16,
            },
            # Asked with the token of the user whose server it is.
            "glance": {key: client[key] for key in ("region_name", "valid_interfaces", "cafile")},
            "neutron": client,
            "placement": client,
            "cinder": {
                **{key: value for key, value in client.items() if key not in _NOT_CINDERS},
                "catalog_info": "volumev3::internalURL",
                "os_region_name": facts.region,
            },
            "service_user": options.service_user(identity, CA),
            "pci": {"alias": tuple(_aliases(facts.pci_aliases))},
            "vnc": _console(facts.vnc_proxy_url, "novncproxy_base_url"),
            "spice": _console(facts.spice_proxy_url, "html5proxy_base_url"),
            "os_vif_ovs": {"ovsdb_connection": SWITCH},
            "oslo_concurrency": {"lock_path": "/var/lib/nova/tmp"},
            "nova_sys_admin": helper,
            "privsep_osbrick": helper,
            "vif_plug_ovs_privileged": helper,
            "vif_plug_linux_bridge_privileged": helper,
        },
    )


_NOT_CINDERS = ("region_name", "valid_interfaces")


def _aliases(text: str) -> list[str]:
    import json

    return [json.dumps(item) for item in json.loads(text)]


def _console(url: str, option: str) -> options.Section:
    if not url:
        return {"enabled": False}
    return {
        "enabled": True,
        option: url,
        "server_listen": "$my_ip",
        "server_proxyclient_address": "$my_ip",
    }


def nova_compute(
    chosen: Settings,
    cloud: Cloud,
    told: nova.Answer,
    tls: Tls,
    folder: str,
    overrides: ini.Options,
) -> Component:
    """Nova's agent.

    Args:
        chosen: The operator's choices.
        cloud: What the relations said.
        told: What Nova says of itself.
        tls: For who it trusts.
        folder: Of its program in the image.
        overrides: The operator's options, checked.
    """
    return Component(
        "nova-compute",
        "nova-image",
        (
            Container(
                "nova-compute",
                "nova-compute.sh",
                (
                    *("/run/daybreak", "/run/libvirt", "/run/openvswitch"),
                    *("/var/lib/nova", "/var/lib/libvirt", "/lib/modules", "/run/pts"),
                    shares.FOLDER,
                ),
                _connected(folder, "nova-compute", str(cloud.messaging.port)),
                Resources(cpu=100, memory_mb=512, limit_mb=4096),
            ),
        ),
        "RollingUpdate",
        {
            "ca.pem": tls.ca,
            "connected.py": CONNECTED,
            "nova.conf": ini.render(ini.merge(nova_options(chosen, cloud, told), overrides)),
            "settings": shell(BIN=folder, VIRT_TYPE=chosen.virt_type, CPU_MODE=chosen.cpu_mode),
        },
    )


# --- Neutron ----------------------------------------------------------------------------------


def neutron_options(
    chosen: Settings, cloud: Cloud, told: nova.Answer
) -> dict[str, options.Section]:
    """Options of Neutron's agent that are the same on all nodes."""
    where = urlsplit(told.facts.metadata_url)
    databases = cloud.addresses
    helper: options.Section = {
        "helper_command": f"privsep-helper --config-file {FILES}/neutron.conf"
    }
    return {
        "DEFAULT": {
            "debug": chosen.debug,
            "state_path": "/var/lib/neutron",
            "nova_metadata_protocol": where.scheme,
            "nova_metadata_host": where.hostname or "",
            "nova_metadata_port": where.port or (443 if where.scheme == "https" else 80),
            "metadata_proxy_shared_secret": told.metadata_secret or "",
            "auth_ca_cert": CA,
            "metadata_workers": 1,
        },
        "agent": {"extensions": ["metadata"], "root_helper": "env"},
        "ovs": {"ovsdb_connection": SWITCH},
        "ovn": {
            "ovn_nb_connection": ",".join(databases.northbound),
            "ovn_nb_private_key": KEY,
            "ovn_nb_certificate": CERTIFICATE,
            "ovn_nb_ca_cert": CA,
            "ovn_sb_connection": ",".join(databases.southbound),
            "ovn_sb_private_key": KEY,
            "ovn_sb_certificate": CERTIFICATE,
            "ovn_sb_ca_cert": CA,
        },
        "oslo_concurrency": {"lock_path": "/var/lib/neutron/lock"},
        **dict.fromkeys(_PRIVSEP, helper),
    }


_PRIVSEP = (
    "privsep",
    "privsep_conntrack",
    "privsep_dhcp_release",
    "privsep_link",
    "privsep_namespace",
    "privsep_ovs_vsctl",
)


def neutron_agent(
    chosen: Settings, cloud: Cloud, told: nova.Answer, tls: Tls, folder: str
) -> Component:
    """Neutron's agent.

    Args:
        chosen: The operator's choices.
        cloud: What the relations said.
        told: What Nova says of itself.
        tls: Its certificate.
        folder: Of its program in the image.
    """
    port = cloud.addresses.southbound[0].rpartition(":")[2]
    return Component(
        "neutron-ovn-agent",
        "neutron-image",
        (
            Container(
                "neutron-ovn-agent",
                "neutron-ovn-agent.sh",
                ("/run/openvswitch", "/var/lib/neutron", "/run/netns"),
                _connected(folder, "neutron-ovn-agent", port),
                Resources(cpu=100, memory_mb=512, limit_mb=2048),
            ),
        ),
        "RollingUpdate",
        {
            **tls.files,
            "connected.py": CONNECTED,
            "neutron.conf": ini.render(neutron_options(chosen, cloud, told)),
            "settings": shell(BIN=folder),
        },
    )
