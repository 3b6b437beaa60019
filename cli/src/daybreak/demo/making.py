"""The steps that make the demo; each returns its mark (`done` or `there`) and what to say of it."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import api, programs
from ..errors import DaybreakError
from . import EXTERNAL, MARK, NAME, TAG, Demo, addresses, causes, disk, marked, until

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDED = ("image", "placement", "network", "compute")
RULES = (("icmp", None, "ping"), ("tcp", 22, "ssh"), ("tcp", 80, "http"))
VOLUME_GB = 1
MAPPED_SECONDS = 30.0
"""How long Nova may take to map a hypervisor that has told of itself."""
AGAIN = "It goes on without this command: run it again to look."

Said = tuple[str, str]


def services(demo: Demo) -> Said:
    """See that the cloud has what a server needs.

    Raises:
        DaybreakError: A service, a hypervisor or the physical network is missing.
    """
    lacking = [name for name in NEEDED if name not in demo.types]
    if lacking:
        charms = ", ".join(api.CHARMS[name] for name in lacking)
        raise DaybreakError(
            f"this cloud has no {' and no '.join(lacking)} service, so no server can be started",
            remedy=f"Add to it: {charms}. A cloud that has all: daybreak bootstrap --bundle openstack",
        )
    agents = list(demo.cloud.network.agents())
    bridges = {
        mapping.partition(":")[0]
        for agent in agents
        for mapping in _mappings(agent.configuration or {})
    }
    if agents and demo.wanted.physical not in bridges:
        known = ", ".join(sorted(filter(None, bridges))) or "none"
        raise DaybreakError(
            f"no hypervisor is on the physical network {demo.wanted.physical}; they know: {known}",
            remedy=f"juju config hypervisor bridges={demo.wanted.physical}:br-ex:INTERFACE (eth1 on the embedded"
            " engine), or another network: --physical-network NAME",
        )
    return "done", f"{', '.join(sorted(demo.types & set(api.CHARMS)))}"


def _mappings(configuration: dict[str, Any]) -> list[str]:
    found = configuration.get("bridge-mappings") or ""
    return list(found) if isinstance(found, dict) else str(found).split(",")


# --- image ------------------------------------------------------------------------------------


def image(demo: Demo) -> Said:
    """Have an image in Glance."""
    glance, wanted = demo.cloud.image, demo.wanted.image
    found = next(iter(glance.images(name=NAME, tag=[TAG])), None)
    if found is not None and found.status != "active":
        # what was interrupted on its way is of no use
        glance.delete_image(found.id)
        found = None
    if found is None:
        with tempfile.TemporaryDirectory() as directory:
            source = disk.look(wanted or _guest(demo, Path(directory) / "guest.qcow2"))
            found = glance.create_image(
                NAME,
                filename=str(source.path),
                disk_format=source.format,
                container_format="bare",
                tags=[TAG],
                allow_duplicates=True,
                wait=True,
                min_disk=source.gigabytes,
            )
            found = glance.get_image(found.id)
        mark = "done"
    else:
        mark = "there"
        if wanted and _digest(wanted, found.hash_algo) != found.hash_value:
            raise DaybreakError(
                f"the image that is there was not made of {wanted}",
                remedy="To change it: daybreak demo --clean-up, then this command again. To go on with the one that"
                " is there: leave --image out.",
            )
    demo.made["image"] = found
    size = f"{found.size / (1 << 20):.0f} MB" if found.size else ""
    return mark, f"{NAME}: {wanted.name if wanted else 'our guest'}, {found.disk_format}, {size}"


def _guest(demo: Demo, output: Path) -> Path:
    home = demo.work.home
    if not home.sources:
        raise DaybreakError(
            "there is no image to start a server from: our guest is built in a checkout",
            remedy="Give one: --image FILE, qcow2 or raw, such as a distribution's for clouds",
        )
    programs.follow(
        [home.program("python"), "-m", "daybreak_images", "guest", "--output", output],
        demo.work.report.line,
        what="build the guest's image",
        remedy="Correct what the lines above name, or give an image: --image FILE",
        cwd=home.path,
    )
    return output


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


# --- networks ---------------------------------------------------------------------------------


def external(demo: Demo) -> Said:
    """Have a network with addresses that are reached from outside."""
    network = demo.cloud.network
    named = demo.wanted.use_external or _chosen(network)
    if named:
        demo.made["external"] = _named(network, named)
        return "there", f"{demo.made['external'].name}, which the demo has not made"
    found = marked(network.networks(name=EXTERNAL))
    subnet = next(iter(network.subnets(network_id=found.id)), None) if found else None
    wanted = demo.wanted.external
    if subnet is not None:
        demo.made["external"] = found
        if wanted is not None and str(wanted.cidr) != subnet.cidr:
            raise DaybreakError(
                f"{EXTERNAL} is there with {subnet.cidr}, not with {wanted.cidr}",
                remedy="To change it: daybreak demo --clean-up, then this command again.",
            )
        return "there", f"{EXTERNAL}: {subnet.cidr}"
    if wanted is None:
        raise DaybreakError(
            "which addresses the physical network has is not known here",
            remedy="Give its range, and which of it the cloud may use: --cidr 203.0.113.0/24"
            " --pool 203.0.113.100-203.0.113.199; or name an external network that is there: --external-network NAME",
        )
    addresses.refuse_taken(wanted.cidr, _outside(network))
    if found is None:
        _refuse_used(network, demo.wanted.physical)
        found = network.create_network(
            name=EXTERNAL,
            description=MARK,
            is_router_external=True,
            provider_network_type="flat",
            provider_physical_network=demo.wanted.physical,
        )
    network.create_subnet(
        name=EXTERNAL,
        description=MARK,
        network_id=found.id,
        ip_version=4,
        cidr=str(wanted.cidr),
        gateway_ip=str(wanted.gateway),
        is_dhcp_enabled=False,
        allocation_pools=[{"start": str(wanted.first), "end": str(wanted.last)}],
    )
    demo.made["external"] = found
    return "done", f"{EXTERNAL}: {wanted.cidr} on {demo.wanted.physical}"


def _chosen(network: Any) -> str:
    """Return the id of the network of somebody else's that an earlier run was told to use; empty for none."""
    router = marked(network.routers(name=NAME))
    gateway = ((router and router.external_gateway_info) or {}).get("network_id", "")
    own = marked(network.networks(name=EXTERNAL))
    return "" if own is not None and own.id == gateway else gateway


def _named(network: Any, name: str) -> Any:
    there = list(network.networks(is_router_external=True))
    found = next((item for item in there if name in (item.name, item.id)), None)
    if found is None:
        names = ", ".join(item.name for item in there) or "none"
        raise DaybreakError(
            f"there is no external network {name}", remedy=f"External networks: {names}."
        )
    return found


def _outside(network: Any) -> list[addresses.Subnet]:
    """Return the subnets of all external networks."""
    names = {item.id: item.name for item in network.networks(is_router_external=True)}
    return [
        addresses.Subnet(
            f"{item.name or item.id} of {names[item.network_id]}", IPv4Network(item.cidr)
        )
        for item in network.subnets(ip_version=4)
        if item.network_id in names
    ]


def _refuse_used(network: Any, physical: str) -> None:
    """Do nothing if a physical network is free; it can carry one flat network alone."""
    users = network.networks(provider_network_type="flat", provider_physical_network=physical)
    for item in users:
        use = (
            f"use it: --external-network {item.name or item.id}; or "
            if item.is_router_external
            else ""
        )
        raise DaybreakError(
            f"{physical} is taken: the network {item.name or item.id} is on it",
            remedy=f"Either {use}take another physical network: --physical-network NAME",
        )


def project(demo: Demo) -> Said:
    """Have a network of the project's own, and a router from it to the external one."""
    network, mark = demo.cloud.network, "there"
    found = marked(network.networks(name=NAME))
    if found is None:
        mark, found = "done", network.create_network(name=NAME, description=MARK)
    subnet = next(iter(network.subnets(network_id=found.id)), None)
    if subnet is None:
        mark = "done"
        cidr = addresses.project(item.cidr for item in _outside(network))
        subnet = network.create_subnet(
            name=NAME, description=MARK, network_id=found.id, ip_version=4, cidr=str(cidr)
        )
    demo.made |= {"network": found, "subnet": subnet}
    return mark, f"{NAME}: {subnet.cidr}"


def router(demo: Demo) -> Said:
    """Have a router between the two networks."""
    network, mark = demo.cloud.network, "there"
    found = marked(network.routers(name=NAME))
    gateway = {"network_id": demo.made["external"].id}
    if found is None:
        mark = "done"
        found = network.create_router(name=NAME, description=MARK, external_gateway_info=gateway)
    elif (found.external_gateway_info or {}).get("network_id") != gateway["network_id"]:
        raise DaybreakError(
            f"the demo's router leads to another external network than {demo.made['external'].name}",
            remedy="To change it: daybreak demo --clean-up, then this command again.",
        )
    subnet = demo.made["subnet"].id
    ports = network.ports(device_id=found.id)
    if not any(fixed["subnet_id"] == subnet for port in ports for fixed in port.fixed_ips):
        mark = "done"
        network.add_interface_to_router(found, subnet_id=subnet)
    demo.made["router"] = found
    return mark, f"{NAME}: from {demo.made['network'].name} to {demo.made['external'].name}"


# --- what a server is made of -----------------------------------------------------------------


def flavour(demo: Demo) -> Said:
    """Have a flavour of the wanted size; one of another size is made anew while no server needs it."""
    compute, ram = demo.cloud.compute, demo.wanted.ram
    size = max(1, int(demo.made["image"].min_disk or 1))
    found = next((item for item in compute.flavors(details=True) if item.name == NAME), None)
    if found is not None and found.description != MARK:
        raise DaybreakError(
            f"there is a flavour {NAME} that the demo has not made",
            remedy=f"Rename it or remove it: openstack flavor delete {NAME}",
        )
    right = found is not None and (found.ram, found.disk) == (ram, size)
    if found is not None and (right or server_of(demo) is not None):
        demo.made["flavour"] = found
        return "there", f"{NAME}: {found.ram} MB"
    if found is not None:
        compute.delete_flavor(found.id)
    demo.made["flavour"] = compute.create_flavor(
        name=NAME, description=MARK, ram=ram, vcpus=1, disk=size
    )
    return "done", f"{NAME}: 1 processor, {ram} MB of memory, {size} GB of disk"


def key(demo: Demo) -> Said:
    """Have a key, its private half in a file of the instance."""
    compute, keys = demo.cloud.compute, demo.keys
    found = next((item for item in compute.keypairs() if item.name == NAME), None)
    public = keys.public()
    if found is not None:
        if body(found.public_key) != body(public):
            raise DaybreakError(
                f"there is a key {NAME} in the cloud, but not in {keys.private}",
                remedy=f"openstack keypair delete {NAME}. A server that has it is reached by it alone: make it anew,"
                " with daybreak demo --clean-up before this command.",
            )
        return "there", str(keys.private)
    compute.create_keypair(name=NAME, public_key=public or keys.make())
    return "done", str(keys.private)


def body(public: str) -> list[str]:
    """Return kind and content of a public key, without its comment."""
    return public.split()[:2]


def group(demo: Demo) -> Said:
    """Have a security group that lets in what the demo shows."""
    network, mark = demo.cloud.network, "there"
    own = demo.cloud.current_project_id
    found = marked(network.security_groups(name=NAME, project_id=own))
    if found is None:
        mark, found = "done", network.create_security_group(name=NAME, description=MARK)
    rules = network.security_group_rules(security_group_id=found.id, direction="ingress")
    there = {(rule.protocol, rule.port_range_min) for rule in rules}
    for protocol, port, _ in RULES:
        if (protocol, port) not in there:
            mark = "done"
            network.create_security_group_rule(
                security_group_id=found.id,
                direction="ingress",
                ether_type="IPv4",
                protocol=protocol,
                port_range_min=port,
                port_range_max=port,
            )
    demo.made["group"] = found
    return mark, f"{NAME}: {', '.join(what for _, _, what in RULES)}"


# --- server -----------------------------------------------------------------------------------


def server_of(demo: Demo) -> Any | None:
    """Return the demo's server; None when there is none, or one that failed."""
    found = server_found(demo)
    return None if found is None or found.status == "ERROR" else found


def server_found(demo: Demo) -> Any | None:
    """Return the demo's server in whatever state; None when there is none."""
    servers = demo.cloud.compute.servers(name=f"^{NAME}$")
    return next((item for item in servers if (item.metadata or {}).get(TAG)), None)


def server(demo: Demo) -> Said:
    """Have a server that runs; one that failed is made anew, one that was stopped is started."""
    compute, mark = demo.cloud.compute, "there"
    found = server_found(demo)
    if found is not None and found.status == "ERROR":
        demo.work.report.line("the one that failed is removed first")
        number = found.id
        compute.delete_server(number)
        gone(demo, "the failed server is not gone", lambda: compute.find_server(number))
        found = None
    if found is None:
        mark = "done"
        _taken_in(demo)
        found = compute.create_server(
            name=NAME,
            metadata={TAG: MARK},
            image_id=demo.made["image"].id,
            flavor_id=demo.made["flavour"].id,
            key_name=NAME,
            networks=[{"uuid": demo.made["network"].id}],
            security_groups=[{"name": demo.made["group"].id}],
        )
    elif found.status == "SHUTOFF":
        mark = "done"
        compute.start_server(found.id)

    def look() -> str:
        now = compute.get_server(found.id)
        demo.made["server"] = now
        if now.status == "ERROR":
            raise causes.of_server(demo.cloud, now, demo.made["flavour"])
        return "" if now.status == "ACTIVE" else f"{now.status.lower()}: {now.task_state or 'idle'}"

    until(demo.work, "the server is not active", look, AGAIN)
    return mark, f"{NAME} on {demo.made['server'].compute_host or 'a hypervisor'}"


def _taken_in(demo: Demo) -> None:
    """Wait for a hypervisor that Nova has mapped to a cell, and that Placement knows the size of.

    A hypervisor that is new has the one some seconds before the other, in either order, and a server fails until it has
    both. Nova lists those that are mapped. Where none comes the server is asked for all the same: its failure is
    explained.
    """

    def look() -> str:
        known = any(demo.cloud.compute.hypervisors())
        sized = known and any(host.free for host in causes.hosts(demo.cloud))
        return "" if sized else "Nova knows no hypervisor yet"

    with contextlib.suppress(DaybreakError):
        until(demo.work, "Nova knows a hypervisor", look, AGAIN, MAPPED_SECONDS)


def gone(demo: Demo, what: str, find: Callable[[], Any]) -> None:
    """Wait until something is not there any more.

    Raises:
        DaybreakError: It fails to go, or time is up.
    """

    def look() -> str:
        found = find()
        if found is None:
            return ""
        state = str(getattr(found, "status", "") or "there").lower()
        if state.startswith("error"):
            raise DaybreakError(
                f"{what}: it is in the state {state}",
                remedy="`daybreak logs APP` of its service says why; then run the command again.",
            )
        return f"still {state}"

    until(demo.work, what, look, AGAIN)


def floating(demo: Demo) -> Said:
    """Have an address of the external network that leads to the server."""
    network = demo.cloud.network
    port = next(iter(network.ports(device_id=demo.made["server"].id)), None)
    if port is None:
        raise DaybreakError(
            "the server has no port",
            remedy="Somebody has detached it: daybreak demo --clean-up, then this command again.",
        )
    found, mark = marked(network.ips()), "there"
    if found is None:
        mark = "done"
        found = network.create_ip(
            description=MARK, floating_network_id=demo.made["external"].id, port_id=port.id
        )
    elif found.port_id != port.id:
        mark, found = "done", network.update_ip(found, port_id=port.id)
    demo.made["address"] = str(found.floating_ip_address)
    return mark, demo.made["address"]


# --- volume -----------------------------------------------------------------------------------


def volume(demo: Demo) -> Said:
    """Have a volume at the server, where the cloud has volumes at all."""
    if "block-storage" not in demo.types:
        return "skipped", "this cloud has no volume service (cinder-k8s)"
    storage, compute = demo.cloud.block_storage, demo.cloud.compute
    if not any(item.state == "up" for item in storage.services(binary="cinder-volume")):
        return "skipped", "the volume service has no back end: relate one to cinder"
    found, mark = marked(storage.volumes(name=NAME)), "there"
    if found is not None and found.status == "error":
        failed = found.id
        storage.delete_volume(failed)
        gone(demo, "the failed volume is not gone", lambda: storage.find_volume(failed))
        found = None
    if found is None:
        mark = "done"
        found = storage.create_volume(name=NAME, description=MARK, size=VOLUME_GB)
    number = found.id

    def state(wanted: str) -> Callable[[], str]:
        def look() -> str:
            now = storage.get_volume(number)
            if now.status.startswith("error"):
                raise causes.of_volume(demo.cloud, now)
            demo.made["volume"] = now
            return "" if now.status in (wanted, "in-use") else f"the volume is {now.status}"

        return look

    until(demo.work, "the volume is not there", state("available"), AGAIN)
    if demo.made["volume"].status != "in-use":
        mark = "done"
        compute.create_volume_attachment(demo.made["server"], volume=number)
        until(demo.work, "the volume is not attached", state("in-use"), AGAIN)
    device = next((a["device"] for a in demo.made["volume"].attachments), "")
    return mark, f"{NAME}: {VOLUME_GB} GB at {device or 'the server'}"
