"""Whole commands through `main`, with the programs they start replaced by the strict fake."""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING

import pytest

from daybreak import __main__, bootstrap, places, preflight
from daybreak.commands import COMMANDS

from .conftest import STATUS, Programs, application, settled, status_json, unit

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = (
    "localhost/daybreak/charm-base:24.04",
    "localhost:32000/daybreak/keystone:2026.1",
    "localhost:32000/daybreak/mariadb:11.8",
)
LIST = ("python", "-m", "daybreak_images", "list", *IMAGES)
BUILD = ("python", "-m", "daybreak_images", "build", *IMAGES)
PACK = ("python", "tools/pack", "keystone-k8s", "mariadb-k8s")
START = ("daybreak-engine", "--instance", "unit-test", "start")
REMOVE = ("daybreak-engine", "--instance", "unit-test", "remove")
ADD_MODEL = ("juju", "add-model", "openstack")
DEPLOY = ("juju", "deploy", "--model", "openstack", "bundles/openstack.yaml", "--trust")
ACCOUNT = (
    "juju", "run", "--model", "openstack", "--format", "json",
    "keystone/leader", "get-admin-account", "--wait", "60s",
)  # fmt: skip
TOKEN = ("openstack", "token", "issue", "-f", "value", "-c", "expires")

LISTED = "".join(f"{image.rpartition('/')[2]}  built  {image}\n" for image in IMAGES)
UP_TO_DATE = "".join(f"{image.rpartition('/')[2]}: up to date\n" for image in IMAGES)
NO_MODEL = {"code": 1, "stdout": "{}\n", "stderr": "ERROR model openstack not found\n"}
ACCOUNT_RESULTS = {
    "username": "admin",
    "password": "hunter2",
    "user-domain-name": "admin_domain",
    "project-name": "admin",
    "project-domain-name": "admin_domain",
    "region": "RegionOne",
    "public-endpoint": "http://10.9.0.1/openstack-keystone/v3",
}
TASK = json.dumps({"keystone/0": {"id": "2", "status": "completed", "results": ACCOUNT_RESULTS}})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes only by sleeping; the list holds the sleeps."""
    sleeps: list[float] = []
    fake = bootstrap.Clock(now=lambda: sum(sleeps), sleep=sleeps.append)
    monkeypatch.setattr(bootstrap, "Run", functools.partial(bootstrap.Run, clock=fake))
    return sleeps


@pytest.fixture
def ready(machine: Programs, bundle: Path, instance: places.Instance, clock) -> Programs:
    """A machine with images, on which the first bootstrap starts."""
    socket = instance.run / "engine.sock"

    def start() -> None:
        instance.state.mkdir(parents=True, exist_ok=True)
        instance.run.mkdir(parents=True, exist_ok=True)
        socket.touch()

    machine.expect(*LIST, stdout=LISTED)
    machine.expect(*BUILD, stdout=UP_TO_DATE)
    machine.expect(*PACK, stdout="keystone-k8s: packed in 3.0 s\nmariadb-k8s: up to date\n")
    machine.expect(*PACK, stdout="keystone-k8s: up to date\nmariadb-k8s: up to date\n")
    machine.expect(*START, effect=start)
    machine.expect(*STATUS, **NO_MODEL)
    machine.expect(*ADD_MODEL)
    machine.expect(*DEPLOY)
    machine.expect(*ACCOUNT, stdout=TASK)
    machine.expect(*TOKEN, stdout="2026-11-22T19:00:00+0000\n")
    return machine


def test_bootstrap_ends_with_a_token_and_what_to_try_next(ready: Programs, capsys):
    ready.expect(
        *STATUS,
        stdout=status_json(
            db=application("mariadb-k8s", unit("maintenance", "installing"), name="db")
        ),
    )
    ready.expect(*STATUS, stdout=settled())

    assert __main__.main(["bootstrap"]) == 0

    out = capsys.readouterr().out
    assert ready.calls.index(ADD_MODEL) < ready.calls.index(DEPLOY) < ready.calls.index(TOKEN)
    assert "db/0            maintenance  installing" in out
    assert "keystone-k8s: packed in 3.0 s" in out
    assert "up to date" not in out
    assert "keystone        waiting      not deployed yet" in out
    assert "http://10.9.0.1/openstack-keystone/v3" in out
    assert 'eval "$(./daybreak openrc --instance unit-test)"' in out
    assert "hunter2" not in out


def test_a_bootstrap_knows_how_long_the_last_one_took(ready: Programs, instance, clock, capsys):
    working = status_json(db=application("mariadb-k8s", unit("maintenance"), name="db"))
    for text in (working, working, settled()):
        ready.expect(*STATUS, stdout=text)
    assert __main__.main(["bootstrap"]) == 0
    assert "usually" not in capsys.readouterr().out

    ready.known[STATUS] = []
    ready.expect(*STATUS, **NO_MODEL)
    ready.expect(*STATUS, stdout=settled())
    assert __main__.main(["bootstrap"]) == 0

    assert "usually 1 s, as the last time here" in capsys.readouterr().out


def test_the_client_gets_the_account_by_its_environment(ready: Programs):
    ready.expect(*STATUS, stdout=settled())

    __main__.main(["bootstrap"])

    environment = ready.environments[ready.calls.index(TOKEN)]
    assert environment["OS_PASSWORD"] == "hunter2"
    assert environment["OS_USER_DOMAIN_NAME"] == "admin_domain"
    assert environment["OS_INTERFACE"] == "public"


def test_a_second_bootstrap_deploys_nothing(ready: Programs, capsys):
    ready.known[STATUS] = []
    ready.expect(*STATUS, stdout=settled())

    assert __main__.main(["bootstrap"]) == 0
    capsys.readouterr()
    ready.calls.clear()
    assert __main__.main(["bootstrap"]) == 0

    out = capsys.readouterr().out
    assert DEPLOY not in ready.calls
    assert ADD_MODEL not in ready.calls
    marks = [line.split()[0] for line in out.splitlines() if line[:1].isalpha()]
    assert marks[1:7] == ["done", "there", "there", "there", "there", "there"]


def test_a_further_bootstrap_takes_the_bundle_of_the_first(ready: Programs, capsys):
    """Who has chosen a small one does not get a whole cloud by going on."""
    deploy = ("juju", "deploy", "--model", "openstack", "bundles/identity.yaml", "--trust")
    ready.expect(*deploy)
    ready.expect(*STATUS, stdout=settled())

    assert __main__.main(["bootstrap", "--bundle", "identity"]) == 0
    assert deploy in ready.calls
    capsys.readouterr()
    assert __main__.main(["bootstrap"]) == 0

    assert "daybreak: bundle identity, instance unit-test" in capsys.readouterr().out


def test_an_interrupted_bootstrap_goes_on(ready: Programs, capsys):
    ready.known[DEPLOY] = []
    ready.expect(*DEPLOY, effect=_interrupt)
    ready.expect(*DEPLOY)

    assert __main__.main(["bootstrap"]) == 130
    assert "run `daybreak bootstrap` again" in capsys.readouterr().err

    ready.known[STATUS] = []
    ready.expect(*STATUS, stdout=status_json())
    ready.expect(*STATUS, stdout=settled())
    assert __main__.main(["bootstrap"]) == 0
    assert ready.calls.count(ADD_MODEL) == 1


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_bootstrap_reports_json(ready: Programs, capsys):
    ready.expect(*STATUS, stdout=settled())

    assert __main__.main(["bootstrap", "--format", "json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert report["instance"] == "unit-test"
    assert report["auth_url"] == ACCOUNT_RESULTS["public-endpoint"]
    assert [step["title"] for step in report["steps"]][-1] == "Issue a token"


def test_a_dry_run_starts_nothing_that_changes(ready: Programs, instance, monkeypatch, capsys):
    ready.known[LIST] = []
    ready.expect(*LIST, stdout=LISTED.replace("built", "-", 1))
    for words in (BUILD, PACK, START, ADD_MODEL, DEPLOY, TOKEN):
        del ready.known[words]
    monkeypatch.setattr(
        preflight.urllib.request, "urlopen", lambda *a, **k: contextlib.nullcontext()
    )

    assert __main__.main(["bootstrap", "--dry-run"]) == 0

    out = capsys.readouterr().out
    assert "would    Build images" in out
    assert "charm-base:24.04" in out
    assert not instance.exists


def test_time_is_up_says_what_waits_for_what(ready: Programs, clock, capsys):
    waits = unit("waiting", "database: waiting for db")
    ready.expect(
        *STATUS,
        stdout=status_json(
            db=application("mariadb-k8s", unit(), name="db"),
            keystone=application("keystone-k8s", waits, name="keystone"),
        ),
    )

    assert __main__.main(["bootstrap", "--timeout", "60"]) == 1

    err = capsys.readouterr().err
    assert "not everything was active within 60 s" in err
    assert "keystone/0: waiting: database: waiting for db" in err
    assert 60 <= sum(clock) < 62


def test_what_waits_for_a_person_is_not_waited_for(ready: Programs, clock, capsys):
    blocked = unit("blocked", "config-overrides: no option tokn, did you mean token?")
    ready.expect(
        *STATUS,
        stdout=status_json(
            db=application("mariadb-k8s", unit(), name="db"),
            keystone=application("keystone-k8s", blocked, name="keystone"),
        ),
    )

    assert __main__.main(["bootstrap"]) == 1

    assert "did you mean token?" in capsys.readouterr().err
    assert sum(clock) < 40


def test_a_bundle_that_juju_refuses_shows_its_words(ready: Programs, capsys):
    ready.known[DEPLOY] = []
    ready.expect(*DEPLOY, code=1, stderr="ERROR charm path does not exist: /x\n")

    assert __main__.main(["bootstrap"]) == 1

    err = capsys.readouterr().err
    assert "ERROR charm path does not exist: /x" in err
    assert "-> Correct" in err


def test_a_build_that_fails_shows_the_builders_last_lines(ready: Programs, capsys):
    ready.known[BUILD] = []
    ready.expect(*BUILD, code=1, stdout="keystone:2026.1: building\n", stderr="error: no wheel\n")

    assert __main__.main(["bootstrap"]) == 1

    err = capsys.readouterr().err
    assert "could not build the images (exit code 1)" in err
    assert "error: no wheel" in err


def test_a_machine_that_is_not_ready_gets_all_remedies(ready: Programs, monkeypatch, capsys):
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(preflight.shutil, "which", lambda name, path=None: None)
    ready.calls.append(("none",))

    assert __main__.main(["bootstrap"]) == 1

    err = capsys.readouterr().err
    assert "sudo ./daybreak bootstrap" in err
    assert "apt-get install" in err
    assert not any("juju" in call for call in ready.calls)


@pytest.mark.parametrize("name", ["Bad", "-a", "a-", "a" * 21, "a.b", "9a"])
def test_a_name_that_cannot_be_an_instance(name: str, capsys):
    assert __main__.main(["status", f"--instance={name}"]) == 2
    assert "cannot be the name of an instance" in capsys.readouterr().err


# --- status, env, openrc, destroy


@pytest.fixture
def cloud_there(programs: Programs, instance: places.Instance) -> Programs:
    instance.state.mkdir(parents=True)
    instance.run.mkdir(parents=True)
    (instance.run / "engine.sock").touch()
    return programs


def test_status_of_what_is_not_there_names_the_others(programs: Programs, instance, capsys):
    programs.calls.append(("none",))
    (instance.state.parent / "other").mkdir(parents=True)

    assert __main__.main(["status"]) == 1

    err = capsys.readouterr().err
    assert 'no instance "unit-test"' in err
    assert "There is: other" in err


def test_env_puts_only_the_operators_programs_on_path(
    programs: Programs, home: places.Home, instance, capsys, monkeypatch
):
    programs.calls.append(("none",))
    monkeypatch.setenv("PATH", f"{home.links}:/usr/bin:/bin")

    assert __main__.main(["env"]) == 0

    out = capsys.readouterr().out
    assert out == f"export PATH={home.links}:/usr/bin:/bin\nexport DAYBREAK_INSTANCE=unit-test\n"
    assert (home.links / "juju").resolve() == home.program("juju")
    assert not (home.links / "python").exists()


def test_openrc_writes_the_certificate_and_prints_exports(
    cloud_there: Programs, instance: places.Instance, capsys
):
    results = ACCOUNT_RESULTS | {"public-endpoint": "https://10.9.0.1/k/v3", "password": "a b'c"}
    task = {"keystone/0": {"id": "2", "status": "completed", "results": results}}
    ca_action = (
        "juju", "run", "--model", "openstack", "--format", "json",
        "ca/leader", "get-ca-certificate", "--wait", "60s",
    )  # fmt: skip
    ca_task = {"id": "3", "status": "completed", "results": {"ca-certificate": "PEM"}}
    cloud_there.expect(
        *STATUS, stdout=settled(ca=application("certificates-k8s", unit(), name="ca"))
    )
    cloud_there.expect(*ACCOUNT, stdout=json.dumps(task))
    cloud_there.expect(*ca_action, stdout=json.dumps({"ca/0": ca_task}))

    assert __main__.main(["openrc"]) == 0

    out = capsys.readouterr().out
    assert f"export OS_CACERT={instance.ca_file}\n" in out
    assert "export OS_PASSWORD='a b'\"'\"'c'\n" in out
    assert instance.ca_file.read_text() == "PEM\n"
    assert instance.ca_file.stat().st_mode & 0o777 == 0o644


def test_openrc_of_a_keystone_that_refuses_says_why(cloud_there: Programs, capsys):
    task = {"keystone/0": {"id": "2", "status": "failed", "message": "not bootstrapped yet"}}
    cloud_there.expect(*STATUS, stdout=settled())
    cloud_there.expect(*ACCOUNT, stdout=json.dumps(task))

    assert __main__.main(["openrc"]) == 1

    assert "not bootstrapped yet" in capsys.readouterr().err


DASHBOARD = (
    "juju", "run", "--model", "openstack", "--format", "json",
    "horizon/leader", "get-dashboard-url", "--wait", "60s",
)  # fmt: skip


@pytest.mark.parametrize("shown", [False, True])
def test_the_dashboards_address_and_account(cloud_there: Programs, shown: bool, capsys):
    url = {"url": "http://10.9.0.1/openstack-horizon/"}
    task = {"horizon/0": {"id": "3", "status": "completed", "results": url}}
    cloud_there.expect(
        *STATUS, stdout=settled(horizon=application("horizon-k8s", unit(), name="horizon"))
    )
    cloud_there.expect(*DASHBOARD, stdout=json.dumps(task))
    cloud_there.expect(*ACCOUNT, stdout=TASK)

    assert __main__.main(["dashboard", *(["--show-password"] if shown else [])]) == 0

    out = capsys.readouterr().out
    assert "URL        http://10.9.0.1/openstack-horizon/" in out
    assert "domain     admin_domain" in out
    assert ("hunter2" in out) is shown


def test_a_cloud_without_dashboard_says_so(cloud_there: Programs, capsys):
    cloud_there.expect(*STATUS, stdout=settled())

    assert __main__.main(["dashboard"]) == 1

    err = capsys.readouterr().err
    assert "this cloud has no dashboard" in err
    assert "horizon-k8s" in err


DESTROY = (
    "juju", "destroy-model", "openstack", "--no-prompt", "--destroy-storage", "--force",
    "--timeout", "60s",
)  # fmt: skip


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)


def _gone(instance: places.Instance):
    def remove() -> None:
        import shutil

        for directory in (instance.state, instance.run):
            shutil.rmtree(directory, ignore_errors=True)

    return remove


def test_destroy_removes_the_model_and_the_instance(cloud_there: Programs, root, instance, capsys):
    cloud_there.expect(*DESTROY)
    cloud_there.expect(*REMOVE, effect=_gone(instance))

    assert __main__.main(["destroy", "--yes"]) == 0

    out = capsys.readouterr().out
    assert f"its data, databases and secrets included: {instance.state}" in out
    assert "this checkout" in out
    assert not instance.exists


def test_destroy_of_a_half_made_instance_needs_no_engine(
    programs: Programs, root, instance: places.Instance
):
    instance.state.mkdir(parents=True)
    programs.expect(*REMOVE, effect=_gone(instance))

    assert __main__.main(["destroy", "--yes"]) == 0


def test_destroy_goes_on_when_the_model_resists(cloud_there: Programs, root, instance, capsys):
    cloud_there.expect(*DESTROY, code=1, stderr="ERROR timed out\n")
    cloud_there.expect(*REMOVE, effect=_gone(instance))

    assert __main__.main(["destroy", "--yes"]) == 0
    assert "ERROR timed out" in capsys.readouterr().out


def test_destroy_that_leaves_something_fails(cloud_there: Programs, root, instance, capsys):
    cloud_there.expect(*DESTROY)
    cloud_there.expect(*REMOVE)

    assert __main__.main(["destroy", "--yes"]) == 1
    assert f"left over: {instance.state}" in capsys.readouterr().err


def test_destroy_without_terminal_wants_yes(cloud_there: Programs, root, monkeypatch, capsys):
    cloud_there.calls.append(("none",))
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    assert __main__.main(["destroy"]) == 2
    assert "--yes" in capsys.readouterr().err


def test_purge_is_refused_while_others_use_the_images(
    cloud_there: Programs, root, instance, capsys
):
    cloud_there.calls.append(("none",))
    (instance.state.parent / "other").mkdir()

    assert __main__.main(["destroy", "--yes", "--purge"]) == 1
    assert "other instances use the images: other" in capsys.readouterr().err
    assert instance.exists


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_examples(command: str, capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.main([command, "--help"])

    assert caught.value.code == 0
    assert "Examples:" in capsys.readouterr().out


# --- node


NODES = json.dumps(
    {
        "node-0": {
            "address": "10.1.0.16",
            "labels": {"kubernetes.io/hostname": "node-0", "role": "compute"},
            "pods": ["agents-abcde"],
        }
    }
)


def test_nodes_are_listed_added_and_removed(cloud_there: Programs, capsys):
    cloud_there.expect("juju", "nodes", "--model", "openstack", "--format", "json", stdout=NODES)
    cloud_there.expect("juju", "add-node", "--model", "openstack", "node-1", "a=b")
    cloud_there.expect("juju", "remove-node", "--model", "openstack", "node-1")

    assert __main__.main(["node", "list"]) == 0
    shown = capsys.readouterr().out
    assert "agents-abcde" in shown
    assert "role=compute" in shown
    assert "hostname" not in shown
    assert __main__.main(["node", "add", "node-1", "a=b"]) == 0
    assert __main__.main(["node", "remove", "node-1"]) == 0


def test_what_the_engine_says_of_a_node_is_what_the_operator_reads(cloud_there: Programs, capsys):
    stderr = "ERROR node node-7 not found\n"
    cloud_there.expect(
        "juju", "remove-node", "--model", "openstack", "node-7", code=1, stderr=stderr
    )
    assert __main__.main(["node", "remove", "node-7"]) == 1
    assert "daybreak: node node-7 not found" in capsys.readouterr().err


@pytest.mark.parametrize("line", [["list", "x"], ["add"], ["remove"], ["remove", "x", "a=b"]])
def test_words_that_do_not_fit_are_refused(line: list[str], instance, home):
    assert __main__.main(["node", *line]) == 2
