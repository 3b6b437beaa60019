"""One instance of the engine for these tests, removed at their end."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jubilant
import pytest

from . import charm

BIN = Path(sys.executable).parent


class Engine:
    """The engine under test, as a person meets it: through `juju` and its processes.

    Attributes:
        juju: jubilant on the engine's command.
        name: Of the instance.
    """

    def __init__(self, name: str, charms: Path) -> None:
        self.name = name
        self.charms = charms
        self.juju = jubilant.Juju(model="m", cli_binary=str(BIN / "juju"), wait_timeout=60)
        self._seen = 0

    def run(self, *arguments: str) -> str:
        """Run the program of the engine."""
        command = [str(BIN / "daybreak-engine"), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def deploy(
        self,
        application: str,
        *,
        units: int = 1,
        trust: bool = False,
        constraints: Mapping[str, str] | None = None,
    ) -> None:
        """Deploy the recording charm."""
        self.juju.deploy(
            str(charm.pack(self.charms)),
            application,
            num_units=units,
            trust=trust,
            constraints=constraints,
            resources={"main-image": charm.IMAGE},
        )

    def settle(self, *applications: str, units: int = 1) -> jubilant.Status:
        """Wait until applications have so many units, active and idle."""

        def settled(status: jubilant.Status) -> bool:
            return (
                all(len(status.apps[name].units) == units for name in applications)
                and jubilant.all_active(status, *applications)
                and jubilant.all_agents_idle(status, *applications)
            )

        return self.juju.wait(settled, delay=0.3)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that is no status."""
        self.juju.wait(lambda _: condition(), delay=0.2, successes=1)

    def mark(self) -> None:
        """Forget the dispatches so far."""
        self._seen = len(self._log())

    def trace(self, unit: str) -> list[str]:
        """Return the dispatches of a unit since the last mark: the hook, then its variables."""
        pattern = re.compile(rf"unit-{unit.replace('/', '-')}: \S+ INFO \S+ TRACE hook=(.*)")
        return [
            found[1].strip() for line in self._log()[self._seen :] if (found := pattern.match(line))
        ]

    def hooks(self, unit: str) -> list[str]:
        """Return the hook names of `trace`."""
        return [line.split()[0] for line in self.trace(unit)]

    def _log(self) -> list[str]:
        return self.juju.cli("debug-log", "--limit", "0").splitlines()

    def pod(self, unit: str, container: str) -> int:
        """Return process 1 of a container, as the machine sees it."""
        exports = self.run("podman-env")
        name = f"db-{self.name}-{unit.replace('/', '-')}-{container}"
        script = f"{exports}\npodman inspect --format '{{{{.State.Pid}}}}' {name}"
        return int(
            subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout
        )

    def pebble(self, unit: str, container: str, *arguments: str) -> str:
        """Run the Pebble client in a container."""
        return self.juju.ssh(unit, "/charm/bin/pebble", *arguments, container=container)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with an empty model `m`."""
    name = f"engine-{os.getpid() % 10000}"
    patch = pytest.MonkeyPatch()
    patch.setenv("DAYBREAK_INSTANCE", name)
    patch.delenv("OPERATOR_DISPATCH", raising=False)
    made = Engine(name, tmp_path_factory.mktemp("charms"))
    try:
        made.juju.cli("add-model", "m", include_model=False)
        yield made
    finally:
        made.run("remove")
        patch.undo()


@pytest.fixture
def emptied(engine: Engine) -> Iterator[Engine]:
    """The engine; what the test deployed is removed after it, also when it failed."""
    engine.mark()
    yield engine
    status = engine.juju.status()
    for name in status.apps:
        if any(
            unit.workload_status.current == "error" for unit in status.apps[name].units.values()
        ):
            engine.juju.config(name, {"fail": ""})
        engine.juju.remove_application(name, destroy_storage=True)
    engine.juju.wait(lambda status: not status.apps, delay=0.3)
