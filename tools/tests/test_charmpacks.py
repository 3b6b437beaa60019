"""What a charm's archive has to be like; charmcraft itself is run by `tests/run pack`."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

METADATA = {
    "name": "tiny-k8s",
    "display-name": "Tiny",
    "summary": "A tiny charm.",
    "description": "Does nothing.",
    "docs": "https://docs.example",
    "issues": "https://issues.example",
    "source": "https://source.example",
    "assumes": ["k8s-api", "juju >= 3.6"],
}
MANIFEST = {"bases": [{"name": "ubuntu", "channel": "24.04", "architectures": ["amd64"]}]}
SITE = "venv/lib/python3.12/site-packages"

Change = Callable[[dict[str, str]], object]


@pytest.fixture
def checkout(tmp_path: Path, charmpacks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("tiny-k8s", "huge-k8s"):
        (tmp_path / "charms" / name).mkdir(parents=True)
        (tmp_path / "charms" / name / "charmcraft.yaml").touch()
        (tmp_path / "charms" / name / "README.md").touch()
    monkeypatch.setattr(charmpacks, "ROOT", tmp_path)
    return tmp_path


def archive(checkout: Path, change: Change = lambda files: None, *, runs: bool = True) -> Path:
    files = {
        "metadata.yaml": yaml.safe_dump(METADATA),
        "manifest.yaml": yaml.safe_dump(MANIFEST),
        "dispatch": "#!/bin/sh\n",
        "src/charm.py": "",
        f"{SITE}/ops/__init__.py": "",
        f"{SITE}/_yaml.cpython-312-x86_64-linux-gnu.so": "",
        f"{SITE}/_rust.abi3.so": "",
    }
    change(files)
    path = checkout / "tiny-k8s.charm"
    with zipfile.ZipFile(path, "w") as target:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if runs and name == "dispatch" else 0o100644) << 16
            target.writestr(entry, content)
    return path


def metadata(**changed: object) -> Change:
    return lambda files: files.update({"metadata.yaml": yaml.safe_dump(METADATA | changed)})


def test_a_good_archive_has_no_problems(checkout: Path, charmpacks: ModuleType) -> None:
    assert list(charmpacks.problems("tiny-k8s", archive(checkout))) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda files: files.pop("manifest.yaml"), "manifest.yaml is missing"),
        (lambda files: files.update({"tests/test_x.py": ""}), "tests/test_x.py does not belong"),
        (lambda files: files.update({"parts/charm/x": ""}), "parts/charm/x does not belong"),
        (lambda files: files.update({"src/huge-k8s/x.py": ""}), "is of another charm"),
        (lambda files: files.update({f"{SITE}/x.cpython-311-a.so": ""}), "not for Python 3.12"),
        (
            lambda files: files.update(
                {"manifest.yaml": yaml.safe_dump({"bases": [{"name": "ubuntu", "channel": "22.04"}]})}
            ),
            "it is for ubuntu@22.04",
        ),
        (metadata(name="other"), "it calls itself other"),
        (metadata(assumes=["k8s-api"]), "not k8s-api and juju >= 3.6"),
        (metadata(docs=None), "has no docs"),
        (metadata(summary="x" * 79), "more than 78 letters"),
    ],
)  # fmt: skip
def test_each_problem_is_found(
    checkout: Path, charmpacks: ModuleType, change: Change, says: str
) -> None:
    found = list(charmpacks.problems("tiny-k8s", archive(checkout, change)))

    assert len(found) == 1
    assert says in found[0]


def test_a_dispatch_that_cannot_run(checkout: Path, charmpacks: ModuleType) -> None:
    found = list(charmpacks.problems("tiny-k8s", archive(checkout, runs=False)))

    assert found == ["dispatch cannot be executed"]


def test_too_much_and_no_readme(
    checkout: Path, charmpacks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charmpacks, "MOST_BYTES", 10)
    (checkout / "charms/tiny-k8s/README.md").unlink()

    found = list(charmpacks.problems("tiny-k8s", archive(checkout)))

    assert len(found) == 2


def test_the_manifest_names_every_file_with_its_digest(
    checkout: Path, charmpacks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib
    import json

    monkeypatch.setattr(charmpacks, "RELEASE", checkout / "dist/release")
    (checkout / "bundles").mkdir()
    (checkout / "bundles/one.yaml").write_text("bundle: kubernetes\n")
    (checkout / "dist/release/dist").mkdir(parents=True)
    (checkout / "dist/release/dist/tiny-k8s.charm").write_text("x")
    (checkout / "cli").mkdir()
    (checkout / "cli/pyproject.toml").write_text('[project]\nversion = "7"\n')

    charmpacks.copy_bundles()
    content = json.loads(charmpacks.write_manifest().read_text())

    assert content["version"] == "7"
    assert content["files"]["dist/tiny-k8s.charm"]["sha256"] == hashlib.sha256(b"x").hexdigest()
    assert set(content["files"]) == {"bundles/one.yaml", "dist/tiny-k8s.charm"}
