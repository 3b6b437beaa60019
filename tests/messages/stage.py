"""A model with RabbitMQ, certificates, and a charm that asks for a virtual host."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jubilant

from daybreak_interfaces import rabbitmq

from ..clouds import PROGRAMS, ROOT, Cloud, program
from . import requirer

IMAGE = "localhost:32000/daybreak/rabbitmq:4.0"
CHARM = ROOT / "dist/rabbitmq-k8s.charm"
CA = "/tmp/ca.pem"
CONTROL = "HOME=/var/lib/rabbitmq /usr/lib/rabbitmq/bin/rabbitmqctl -q"


@dataclass(frozen=True)
class Stage:
    """The deployed model."""

    cloud: Cloud

    @property
    def juju(self) -> jubilant.Juju:
        """Its model."""
        return self.cloud.juju

    def answer(self) -> dict[str, Any]:
        """What the requirer was told, the newest user included, in the form that the client takes."""
        said = self.juju.run("requirer/0", "connect").results
        answer = rabbitmq.Answer(
            hosts=tuple(said["hosts"].split(",")),
            port=int(said["port"]),
            vhost=said["vhost"],
            username=said["username"],
            password=said["password"],
            tls=True,
            ca=said["ca"],
        )
        options = {**rabbitmq.oslo_messaging_rabbit(), "processname": "probe"}
        return {**said, "url": rabbitmq.transport_url(answer, CA), "options": options}

    def client(self, command: str, seconds: float) -> dict[str, Any]:
        """Run the client in the requirer's container to its end."""
        source = Path(__file__).with_name("client.py").read_text()
        whole = (
            f"import os, sys\nos.environ['ANSWER'] = {json.dumps(self.answer())!r}\n"
            f"sys.argv = ['client', {command!r}, {seconds!r}]\n{source}"
        )
        coded = base64.b64encode(whole.encode()).decode()
        start = shlex.quote(f"import base64; exec(base64.b64decode('{coded}'))")
        # The words go through a shell there.
        words = (requirer.PYTHON, "-W", "ignore", "-c", start)
        said = self.juju.ssh("requirer/0", *words, container="client")
        result = json.loads(said.strip().splitlines()[-1])
        print(command, result)
        return result

    @contextmanager
    def load(self, seconds: float) -> Iterator[Future[dict[str, Any]]]:
        """Publish and consume meanwhile; its result is there at the end of the block."""
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(self.client, "load", seconds)

    def settle(self, units: int, timeout: float = 420) -> None:
        """Wait until all is active and RabbitMQ has so many units."""

        def there(status: jubilant.Status) -> bool:
            return (
                len(status.apps["rabbitmq"].units) == units
                and jubilant.all_active(status)
                and jubilant.all_agents_idle(status, "rabbitmq")
            )

        self.juju.wait(there, delay=1, successes=2, timeout=timeout)

    def scale(self, units: int) -> None:
        """Change the number of RabbitMQ's units, and wait."""
        self.juju.cli("scale-application", "rabbitmq", str(units))
        self.settle(units)

    def control(self, *words: str) -> str:
        """Run RabbitMQ's own tool in the first unit."""
        return self.shell(0, f"{CONTROL} {shlex.join(words)}")

    def leader(self, queue: str) -> int:
        """Number of the unit that leads a queue."""
        listed = self.control("list_queues", "-p", requirer.VHOST, "name", "leader")
        line = next(line for line in listed.splitlines() if line.split("\t")[0] == queue)
        return int(line.partition("@rabbitmq-")[2].partition(".")[0])

    def kill(self, *units: int) -> None:
        """Kill the servers of these units at once, with SIGKILL."""
        for unit in units:
            self.shell(unit, "pkill -KILL -f '[r]abbit boot'")

    def shell(self, unit: int, script: str) -> str:
        """Run a shell script in a unit's server container."""
        return self.juju.ssh(
            f"rabbitmq/{unit}", "sh", "-c", shlex.quote(script), container="rabbitmq"
        )


def deploy(cloud: Cloud, directory: Path, units: int = 1) -> Stage:
    """Deploy everything into an empty model, and wait."""
    python = PROGRAMS / "python"
    assert cloud.instance
    charms = ("certificates-k8s", "rabbitmq-k8s")
    program(python, ROOT / "tools/pack", *charms, instance=cloud.instance)
    juju = cloud.juju
    juju.deploy(ROOT / "dist/certificates-k8s.charm", "certificates")
    juju.deploy(CHARM, "rabbitmq", num_units=units, trust=True, resources={"rabbitmq-image": IMAGE})
    client = {"client-image": requirer.IMAGE}
    juju.deploy(requirer.pack(directory), "requirer", resources=client)
    juju.integrate("rabbitmq:certificates", "certificates:certificates")
    juju.integrate("requirer:amqp", "rabbitmq:amqp")
    stage = Stage(cloud)
    stage.settle(units)
    return stage
