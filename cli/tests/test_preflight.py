from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from daybreak import preflight
from daybreak.preflight import GIB, Finding, Level

from .conftest import NETNS, Programs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from daybreak import places

IP_ROUTE = ("ip", "-json", "route", "show")


def by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


@pytest.fixture
def found(instance: places.Instance, home: places.Home):
    def look(memory: int = 1) -> dict[str, Finding]:
        return by_name(preflight.machine(instance, home, memory))

    return look


def test_a_good_machine_passes(machine: Programs, found):
    assert {finding.level for finding in found().values()} == {Level.OK}


def test_without_root_it_says_sudo(machine: Programs, found, monkeypatch):
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    machine.calls.append(("none",))

    finding = found()["root"]

    assert finding.level is Level.ERROR
    assert "sudo ./daybreak" in finding.remedy
    assert "network namespaces" not in found()


def test_without_podman_it_names_the_package(machine: Programs, found, monkeypatch):
    monkeypatch.setattr(
        preflight.shutil, "which", lambda name, path=None: None if name == "podman" else name
    )

    finding = found()["programs"]

    assert finding.level is Level.ERROR
    assert "podman" in finding.detail
    assert finding.remedy.endswith("apt-get install --no-install-recommends podman")


def test_too_little_memory(machine: Programs, found):
    finding = found(memory=1 << 60)["memory"]

    assert finding.level is Level.ERROR
    assert "needed" in finding.detail


def test_too_little_disk_names_the_variable(machine: Programs, found, monkeypatch):
    monkeypatch.setattr(
        preflight.shutil, "disk_usage", lambda path: type("Usage", (), {"free": GIB // 2})
    )

    finding = found()["disk"]

    assert finding.level is Level.ERROR
    assert "DAYBREAK_CACHE" in finding.remedy


def test_a_machine_without_network_namespaces(machine: Programs, found):
    machine.known[NETNS] = []
    machine.expect(*NETNS, code=1, stderr="unshare: unshare failed: Operation not permitted\n")

    finding = found()["network namespaces"]

    assert finding.level is Level.ERROR
    assert "Operation not permitted" in finding.detail
    assert "CAP_SYS_ADMIN" in finding.remedy


@pytest.fixture
def range_kept(instance: places.Instance):
    instance.state.mkdir(parents=True)
    (instance.state / "network.json").write_text('{"subnet": "10.20.16.0/20"}')


@pytest.mark.parametrize(
    ("routes", "level"),
    [
        ([{"dst": "default", "dev": "eth0"}, {"dst": "192.168.0.0/24", "dev": "eth0"}], Level.OK),
        ([{"dst": "10.20.16.0/20", "dev": "dbh01234567"}], Level.OK),
        ([{"dst": "10.20.0.0/16", "dev": "wg0"}], Level.ERROR),
        ([{"dst": "10.20.17.9", "dev": "tun0"}], Level.ERROR),
    ],
)
def test_an_address_range_taken_by_another_route(
    machine: Programs, found, range_kept, routes: list[dict[str, str]], level: Level
):
    machine.expect(*IP_ROUTE, stdout=json.dumps(routes))

    assert found()["addresses"].level is level


def test_without_network_an_image_cannot_be_built(
    machine: Programs, instance: places.Instance, monkeypatch
):
    machine.calls.append(("none",))

    def fail(*args: object, **options: object):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.setattr(preflight, "package_mirror", lambda directory: "http://mirror.test/debian")

    finding = by_name(preflight.building(instance, 2))["network"]

    assert finding.level is Level.ERROR
    assert "Name or service not known" in finding.detail
    assert "sources.list" in finding.remedy


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", "# c\ndeb [signed-by=/x] http://mirror.test/debian bookworm main\n"),
        ("sources.list", "deb http://mirror.test/debian bookworm main\n"),
        ("sources.list.d/a.sources", "Types: deb\nURIs: http://mirror.test/debian\nSuites: x\n"),
    ],
)
def test_the_package_source_is_read_from_apt(tmp_path: Path, name: str, text: str):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)

    assert preflight.package_mirror(tmp_path) == "http://mirror.test/debian"


def test_no_package_source_is_none(tmp_path: Path):
    assert preflight.package_mirror(tmp_path) is None


def test_a_machine_without_tunnels_is_no_place_for_servers(tmp_path: Path):
    (tmp_path / "tun").touch()
    assert preflight.tunnels(tmp_path / "tun").ok

    missing = preflight.tunnels(tmp_path / "none")
    assert missing.level is preflight.Level.ERROR
    assert "servers get no network" in missing.detail
    assert "modprobe tun" in missing.remedy
