"""The layout of exported images: kept up to date, sharing, and never half; podman is replaced, its form is not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from daybreak_images import base, layout, spec
from daybreak_images.spec import ImageError
from daybreak_images.store import Store

KIND = "application/vnd.oci.image.manifest.v1+json"


class Podman(Store):
    """A store with images whose content is a word; `podman push` writes them as podman does."""

    def __init__(self, words: Mapping[str, str]):
        super().__init__({}, Path("/nonexistent"))
        self.words = dict(words)
        self.pushed: list[str] = []

    def keys(self) -> dict[str, str]:
        return self.words

    def run(self, command: Sequence[str], log: Path | None = None) -> str:
        assert command[:3] == ["podman", "push", "--quiet"]
        reference = command[3]
        target, name = command[4].removeprefix("oci:").split(":", 1)
        assert name == reference
        self.pushed.append(reference)
        write(Path(target), reference, self.words[reference])
        return ""


def write(target: Path, reference: str, word: str) -> None:
    blobs = target / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def blob(content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": KIND, "digest": f"sha256:{digest}", "size": len(content)}

    manifest = {"config": blob(b"{}"), "layers": [blob(b"shared"), blob(word.encode())]}
    entry = blob(json.dumps(manifest).encode()) | {"annotations": {layout.REF: reference}}
    index = target / "index.json"
    there = json.loads(index.read_text())["manifests"] if index.exists() else []
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": [*there, entry]}))


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> tuple[spec.Image, ...]:
    monkeypatch.setattr(base, "machine_sources", lambda: ({}, []))
    monkeypatch.setattr(base, "sources_for", lambda release, sources: ())
    monkeypatch.setattr(spec.Image, "key", lambda self, base: f"key of {self.short}")
    return spec.choose(spec.load(), ["haproxy", "memcached"])


@pytest.fixture
def store(images: tuple[spec.Image, ...]) -> Podman:
    return Podman({image.reference: f"key of {image.short}" for image in images})


def names(target: Path) -> list[str]:
    index = json.loads((target / "index.json").read_text())
    return [entry["annotations"][layout.REF] for entry in index["manifests"]]


def test_a_second_export_does_nothing(images, store: Podman, tmp_path: Path):
    said: list[str] = []
    layout.write(store, images, tmp_path / "oci", said.append)
    before = sorted(path.name for path in (tmp_path / "oci").rglob("*"))
    said.clear()

    layout.write(store, images, tmp_path / "oci", said.append)

    assert len(store.pushed) == 2
    assert said == [f"{image.short}: up to date" for image in images]
    assert sorted(path.name for path in (tmp_path / "oci").rglob("*")) == before


def test_a_new_build_replaces_the_old_one_and_its_layers(
    images, store: Podman, tmp_path: Path, monkeypatch
):
    layout.write(store, images, tmp_path, lambda line: None)
    monkeypatch.setattr(spec.Image, "key", lambda self, base: f"newer key of {self.short}")
    store.words[images[0].reference] = f"newer key of {images[0].short}"

    layout.write(store, images[:1], tmp_path, lambda line: None)

    assert sorted(names(tmp_path)) == sorted(image.reference for image in images)
    content = {path.read_bytes() for path in (tmp_path / "blobs/sha256").iterdir()}
    assert f"newer key of {images[0].short}".encode() in content
    assert f"key of {images[0].short}".encode() not in content
    assert b"shared" in content


def test_half_a_layout_is_made_anew(images, store: Podman, tmp_path: Path):
    layout.write(store, images, tmp_path / "oci", lambda line: None)
    (tmp_path / "oci/index.json").write_text("{")

    layout.write(store, images, tmp_path / "oci", lambda line: None)

    assert len(store.pushed) == 4
    assert sorted(names(tmp_path / "oci")) == sorted(image.reference for image in images)


def test_what_is_not_built_is_not_exported(images, store: Podman, tmp_path: Path):
    store.words[images[0].reference] = "an older key"

    with pytest.raises(ImageError, match="daybreak images build haproxy") as caught:
        layout.write(store, images, tmp_path / "oci", lambda line: None)

    assert "memcached" not in str(caught.value)
    assert not (tmp_path / "oci").exists()
