"""The cloud that something is killed in, seen from inside: its processes, members, queues and agents."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jubilant
from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from ..clouds import PROGRAMS, Cloud, eventually, program
from ..pods import Process, children, containers
from . import ledger
from .operations import ASKED, Plan, clear

UNITS = 3
WHOLE_SECONDS = 420.0
CONTROL = "HOME=/var/lib/rabbitmq /usr/lib/rabbitmq/bin/rabbitmqctl -q"
NAME = "faults"
MEMORY_MB = 64


@dataclass(frozen=True)
class Victim:
    """Processes of one kind in a unit.

    Attributes:
        unit: The unit.
        program: Name of the program; its container is named as the application.
    """

    unit: str
    program: str

    @property
    def container(self) -> str:
        """Its container, as `pods.containers` names it."""
        application, _, number = self.unit.partition("/")
        return f"{application}-{number}-{application}"


@dataclass(frozen=True)
class Stage:
    """A cloud and its administrator.

    Attributes:
        cloud: The cloud.
        users: A connection to its APIs.
        plan: What servers are made of.
    """

    cloud: Cloud
    users: Any
    plan: Plan

    @property
    def juju(self) -> jubilant.Juju:
        """Its model."""
        return self.cloud.juju

    # --- who is killed ------------------------------------------------------------------------

    def units(self, application: str) -> list[str]:
        """The units of an application."""
        return sorted(self.juju.status().apps[application].units)

    def writer(self) -> str:
        """The unit that is the database's writer."""
        said = self.shell("mariadb/0", "mariadb -NBe 'SELECT node FROM daybreak.writer'")
        return said.strip().replace("-", "/")

    def busiest(self) -> str:
        """The unit of the message queue with the most connections."""
        found = self.connections()
        return max(found, key=lambda unit: found[unit])

    def connections(self) -> dict[str, int]:
        """How many connections each unit of the message queue has."""
        listed = self.shell("rabbitmq/0", f"{CONTROL} list_connections pid").split()
        units = self.units("rabbitmq")
        return {
            unit: sum(f"@{unit.replace('/', '-')}." in node for node in listed) for unit in units
        }

    def processes(self, victim: Victim) -> list[Process]:
        """The processes of a victim, with all below them; none when its container is away."""
        pid = containers(self.cloud).get(victim.container)
        if pid is None:
            return []
        found = {
            one.pid: one
            for top in children(pid)
            if _runs(top, victim.program)
            for one in (top, *children(top.pid))
        }
        return list(found.values())

    def back(self, victim: Victim, killed: list[Process]) -> bool:
        """Whether the program runs again."""
        return bool(self.processes(victim)) and not any(one.alive for one in killed)

    # --- whether all is as before -------------------------------------------------------------

    def whole(self) -> None:
        """Wait until units are active, members synced, queues replicated and agents up."""
        self.cloud.settle(timeout=WHOLE_SECONDS)
        for what, look in (
            ("every member of the database is synced", self.members),
            ("every queue has a replica in each unit", lambda: not self.unmirrored()),
            ("every agent is up", lambda: not self.down()),
        ):
            eventually(_there(look), what, WHOLE_SECONDS, 3)
        self.cloud.settle(timeout=WHOLE_SECONDS)

    def members(self) -> bool:
        """Whether all members of the database are synced in one cluster."""
        names = "'wsrep_cluster_size', 'wsrep_cluster_status', 'wsrep_local_state_comment'"
        line = f"mariadb -NBe {shlex.quote(f'SHOW STATUS WHERE Variable_name IN ({names})')}"
        words = {str(UNITS), "Primary", "Synced"}
        return all(words <= set(self.shell(u, line).split()) for u in self.units("mariadb"))

    def unmirrored(self) -> list[str]:
        """The queues that have not a replica in each unit."""
        lines: list[str] = []
        for vhost in self.shell("rabbitmq/0", f"{CONTROL} list_vhosts name").split():
            columns = "name type members online"
            listed = self.shell(
                "rabbitmq/0", f"{CONTROL} list_queues -p {shlex.quote(vhost)} {columns}"
            )
            lines += [line for line in listed.splitlines() if line.count("\t") >= 3]
        rows = [line for line in lines if not line.startswith("name\t")]
        assert rows, "there are queues"
        return ledger.unmirrored(rows, UNITS)

    def down(self) -> list[str]:
        """The agents of Nova and Cinder that are not up, or take nothing: Nova shuts out a node without libvirt."""
        found: list[str] = []
        for service in (self.users.compute, self.users.block_storage):
            answer = service.get("/os-services")
            answer.raise_for_status()
            found += [
                f"{one['binary']} {one['host']}"
                for one in answer.json()["services"]
                if (one["state"], one["status"]) != ("up", "enabled")
            ]
        return found

    def shell(self, unit: str, script: str) -> str:
        """Run a line of shell in the container of a unit's workload."""
        container = unit.partition("/")[0]
        return self.juju.ssh(unit, "sh", "-c", shlex.quote(script), container=container)


def kill_all(processes: list[Process]) -> None:
    """End processes at once with SIGKILL."""
    for one in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)


def _runs(process: Process, name: str) -> bool:
    """Whether a process is a program: itself, or the script of its interpreter, or by the title that it gave itself."""
    words = process.command.split()[:2]
    return any(Path(word).name.rstrip(":") == name for word in words)


def _there(look: Callable[[], bool]) -> Callable[[], bool]:
    """Return *look*, with False for whatever it could not ask."""

    def looked() -> bool:
        try:
            return look()
        except (jubilant.CLIError, OSError, AssertionError, ClientException, SDKException):
            return False

    return looked


@contextlib.contextmanager
def staged(cloud: Cloud, directory: Path) -> Iterator[Stage]:
    """Make what servers are made of, and remove it afterwards with all that is left of the load."""
    users = cloud.account().connection(directory, api_timeout=ASKED)
    # What a run that was killed has left.
    _remove(users)
    with contextlib.ExitStack() as end:
        end.callback(_remove, users)
        with _guest(cloud, directory).open("rb") as content:
            image = users.image.create_image(
                NAME,
                data=content,
                disk_format="qcow2",
                container_format="bare",
                allow_duplicates=True,
                wait=True,
            )
        network = users.network.create_network(name=NAME)
        users.network.create_subnet(
            name=NAME, network_id=network.id, ip_version=4, cidr="192.168.231.0/24"
        )
        flavour = users.compute.create_flavor(name=NAME, ram=MEMORY_MB, vcpus=1, disk=1)
        # What failed counts as well until it is deleted.
        quota = f"/os-quota-sets/{users.current_project_id}"
        for service, limits in (
            (users.compute, {"instances": 100, "cores": 100}),
            (users.block_storage, {"volumes": 100}),
        ):
            service.put(quota, json={"quota_set": limits})
            end.callback(service.delete, quota)
        # The first request of each client asks for its versions.
        for service in (users.compute, users.block_storage, users.placement):
            service.get("/")
        yield Stage(cloud, users, Plan(image.id, flavour.id, network.id))


def cleared(users: Any) -> None:
    """Remove all that a load has left."""
    eventually(_there(lambda: clear(users)), "all is deleted", 300, 3)


def _remove(users: Any) -> None:
    cleared(users)
    for image in users.image.images(name=NAME):
        users.image.delete_image(image.id)
    for network in users.network.networks(name=NAME):
        users.network.delete_network(network.id)
    for flavour in users.compute.flavors():
        if flavour.name == NAME:
            users.compute.delete_flavor(flavour.id)


def _guest(cloud: Cloud, directory: Path) -> Path:
    assert cloud.instance
    output = directory / "guest.qcow2"
    program(
        *(PROGRAMS / "python", "-m", "daybreak_images", "guest", "--output", output),
        instance=cloud.instance,
    )
    return output


def note(**fields: Any) -> None:
    """Print what happens, with the time of day to compare logs with."""
    print(time.strftime("%H:%M:%S"), json.dumps(fields), flush=True)
