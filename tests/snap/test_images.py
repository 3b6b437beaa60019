"""Images in a real registry and in a real containerd, and a cloud from packed charms alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from daybreak import bundles, oci

from ..clouds import eventually, program, remove

PYTHON = sys.executable
INSTANCE = "release"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
REGISTRY = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {directory}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def daybreak(*words: str | Path) -> str:
    return program(PYTHON, "-m", "daybreak", *words, instance=INSTANCE)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("archive") / "daybreak.tar"
    print(daybreak("images", "export", target, "--bundle", "identity"))
    return target


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A real registry on this machine."""
    port = 5000 + os.getpid() % 20000
    config = tmp_path / "registry.yaml"
    config.write_text(REGISTRY.format(directory=tmp_path / "registry", port=port))
    log = (tmp_path / "registry.log").open("w")
    process = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
    try:
        eventually(lambda: _answers(port), "the registry answers", timeout=30)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_a_push_pins_every_image_by_the_digest_that_the_registry_has(
    archive: Path, registry: str, tmp_path: Path
):
    overlay = tmp_path / "images.yaml"
    words = ("images", "push", f"{registry}/openstack", "--from", archive, "--overlay", overlay)

    daybreak(*words)
    again = daybreak(*words)

    applications = yaml.safe_load(overlay.read_text())["applications"]
    images = {image for app in applications.values() for image in app["resources"].values()}
    assert len(images) == 4
    for image in images:
        name, _, digest = image.removeprefix(f"{registry}/").partition("@")
        request = urllib.request.Request(
            f"http://{registry}/v2/{name}/manifests/{digest}", headers={"Accept": MANIFEST}
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.headers["Docker-Content-Digest"] == digest
            assert json.load(answer)["layers"]
    assert " MB" not in again, "nothing is sent twice"


@pytest.fixture
def containerd(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """A real containerd with a store of its own; yields its client's command."""
    socket = tmp_path / "containerd.sock"
    words = ("--root", tmp_path / "root", "--state", tmp_path / "state", "--address", socket)
    log = (tmp_path / "containerd.log").open("w")
    process = subprocess.Popen(
        ["containerd", *map(str, words), "--config", "/dev/null"], stdout=log, stderr=log
    )
    try:
        eventually(socket.exists, "containerd answers", timeout=30)
        yield ("ctr", "--address", str(socket))
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def test_containerd_takes_the_images_under_the_bundles_names(
    archive: Path, containerd: tuple[str, ...], tmp_path: Path
):
    """What `microk8s images import` does with the file that bootstrap gives it."""
    from daybreak import archive as archives

    made = archives.unpack(archive, tmp_path / "unpacked", print)
    layout = oci.Layout(made / "images")
    names = bundles.load(made / "bundles/identity.yaml").own_images
    oci.write_tar(layout, names, tmp_path / "images.tar")

    imported = ["images", "import", "--no-unpack", str(tmp_path / "images.tar")]
    subprocess.run([*containerd, *imported], check=True, capture_output=True, timeout=300)

    listed = subprocess.run(
        [*containerd, "images", "ls"], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    there = dict(line.split()[0:3:2] for line in listed.splitlines()[1:])
    assert there == {name: layout.digests()[name] for name in names}


@pytest.fixture
def packed(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with bundles and charmcraft's archives, and nothing that more could be packed from."""
    for name in ("bundles", "dist"):
        shutil.copytree(release / name, tmp_path / name)
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path))
    remove(INSTANCE)
    yield tmp_path
    remove(INSTANCE)


def test_a_cloud_from_packed_charms_alone(packed: Path):
    before = {path: path.stat().st_mtime_ns for path in (packed / "dist").iterdir()}

    said = daybreak("bootstrap", "--provider", "embedded")

    assert "Ready after" in said
    assert "the bundle names no charm of this checkout" in said
    assert {path: path.stat().st_mtime_ns for path in (packed / "dist").iterdir()} == before
