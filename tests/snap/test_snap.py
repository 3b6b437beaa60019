"""The snap, installed without a store into a real snapd, and what its command does there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .machine import Machine


@pytest.fixture(scope="module")
def installed(machine: Machine, snap: Path) -> Machine:
    shutil.copy(snap, machine.files)
    print(machine.run("snap", "install", "--dangerous", "--classic", f"/files/{snap.name}"))
    return machine


def test_it_is_a_classic_snap_of_the_version(installed: Machine):
    assert "classic" in installed.run("snap", "list", "daybreak")
    assert installed.run("/snap/bin/daybreak", "--version").strip() == "daybreak 0.1.0"


def test_help_needs_nothing_of_the_machine(installed: Machine):
    said = installed.run("/snap/bin/daybreak", "bootstrap", "--provider", "embedded", "--help")

    assert "--provider {embedded,microk8s,juju}" in said


def test_a_dry_run_prints_what_would_be_done(installed: Machine):
    """Also what is missing: this machine reaches no store, and nothing was given to import."""
    words = ("bootstrap", "--metallb", "192.168.1.240-192.168.1.250", "--dry-run")
    said = installed.run("env", "SUDO_USER=ubuntu", "/snap/bin/daybreak", *words, check=False)

    assert "on microk8s" in said
    assert "snap install microk8s --channel=1.34-strict/stable" in said
    assert "sudo -H -u ubuntu -g snap_microk8s -- juju bootstrap microk8s daybreak" in said
    assert "snap microk8s: the snap store does not answer" in said
    assert "images: there are none here to import" in said
    assert "Nothing was changed." in said
    print(said)


def test_charms_and_bundles_are_inside(installed: Machine, release: Path):
    there = installed.run("sh", "-c", "cd /snap/daybreak/current/share/daybreak && find . -type f")

    wanted = [path.relative_to(release) for path in release.rglob("*") if path.is_file()]
    inside = set(there.split())
    assert all(f"./{path}" in inside for path in wanted if not path.name.startswith("."))


def test_env_names_a_path_that_outlives_a_refresh(installed: Machine):
    said = installed.run("/snap/bin/daybreak", "env")

    assert "export PATH=/snap/daybreak/current/operator:" in said
    version = installed.run("/snap/daybreak/current/operator/openstack", "--version")
    assert version.startswith("openstack ")


def test_status_of_nothing_says_so(installed: Machine):
    assert 'there is no instance "daybreak"' in installed.run(
        "/snap/bin/daybreak", "status", check=False, user="ubuntu"
    )


def test_it_goes_without_a_trace(installed: Machine):
    installed.run("snap", "remove", "--purge", "daybreak")

    assert "daybreak" not in installed.run("snap", "list")
    assert "No such file" in installed.run("ls", "/snap/bin/daybreak", check=False)
