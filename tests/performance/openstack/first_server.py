"""From an empty cloud to its first server: image, networks, flavour, and a server that has an address and metadata.

Prints the seconds of each step. The same program measures the yardstick and Daybreak, so both do the same.
The administrator's account comes by OS_* of the environment.
"""

from __future__ import annotations

import argparse
import ipaddress
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import openstack

TIMEOUT = 600.0
POLL = 1.0
ADDRESS = re.compile(r"guest: \w+: address [\d.]+/")
METADATA = re.compile(r"guest: metadata: instance-id \S+")


class Steps:
    """A clock that prints what each step took."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def done(self, title: str) -> None:
        """End a step."""
        now = time.monotonic()
        print(f"{title} {now - self._last:.2f}", flush=True)
        self._last = now


def until(look: Callable[[], Any], what: str) -> Any:
    """Return the first true answer.

    Raises:
        TimeoutError: There was none.
    """
    deadline = time.monotonic() + TIMEOUT
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {TIMEOUT:.0f} s: {what}")
        time.sleep(POLL)
    return answer


def networks(cloud: Any, external: ipaddress.IPv4Network) -> str:
    """Make a private network behind a router to the external one; return its id."""
    outside = cloud.network.create_network(
        name="public",
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="physnet1",
    )
    cloud.network.create_subnet(
        network_id=outside.id,
        ip_version=4,
        cidr=str(external),
        gateway_ip=str(external[1]),
        is_dhcp_enabled=False,
    )
    private = cloud.network.create_network(name="private")
    subnet = cloud.network.create_subnet(
        network_id=private.id, ip_version=4, cidr="192.168.42.0/24", dns_nameservers=["192.0.2.1"]
    )
    router = cloud.network.create_router(
        name="router", external_gateway_info={"network_id": outside.id}
    )
    cloud.network.add_interface_to_router(router, subnet_id=subnet.id)
    return private.id


def main() -> int:
    """Make everything, and wait for the guest's own words on its console."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--guest", required=True, help="the test guest's disk, qcow2")
    parser.add_argument(
        "--external",
        required=True,
        type=ipaddress.IPv4Network,
        help="range of the physical network; its first address is the router's",
    )
    options = parser.parse_args()
    cloud: Any = openstack.connect(load_yaml_config=False)
    # The cloud is near: no proxy of the environment leads to it.
    cloud.session.session.trust_env = False
    steps = Steps()
    image = cloud.image.create_image(
        "guest",
        filename=options.guest,
        disk_format="qcow2",
        container_format="bare",
        visibility="public",
    )
    steps.done("image")
    private = networks(cloud, options.external)
    flavor = cloud.compute.create_flavor(name="tiny", ram=128, vcpus=1, disk=1)
    steps.done("networks+flavour")
    until(lambda: list(cloud.compute.hypervisors()), "Nova knows a hypervisor")
    providers = "/resource_providers?resources=VCPU:1"
    until(
        lambda: cloud.placement.get(providers, microversion="1.4").json()["resource_providers"],
        "Placement knows its size",
    )
    steps.done("hypervisor-known")
    server = cloud.compute.create_server(
        name="first", image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": private}]
    )
    found = until(
        lambda: (now := cloud.compute.get_server(server)).status in ("ACTIVE", "ERROR") and now,
        "the server is active",
    )
    if found.status == "ERROR":
        sys.exit(f"the server could not be started: {found.fault}")
    steps.done("server-active")

    def booted() -> bool:
        console = str(cloud.compute.get_server_console_output(server)["output"])
        return bool(ADDRESS.search(console) and METADATA.search(console))

    until(booted, "the guest has its address and its metadata")
    steps.done("server-booted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
