"""What comes after a bootstrap on a cluster: the account, and the end, which undoes only what was made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .conftest import application, settled, status_json, unit
from .outside import Outside, write_layout
from .test_providers import IMAGES, JUJU, MICROK8S, expected, run

if TYPE_CHECKING:
    from pathlib import Path


def test_openrc_asks_the_controller_as_its_user(outside: Outside, capsys):
    run(*MICROK8S)
    capsys.readouterr()
    outside.euid = 0

    assert run("openrc") == 0

    assert "export OS_AUTH_URL=http://192.0.2.240/openstack-keystone/v3" in capsys.readouterr().out


def test_destroy_undoes_what_bootstrap_made_newest_first(outside: Outside, instance, capsys):
    run(*MICROK8S)
    outside.euid, outside.transcript = 0, []

    assert run("destroy", "--yes") == 0

    expected("microk8s-destroy", outside)
    assert not outside.snaps
    assert not outside.members
    assert not outside.controllers
    assert not instance.kept.exists()
    assert not (outside.user.home / "daybreak/unit-test").exists()


def test_destroy_leaves_what_was_there_before(outside: Outside, capsys):
    outside.snaps["microk8s"] = ("v1.34.1", "1", "1.34-strict/stable", "canonical**", "-")
    outside.snaps["juju"] = ("3.6.27", "1", "3.6/stable", "canonical**", "-")
    outside.ready, outside.addons, outside.members = True, {"dns", "metallb"}, {"ubuntu"}
    run(*MICROK8S)
    outside.euid = 0
    capsys.readouterr()

    assert run("destroy", "--yes") == 0

    out = capsys.readouterr().out
    assert set(outside.snaps) == {"microk8s", "juju"}
    assert outside.addons == {"dns", "metallb"}
    assert outside.members == {"ubuntu"}
    assert not outside.imported
    assert "This stays:" in out
    assert "the snap microk8s" in out


def test_destroy_in_a_model_of_somebody_removes_what_it_lacked(prod: Outside, tmp_path: Path):
    overlay = tmp_path / "images.yaml"
    overlay.write_text("applications: {}\n")
    prod.models["openstack"] = status_json(db=application("mariadb-k8s", unit(), name="db"))
    run(*JUJU, "--overlay", str(overlay))
    prod.transcript = []

    assert run("destroy", "--yes") == 0

    assert set(json.loads(prod.models["openstack"])["applications"]) == {"db"}
    assert any(line.endswith("--force keystone") for line in prod.transcript)


def test_an_instance_stays_in_its_model(prod: Outside, tmp_path: Path, capsys):
    overlay = tmp_path / "images.yaml"
    overlay.write_text("applications: {}\n")
    run(*JUJU, "--overlay", str(overlay))

    assert run("bootstrap", "--model", "other") == 2

    assert "is in model openstack, not in other" in capsys.readouterr().err


def test_what_cannot_be_undone_stays_recorded(outside: Outside, instance, capsys):
    run(*MICROK8S)
    outside.euid = 0
    outside.trouble["snap", "remove", "--purge", "juju"] = "error: snap has running processes"

    assert run("destroy", "--yes") == 1

    assert "running processes" in capsys.readouterr().err
    assert json.loads((instance.kept / "made.json").read_text())["made"] == ["snap:juju"]
    assert run("destroy", "--yes") == 0
    assert not outside.snaps


def test_images_that_are_there_already_are_not_imported_again(outside: Outside, tmp_path: Path):
    write_layout(tmp_path / "layout", *IMAGES)
    outside.imported["localhost:32000/daybreak/keystone:2026.1"] = "sha256:older"
    run(*MICROK8S)
    first = dict(outside.imported)
    outside.euid, outside.transcript = 0, []

    run(*MICROK8S)

    assert first["localhost:32000/daybreak/keystone:2026.1"] != "sha256:older"
    assert not any("import" in line for line in outside.transcript)


def test_a_status_of_a_cloud_on_a_cluster(prod: Outside, tmp_path: Path, capsys):
    overlay = tmp_path / "images.yaml"
    overlay.write_text("applications: {}\n")
    run(*JUJU, "--overlay", str(overlay))
    prod.models["openstack"] = settled(ca=application("certificates-k8s", unit(), name="ca"))
    prod.models["openstack"] = status_json(db=application("mariadb-k8s", unit(), name="db"))
    capsys.readouterr()

    assert run("status") == 0

    assert "database  up" in capsys.readouterr().out
