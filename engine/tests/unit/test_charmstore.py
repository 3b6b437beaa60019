"""The store of charms: unpacked once, fitted to the interpreter, never outside its own directory."""

import asyncio
import os
import zipfile
from pathlib import Path

import pytest

from daybreak_engine import errors
from daybreak_engine.daemon import charmstore
from daybreak_engine.instance import Instance


async def _no_bytecode(tree: Path) -> None:
    (tree / "compiled").touch()


def _archive(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            item = zipfile.ZipInfo(name)
            item.external_attr = (0o100755 if name == "dispatch" else 0o100644) << 16
            archive.writestr(item, text)
    return path


def _unpack(root: Path, archive: Path, digest: str = "d") -> Path:
    work = charmstore.unpacked(Instance("t", root), archive, digest, "3.13", _no_bytecode)
    return asyncio.run(work)


def test_tree_is_executable_and_fits_the_interpreter(tmp_path: Path) -> None:
    member = "venv/lib/python3.12/site-packages/x.py"
    archive = _archive(tmp_path / "a.charm", **{"dispatch": "#!/bin/sh\n", member: "x = 1\n"})
    tree = _unpack(tmp_path, archive)
    assert os.access(tree / "dispatch", os.X_OK)
    assert (tree / "venv/lib/python3.13/site-packages/x.py").read_text() == "x = 1\n"
    assert (tree / "compiled").exists()


def test_compiled_modules_are_lent_by_the_distribution(tmp_path: Path) -> None:
    site = "venv/lib/python3.12/site-packages"
    members = {
        f"{site}/yaml/_yaml.cpython-312-x86_64-linux-gnu.so": "for 3.12",
        f"{site}/own.cpython-312-x86_64-linux-gnu.so": "for 3.12",
        f"{site}/own.cpython-313-x86_64-linux-gnu.so": "for 3.13",
        f"{site}/_rust.abi3.so": "for all",
    }
    tree = _unpack(tmp_path, _archive(tmp_path / "a.charm", **members))
    links = {path.name: path.readlink() for path in tree.rglob("*.so") if path.is_symlink()}
    assert links == {
        "_yaml.cpython-313-x86_64-linux-gnu.so": Path(
            "/usr/lib/python3/dist-packages/yaml/_yaml.cpython-313-x86_64-linux-gnu.so"
        )
    }
    assert (tree / site / "own.cpython-313-x86_64-linux-gnu.so").read_text() == "for 3.13"


def test_second_unpacking_does_nothing(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "a.charm", dispatch="#!/bin/sh\n")
    tree = _unpack(tmp_path, archive)
    (tree / "compiled").unlink()
    assert _unpack(tmp_path, archive) == tree
    assert not (tree / "compiled").exists()


@pytest.mark.parametrize("name", ["../out", "/etc/out"])
def test_archive_that_leads_out_of_itself_is_refused(tmp_path: Path, name: str) -> None:
    archive = _archive(tmp_path / "a.charm", **{name: "bad"})
    with pytest.raises(errors.CharmError, match="leads out"):
        _unpack(tmp_path, archive)
    assert not (tmp_path / "out").exists()


def test_damaged_archive_says_so(tmp_path: Path) -> None:
    archive = tmp_path / "a.charm"
    archive.write_text("no zip")
    with pytest.raises(errors.CharmError, match="damaged"):
        _unpack(tmp_path, archive)


def test_units_directory_is_made_anew(tmp_path: Path) -> None:
    tree = _unpack(tmp_path, _archive(tmp_path / "a.charm", dispatch="#!/bin/sh\n"))
    directory = tmp_path / "unit/charm"
    directory.parent.mkdir()
    charmstore.populate(tree, directory)
    (directory / ".unit-state.db").touch()
    charmstore.populate(tree, directory)
    assert sorted(path.name for path in directory.iterdir()) == ["compiled", "dispatch"]


def test_oldest_trees_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charmstore, "KEPT_TREES", 2)
    archive = _archive(tmp_path / "a.charm", dispatch="#!/bin/sh\n")
    trees = [_unpack(tmp_path, archive, digest) for digest in "abc"]
    assert [tree.exists() for tree in trees].count(True) == 2
    assert trees[2].exists()
