"""The order of hooks and their environment, as a running Juju was seen to do it (contract, appendix A to G)."""

import json
import os
import shlex
import signal
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import jubilant
import pytest

from . import charm
from .conftest import Engine

pytestmark = pytest.mark.pods

# Contract 1.2: a closed list. `PWD` and `SHLVL`, `_` are the shell's own.
ENVIRONMENT = {
    *("APT_LISTCHANGES_FRONTEND", "CHARM_DIR", "CLOUD_API_VERSION", "DEBIAN_FRONTEND"),
    *("JUJU_ACTION_NAME", "JUJU_ACTION_TAG", "JUJU_ACTION_UUID"),
    *("JUJU_AGENT_SOCKET_ADDRESS", "JUJU_AGENT_SOCKET_NETWORK", "JUJU_API_ADDRESSES"),
    *("JUJU_AVAILABILITY_ZONE", "JUJU_CHARM_DIR", "JUJU_CHARM_FTP_PROXY", "JUJU_CHARM_HTTPS_PROXY"),
    *("JUJU_CHARM_HTTP_PROXY", "JUJU_CHARM_NO_PROXY", "JUJU_CONTEXT_ID", "JUJU_HOOK_NAME"),
    *("JUJU_MACHINE_ID", "JUJU_MODEL_NAME", "JUJU_MODEL_UUID", "JUJU_PRINCIPAL_UNIT"),
    *("JUJU_UNIT_NAME", "JUJU_VERSION", "LANG", "PATH", "TERM", "PWD", "SHLVL", "_"),
    *("KUBERNETES_PORT", "KUBERNETES_PORT_443_TCP", "KUBERNETES_PORT_443_TCP_ADDR"),
    *("KUBERNETES_PORT_443_TCP_PORT", "KUBERNETES_PORT_443_TCP_PROTO", "KUBERNETES_SERVICE_HOST"),
    *("KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS"),
}


def test_fresh_unit_runs_hooks_in_jujus_order(emptied: Engine) -> None:
    emptied.deploy("a")
    emptied.settle("a")
    hooks = emptied.hooks("a/0")
    assert hooks[:3] == ["install", "mates-relation-created", "leader-elected"]
    assert hooks.index("start") == hooks.index("config-changed") + 1
    once = ("install", "leader-elected", "start", "data-storage-attached", "main-pebble-ready")
    assert all(hooks.count(name) == 1 for name in (*once, "side-pebble-ready"))
    environment = emptied.juju.exec("env", unit="a/0").stdout.splitlines()
    assert {line.partition("=")[0] for line in environment} == ENVIRONMENT


def test_relation_is_told_to_both_sides_and_ends_cleanly(emptied: Engine) -> None:
    emptied.deploy("p")
    emptied.deploy("q")
    emptied.settle("p", "q")
    emptied.mark()
    emptied.juju.integrate("p:out", "q:inp")
    emptied.wait(lambda: emptied.hooks("q/0").count("inp-relation-changed") >= 2)
    emptied.settle("p", "q")
    told = emptied.hooks("q/0")
    assert told[0] == "inp-relation-created"
    assert told.index("inp-relation-changed", told.index("inp-relation-joined")) == (
        told.index("inp-relation-joined") + 1
    )
    number = emptied.juju.exec("relation-ids inp", unit="q/0").stdout.strip()
    read = emptied.juju.exec(f"relation-get -r {number} url p/0", unit="q/0")
    assert read.stdout.strip() == "http://out"
    shared = emptied.juju.exec(f"relation-get -r {number} --app shared p", unit="q/0")
    assert shared.stdout.strip() == "yes"
    emptied.mark()
    emptied.juju.remove_relation("p:out", "q:inp")
    emptied.wait(lambda: "out-relation-broken" in emptied.hooks("p/0"))
    emptied.settle("p", "q")
    assert emptied.hooks("q/0") == ["inp-relation-departed", "inp-relation-broken"]


def test_failed_hook_leaves_no_trace_and_is_retried(emptied: Engine) -> None:
    emptied.deploy("a")
    emptied.settle("a")
    emptied.mark()
    emptied.juju.config("a", {"fail": "config-changed"})
    status = emptied.juju.wait(jubilant.any_error, delay=0.3)
    unit = status.apps["a"].units["a/0"]
    assert unit.workload_status.message == 'hook failed: "config-changed"'
    assert unit.juju_status.current == "idle"
    peers = emptied.juju.exec("relation-ids mates", unit="a/0").stdout.strip()
    databag = emptied.juju.exec(f"relation-get -r {peers} - a/0", unit="a/0").stdout
    assert "lost" not in databag
    assert emptied.juju.run("a/0", "whoami").results["greeting"] == "hello"
    emptied.juju.config("a", {"fail": ""})
    emptied.juju.cli("resolved", "a/0")
    emptied.settle("a")
    assert set(emptied.hooks("a/0")) <= {"config-changed", "whoami"}


def test_scaling_tells_peers_and_gives_new_storage(emptied: Engine) -> None:
    emptied.deploy("a")
    emptied.settle("a")
    emptied.juju.add_unit("a")
    emptied.settle("a", units=2)
    assert "mates-relation-joined" in emptied.hooks("a/0")
    first = emptied.juju.exec("storage-list data", unit="a/1").stdout.strip()
    emptied.mark()
    emptied.juju.remove_unit("a", num_units=1)
    emptied.settle("a")
    gone = emptied.hooks("a/1")
    assert gone[-2:] == ["stop", "remove"]
    assert gone.index("data-storage-detaching") < gone.index("mates-relation-departed")
    assert "mates-relation-broken" not in gone
    assert emptied.hooks("a/0") == ["mates-relation-departed"]
    emptied.juju.add_unit("a")
    emptied.settle("a", units=2)
    assert emptied.juju.exec("storage-list data", unit="a/1").stdout.strip() != first


def test_refresh_replaces_pods_and_obeys_the_partition(emptied: Engine) -> None:
    emptied.deploy("a", units=2, trust=True)
    emptied.settle("a", units=2)
    _set_partition(emptied, "a", 1)
    emptied.juju.exec("state-set kept=yes", unit="a/1")
    emptied.mark()
    emptied.juju.refresh("a", path=str(charm.pack(emptied.charms, 1)))
    emptied.wait(lambda: "side-pebble-ready" in emptied.hooks("a/1"))
    emptied.settle("a", units=2)
    hooks = [name for name in emptied.hooks("a/1") if not name.startswith("mates")]
    assert hooks[:4] == ["stop", "upgrade-charm", "config-changed", "start"]
    assert set(hooks[4:]) == {"main-pebble-ready", "side-pebble-ready"}
    assert emptied.juju.run("a/1", "whoami").results["revision"] == "1"
    assert emptied.juju.exec("state-get kept", unit="a/1").stdout.strip() == "yes"
    assert emptied.juju.run("a/0", "whoami").results["revision"] == "0"
    _set_partition(emptied, "a", 0)
    emptied.wait(lambda: "side-pebble-ready" in emptied.hooks("a/0"))
    emptied.settle("a", units=2)
    assert emptied.juju.run("a/0", "whoami").results["revision"] == "1"


def test_constraints_limit_containers_and_change_pod_by_pod(emptied: Engine) -> None:
    emptied.deploy("a", units=2, trust=True, constraints={"mem": "192M", "cpu-power": "1500"})
    emptied.settle("a", units=2)
    assert _limits(emptied, "a/0", "main") == ["150000 100000", str(192 * 2**20), "no swap"]
    assert _limits(emptied, "a/0", "side") == _limits(emptied, "a/0", "main")
    assert _limits(emptied, "a/0", "charm") == ["unlimited", str(192 * 2**20), "no swap"]
    _set_partition(emptied, "a", 1)
    emptied.mark()
    emptied.juju.cli("set-constraints", "a", "mem=256M")
    emptied.wait(lambda: "side-pebble-ready" in emptied.hooks("a/1"))
    emptied.settle("a", units=2)
    hooks = [name for name in emptied.hooks("a/1") if not name.startswith("mates")]
    assert hooks[:4] == ["stop", "upgrade-charm", "config-changed", "start"]
    assert _limits(emptied, "a/1", "main") == ["unlimited", str(256 * 2**20), "no swap"]
    assert _limits(emptied, "a/0", "main")[1] == str(192 * 2**20)
    _set_partition(emptied, "a", 0)
    emptied.wait(lambda: "side-pebble-ready" in emptied.hooks("a/0"))
    emptied.settle("a", units=2)
    assert _limits(emptied, "a/0", "main")[1] == str(256 * 2**20)


def test_checks_and_notices_become_hooks(emptied: Engine) -> None:
    emptied.deploy("a")
    emptied.settle("a")
    emptied.mark()
    emptied.pebble("a/0", "main", "notify", "example.com/hello")
    emptied.wait(lambda: "main-pebble-custom-notice" in emptied.hooks("a/0"))
    assert "NOTICE_KEY=example.com/hello" in emptied.trace("a/0")[0]
    layer = "checks: {up: {override: replace, period: 200ms, threshold: 1, exec: {command: test -e /up}}}"
    emptied.juju.ssh(
        "a/0", "sh", "-c", f"'echo \"{layer}\" > /l.yaml; /charm/bin/pebble add up /l.yaml'",
        container="main",
    )  # fmt: skip
    emptied.wait(lambda: "main-pebble-check-failed" in emptied.hooks("a/0"))
    emptied.juju.ssh("a/0", "touch", "/up", container="main")
    emptied.wait(lambda: "main-pebble-check-recovered" in emptied.hooks("a/0"))


def test_pod_that_nothing_keeps_goes_when_the_daemon_comes_again(emptied: Engine) -> None:
    """What a daemon leaves that is killed between the end of a unit in the model and that of its pod."""
    name = f"db-{emptied.name}-stray-0-main"
    labels = {"instance": emptied.name, "unit": "stray-0", "container": "main"}
    flags = " ".join(f"--label=daybreak.{key}={value}" for key, value in labels.items())
    podman = f"{emptied.run('podman-env')}\npodman"
    start = f"run --detach --name={name} {flags} --network=none --entrypoint=/bin/sleep {charm.IMAGE} 600"
    subprocess.run(["sh", "-c", f"{podman} {start}"], check=True, capture_output=True)
    daemon = Path(f"/run/daybreak/{emptied.name}/engine.pid")
    os.kill(int(daemon.read_text()), signal.SIGKILL)
    ask = f"{podman} container exists {name}"
    emptied.wait(lambda: subprocess.run(["sh", "-c", ask], check=False).returncode == 1)


def test_container_and_daemon_come_back_after_kill(emptied: Engine) -> None:
    emptied.deploy("a")
    emptied.settle("a")
    emptied.mark()
    os.kill(emptied.pod("a/0", "main"), signal.SIGKILL)
    emptied.wait(lambda: "main-pebble-ready" in emptied.hooks("a/0"))
    emptied.settle("a")
    assert emptied.hooks("a/0") == ["main-pebble-ready"]
    paths = Path("/run/daybreak") / emptied.name
    before = int((paths / "engine.pid").read_text())
    os.kill(before, signal.SIGKILL)

    def another() -> bool:
        return int((paths / "engine.pid").read_text()) != before

    # No command may wake it: only its supervisor does.
    _poll(another)
    emptied.settle("a")
    assert emptied.hooks("a/0") == ["main-pebble-ready"]
    emptied.mark()
    os.kill(emptied.pod("a/0", "charm"), signal.SIGKILL)
    emptied.wait(lambda: emptied.hooks("a/0").count("side-pebble-ready") == 1)
    emptied.settle("a")
    hooks = emptied.hooks("a/0")
    assert hooks[0] == "start"
    assert sorted(hooks[1:]) == ["main-pebble-ready", "side-pebble-ready"]


def test_an_agent_whose_pod_ended_while_nothing_watched_is_lost_until_it_is_back(
    emptied: Engine,
) -> None:
    """Else whoever waits for an idle agent would take what it said before for the present."""
    emptied.deploy("a")
    emptied.settle("a")
    charm_pid, main_pid = emptied.pod("a/0", "charm"), emptied.pod("a/0", "main")
    emptied.run("stop")
    os.kill(charm_pid, signal.SIGKILL)
    os.kill(main_pid, signal.SIGKILL)
    emptied.run("start")
    agent = emptied.juju.status().apps["a"].units["a/0"].juju_status
    assert agent.current != "idle"
    emptied.settle("a")
    assert emptied.pod("a/0", "charm") != charm_pid


def test_secret_stays_out_of_log_and_processes(emptied: Engine) -> None:
    emptied.deploy("a")
    emptied.settle("a")
    made = emptied.juju.run("a/0", "secret", {"value": "pw-4711-secret"})
    assert made.results["id"].startswith("secret:")
    assert "pw-4711-secret" not in emptied.juju.cli("debug-log", "--limit", "0")
    shown = emptied.juju.show_secret(made.results["id"], reveal=True)
    assert shown.content == {"token": "pw-4711-secret"}


def _limits(engine: Engine, unit: str, container: str) -> list[str]:
    """Return processors (quota and period, in microseconds), memory in bytes, and swap, as the container sees it."""
    script = """
        cd /sys/fs/cgroup
        if [ -e memory.max ]; then
            cat cpu.max memory.max
            swap=$(cat memory.swap.max 2>/dev/null || echo 0)
        else
            echo "$(cat cpu/cpu.cfs_quota_us) $(cat cpu/cpu.cfs_period_us)"
            cat memory/memory.limit_in_bytes
            all=$(cat memory/memory.memsw.limit_in_bytes 2>/dev/null || cat memory/memory.limit_in_bytes)
            swap=$((all - $(cat memory/memory.limit_in_bytes)))
        fi
        echo "$swap"
    """
    told = engine.juju.ssh(unit, "sh", "-c", shlex.quote(script), container=container)
    cpus, memory, swap = told.split("\n")[:3]
    return [
        "unlimited" if cpus.split()[0] in ("max", "-1") else cpus,
        memory,
        "no swap" if swap == "0" else f"{swap} bytes of swap",
    ]


def _poll(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _set_partition(engine: Engine, application: str, partition: int) -> None:
    """Patch the StatefulSet as a charm does, with the service account of its pod."""
    account = Path("/var/lib/daybreak") / engine.name / "pods" / f"{application}-0/serviceaccount"
    environment = engine.juju.exec("env", unit=f"{application}/0").stdout.splitlines()
    host = dict(line.split("=", 1) for line in environment)["KUBERNETES_SERVICE_HOST"]
    request = urllib.request.Request(
        f"https://{host}/apis/apps/v1/namespaces/m/statefulsets/{application}",
        method="PATCH",
        data=json.dumps(
            {"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}}
        ).encode(),
        headers={
            "Authorization": f"Bearer {(account / 'token').read_text()}",
            "Content-Type": "application/merge-patch+json",
        },
    )
    tls = ssl.create_default_context(cafile=str(account / "ca.crt"))
    with urllib.request.urlopen(request, context=tls) as answer:
        changed = json.load(answer)
    assert changed["spec"]["updateStrategy"]["rollingUpdate"]["partition"] == partition
