"""What the packer makes of a charm, and what it refuses."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml

CHARMCRAFT = """\
name: tiny-k8s
type: charm
title: Tiny
summary: A charm.
description: A charm for tests.
base: ubuntu@24.04
platforms: {amd64: , arm64: }
parts: {charm: {plugin: uv, source: .}}
links: {documentation: https://example.com/docs, source: [https://example.com/source]}
assumes: [k8s-api, juju >= 3.6]
containers: {app: {resource: app-image, mounts: [{storage: data, location: /srv}]}}
resources: {app-image: {type: oci-image, description: An image.}}
storage: {data: {type: filesystem}}
config: {options: {greeting: {type: string, default: hello}}}
actions: {greet: {description: Say it.}}
"""
PYPROJECT = '[project]\nname = "tiny-k8s"\ndependencies = ["daybreak-lib>=1"]\n'


@pytest.fixture
def checkout(tmp_path: Path, packer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one charm, one library, and an empty lock, so that nothing is fetched."""
    charm = tmp_path / "charms/tiny-k8s"
    for path, text in {
        charm / "charmcraft.yaml": CHARMCRAFT,
        charm / "pyproject.toml": PYPROJECT,
        charm
        / "src/charm.py": "import daybreak_lib, os, sys\nprint(sys.prefix, os.getcwd(), daybreak_lib.WORD)\n",
        charm / "src/__pycache__/charm.pyc": "x",
        tmp_path / "libs/lib/pyproject.toml": '[project]\nname = "daybreak-lib"\n',
        tmp_path / "libs/lib/src/daybreak_lib/__init__.py": "WORD = 'seven'\n",
        tmp_path / "requirements/charms/tiny-k8s.txt": "",
        tmp_path / "LICENSE": "free\n",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(packer, "ROOT", tmp_path)
    monkeypatch.setattr(packer, "cache_directory", lambda: tmp_path / "cache")
    monkeypatch.setattr(packer, "_install", lambda _lock, target: target.mkdir())
    return tmp_path


def packed(checkout: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(checkout / "dist/tiny-k8s.charm")


def test_layout_is_charmcraft_s(checkout: Path, packer: ModuleType) -> None:
    packer.pack(["tiny-k8s"])
    with packed(checkout) as archive:
        assert sorted(archive.namelist()) == [
            *("LICENSE", "actions.yaml", "charmcraft.yaml", "config.yaml", "dispatch"),
            *("manifest.yaml", "metadata.yaml", "src/charm.py"),
            "venv/lib/python3.12/site-packages/daybreak_lib/__init__.py",
            "venv/pyvenv.cfg",
        ]
        metadata = yaml.safe_load(archive.read("metadata.yaml"))
        manifest = yaml.safe_load(archive.read("manifest.yaml"))
        assert archive.getinfo("dispatch").external_attr >> 16 == 0o100755
    assert metadata["display-name"] == "Tiny"
    assert metadata["docs"] == "https://example.com/docs"
    assert not {"config", "actions", "parts", "base", "links", "title"} & set(metadata)
    assert manifest["bases"][0]["channel"] == "24.04"


def test_dispatch_runs_the_charm_with_the_first_python_on_path(
    checkout: Path, packer: ModuleType, tmp_path: Path
) -> None:
    packer.pack(["tiny-k8s"])
    unpacked = tmp_path / "unit/charm"
    with packed(checkout) as archive:
        archive.extractall(unpacked)
    (unpacked / "dispatch").chmod(0o755)
    # What the engine adds for an interpreter of another version than the base's
    name = f"python3.{sys.version_info[1]}"
    if name != "python3.12":
        (unpacked / f"venv/lib/{name}").symlink_to("python3.12")
    environ = {"PATH": "/usr/bin:/bin", "JUJU_DISPATCH_PATH": "hooks/install"}
    for _ in range(2):
        done = subprocess.run(
            ["./dispatch"], cwd=unpacked, env=environ, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [str(unpacked / "venv"), str(unpacked), "seven"]


def test_the_same_content_gives_the_same_bytes_and_nothing_to_do(
    checkout: Path, packer: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    target = checkout / "dist/tiny-k8s.charm"
    packer.pack(["tiny-k8s"])
    first = target.read_bytes()
    packer.pack(["tiny-k8s"])
    assert capsys.readouterr().out.endswith("tiny-k8s: up to date\n")
    os.utime(checkout / "charms/tiny-k8s/src/charm.py", (0, 0))
    target.unlink()
    packer.pack(["tiny-k8s"])
    assert target.read_bytes() == first


@pytest.mark.parametrize(
    "changed",
    [
        "charms/tiny-k8s/src/charm.py",
        "libs/lib/src/daybreak_lib/__init__.py",
        "requirements/charms/tiny-k8s.txt",
    ],
)
def test_whatever_goes_in_decides(checkout: Path, packer: ModuleType, changed: str) -> None:
    packer.pack(["tiny-k8s"])
    before = packer.packed_key(checkout / "dist/tiny-k8s.charm")
    with (checkout / changed).open("a") as file:
        file.write("# more\n")
    packer.pack(["tiny-k8s"])
    assert packer.packed_key(checkout / "dist/tiny-k8s.charm") != before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("summary:", "sumary:", "unknown key 'sumary'; did you mean 'summary'"),
        ("type: string", "type: strng", "'greeting' has type 'strng'; it can be string, int"),
        (
            "type: oci-image",
            "type: oci-imag",
            "names 'app-image', which is no resource of type oci",
        ),
        ("storage: data", "storage: dta", "mounts 'dta', which is no storage"),
        ("name: tiny-k8s", "name: huge-k8s", "the name is 'huge-k8s', its directory is 'tiny-k8s'"),
        ("name: tiny-k8s", "name: [", "is not YAML"),
    ],
)
def test_a_wrong_charmcraft_yaml_is_refused_and_leaves_the_old_archive(
    checkout: Path, packer: ModuleType, old: str, new: str, message: str
) -> None:
    packer.pack(["tiny-k8s"])
    before = (checkout / "dist/tiny-k8s.charm").read_bytes()
    file = checkout / "charms/tiny-k8s/charmcraft.yaml"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(packer.PackError, match=message):
        packer.pack(["tiny-k8s"])
    assert (checkout / "dist/tiny-k8s.charm").read_bytes() == before
    assert [path.name for path in (checkout / "dist").iterdir()] == ["tiny-k8s.charm"]


def test_an_unknown_charm_is_answered_with_the_nearest(checkout: Path, packer: ModuleType) -> None:
    with pytest.raises(packer.PackError, match="did you mean tiny-k8s"):
        packer.pack(["tiny-k8"])
