"""MariaDB from one unit to three and back, changed and killed while rows are written through its proxies.

The tests are one course and run in their order; each leaves all units active. What they measure is written to
.daybreak/results/database, one file for each, and is in docs/reference/resilience.md.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jubilant
import pytest

from ..clouds import PROGRAMS, ROOT, Cloud, embedded, eventually

INSTANCE = "database-test"
RESULTS = ROOT / ".daybreak/results/database"
PROGRAM = Path(__file__).with_name("writer.py")
LONG = 900.0
RATE, THREADS = 20, 6
PROXY_SECONDS = 2
"""In which proxies see that a server does not listen any more."""

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.skipif(os.geteuid() != 0, reason="the engine needs root"),
]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with embedded(INSTANCE) as made:
        made.settle(timeout=LONG)
        text = base64.b64encode(PROGRAM.read_bytes()).decode()
        shell(made, "keystone", f"echo {text} | base64 -d > /tmp/writer.py")
        yield made


def shell(cloud: Cloud, place: str, script: str) -> str:
    """Run a line of shell in the container of a unit, `mariadb/0` or an application's first."""
    unit = place if "/" in place else f"{place}/0"
    container = unit.partition("/")[0]
    return cloud.juju.ssh(unit, "sh", "-c", shlex.quote(script), container=container)


def sql(cloud: Cloud, unit: str, statement: str) -> str:
    return shell(cloud, unit, f"mariadb -NBe {shlex.quote(statement)}").strip()


def member(cloud: Cloud, unit: str) -> str:
    """State of a member, and how many it sees."""
    names = "'wsrep_cluster_size', 'wsrep_cluster_status', 'wsrep_local_state_comment'"
    try:
        said = sql(cloud, unit, f"SHOW STATUS WHERE Variable_name IN ({names})")
    except jubilant.CLIError:
        return ""
    return " ".join(line.split("\t")[1] for line in said.splitlines())


def units(cloud: Cloud) -> list[str]:
    return sorted(cloud.juju.status().apps["mariadb"].units)


def whole(cloud: Cloud) -> bool:
    """Whether all members are synced in one cluster."""
    names = units(cloud)
    return all(
        sorted(member(cloud, u).split()) == sorted([str(len(names)), "Primary", "Synced"])
        for u in names
    )


def settled(cloud: Cloud) -> None:
    cloud.settle(timeout=LONG)
    eventually(lambda: whole(cloud), "all members are synced", LONG, 2)


def writer(cloud: Cloud) -> str:
    """The unit that is the writer, as any says that can be asked: one may be about to be replaced."""
    for unit in units(cloud):
        with contextlib.suppress(jubilant.CLIError):
            return sql(cloud, unit, "SELECT node FROM daybreak.writer").replace("-", "/")
    return ""


def kill(cloud: Cloud, *names: str) -> None:
    """End servers as a failure does, all at the same time."""
    line = shlex.quote("pkill -9 -x mariadbd")
    command = [PROGRAMS / "juju", "ssh", "--container", "mariadb"]
    started = [subprocess.Popen([*command, name, "sh", "-c", line]) for name in names]
    for process in started:
        process.wait()


@contextlib.contextmanager
def written(cloud: Cloud, name: str) -> Iterator[dict[str, Any]]:
    """Write rows all the while; the dictionary has what came of it afterwards. None that was committed may be lost."""
    line = "sed -n 's/^connection = //p' /etc/keystone/keystone.conf |"
    line += f" /opt/openstack/bin/python /tmp/writer.py 1800 {RATE} {THREADS}"
    process = subprocess.Popen(
        [PROGRAMS / "juju", "ssh", "--container", "keystone", "keystone/0", line],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    result: dict[str, Any] = {"name": name, "load average before": os.getloadavg()[0]}
    try:
        time.sleep(10)  # the baseline
        result["change at"] = round(time.time(), 2)
        yield result
        time.sleep(5)  # and what comes after
    finally:
        shell(cloud, "keystone", "touch /tmp/writer-stop")
        out, _ = process.communicate(timeout=300)
    result |= json.loads(out)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(
        json.dumps({key: value for key, value in result.items() if key not in ("failures", "slow")})
    )
    assert result["committed"] > 50
    assert not result["lost"]


def test_from_one_unit_to_three(cloud: Cloud):
    with written(cloud, "scale-out") as result:
        cloud.juju.cli("scale-application", "mariadb", "3")
        eventually(lambda: len(units(cloud)) == 3, "there are three units", LONG)
        settled(cloud)
    assert not result["failed"], result["failures"]


def test_a_refresh_of_all_units(cloud: Cloud):
    with written(cloud, "refresh") as result:
        before = writer(cloud)
        cloud.juju.refresh("mariadb", path=ROOT / "dist/mariadb-k8s.charm")
        revision = lambda: cloud.juju.status().apps["mariadb"]  # noqa: E731 - short
        eventually(lambda: revision().charm_rev, "the refresh is known")
        eventually(lambda: writer(cloud) not in ("", before), "the role has moved", LONG, 2)
        settled(cloud)
    assert not result["failed"], result["failures"]


def test_the_writer_is_killed(cloud: Cloud):
    with written(cloud, "kill-writer") as result:
        before = writer(cloud)
        kill(cloud, before)
        killed = time.time()
        eventually(lambda: writer(cloud) not in ("", before), "another one is the writer", LONG, 1)
        settled(cloud)
    # What came later waited for the next writer, though the killed one was started again at once.
    late = [one for one in result["failures"] if one["at"] > killed + PROXY_SECONDS]
    assert not late, late


def test_a_reader_is_killed(cloud: Cloud):
    with written(cloud, "kill-reader"):
        before = writer(cloud)
        kill(cloud, next(unit for unit in units(cloud) if unit != before))
        settled(cloud)
        assert writer(cloud) == before


def test_all_are_killed(cloud: Cloud):
    with written(cloud, "kill-all"):
        kill(cloud, *units(cloud))
        settled(cloud)


def test_two_of_three_are_killed(cloud: Cloud):
    with written(cloud, "kill-two"):
        before = writer(cloud)
        kill(cloud, before, next(unit for unit in units(cloud) if unit != before))
        settled(cloud)


def test_all_have_ended_in_order_and_the_newest_begins(cloud: Cloud):
    """What Galera cannot do: after a clean end nobody remembers who was there."""
    with written(cloud, "stop-all"):
        for unit in units(cloud):
            shell(cloud, unit, "/charm/bin/pebble stop --no-wait mariadb")
        for unit in units(cloud):
            eventually(lambda u=unit: not member(cloud, u), f"{unit} has ended", LONG, 1)
        for unit in reversed(units(cloud)):
            shell(cloud, unit, "/charm/bin/pebble start --no-wait mariadb")
        settled(cloud)


def test_from_three_units_to_one(cloud: Cloud):
    with written(cloud, "scale-in") as result:
        cloud.juju.cli("scale-application", "mariadb", "1")
        eventually(lambda: len(units(cloud)) == 1, "there is one unit", LONG, 1)
        settled(cloud)
    assert not result["failed"], result["failures"]
