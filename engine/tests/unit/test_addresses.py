"""What `daybreak-engine network` says of an instance's addresses."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import pytest

from daybreak_engine.__main__ import main


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAYBREAK_ROOT", str(tmp_path))
    return tmp_path


def test_the_network_has_the_physical_one_of_the_nodes(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = root / "var/lib/daybreak/test-1/network.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"subnet": "10.9.0.0/20"}\n')

    assert main(["--instance", "test-1", "network"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["external"] == "10.9.15.0/24"
    assert said["external_gateway"] == "10.9.15.1"
    whole = ipaddress.IPv4Network(said.pop("subnet"))
    assert all(ipaddress.IPv4Network(value).subnet_of(whole) for value in said.values())


def test_an_instance_without_network_says_how_it_gets_one(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--instance", "test-1", "network"]) == 1
    assert "start" in capsys.readouterr().err
