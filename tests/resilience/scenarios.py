"""The changes and faults that are run under load, in this order."""

from __future__ import annotations

from collections.abc import Mapping

from ..clouds import podman
from ..pods import containers, frozen, kill
from .stage import UNITS, Scenario, Stage

MORE = {name: number + 1 for name, number in UNITS.items()}
_SOURCE = "OpenStack performance documentation, reliability test results version 2"


def _scale(name: str, before: Mapping[str, int], after: Mapping[str, int]) -> Scenario:
    """Return the scaling of applications, all of them at the same time."""

    def change(stage: Stage) -> None:
        for application, number in after.items():
            stage.juju.cli("scale-application", application, str(number))

    def over(stage: Stage) -> bool:
        apps = stage.juju.status().apps
        return all(len(apps[app].units) == number for app, number in after.items())

    says = ", ".join(f"{app} from {before[app]} to {number} units" for app, number in after.items())
    return Scenario(name, says, change, over, units=before)


def _configure(stage: Stage) -> None:
    stage.juju.config("keystone", {"config-overrides": "token: {expiration: 3599}"})


def _refresh(application: str, name: str, says: str) -> Scenario:
    """Return the roll of an application to another revision of its charm."""

    def change(stage: Stage) -> None:
        charm = stage.variant(f"{application}-k8s", {"revision.txt": name})
        stage.juju.refresh(application, path=charm)

    return Scenario(name, says, change, restarts=(application,))


def _without_controller(stage: Stage) -> None:
    """End a pod as a node that is drained does, while nothing runs that could react to it."""
    names = [name for name in containers(stage.cloud) if name.startswith("keystone-1-")]
    assert stage.load
    assert stage.cloud.instance
    with frozen(stage.cloud):
        began = stage.load.now
        prefix = f"db-{stage.cloud.instance}-"
        podman(stage.cloud.instance, "stop", "--time", "30", *(f"{prefix}{name}" for name in names))
        stage.notes["pod ended after"] = round(stage.load.now - began, 1)
        # Long enough to see users without this unit and without a controller.
        stage.load.wait(15)


def _kill(application: str, unit: str, published: str) -> Scenario:
    return Scenario(
        f"kill-{application}",
        f"`kill -9` of all containers of {unit}",
        lambda stage: kill(stage.cloud, unit),
        restarts=(application,),
        failures="some",
        published=published,
    )


def _restart_database(stage: Stage) -> None:
    stage.juju.ssh("mariadb/0", "/charm/bin/pebble", "restart", "mariadb", container="mariadb")


SCENARIOS = (
    Scenario("steady", "nothing is changed", lambda stage: None),
    _scale("scale-out", UNITS, MORE),
    _scale("scale-in", MORE, UNITS),
    Scenario(
        "config-change",
        "an option of Keystone that it reads when it starts",
        _configure,
        restarts=("keystone",),
    ),
    _refresh("keystone", "refresh", "keystone to another revision of its charm"),
    _refresh("gateway", "gateway-roll", "the gateway to another revision of its charm"),
    _refresh(
        "memcached", "memcached-roll", "memcached, one unit, to another revision of its charm"
    ),
    Scenario(
        "no-controller",
        "the engine's daemon is stopped, then the pod of keystone/1 is ended by podman",
        _without_controller,
    ),
    _kill(
        "keystone",
        "keystone/1",
        "one of three nodes: 0.04 ± 0.08 s down, MTTR 2.3 ± 0.2 s (Fuel 9);"
        f" 2.8 ± 1.1 s, MTTR 8.3 s (on Kubernetes). {_SOURCE}",
    ),
    _kill("gateway", "gateway/1", "none"),
    _kill("memcached", "memcached/0", f"restart: MTTR 19.2 s (on Kubernetes). {_SOURCE}"),
    _kill("mariadb", "mariadb/0", f"one of three servers: 14.7 ± 1.4 s down (Fuel 9). {_SOURCE}"),
    Scenario(
        "restart-mariadb",
        "restart of the only database server",
        _restart_database,
        restarts=("mariadb",),
        failures="some",
        published="none; with Galera and three units it is to be 0",
    ),
)
