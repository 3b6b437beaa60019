"""Clouds on a cluster, through `main`, on a machine that is strict about every outside command."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from daybreak import __main__, oci
from daybreak.preflight import GIB
from daybreak.providers import checks

from .conftest import application, status_json, unit
from .outside import SNAPS, Outside

if TYPE_CHECKING:
    pass

TRANSCRIPTS = Path(__file__).parent / "transcripts"
RANGE = "192.0.2.240-192.0.2.250"
MICROK8S = ("bootstrap", "--provider", "microk8s", "--metallb", RANGE)
JUJU = ("bootstrap", "--provider", "juju", "--controller", "prod")
IMAGES = ("localhost:32000/daybreak/keystone:2026.1", "localhost:32000/daybreak/mariadb:11.8")


def run(*words: str) -> int:
    return __main__.main(list(words))


def expected(name: str, outside: Outside) -> None:
    """Compare with the transcript that is kept; DAYBREAK_WRITE_DOCS=1 writes it."""
    path = TRANSCRIPTS / f"{name}.txt"
    text = "\n".join(line.replace(str(outside.home.path.parent), "") for line in outside.transcript)
    if os.environ.get("DAYBREAK_WRITE_DOCS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")
    assert path.read_text() == text + "\n"


def changing(outside: Outside) -> list[str]:
    """Return the commands that change something."""
    asks = (
        *("status", "list", "version", "info", "models", "controllers", "show-controller"),
        *("ls", "kubectl", "token", "get-admin-account", "layout"),
    )
    return [
        line
        for line in outside.transcript
        if not set(line.split()) & set(asks) or "--wait-ready" in line
    ]


# --- the happy paths


def test_a_bare_machine_gets_microk8s_juju_and_a_token(outside: Outside, capsys):
    assert run(*MICROK8S) == 0

    out = capsys.readouterr().out
    expected("microk8s", outside)
    assert "http://192.0.2.240/openstack-keystone/v3" in out
    assert "juju switch unit-test:openstack" in out
    assert "hunter2" not in out
    assert set(outside.imported) == set(IMAGES)
    assert outside.members == {"ubuntu"}


def test_a_second_run_on_microk8s_changes_nothing(outside: Outside, capsys):
    run(*MICROK8S)
    capsys.readouterr()
    outside.euid, outside.transcript = 0, []

    assert run("bootstrap") == 0

    lines = capsys.readouterr().out.splitlines()
    marks = [line.split()[0] for line in lines if line[:8].strip() in ("there", "done", "would")]
    # looking at the machine and the token are done each time
    assert marks == ["done", *["there"] * 15, "done"]
    assert changing(outside) == ["(root is given up for ubuntu)"]


def test_a_cluster_that_is_there_gets_the_bundle_and_nothing_else(prod: Outside, tmp_path, capsys):
    overlay = tmp_path / "images.yaml"
    overlay.write_text("applications: {}\n")

    assert run(*JUJU, "--overlay", str(overlay)) == 0

    expected("juju", prod)
    assert "juju switch prod:openstack" in capsys.readouterr().out
    prod.transcript = []
    assert run("bootstrap") == 0
    assert changing(prod) == []


def test_a_dry_run_says_every_command_and_runs_none(outside: Outside, instance, capsys):
    assert run(*MICROK8S, "--dry-run") == 0

    out = capsys.readouterr().out
    assert changing(outside) == []
    assert not outside.snaps
    assert not list(outside.user.home.iterdir())
    would = [" ".join(line.split()[1:]) for line in out.splitlines() if line.startswith("would")]
    said = "\n".join(would)
    outside.transcript = []
    run(*MICROK8S)
    for line in changing(outside):
        if line.split()[0] in ("snap", "microk8s", "usermod", "sudo"):
            words = line.replace("~", str(outside.user.home)).replace("/snap/bin/juju", "juju")
            assert words in said


# --- each step fails once, and the next run goes on


STEPS = (
    ("snap", "install", "microk8s"),
    ("microk8s", "status", "--wait-ready"),
    ("microk8s", "enable", "dns"),
    ("microk8s", "enable", "rbac"),
    ("microk8s", "enable", "hostpath-storage"),
    ("microk8s", "enable", f"metallb:{RANGE}"),
    ("usermod",),
    ("snap", "install", "juju"),
    ("sudo", "-H", "-u", "ubuntu", "--", "mkdir"),
    ("python", "-m", "daybreak_images", "layout"),
    ("microk8s", "images", "import"),
    ("sudo", "-H", "-u", "ubuntu", "-g", "snap_microk8s", "--", "/snap/bin/juju", "bootstrap"),
    ("sudo", "-H", "-u", "ubuntu", "-g", "snap_microk8s", "--", "/snap/bin/juju", "add-model"),
    ("/snap/bin/juju", "deploy"),
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: " ".join(step[-2:]))
def test_what_fails_once_is_gone_on_with(outside: Outside, step: tuple[str, ...], capsys):
    outside.trouble[step] = "error: connection reset by peer"

    assert run(*MICROK8S) == 1

    err = capsys.readouterr().err
    assert "connection reset by peer" in err
    assert "-> " in err
    outside.euid = 0
    before = changing(outside)
    outside.transcript = []
    assert run(*MICROK8S) == 0
    again = changing(outside)
    done = [line for line in before[:-1] if "--wait-ready" not in line and "root is" not in line]
    assert not set(done) & set(again), "what was done is not done again"


def test_ctrl_c_leaves_what_the_next_run_goes_on_with(outside: Outside, capsys, monkeypatch):
    real = outside._microk8s

    def interrupted(words: tuple[str, ...]) -> Any:
        if words[:2] == ("enable", "rbac"):
            raise KeyboardInterrupt
        return real(words)

    monkeypatch.setattr(outside, "_microk8s", interrupted)
    assert run(*MICROK8S) == 130
    assert "run `daybreak bootstrap` again" in capsys.readouterr().err

    monkeypatch.setattr(outside, "_microk8s", real)
    assert run(*MICROK8S) == 0


def test_the_network_that_goes_in_the_middle(outside: Outside, capsys):
    outside.trouble["snap", "install", "juju"] = "error: cannot perform: dial tcp: i/o timeout"

    assert run(*MICROK8S) == 1

    err = capsys.readouterr().err
    assert "i/o timeout" in err
    assert "snap changes" in err


# --- findings, each with its remedy


def strike(outside: Outside, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    match what:
        case "root":
            outside.euid = 1000
        case "memory":
            monkeypatch.setattr(os, "sysconf", lambda name: 4096 if "PAGE" in name else 1 << 18)
        case "disk":
            monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=GIB))
        case "ports":
            monkeypatch.setattr(checks, "_taken", lambda port: port == 16443)
        case "snapd":
            outside.snapd = False
        case "store":
            outside.store = False
        case "classic":
            outside.snaps["microk8s"] = ("v1.32", "1", "1.32/stable", "canonical**", "classic")
        case "old juju":
            outside.snaps["juju"] = ("2.9.50", "1", "2.9/stable", "canonical**", "classic")
            outside.juju_version = "2.9.50-ubuntu-amd64"
        case "addresses":
            pass


def mend(outside: Outside) -> None:
    """Do what the remedies say."""
    outside.euid, outside.snapd, outside.store = 0, True, True
    outside.snaps.clear()
    outside.juju_version = Outside.juju_version


@pytest.mark.parametrize(
    ("what", "says", "remedy"),
    [
        ("root", "snaps and groups are changed as root", "sudo daybreak bootstrap"),
        ("memory", "GiB needed", "more memory"),
        ("disk", "20 GiB needed", "Free some space"),
        ("ports", "in use by another program: 16443", "ss -ltnp"),
        ("snapd", "this machine has no snapd", "apt-get install snapd"),
        ("store", "no route to host", "snap download microk8s"),
        ("classic", "a classic MicroK8s", "snap remove --purge microk8s"),
        ("old juju", "is 2.9; the charms need 3.6 or 4", "--channel=3.6/stable"),
        ("addresses", "no addresses are given", "--metallb 192.168.1.240-192.168.1.250"),
    ],
)
def test_each_finding_stops_before_anything_is_made_and_mended_it_goes_on(
    outside: Outside, monkeypatch, capsys, what: str, says: str, remedy: str
):
    words = MICROK8S if what != "addresses" else MICROK8S[:3]
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with monkeypatch.context() as struck:
        strike(outside, struck, what)
        assert run(*words) == 1

    err = capsys.readouterr().err
    assert says in err
    assert remedy in err
    assert changing(outside) == []

    mend(outside)
    assert run(*MICROK8S) == 0


def test_a_channel_that_the_store_lacks_names_those_it_has(outside: Outside, capsys):
    assert run(*MICROK8S, "--microk8s-channel", "1.99-strict/stable") == 1

    err = capsys.readouterr().err
    assert "the store has no channel 1.99-strict/stable" in err
    assert "1.34-strict/stable, 1.33-strict/stable" in err


@pytest.mark.parametrize("text", ["192.0.2.1", "192.0.2.9-192.0.2.1", "nonsense", "192.0.2.1-::1"])
def test_addresses_that_are_no_range(outside: Outside, capsys, text: str):
    assert run("bootstrap", "--provider", "microk8s", "--metallb", text) == 1

    assert "192.168.1.240/28" in capsys.readouterr().err


def test_kernel_modules_and_devices_that_a_bundle_names(outside: Outside, bundle: Path, capsys):
    text = bundle.read_text().replace(
        "  keystone:\n",
        "  keystone:\n    annotations: {kernel-modules: no_such_module, devices: /dev/no-such}\n",
    )
    bundle.write_text(text)

    assert run(*MICROK8S, "--bundle", "openstack") == 1

    captured = capsys.readouterr()
    assert "not loaded: no_such_module (for keystone)" in captured.err
    assert "modprobe --all no_such_module" in captured.err
    assert "/etc/modules-load.d/daybreak.conf" in captured.err
    assert "warning devices: not there: /dev/no-such" in captured.out


def hypervisor(bundle: Path) -> None:
    """Let an application of the bundle need what hypervisors need."""
    needs = "{kernel-modules: no_such_module, devices: /dev/no-such, host-paths: shared}"
    text = bundle.read_text().replace("  keystone:\n", f"  keystone:\n    annotations: {needs}\n")
    bundle.write_text(text)


def test_a_confined_microk8s_is_no_place_for_shared_mounts(outside: Outside, bundle: Path, capsys):
    hypervisor(bundle)

    assert run(*MICROK8S, "--bundle", "openstack") == 1

    err = capsys.readouterr().err
    assert "keystone shares mounts with its machine" in err
    assert "--provider juju" in err
    assert changing(outside) == []


def test_what_nodes_need_is_said_where_they_cannot_be_looked_at(
    prod: Outside, bundle: Path, tmp_path: Path, capsys
):
    hypervisor(bundle)
    overlay = tmp_path / "images.yaml"
    overlay.write_text("applications: {}\n")

    assert run(*JUJU, "--overlay", str(overlay)) == 0

    out = capsys.readouterr().out
    assert (
        "warning nodes: not looked at from here: keystone needs kernel module no_such_module" in out
    )
    assert "device /dev/no-such, privileged containers that share mounts" in out


# --- how many units


@pytest.fixture
def ha(home) -> Path:
    home.overlays.mkdir()
    path = home.overlays / "ha.yaml"
    path.write_text("applications: {keystone: {scale: 3}, db: {scale: 3}}\n")
    return path


def test_a_size_is_deployed_from_where_juju_can_read_it(outside: Outside, ha: Path):
    assert run(*MICROK8S, "--size", "ha") == 0

    staged = outside.user.home / "daybreak/unit-test/size-ha.yaml"
    assert outside.overlays == [staged]
    assert staged.read_text() == ha.read_text()


def test_a_size_comes_before_what_pins_images(prod: Outside, ha: Path, tmp_path: Path):
    overlay = tmp_path / "images.yaml"
    overlay.write_text("applications: {}\n")

    assert run(*JUJU, "--size", str(ha), "--overlay", str(overlay)) == 0

    assert [path.name for path in prod.overlays] == ["size-ha.yaml", "images.yaml"]


def test_memory_is_that_of_the_size(outside: Outside, ha: Path, monkeypatch, capsys):
    # 4.7 GiB: enough for two units, not for eighteen
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096}.get(name, 1200 << 10))
    ha.write_text("applications: {keystone: {scale: 9}, db: {scale: 9}}\n")

    assert run(*MICROK8S, "--size", "ha") == 1
    assert "GiB needed" in capsys.readouterr().err
    assert run(*MICROK8S) == 0


def test_a_size_that_is_no_overlay_is_refused(outside: Outside, ha: Path, capsys):
    outside.transcript.append("none")
    ha.write_text("scale: 3\n")

    assert run(*MICROK8S, "--size", "ha") == 1

    err = capsys.readouterr().err
    assert "ha.yaml is no overlay on a bundle" in err
    assert changing(outside) == ["none"]


# --- a cluster of the operator's


@pytest.mark.parametrize(
    ("what", "says", "remedy"),
    [
        ("no juju", "there is no juju command", "snap install juju"),
        ("none", "juju knows no controller", "juju bootstrap"),
        ("gone", "prod does not answer: ERROR cannot connect", "juju unregister prod"),
        ("unknown", "juju does not know elsewhere", "It knows prod; name one: --controller NAME"),
        ("unregistered", "juju does not know prod", "juju login"),
        ("major", "prod is Juju 2.9.50, the client is 3.6", "--channel=2.9/stable"),
        ("images", "on no registry that the cluster knows", "daybreak images push"),
        ("model", "other applications: wordpress", "--model NAME"),
    ],
)
def test_what_is_wrong_with_a_cluster_is_said_and_mended_it_goes_on(
    prod: Outside, tmp_path: Path, capsys, what: str, says: str, remedy: str
):
    overlay = tmp_path / "images.yaml"
    overlay.write_text("applications: {}\n")
    words = good = [*JUJU, "--overlay", str(overlay)]
    match what:
        case "no juju":
            prod.snaps.clear()
            prod.transcript.append("none")
        case "none":
            prod.controllers.clear()
            words = ["bootstrap", "--provider", "juju", "--overlay", str(overlay)]
        case "gone":
            prod.gone.add("prod")
        case "unknown":
            words = ["bootstrap", "--provider", "juju", "--overlay", str(overlay)]
            words += ["--controller", "elsewhere"]
        case "unregistered":
            prod.controllers.clear()
        case "major":
            prod.controllers["prod"] = "2.9.50"
        case "images":
            words = list(JUJU)
        case "model":
            prod.models["openstack"] = status_json(wordpress=application("wordpress", unit()))

    assert run(*words) == 1

    err = capsys.readouterr().err
    assert says in err
    assert remedy in err
    assert not any("deploy" in line for line in prod.transcript)

    prod.snaps["juju"] = SNAPS["juju"]
    prod.controllers["prod"] = "3.6.27"
    prod.gone.clear()
    assert run(*good, *(["--model", "ours"] if what == "model" else [])) == 0


def test_juju_4_is_as_good(prod: Outside, tmp_path: Path):
    prod.juju_version, prod.controllers["prod"] = "4.0.15-ubuntu-amd64", "4.0.15"
    overlay = tmp_path / "images.yaml"
    overlay.write_text("applications: {}\n")

    assert run(*JUJU, "--overlay", str(overlay)) == 0


def test_a_half_deployed_bundle_is_completed(prod: Outside, tmp_path: Path):
    overlay = tmp_path / "images.yaml"
    overlay.write_text("applications: {}\n")
    prod.models["openstack"] = status_json(db=application("mariadb-k8s", unit(), name="db"))

    assert run(*JUJU, "--overlay", str(overlay)) == 0

    assert sum("deploy" in line for line in prod.transcript) == 1


def test_an_instance_stays_on_its_provider(outside: Outside, capsys):
    run(*MICROK8S)
    outside.euid = 0

    assert run("bootstrap", "--provider", "embedded") == 1

    assert "is there already, on microk8s" in capsys.readouterr().err


def test_options_of_a_cluster_are_refused_for_the_engine(outside: Outside, capsys):
    outside.transcript.append("none")

    assert run("bootstrap", "--provider", "embedded", "--metallb", RANGE) == 2

    assert "--metallb is for a cluster" in capsys.readouterr().err


def test_a_full_disk_is_said_and_leaves_nothing_half(outside: Outside, monkeypatch, capsys):
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name.endswith(".charm.new"):
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert run(*MICROK8S) == 1
    assert "No space left on device" in capsys.readouterr().err
    place = outside.user.home / "daybreak/unit-test"
    assert [path.name for path in place.iterdir()] == ["bundle.yaml"]

    monkeypatch.setattr(Path, "write_bytes", write)
    outside.euid = 0
    assert run(*MICROK8S) == 0


def test_a_disk_that_is_too_full_for_images(outside: Outside, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as struck:
        struck.setattr(oci, "write_tar", full)
        assert run(*MICROK8S) == 1

    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "Free some space below /var/snap" in err
    assert not outside.imported

    assert run(*MICROK8S) == 0
    assert set(outside.imported) == set(IMAGES)
