"""Why a server or a volume could not be made: the cloud's short words, and what stands behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NO_HOST = "No valid host"
_UNITS = {"MEMORY_MB": "MB of memory", "VCPU": "processors", "DISK_GB": "GB of disk"}


@dataclass(frozen=True)
class Host:
    """A hypervisor as the scheduler sees it.

    Attributes:
        name: Its name in Nova.
        up: Whether its agent reports.
        enabled: Whether it takes new servers.
        free: What is left of it, by Placement's names; empty when Placement does not know it.
    """

    name: str
    up: bool
    enabled: bool
    free: Mapping[str, int]


def why_no_host(hosts: Sequence[Host], needed: Mapping[str, int]) -> tuple[str, str]:
    """Return cause and remedy of a server for which the scheduler found no host.

    Args:
        hosts: All hypervisors.
        needed: What the flavour asks for, by Placement's names.
    """
    if not hosts:
        return (
            "the cloud has no hypervisor",
            "Deploy hypervisor-k8s (bundles/openstack.yaml has it). It takes the nodes that its option node-selector"
            " names; Nova finds a new one within a minute.",
        )
    ready = [host for host in hosts if host.up and host.enabled]
    if not ready:
        state = ", ".join(f"{h.name} is {'disabled' if h.up else 'down'}" for h in hosts)
        return (
            f"no hypervisor takes servers: {state}",
            "A disabled one: openstack compute service set --enable NODE nova-compute. One that is down:"
            " `daybreak logs hypervisor`.",
        )
    for name, amount in needed.items():
        most = max(host.free.get(name, 0) for host in ready)
        if most < amount:
            left = ", ".join(f"{h.name} has {h.free.get(name, 0)} left" for h in ready)
            less = " (--ram)" if name == "MEMORY_MB" else ""
            return (
                f"it needs {amount} {_UNITS.get(name, name)}, and {left}",
                f"Ask for less{less}, remove servers (openstack server list --all-projects), or add a hypervisor:"
                " daybreak node add",
            )
    return (
        "each hypervisor has room for it, but a filter of the scheduler refuses",
        "`daybreak logs nova/nova-scheduler` says which.",
    )


def free(inventories: Mapping[str, Any], usages: Mapping[str, int]) -> dict[str, int]:
    """Return what one server may still take of a provider of resources (Placement's API reference).

    Args:
        inventories: By class of resource: total, reserved, allocation_ratio, max_unit.
        usages: What is taken, by class.
    """
    return {
        name: int(
            min(
                (item["total"] - item["reserved"]) * item["allocation_ratio"] - usages.get(name, 0),
                item["max_unit"],
            )
        )
        for name, item in inventories.items()
    }


def hosts(cloud: Any) -> tuple[Host, ...]:
    """Ask Nova and Placement for all hypervisors."""
    providers = cloud.placement.get("/resource_providers").json()["resource_providers"]
    ids = {provider["name"]: provider["uuid"] for provider in providers}
    return tuple(
        Host(
            service.host,
            service.state == "up",
            service.status == "enabled",
            _left(cloud, ids[service.host]) if service.host in ids else {},
        )
        for service in cloud.compute.services(binary="nova-compute")
    )


def _left(cloud: Any, provider: str) -> dict[str, int]:
    path = f"/resource_providers/{provider}"
    inventories = cloud.placement.get(f"{path}/inventories").json()["inventories"]
    return free(inventories, cloud.placement.get(f"{path}/usages").json()["usages"])


def of_server(cloud: Any, server: Any, flavour: Any) -> DaybreakError:
    """Return why a server ended in the state ERROR."""
    said = str((server.fault or {}).get("message") or "Nova gives no reason").strip()
    if NO_HOST in said:
        needed = {"MEMORY_MB": flavour.ram, "VCPU": flavour.vcpus, "DISK_GB": flavour.disk}
        cause, remedy = why_no_host(hosts(cloud), needed)
        return DaybreakError(
            f"no host for the server: {cause}",
            details=(f"Nova says: {said}",),
            remedy=f"{remedy}\nThen run the command again: it makes the server anew.",
        )
    return DaybreakError(
        f"the server could not be started: {said}",
        remedy="`daybreak logs hypervisor` says more. Run the command again to make the server anew.",
    )


def of_volume(cloud: Any, volume: Any) -> DaybreakError:
    """Return why a volume ended in the state error."""
    # the first version of the API that has them
    answer = cloud.block_storage.get("/messages", microversion="3.3")
    messages = [
        str(message["user_message"])
        for message in answer.json().get("messages", ())
        if message["resource_uuid"] == volume.id
    ]
    said = messages[0] if messages else f"it is in the state {volume.status}"
    return DaybreakError(
        f"the volume could not be made: {said}",
        remedy="A full back end shows in `openstack volume backend pool list --long`: remove volumes, or give it"
        " more room. `daybreak logs cinder` says more. Then run the command again: it makes the volume anew.",
    )
