"""Names and service addresses: what the model and readiness make of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from daybreak_engine.model import applications, kubernetes_objects, models, units
from daybreak_engine.substrate import network, services

if TYPE_CHECKING:
    from daybreak_engine.instance import Instance
    from daybreak_engine.model import rows
    from daybreak_engine.model.store import Transaction
    from daybreak_engine.substrate.addresses import Plan


def hosts(tx: Transaction) -> tuple[network.Host, ...]:
    """Return the names of all pods (ready or not) and services of the model."""
    model = models.get(tx).name
    pods = [
        network.PodName(unit.provider_id, unit.application, IPv4Address(unit.address))
        for unit in units.all_(tx)
        if unit.address
    ]
    addresses = {
        application.name: IPv4Address(application.service_address)
        for application in applications.all_(tx)
        if application.service_address
    }
    for item in kubernetes_objects.of_kind(tx, "Service"):
        if item.body["spec"]["clusterIP"] != "None":
            addresses[item.name] = IPv4Address(item.body["spec"]["clusterIP"])
    return network.cluster_hosts(model, pods, addresses)


def service_table(tx: Transaction, ready: Collection[str]) -> tuple[services.Service, ...]:
    """Return where the services lead.

    Args:
        tx: The model.
        ready: Names of the units whose pods are ready.
    """
    table: list[services.Service] = []
    for application in applications.all_(tx):
        addresses = tuple(
            IPv4Address(address)
            for address in (application.service_address, application.load_balancer_address)
            if address
        )
        members = units.of(tx, application.name)
        ports = {
            (port.protocol, port.port)
            for unit in members
            for port in units.ports(tx, unit.name)
            if port.protocol in ("tcp", "udp")
        }
        table.append(
            services.Service(
                application.name,
                addresses,
                tuple(
                    services.ServicePort(port, port, protocol) for protocol, port in sorted(ports)
                ),
                _addresses(members, ready),
            )
        )
    table.extend(_own(tx, item, ready) for item in kubernetes_objects.of_kind(tx, "Service"))
    return tuple(table)


def _own(tx: Transaction, item: rows.KubernetesObject, ready: Collection[str]) -> services.Service:
    """Return where a Service leads that a charm has made."""
    spec: dict[str, Any] = item.body["spec"]
    balancer = item.body.get("status", {}).get("loadBalancer", {}).get("ingress", ())
    selector: dict[str, str] = spec.get("selector") or {}
    selected = selector.get("app.kubernetes.io/name", "")
    return services.Service(
        item.name,
        tuple(
            IPv4Address(address)
            for address in (spec["clusterIP"], *(entry["ip"] for entry in balancer))
            if address != "None"
        ),
        tuple(
            services.ServicePort(
                port["port"],
                int(port.get("targetPort") or port["port"]),
                port.get("protocol", "TCP").lower(),
            )
            for port in spec.get("ports") or ()
        ),
        _addresses(units.of(tx, selected), ready),
    )


def _addresses(members: Sequence[rows.Unit], ready: Collection[str]) -> tuple[IPv4Address, ...]:
    return tuple(IPv4Address(u.address) for u in members if u.name in ready and u.address)


class Traffic:
    """Keeps the name server's file and the rules of service addresses as the model wants them.

    Args:
        instance: Whose.
        plan: Its addresses.
    """

    def __init__(self, instance: Instance, plan: Plan) -> None:
        self._instance = instance
        self._plan = plan
        self._rules = ""
        self._lock = asyncio.Lock()

    async def update(self, tx: Transaction, ready: Collection[str]) -> None:
        """Write what differs from the last time."""
        async with self._lock:
            await self._update(tx, ready)

    async def _update(self, tx: Transaction, ready: Collection[str]) -> None:
        if models.find(tx) is None:
            return
        network.write_hosts(self._instance, hosts(tx))
        rules = services.ruleset(service_table(tx, ready), self._plan)
        if rules != self._rules:
            await services.apply(self._instance, rules)
            self._rules = rules
