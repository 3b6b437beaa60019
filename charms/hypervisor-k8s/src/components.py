"""The components of a hypervisor: libvirt and QEMU, Open vSwitch, and the agents of OVN, Nova and Neutron; pure."""

from collections.abc import Mapping
from pathlib import Path

from daybreak_charm.nodes import Component, Container, HostPath, Resources, scripts, shares

STATE = "/var/lib/daybreak-hypervisor"
RUN = "/run/daybreak-hypervisor"
LOGS = "/var/log/daybreak-hypervisor"
SCRIPTS = {**shares.SCRIPTS, **scripts(Path(__file__).parent / "node")}
"""Programs that run on nodes, in whatever image."""

HOST_PATHS: Mapping[str, HostPath] = {
    # Records of the daemons that outlive their containers, and what was found out of the node since its start.
    "/run/daybreak": HostPath(f"{RUN}/state"),
    "/var/log/daybreak": HostPath(f"{LOGS}/daemons"),
    "/etc/openvswitch": HostPath(f"{STATE}/openvswitch"),
    "/run/openvswitch": HostPath(f"{RUN}/openvswitch"),
    "/var/log/openvswitch": HostPath(f"{LOGS}/openvswitch"),
    "/run/ovn": HostPath(f"{RUN}/ovn"),
    "/etc/libvirt/qemu": HostPath(f"{STATE}/libvirt/domains"),
    "/etc/libvirt/secrets": HostPath(f"{STATE}/libvirt/secrets"),
    "/var/lib/libvirt": HostPath(f"{STATE}/libvirt/lib"),
    "/run/libvirt": HostPath(f"{RUN}/libvirt"),
    "/var/log/libvirt": HostPath(f"{LOGS}/libvirt"),
    # Servers' disks; volumes are mounted below by nova-compute, for QEMU.
    "/var/lib/nova": HostPath(f"{STATE}/nova", shared=True),
    "/var/lib/neutron": HostPath(f"{STATE}/neutron"),
    "/run/netns": HostPath(f"{RUN}/netns", shared=True),
    "/sys/fs/cgroup": HostPath("/sys/fs/cgroup", made=False),
    "/lib/modules": HostPath("/lib/modules", made=False),
    # Terminals: QEMU makes one for each server, and nova-compute reads a console only when it sees it.
    "/run/pts": HostPath(f"{RUN}/pts", shared=True),
    **shares.HOST_PATHS,
}
"""What containers may see of their node, by the path at which they see it."""

OVS_PATHS = ("/run/daybreak", "/run/openvswitch", "/etc/openvswitch", "/var/log/openvswitch")
KEPT = ("/run/daybreak", "/var/log/daybreak", "/sys/fs/cgroup")
"""What `keep.sh` needs."""
LIBVIRT_PATHS = (
    *KEPT,
    "/etc/libvirt/qemu",
    "/etc/libvirt/secrets",
    "/var/lib/libvirt",
    "/run/libvirt",
    "/var/log/libvirt",
    "/run/openvswitch",
    "/var/lib/nova",
    "/run/pts",
)
SOCKET = "qemu+unix:///system?socket=/run/libvirt/libvirt-sock"


def openvswitch() -> Component:
    """Open vSwitch: the database of the node and the switch."""
    return Component(
        "openvswitch",
        "openvswitch-image",
        (
            Container(
                "ovsdb-server",
                "ovsdb.sh",
                (*KEPT, *OVS_PATHS[1:]),
                ("ovs-vsctl", "--timeout=4", "--no-wait", "list-br"),
                Resources(cpu=50, memory_mb=64),
            ),
            Container(
                "ovs-vswitchd",
                "vswitchd.sh",
                (*KEPT, *OVS_PATHS[1:], "/lib/modules"),
                (
                    *("ovs-vsctl", "--timeout=4", "get", "Open_vSwitch", "."),
                    "external_ids:daybreak-datapath",
                ),
                Resources(cpu=200, memory_mb=256),
            ),
        ),
        "OnDelete",
    )


def libvirt(files: Mapping[str, str], name: str) -> Component:
    """libvirt, which starts servers' QEMU, and the daemon that writes their consoles.

    Args:
        files: `tls.key`, `tls.crt` and `ca.pem` of migration between nodes.
        name: Subject of the certificate: nobody else of the same authority may command libvirt.
    """
    return Component(
        "libvirt",
        "libvirt-image",
        (
            Container(
                "virtlogd",
                "virtlogd.sh",
                LIBVIRT_PATHS,
                ("test", "-S", "/run/libvirt/virtlogd-sock"),
                Resources(cpu=10, memory_mb=32),
            ),
            Container(
                "libvirtd",
                "libvirtd.sh",
                LIBVIRT_PATHS,
                ("virsh", "--connect", SOCKET, "uri"),
                Resources(cpu=100, memory_mb=128),
                period=30,
            ),
        ),
        "OnDelete",
        {**files, "qemu.conf": QEMU, "libvirtd.conf": LIBVIRTD.replace("@NAME@", name)},
    )


QEMU = """\
# namespaces: volumes that are mounted later must be seen by servers that run already.
namespaces = []
user = "libvirt-qemu"
group = "+@GROUP@"
dynamic_ownership = 1
remember_owner = 0
security_driver = "none"
stdio_handler = "logd"
default_tls_x509_cert_dir = "/run/libvirt/tls"
default_tls_x509_verify = 1
"""

LIBVIRTD = """\
unix_sock_dir = "/run/libvirt"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
auth_unix_ro = "none"
listen_tls = 1
listen_tcp = 0
tls_port = "16514"
key_file = "/run/libvirt/tls/server-key.pem"
cert_file = "/run/libvirt/tls/server-cert.pem"
ca_file = "/run/libvirt/tls/ca-cert.pem"
tls_allowed_dn_list = ["*CN=@NAME@*"]
# nova-compute has one connection and up to 20 requests on it at the same time, a thread each (eventlet's pool). At the
# limit, 5 unless told, libvirt reads nothing more, not even that its client lives, and after 30 s ends the connection.
max_client_requests = 40
max_workers = 40
log_filters = "3:remote 3:rpc 2:qemu"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""
