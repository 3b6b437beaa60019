"""The changes and faults that are run under load, in this order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jubilant

from ..clouds import PROGRAMS, eventually, podman, program, variant
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
        charm = variant(stage.directory, f"{application}-k8s", {"revision.txt": name})
        stage.juju.refresh(application, path=charm)

    return Scenario(name, says, change, restarts=(application,))


_UNDRAINED = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


def _undrain(stage: Stage) -> None:
    """Roll gateway and Keystone to charms whose drain does nothing; the way back is what is measured."""
    files = {"daybreak_charm/drain.sh": _UNDRAINED}
    for application in UNITS:
        stage.juju.refresh(application, path=variant(stage.directory, f"{application}-k8s", files))


def _redrain(stage: Stage) -> None:
    for application in UNITS:
        stage.juju.refresh(application, path=variant(stage.directory, f"{application}-k8s", {}))


def _rotate(
    name: str, says: str, unit: str, action: str, *restarts: str, **params: str
) -> Scenario:
    """Return the rotation of something by an action."""

    def change(stage: Stage) -> None:
        stage.juju.run(unit, action, params or None)

    return Scenario(name, says, change, restarts=restarts)


def _authority(stage: Stage) -> str:
    results = stage.juju.run("certificates/leader", "get-ca-certificate").results
    return str(results["ca-certificate"])


def _rotate_authority(stage: Stage) -> None:
    """Users do what they are told to: fetch the bundle while both authorities are in it."""
    stage.juju.config("certificates", {"ca-overlap": "0"})
    stage.notes["authority"] = _authority(stage)
    stage.juju.run("certificates/leader", "rotate-ca")
    both = _authority(stage)
    assert both.count("BEGIN CERTIFICATE") == 2
    assert stage.load
    stage.load.trust(both)


def _authority_followed(stage: Stage) -> bool:
    now = _authority(stage)
    return now.count("BEGIN CERTIFICATE") == 1 and now.strip() != stage.notes["authority"].strip()


def _trust_anew(stage: Stage) -> None:
    stage.account = stage.cloud.account()


VISITOR = "visitor"
_OURS = Path(__file__).with_name(VISITOR)


def _invite(stage: Stage) -> None:
    """Deploy a service with a user in Keystone, and wait until it has logged in."""
    files = {name: (_OURS / name).read_text() for name in ("metadata.yaml", "config.yaml")}
    code = {f"src/{name}": (_OURS / name).read_text() for name in ("charm.py", "visit.py")}
    # Like memcached it needs the library alone.
    charm = variant(stage.directory, "memcached-k8s", {**files, **code, "actions.yaml": "{}"})
    resources = json.loads(stage.juju.cli("resources", "keystone", "--format", "json"))
    image = next(item["value"] for item in resources["resources"] if item["value"])
    stage.juju.deploy(charm, VISITOR, resources={"visitor-image": image}, trust=True)
    stage.juju.integrate(f"{VISITOR}:identity-service", "keystone:identity-service")
    stage.juju.integrate(f"{VISITOR}:receive-ca-cert", "certificates:send-ca-cert")
    eventually(lambda: _visits(stage), "the service has logged in", timeout=300, period=2)


def _visits(stage: Stage) -> list[list[str]]:
    """Return user and answer of each login of the service."""
    try:
        path = "/var/lib/visitor/visits"
        text = stage.juju.ssh(f"{VISITOR}/0", "cat", path, container=VISITOR)
    except jubilant.CLIError:
        return []  # there is none yet
    return [line.split() for line in text.splitlines()]


def _rotate_service_user(stage: Stage) -> None:
    stage.notes["service user before"] = _visits(stage)[-1][0]
    stage.juju.run("keystone/leader", "rotate-credentials", {"application": VISITOR})


def _service_user_followed(stage: Stage) -> bool:
    """The service logs in as another user, and the one before is gone."""
    visits = _visits(stage)
    before = stage.notes["service user before"]
    stage.notes["service user logins"] = len(visits)
    stage.notes["service user refused"] = sum(said != "201" for _, said in visits)
    if visits[-1][0] == before:
        return False
    words = ("user", "list", "--domain", "service_domain")
    names = {one["Name"] for one in stage.cloud.client(stage.account, stage.directory, *words)}
    return visits[-1][0] in names and before not in names


def _see_off(stage: Stage) -> None:
    stage.juju.cli("remove-application", VISITOR, "--no-prompt")
    eventually(lambda: VISITOR not in stage.juju.status().apps, "the service is gone", timeout=120)


def _upgrade(stage: Stage) -> None:
    assert stage.cloud.instance
    words = ("-m", "daybreak", "upgrade", "keystone", "--to", "2026.1")
    stage.notes["said"] = program(PROGRAMS / "python", *words, instance=stage.cloud.instance)


def _upgrade_and_kill(stage: Stage) -> None:
    """Kill the leader when the first unit of the new release has expanded the schema."""
    status = stage.juju.status().apps["keystone"]
    leader = next(name for name, unit in status.units.items() if unit.leader)
    with ThreadPoolExecutor(1) as pool:
        upgrade = pool.submit(_upgrade, stage)
        eventually(lambda: _expanded(stage), "the schema is expanded", timeout=300, period=1)
        kill(stage.cloud, leader)
        assert stage.load
        stage.notes |= {"killed": leader, "killed at": round(stage.load.now, 2)}
        upgrade.result()


def _expanded(stage: Stage) -> bool:
    """Whether the top unit serves with the new release, which it does not before the expansion."""
    found = stage.since("keystone")
    top = max(found)
    return bool(found[top]) and found[top] != stage.began["keystone"].get(top)


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
    def change(stage: Stage) -> None:
        stage.began[application] = stage.since(application)
        kill(stage.cloud, unit)

    def over(stage: Stage) -> bool:
        now = stage.since(application).get(unit)
        return bool(now) and now != stage.began[application].get(unit)

    return Scenario(
        f"kill-{application}",
        f"`kill -9` of all containers of {unit}",
        change,
        over,
        failures="some",
        published=published,
    )


def _restart_database(stage: Stage) -> None:
    stage.juju.ssh("mariadb/0", "/charm/bin/pebble", "restart", "mariadb", container="mariadb")


SCENARIOS = (
    Scenario(
        "upgrade-leader-killed",
        "2025.1 to 2026.1, `kill -9` of the leader's pod after expand",
        _upgrade_and_kill,
        restarts=("keystone",),
        failures="in flight",
        release="2025.1",
    ),
    Scenario(
        "upgrade",
        "2025.1 to 2026.1 by `daybreak upgrade keystone`",
        _upgrade,
        restarts=("keystone",),
        release="2025.1",
    ),
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
    _rotate(
        "rotate-database-user",
        "Keystone's user in the database",
        "mariadb/leader",
        "rotate-credentials",
        "keystone",
    ),
    _rotate("rotate-fernet-keys", "keys of tokens", "keystone/leader", "rotate-keys"),
    _rotate(
        "rotate-credential-keys",
        "keys of stored credentials",
        "keystone/leader",
        "rotate-keys",
        which="credential",
    ),
    _rotate(
        "rotate-certificates",
        "all certificates and their private keys",
        "certificates/leader",
        "rotate-certificates",
        "keystone",
    ),
    Scenario(
        "rotate-ca",
        "the certificate authority; users fetch its certificates anew while there are two",
        _rotate_authority,
        _authority_followed,
        restarts=("keystone",),
        tidy=_trust_anew,
    ),
    Scenario(
        "rotate-service-user",
        "the user of a related service, which logs in twice a second all the while",
        _rotate_service_user,
        _service_user_followed,
        prepare=_invite,
        tidy=_see_off,
    ),
    Scenario(
        "no-controller",
        "the engine's daemon is stopped, then the pod of keystone/1 is ended by podman",
        _without_controller,
    ),
    Scenario(
        "without-drain",
        "the counter-proof: gateway and Keystone leave charms whose drain does nothing",
        _redrain,
        restarts=tuple(UNITS),
        failures="proof",
        prepare=_undrain,
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
