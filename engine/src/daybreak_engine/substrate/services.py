"""Service addresses: nftables rules in the router's namespace.

A service address is no address of any interface. The router rewrites the destination of new
connections to one of the ready pods (connection tracking keeps the rest of a connection there) and
refuses at once what leads nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .command import run
from .network import NETNS_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address

    from ..instance import Instance
    from . import addresses

_TABLE = "daybreak"


@dataclass(frozen=True)
class ServicePort:
    """One port of a service.

    Args:
        port: Port of the service's address.
        target: Port of the pods.
        protocol: ``tcp`` or ``udp``.
    """

    port: int
    target: int
    protocol: str = "tcp"


@dataclass(frozen=True)
class Service:
    """Where a service's addresses lead.

    Args:
        name: For reading the rules; ``keystone``.
        addresses: Its addresses, for example the one inside the cluster and the one of its
            LoadBalancer.
        ports: Its ports.
        ready: Addresses of the pods that are ready.
    """

    name: str
    addresses: tuple[IPv4Address, ...]
    ports: tuple[ServicePort, ...]
    ready: tuple[IPv4Address, ...]


def ruleset(services: Iterable[Service], plan: addresses.Plan) -> str:
    """Return the whole table as input of ``nft -f``, which applies it in one transaction.

    * A port with ready pods: round robin over them, for new connections.
    * A port without, a port that is not open, an address that nobody has: refused (TCP reset, else
      ICMP).
    * A packet to a pod that is gone is refused too, so a connection to it ends instead of hanging.
    * A pod that reaches itself through a service is masqueraded, because otherwise it would get an
      answer from its own address; all other pods see their real clients.
    """
    ordered = sorted(services, key=lambda service: service.name)
    lines = [
        # Created first so that deleting it never fails.
        f"table ip {_TABLE}",
        f"delete table ip {_TABLE}",
        f"table ip {_TABLE} {{",
        "  chain services {",
        "    type nat hook prerouting priority dstnat; policy accept;",
    ]
    for service in ordered:
        for address in sorted(service.addresses):
            for port in sorted(service.ports, key=lambda p: (p.protocol, p.port)):
                rule = _dnat(address, port, tuple(sorted(service.ready)))
                if rule:
                    lines.append(f'    {rule} comment "{service.name}"')
    lines += [
        "  }",
        "  chain refuse {",
        # After dstnat: what still carries a service address has nowhere to go.
        "    type filter hook prerouting priority filter; policy accept;",
        f"    ip daddr {plan.services} goto reject_now",
        f"    ip daddr {plan.external} accept",
        f"    ip daddr {plan.load_balancers} goto reject_now",
        # The router's own address is no route either, as the expression below counts.
        f"    ip daddr {plan.gateway} accept",
        # No route means that no pod has this address (any more).
        f"    ip daddr {plan.pods} fib daddr oif missing goto reject_now",
        "  }",
        "  chain reject_now {",
        "    meta l4proto tcp reject with tcp reset",
        "    reject with icmp type port-unreachable",
        "  }",
        "  chain hairpin {",
        "    type nat hook postrouting priority srcnat; policy accept;",
    ]
    hairpin = sorted({address for service in ordered for address in service.ready})
    lines += [
        f"    ip saddr {address} ip daddr {address} ct status dnat masquerade"
        for address in hairpin
    ]
    lines += ["  }", "}"]
    return "\n".join(lines) + "\n"


async def apply(instance: Instance, rules: str) -> None:
    """Replace the table of the instance by `rules` in one transaction.

    Raises:
        CommandError: nft refused; the old rules stay.
    """
    await run(
        *("nsenter", f"--net={NETNS_DIRECTORY / instance.netns}", "--", "nft", "-f", "-"),
        stdin=rules,
        remedy="the kernel must provide nftables with NAT (nf_tables, nft_nat, nft_fib)",
    )


def _dnat(address: IPv4Address, port: ServicePort, ready: tuple[IPv4Address, ...]) -> str:
    match = f"ip daddr {address} {port.protocol} dport {port.port}"
    if not ready:
        return ""
    if len(ready) == 1:
        return f"{match} dnat to {ready[0]}:{port.target}"
    spread = ", ".join(f"{i} : {pod} . {port.target}" for i, pod in enumerate(ready))
    return f"{match} dnat to numgen inc mod {len(ready)} map {{ {spread} }}"
