"""Interface `ovsdb-cms`: where the northbound and southbound databases of OVN are.

| writer | key | bag | encoding |
|---|---|---|---|
| requirer | `external-connectivity` | app | JSON bool, `true` for one outside the cluster |
| provider | `bound-hostname`, `bound-address`, `ingress-bound-address` | unit | plain |
| provider | `loadbalancer-address` | app | plain |
| proxy | `proxy-relation` | app | plain `true` |
| proxy | `db_nb_connection_strs`, `db_sb_connection_strs` | app | comma-separated |

No certificates travel here: both sides have them from the same authority.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daybreak_interfaces._common import Bag, NotReady, WritableBag, put

NORTHBOUND_PORT = 6641
SOUTHBOUND_PORT = 6642


@dataclass(frozen=True)
class Server:
    """One unit of the provider.

    Attributes:
        hostname: Its stable DNS name.
        address: Its current address, may be missing.
        ingress: Address at which others reach it, may be missing.
    """

    hostname: str
    address: str | None = None
    ingress: str | None = None


@dataclass(frozen=True)
class Answer:
    """Where the databases are.

    Attributes:
        northbound: OVSDB connection methods of the northbound database, such as `ssl:host:6641`.
        southbound: Those of the southbound one.
    """

    northbound: tuple[str, ...]
    southbound: tuple[str, ...]


def write_request(app_bag: WritableBag, *, external: bool) -> None:
    """Write the requirer's side (leader only).

    Args:
        app_bag: The requirer's application databag.
        external: Whether the requirer is outside the cluster and cannot reach its addresses.
    """
    put(app_bag, {"external-connectivity": "true" if external else "false"})


def read_request(app_bag: Bag) -> bool:
    """Whether the requirer is outside the cluster."""
    return app_bag.get("external-connectivity") == "true"


def write_unit(unit_bag: WritableBag, server: Server | None) -> None:
    """Write one unit's side; None takes it out."""
    put(
        unit_bag,
        {
            "bound-hostname": server.hostname if server else None,
            "bound-address": server.address if server else None,
            "ingress-bound-address": server.ingress if server else None,
        },
    )


def write_load_balancer(app_bag: WritableBag, address: str | None) -> None:
    """Write the one address at which clients outside the cluster reach all units (leader only)."""
    put(app_bag, {"loadbalancer-address": address})


def read_answer(
    app_bag: Bag, unit_bags: Iterable[Bag], *, external: bool = False, names: bool = True
) -> Answer | NotReady:
    """Read the provider's side.

    Args:
        app_bag: The provider's application databag.
        unit_bags: Those of its units, in the order in which they shall be tried.
        external: What was asked for.
        names: Whether this side resolves DNS names; if not, addresses are taken.
    """
    if app_bag.get("proxy-relation") == "true":
        north = _split(app_bag.get("db_nb_connection_strs", ""))
        south = _split(app_bag.get("db_sb_connection_strs", ""))
        if not north or not south:
            return NotReady("the databases behind the proxy are not known")
        return Answer(north, south)
    balancer = app_bag.get("loadbalancer-address", "")
    if external and _is_address(balancer):
        return _answer([balancer])
    bags = list(unit_bags)
    hosts = [bag.get("bound-hostname", "") for bag in bags]
    addresses = [_address(bag, external=external) for bag in bags]
    found = hosts if names and hosts and all(hosts) else addresses
    # With no unit at all `all` is true, and says nothing.
    if not found or not all(found):
        return NotReady("not every unit has said where it is")
    return _answer(found)


def _answer(hosts: Sequence[str]) -> Answer:
    def methods(port: int) -> tuple[str, ...]:
        return tuple(f"ssl:{f'[{host}]' if ':' in host else host}:{port}" for host in hosts)

    return Answer(methods(NORTHBOUND_PORT), methods(SOUTHBOUND_PORT))


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for item in text.split(",") if (part := item.strip()))


def _address(bag: Bag, *, external: bool) -> str:
    keys = ("bound-address", "ingress-bound-address")
    for key in reversed(keys) if external else keys:
        # A unit without an address is known to write the text "None".
        if _is_address(value := bag.get(key, "")):
            return value
    return ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
