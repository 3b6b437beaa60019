"""Addresses of an instance: pure functions over its subnet."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from ..errors import RefusedError
from ..instance import short_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALL = ipaddress.ip_network("10.0.0.0/8")
_PREFIX = 20
# Ranges of 10/8 that others use by default without always showing a route: podman and MicroK8s
# (pods, services).
_AVOID = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/20", "10.1.0.0/16", "10.88.0.0/16", "10.89.0.0/16", "10.152.183.0/24")
)


@dataclass(frozen=True)
class Plan:
    """How the subnet of an instance (a /20) is divided.

    Args:
        subnet: The whole; one route of the machine leads there.
    """

    subnet: IPv4Network

    @property
    def gateway(self) -> IPv4Address:
        """The router's address: default gateway, name server and Kubernetes API of all pods."""
        return self.subnet[1]

    @property
    def host(self) -> IPv4Address:
        """The machine's own address towards the instance."""
        return self.subnet[2]

    @property
    def pods(self) -> IPv4Network:
        """Addresses of pods: the first half; its first 16 addresses are kept for the two above."""
        return next(self.subnet.subnets(prefixlen_diff=1))

    @property
    def services(self) -> IPv4Network:
        """Service addresses inside the cluster: the third quarter."""
        return list(self.subnet.subnets(prefixlen_diff=2))[2]

    @property
    def load_balancers(self) -> IPv4Network:
        """Addresses of Services of type LoadBalancer: the last quarter, but for `external`."""
        return list(self.subnet.subnets(prefixlen_diff=2))[3]

    @property
    def external(self) -> IPv4Network:
        """The physical network of the nodes: the last /24."""
        return list(self.subnet.subnets(new_prefix=24))[-1]

    @property
    def external_gateway(self) -> IPv4Address:
        """The router's address in the physical network, by which the machine reaches it."""
        return self.external[1]

    def ranges(self) -> dict[str, str]:
        """Return every range and fixed address, for programs that are not Python."""
        return {
            "subnet": str(self.subnet),
            "gateway": str(self.gateway),
            "host": str(self.host),
            "pods": str(self.pods),
            "services": str(self.services),
            "load_balancers": str(self.load_balancers),
            "external": str(self.external),
            "external_gateway": str(self.external_gateway),
        }

    def free_pod(self, used: Iterable[IPv4Address]) -> IPv4Address:
        """Return the lowest free pod address."""
        return _free(self.pods, 16, used, "pod")

    def free_service(self, used: Iterable[IPv4Address]) -> IPv4Address:
        """Return the lowest free service address."""
        return _free(self.services, 1, used, "service")

    def free_load_balancer(self, used: Iterable[IPv4Address]) -> IPv4Address:
        """Return the lowest free address for a LoadBalancer."""
        return _free(self.load_balancers, 1, {*used, *self.external}, "load balancer")


def choose_subnet(name: str, taken: Iterable[IPv4Network]) -> IPv4Network:
    """Return the /20 that follows from `name`, or the next that overlaps nothing in `taken`.

    All are in 10.0.0.0/8.

    Raises:
        RefusedError: All of 10.0.0.0/8 is taken.
    """
    busy = [network for network in (*taken, *_AVOID) if network.prefixlen > 0]
    count = 1 << (_PREFIX - _ALL.prefixlen)
    start = int(short_hash(name), 16) % count
    for offset in range(count):
        base = int(_ALL.network_address) + ((start + offset) % count << (32 - _PREFIX))
        candidate = IPv4Network((base, _PREFIX))
        if not any(candidate.overlaps(network) for network in busy):
            return candidate
    raise RefusedError(
        "no free subnet in 10.0.0.0/8",
        remedy="a route or an interface of this machine covers the whole range: narrow it "
        "(see `ip route`)",
    )


def _free(network: IPv4Network, first: int, used: Iterable[IPv4Address], kind: str) -> IPv4Address:
    taken = set(used)
    for offset in range(first, network.num_addresses - 1):
        if network[offset] not in taken:
            return network[offset]
    raise RefusedError(f"no free {kind} address in {network}", remedy="remove units or services")
