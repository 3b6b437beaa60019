"""Addresses of the demo's networks: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from ..errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

PROJECT = tuple(
    IPv4Network(text) for text in ("192.168.77.0/24", "172.30.77.0/24", "10.77.77.0/24")
)
"""Ranges of the project's network; the first that is not the external network's is taken."""


@dataclass(frozen=True)
class External:
    """The physical network, as floating addresses are taken from it.

    Attributes:
        cidr: The whole.
        gateway: The address in it that leads on.
        first: The first address to give away.
        last: The last one.
    """

    cidr: IPv4Network
    gateway: IPv4Address
    first: IPv4Address
    last: IPv4Address


@dataclass(frozen=True)
class Subnet:
    """A subnet that is there already.

    Attributes:
        name: Its name and its network's, for people.
        cidr: Its range.
    """

    name: str
    cidr: IPv4Network


def external(
    cidr: str, gateway: str, pool: str, own: tuple[IPv4Network, IPv4Address] | None
) -> External:
    """Return the external network that options and the machine describe.

    Args:
        cidr: Option; empty for the machine's own.
        gateway: Option; empty for the first address.
        pool: Option, `FIRST-LAST`; empty for all behind the gateway.
        own: Network and gateway that this machine gives to its nodes; None where that is not known.

    Raises:
        UsageError: An option cannot be used, or is missing.
    """
    if not cidr and own is None:
        raise UsageError(
            "which addresses the physical network has is not known here",
            remedy="Give its range, and which of it the cloud may use: --cidr 203.0.113.0/24"
            " --pool 203.0.113.100-203.0.113.199 [--gateway 203.0.113.1]; or name an external network that is"
            " there: --external-network NAME",
        )
    network = _network(cidr) if cidr else own[0] if own else IPv4Network("0.0.0.0/0")
    if own is not None and not network.subnet_of(own[0]):
        raise UsageError(
            f"--cidr {network}: this machine reaches its nodes' physical network at {own[0]} alone",
            remedy="Leave the option out.",
        )
    if network.num_addresses < 8:
        raise UsageError(f"--cidr {network}: too small", remedy="A /29 is the smallest.")
    way = _address("--gateway", gateway) if gateway else own[1] if own else network[1]
    if way not in network:
        raise UsageError(f"--gateway {way}: not in {network}", remedy=f"Such as {network[1]}")
    first, last = _pool(pool) if pool else _behind(network, way)
    if not (network[0] < first <= last < network[-1]):
        raise UsageError(f"--pool {first}-{last}: not in {network}")
    if first <= way <= last:
        raise UsageError(f"--pool {first}-{last}: the gateway {way} is in it")
    return External(network, way, first, last)


def _network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise UsageError(f"--cidr: {error}", remedy="Such as 203.0.113.0/24") from error


def _address(option: str, text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", remedy="Such as 203.0.113.1") from error


def _pool(text: str) -> tuple[IPv4Address, IPv4Address]:
    first, dash, last = text.partition("-")
    if not dash:
        raise UsageError(f"--pool {text}: no range", remedy="Such as 203.0.113.100-203.0.113.199")
    return _address("--pool", first), _address("--pool", last)


def _behind(network: IPv4Network, way: IPv4Address) -> tuple[IPv4Address, IPv4Address]:
    """Return the larger part of a network beside its gateway."""
    before, behind = int(way) - int(network[1]), int(network[-2]) - int(way)
    return (way + 1, network[-2]) if behind >= before else (network[1], way - 1)


def project(outside: Iterable[IPv4Network]) -> IPv4Network:
    """Return the range of the project's network: one that the external network does not have."""
    taken = tuple(outside)
    return next(
        (network for network in PROJECT if not any(network.overlaps(other) for other in taken)),
        PROJECT[0],
    )


def refuse_taken(wanted: IPv4Network, there: Iterable[Subnet]) -> None:
    """Do nothing if a range is free.

    Raises:
        DaybreakError: It is not; names whose it is.
    """
    for subnet in there:
        if subnet.cidr.overlaps(wanted):
            raise DaybreakError(
                f"{wanted} is taken: {subnet.name} has {subnet.cidr}",
                remedy="Take another range (--cidr), or use that network: --external-network NAME",
            )
