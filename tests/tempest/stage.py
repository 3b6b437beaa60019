"""What tempest's servers need of a cloud: images, flavours, an external network. Made before, removed afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from ..clouds import eventually
from .settings import Resources

NAME = "daybreak-tempest"
PHYSICAL_NETWORK = "physnet1"
MEMORY_MB = (128, 192)
HYPERVISOR_SECONDS = 180


@contextlib.contextmanager
def prepared(cloud: Any, guest: Path, external: IPv4Network) -> Iterator[Resources]:
    """Make what is missing, and remove it afterwards.

    Args:
        cloud: A connection of the administrator's.
        guest: The test guest's disk, qcow2.
        external: Range of the nodes' physical network; its first address is the router's.
    """
    eventually(
        lambda: list(cloud.compute.hypervisors()),
        "Nova knows a hypervisor",
        timeout=HYPERVISOR_SECONDS,
        period=2,
    )
    # What a run that was killed has left.
    _remove(cloud)
    try:
        yield Resources(
            (_image(cloud, guest), _image(cloud, guest)),
            (_flavor(cloud, MEMORY_MB[0]), _flavor(cloud, MEMORY_MB[1])),
            _network(cloud, external),
        )
    finally:
        _remove(cloud)


def _image(cloud: Any, guest: Path) -> str:
    return cloud.image.create_image(
        NAME,
        filename=str(guest),
        disk_format="qcow2",
        container_format="bare",
        visibility="public",
        allow_duplicates=True,
    ).id


def _flavor(cloud: Any, memory: int) -> str:
    return cloud.compute.create_flavor(
        name=f"{NAME}-{memory}", ram=memory, vcpus=1, disk=1, is_public=True
    ).id


def _network(cloud: Any, external: IPv4Network) -> str:
    """Return the external network of the cloud; a flat one can be made only once."""
    for network in cloud.network.networks(is_router_external=True):
        return network.id
    network = cloud.network.create_network(
        name=NAME,
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network=PHYSICAL_NETWORK,
    )
    cloud.network.create_subnet(
        network_id=network.id,
        ip_version=4,
        cidr=str(external),
        gateway_ip=str(external[1]),
        is_dhcp_enabled=False,
    )
    return network.id


def _remove(cloud: Any) -> None:
    for image in cloud.image.images(name=NAME):
        cloud.image.delete_image(image)
    for flavor in cloud.compute.flavors(is_public=None):
        if flavor.name.startswith(f"{NAME}-"):
            cloud.compute.delete_flavor(flavor)
    for network in cloud.network.networks(name=NAME):
        cloud.network.delete_network(network)
