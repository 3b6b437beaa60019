"""`upgrade` on a cluster: charms from where they are staged, images from where the cluster pulls them."""

from __future__ import annotations

import functools
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from daybreak import __main__, bootstrap, places, work

from .conftest import application, status_json, unit
from .outside import Outside
from .test_providers import IMAGES, JUJU, MICROK8S
from .test_upgrading import told

IMAGE = "localhost:32000/daybreak/keystone"
MIRROR = "registry.example.com/openstack/daybreak/keystone"
PINNED = f"{MIRROR}@sha256:{'a' * 64}"
THREE = status_json(keystone=application("keystone-k8s", unit(), unit(), unit(), name="keystone"))


def run(*words: str) -> int:
    return __main__.main(list(words))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that passes only by sleeping."""
    sleeps: list[float] = []
    fake = bootstrap.Clock(now=lambda: sum(sleeps), sleep=sleeps.append)
    monkeypatch.setattr(work, "Work", functools.partial(work.Work, clock=fake))


@pytest.fixture(autouse=True)
def charm(outside: Outside, home: places.Home) -> None:
    """A packed charm that has releases."""
    resources = {"keystone-image": {"type": "oci-image", "upstream-source": f"{IMAGE}:2026.1"}}
    with zipfile.ZipFile(home.path / "dist/keystone-k8s.charm", "w") as packed:
        packed.writestr("metadata.yaml", yaml.safe_dump({"resources": resources}))


def ready(outside: Outside, model: str, to: str, *, running: str = "2025.1") -> tuple[str, ...]:
    """Let the deployed Keystone have three units of a release, and return the refresh to another's image."""

    def juju(*words: str) -> tuple[str, ...]:
        return ("/snap/bin/juju", words[0], "--model", model, *words[1:])

    outside.models["openstack"] = THREE
    status = juju("run", "--format", "json", "keystone/0", "upgrade-status", "--wait", "60s")
    before = [running] * 3
    outside.expect(*status, "--params", f"release: '{to}'", stdout=told(*before, running=running))
    outside.expect(*status, stdout=told(to, to, to, running=to))
    outside.expect(*juju("config", "keystone", "trust"), stdout="true\n")
    # a real Juju does not say which image was attached
    said = {"resources": [{"name": "keystone-image", "type": "oci-image", "origin": "upload"}]}
    outside.expect(*juju("resources", "keystone", "--format", "json"), stdout=json.dumps(said))
    staged = ("--path", "~/daybreak/unit-test/keystone-k8s.charm")
    return juju("refresh", "keystone", *staged, "--resource")


def overlay(path: Path) -> str:
    pins: dict[str, Any] = {"keystone": {"resources": {"keystone-image": PINNED}}}
    path.write_text(yaml.safe_dump({"applications": pins}))
    return str(path)


@pytest.mark.parametrize(
    ("to", "running", "image"),
    [("2026.1", "2025.1", PINNED), ("2026.2", "2026.1", f"{MIRROR}:2026.2")],
    ids=["pinned", "beside"],
)
def test_images_come_from_the_registry_of_the_overlay(
    prod: Outside, tmp_path: Path, capsys, to: str, running: str, image: str
):
    assert run(*JUJU, "--overlay", overlay(tmp_path / "images.yaml")) == 0
    refresh = ready(prod, "prod:openstack", to, running=running)
    prod.expect(*refresh, f"keystone-image={image}")

    assert run("upgrade", "keystone", "--to", to) == 0

    assert prod.calls.count((*refresh, f"keystone-image={image}")) == 1
    out = capsys.readouterr().out
    assert "there    Find images" in out
    assert f"3 units of keystone serve with {to}" in out


def test_images_come_from_the_store_of_microk8s(outside: Outside, capsys):
    assert run(*MICROK8S) == 0
    refresh = ready(outside, "unit-test:openstack", "2026.1")
    outside.expect(*refresh, f"keystone-image={IMAGE}:2026.1")

    assert run("upgrade", "keystone", "--to", "2026.1") == 0

    assert "3 units of keystone serve with 2026.1" in capsys.readouterr().out


def test_an_image_that_microk8s_lacks_is_named_before_anything_changes(outside: Outside, capsys):
    assert run(*MICROK8S) == 0
    ready(outside, "unit-test:openstack", "2026.1")
    del outside.imported[IMAGES[0]]

    assert run("upgrade", "keystone", "--to", "2026.1") == 1

    err = capsys.readouterr().err
    assert f"not in MicroK8s' store: {IMAGE}:2026.1" in err
    assert "bootstrap --from ARCHIVE" in err
    assert not any("refresh" in call for call in outside.calls)


def test_a_charm_that_is_not_staged_is_said(prod: Outside, tmp_path: Path, capsys):
    assert run(*JUJU, "--overlay", overlay(tmp_path / "images.yaml")) == 0
    ready(prod, "prod:openstack", "2026.1")
    (prod.user.home / "daybreak/unit-test/keystone-k8s.charm").unlink()

    assert run("upgrade", "keystone", "--to", "2026.1") == 1

    assert "daybreak bootstrap` again" in capsys.readouterr().err
