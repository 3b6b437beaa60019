"""The built images themselves."""

import json
import subprocess

import pytest

from daybreak_images import catalogue, spec, store

pytestmark = pytest.mark.pods
ROOT = spec.ROOT.parent


def run(where: store.Store, image: spec.Image, *command: str) -> str:
    options = ["--rm", "--pull=never", "--network=none"]
    return where.run(["podman", "run", *options, image.reference, *command])


def test_layout_tells_the_truth(images: store.Store, image: spec.Image) -> None:
    layout = json.loads(run(images, image, "cat", "/usr/share/daybreak/layout.json"))
    account = run(images, image, "getent", "passwd", layout["user"]).split(":")
    assert [int(account[2]), int(account[3])] == [layout["uid"], layout["gid"]]
    run(images, image, "test", "-d", layout["bin"])
    assert layout["version"][:1].isdigit()
    if "static" in layout:
        assert run(images, image, "ls", layout["static"])
    if "release" in layout:
        assert layout["release"] == image.tag
        assert all(layout.get("heads", {}).values())
    else:
        assert layout["version"].startswith(image.tag)


def test_committed_catalogue_is_the_release_s(images: store.Store, service: spec.Image) -> None:
    committed = ROOT / f"charms/{service.name}-k8s/src/catalogue/{service.tag}.json"
    assert json.loads(catalogue.catalogue(images, service)) == json.loads(committed.read_text())


def test_modules_are_compiled(images: store.Store) -> None:
    keystone = spec.choose(spec.load(), ["keystone"])[0]
    code = (
        "import keystone, pathlib, importlib.util as u;"
        "files = [f for f in pathlib.Path(keystone.__path__[0]).rglob('*.py') if 'tests' not in f.parts];"
        "print(sum(not pathlib.Path(u.cache_from_source(f)).exists() for f in files), len(files))"
    )
    missing, files = map(int, run(images, keystone, "python", "-c", code).split())
    assert files > 100
    assert missing == 0


def test_a_second_build_does_nothing(images: store.Store) -> None:
    before = images.run(["podman", "images", "--quiet"])
    done = subprocess.run(
        ["daybreak-images", "build", "keystone"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "keystone:2026.1: up to date\n"
    assert images.run(["podman", "images", "--quiet"]) == before


def test_charm_container_has_what_charms_bring_for_another_python(images: store.Store) -> None:
    charm_base = spec.choose(spec.load(), ["charm-base"])[0]
    code = "import _cffi_backend, yaml; print(_cffi_backend.__version__, yaml.__with_libyaml__)"
    version, quick = run(images, charm_base, "python3", "-c", code).split()
    assert version
    assert quick == "True"


def test_no_catalogue_of_what_is_not_openstack(images: store.Store) -> None:
    with pytest.raises(spec.ImageError, match="not an OpenStack service"):
        catalogue.catalogue(images, spec.choose(spec.load(), ["mariadb"])[0])
