"""Which images a name means, and which are built again when what changes."""

import shutil
from pathlib import Path

import pytest

from daybreak_images import base, build, spec

SOURCES = (base.Source("http://mirror.example/debian", "trixie", ("main",)),)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy of the builder's data that a test can change."""
    for name in ("containerfiles", "guest", "locks", "shared"):
        shutil.copytree(spec.ROOT / name, tmp_path / name)
    shutil.copy(spec.ROOT / "images.toml", tmp_path)
    return tmp_path


def store_of(images: tuple[spec.Image, ...]) -> dict[str, str]:
    base_key = base.key(SOURCES)
    keys = {image.reference: image.key(base_key) for image in images}
    return {**keys, f"{build.BASE_NAME}:{base_key[:12]}": base_key}


def test_nothing_is_built_twice(data: Path) -> None:
    images = spec.load(data)
    todo = build.plan(images, SOURCES, store_of(images))
    assert (todo.missing, todo.base_missing) == ((), False)
    assert todo.present == images


def test_an_empty_store_gets_the_base_and_only_what_was_asked(data: Path) -> None:
    asked = spec.choose(spec.load(data), ["keystone"])
    todo = build.plan(asked, SOURCES, {})
    assert todo.base_missing
    assert [image.short for image, _ in todo.missing] == ["keystone:2026.1"]


def test_a_changed_lock_rebuilds_only_its_image(data: Path) -> None:
    before = spec.load(data)
    keys = store_of(before)
    lock = data / "locks/keystone-2026.1.txt"
    lock.write_text(lock.read_text().replace("pymysql==", "pymysql==9."))
    missing = build.plan(spec.load(data), SOURCES, keys).missing
    assert [image.short for image, _ in missing] == ["keystone:2026.1"]


def test_a_changed_helper_rebuilds_the_images_that_call_it(data: Path) -> None:
    images = spec.load(data)
    keys = store_of(images)
    (data / "shared/uwsgi").write_text("#!/bin/sh\n")
    missing = build.plan(spec.load(data), SOURCES, keys).missing
    openstack = [i for i in images if i.containerfile.name == "openstack.Containerfile"]
    assert [image.short for image, _ in missing] == [image.short for image in openstack]


def test_a_changed_step_rebuilds_only_its_image(data: Path) -> None:
    images = spec.load(data)
    keys = store_of(images)
    (data / "shared/nova").write_text("#!/bin/sh\n")
    missing = build.plan(spec.load(data), SOURCES, keys).missing
    assert {image.name for image, _ in missing} == {"nova"}


def test_a_changed_file_of_the_guest_rebuilds_only_the_guest(data: Path) -> None:
    keys = store_of(spec.load(data))
    (data / "guest/init").write_text("#!/bin/sh\n")
    missing = build.plan(spec.load(data), SOURCES, keys).missing
    assert [image.name for image, _ in missing] == ["guest"]


def test_a_new_base_rebuilds_everything(data: Path) -> None:
    images = spec.load(data)
    keys = store_of(images)
    other = (base.Source("http://mirror.example/ubuntu", "noble", ("main",)),)
    todo = build.plan(images, other, keys)
    assert todo.base_missing
    assert len(todo.missing) == len(images)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("keystone", "localhost:32000/daybreak/keystone:2026.1"),
        ("keystone:2025.1", "localhost:32000/daybreak/keystone:2025.1"),
        ("localhost:32000/daybreak/mariadb:11.8", "localhost:32000/daybreak/mariadb:11.8"),
        ("charm-base", "localhost/daybreak/charm-base:24.04"),
    ],
)
def test_names(name: str, reference: str) -> None:
    assert [image.reference for image in spec.choose(spec.load(), [name])] == [reference]


def test_an_unknown_name_is_answered_with_what_there_is() -> None:
    with pytest.raises(spec.ImageError, match=r"no image 'keyston'.*keystone:2025\.1"):
        spec.choose(spec.load(), ["keyston"])


def test_locks_have_hashes_and_no_addresses() -> None:
    for lock in (spec.ROOT / "locks").glob("*-*.txt"):
        text = lock.read_text()
        assert "://" not in text
        assert text.count("--hash=sha256:") >= text.count("==")
