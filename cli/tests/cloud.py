"""A small OpenStack behind the SDK's connection: what the demo asks of it, kept in lists."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from openstack import exceptions

_NUMBERS = itertools.count(1)


class Thing(SimpleNamespace):
    """A resource: what was not given is None, as in the SDK."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def thing(**fields: Any) -> Thing:
    return Thing(id=f"id-{next(_NUMBERS)}", **fields)


def matches(item: Thing, **query: Any) -> bool:
    return all(getattr(item, key) == value for key, value in query.items())


@dataclass
class Cloud:
    """Everything in lists by kind; the services are views of it."""

    kinds: dict[str, list[Thing]] = field(default_factory=dict)
    fault: str = ""
    """Why servers fail; empty when they start."""
    unmapped: int = 0
    """How often Nova is asked for its hypervisors before it has mapped one."""
    backend: bool = True
    volume_fault: str = ""
    """Why volumes fail; empty when they are made."""
    current_project_id: str = "admin"

    def all(self, kind: str, **query: Any) -> list[Thing]:
        return [item for item in self.kinds.setdefault(kind, []) if matches(item, **query)]

    def add(self, kind: str, **fields: Any) -> Thing:
        item = thing(**fields)
        self.kinds.setdefault(kind, []).append(item)
        return item

    def remove(self, kind: str, which: Any) -> None:
        number = getattr(which, "id", which)
        self.kinds[kind] = [item for item in self.all(kind) if item.id != number]

    def find(self, kind: str, number: str) -> Thing | None:
        return next(iter(self.all(kind, id=number)), None)

    @property
    def image(self) -> Any:
        def create(name: str, **fields: Any) -> Thing:
            return self.add("image", name=name, status="active", size=3 << 20, **fields)

        return SimpleNamespace(
            images=lambda name, tag: [i for i in self.all("image", name=name) if i.tags == tag],
            create_image=create,
            get_image=lambda number: self.find("image", number),
            delete_image=lambda item: self.remove("image", item),
        )

    @property
    def network(self) -> Any:
        def attach(router: Thing, subnet_id: str) -> None:
            fixed = [{"subnet_id": subnet_id}]
            self.add("port", device_id=router.id, device_owner="inside", fixed_ips=fixed)

        def delete_network(item: Thing) -> None:
            if any(
                (r.external_gateway_info or {}).get("network_id") == item.id
                for r in self.all("router")
            ):
                raise exceptions.ConflictException(message="in use")
            self.remove("network", item)
            for subnet in self.all("subnet", network_id=item.id):
                self.remove("subnet", subnet)

        def create_ip(**fields: Any) -> Thing:
            return self.add("ip", floating_ip_address="10.9.15.2", **fields)

        def update_ip(item: Thing, port_id: str) -> Thing:
            item.port_id = port_id
            return item

        agent = Thing(configuration={"bridge-mappings": "physnet1:br-ex"})
        return SimpleNamespace(
            agents=lambda: [agent],
            networks=lambda **query: self.all("network", **query),
            create_network=lambda **fields: self.add("network", **fields),
            delete_network=delete_network,
            subnets=lambda **query: self.all("subnet", **query),
            create_subnet=lambda **fields: self.add("subnet", **fields),
            routers=lambda **query: self.all("router", **query),
            create_router=lambda **fields: self.add("router", **fields),
            delete_router=lambda item: self.remove("router", item),
            add_interface_to_router=attach,
            remove_interface_from_router=lambda router, port_id: self.remove("port", port_id),
            ports=lambda device_id: self.all("port", device_id=device_id),
            ips=lambda: self.all("ip"),
            create_ip=create_ip,
            update_ip=update_ip,
            delete_ip=lambda item: self.remove("ip", item),
            security_groups=lambda name, **_: self.all("group", name=name),
            create_security_group=lambda **fields: self.add("group", **fields),
            delete_security_group=lambda item: self.remove("group", item),
            security_group_rules=lambda **query: self.all("rule", **query),
            create_security_group_rule=lambda **fields: self.add("rule", **fields),
        )

    @property
    def compute(self) -> Any:
        def create(**fields: Any) -> Thing:
            fault = "Host 'node-0' is not mapped to any cell" if self.unmapped else self.fault
            state = (
                {"status": "ERROR", "fault": {"message": fault}} if fault else {"status": "ACTIVE"}
            )
            server = self.add("server", **fields, **state)
            self.add("port", device_id=server.id)
            return server

        def mapped() -> list[Thing]:
            self.unmapped, before = max(0, self.unmapped - 1), self.unmapped
            return [] if before else [Thing(name="node-0")]

        def attach(server: Thing, volume: str) -> None:
            found = self.find("volume", volume)
            assert found
            found.status, found.attachments = (
                "in-use",
                [{"device": "/dev/vdb", "server_id": server.id}],
            )

        def delete(number: str) -> None:
            self.remove("server", number)
            for volume in self.all("volume", status="in-use"):
                volume.status = "available"

        return SimpleNamespace(
            flavors=lambda details: self.all("flavour"),
            create_flavor=lambda **fields: self.add("flavour", **fields),
            delete_flavor=lambda item: self.remove("flavour", item),
            keypairs=lambda: self.all("key"),
            create_keypair=lambda **fields: self.add("key", **fields),
            delete_keypair=lambda item: self.remove("key", item),
            servers=lambda name: self.all("server", name=name.strip("^$")),
            create_server=create,
            get_server=lambda number: self.find("server", number),
            find_server=lambda number, **_: self.find("server", number),
            delete_server=delete,
            create_volume_attachment=attach,
            services=lambda binary: [Thing(host="node-0", state="up", status="enabled")],
            hypervisors=mapped,
            get_server_console_output=lambda item, length: {"output": "guest: started\n"},
        )

    @property
    def block_storage(self) -> Any:
        def create(**fields: Any) -> Thing:
            state = "error" if self.volume_fault else "available"
            return self.add("volume", status=state, attachments=[], **fields)

        def get(path: str, microversion: str) -> Any:
            assert (path, microversion) == ("/messages", "3.3")
            said = {"user_message": self.volume_fault}
            messages = [said | {"resource_uuid": item.id} for item in self.all("volume")]
            return SimpleNamespace(json=lambda: {"messages": messages})

        services = [Thing(state="up")] if self.backend else []
        return SimpleNamespace(
            get=get,
            services=lambda binary: services,
            volumes=lambda name: self.all("volume", name=name),
            create_volume=create,
            get_volume=lambda number: self.find("volume", number),
            find_volume=lambda number: self.find("volume", number),
            delete_volume=lambda number: self.remove("volume", number),
        )

    @property
    def placement(self) -> Any:
        answers = {
            "/resource_providers": {"resource_providers": [{"name": "node-0", "uuid": "u"}]},
            "/resource_providers/u/inventories": {
                "inventories": {
                    "MEMORY_MB": {
                        "total": 2048,
                        "reserved": 512,
                        "allocation_ratio": 1.0,
                        "max_unit": 2048,
                    },
                    "VCPU": {"total": 2, "reserved": 0, "allocation_ratio": 4.0, "max_unit": 2},
                    "DISK_GB": {
                        "total": 20,
                        "reserved": 0,
                        "allocation_ratio": 1.0,
                        "max_unit": 20,
                    },
                }
            },
            "/resource_providers/u/usages": {
                "usages": {"MEMORY_MB": 1024, "VCPU": 1, "DISK_GB": 1}
            },
        }
        return SimpleNamespace(get=lambda path: SimpleNamespace(json=lambda: answers[path]))
