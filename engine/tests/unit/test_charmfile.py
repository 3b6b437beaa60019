"""Packed charms as CharmMeta, and what cannot be used."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from daybreak_engine import charmfile, errors

METADATA: dict[str, Any] = {
    "name": "keystone-k8s",
    "summary": "Identity",
    "containers": {
        "keystone": {
            "resource": "keystone-image",
            "uid": 42425,
            "mounts": [{"storage": "keys", "location": "/etc/keystone/keys"}],
        }
    },
    "resources": {"keystone-image": {"type": "oci-image"}},
    "storage": {"keys": {"type": "filesystem", "minimum-size": "5M"}},
    "requires": {"database": {"interface": "mysql_client", "limit": 1, "optional": False}},
    "peers": {"peers": {"interface": "keystone-peer"}},
    "assumes": ["k8s-api"],
}
CONFIG = {"options": {"debug": {"type": "boolean", "default": False}, "key": {"type": "secret"}}}
ACTIONS = {"act": {"description": "Do it", "params": {"n": {"type": "integer"}}, "required": ["n"]}}
MANIFEST = {"bases": [{"name": "ubuntu", "channel": "24.04"}]}


def pack(path: Path, **documents: object) -> Path:
    given = {"metadata": METADATA, "config": CONFIG, "actions": ACTIONS, "manifest": MANIFEST}
    with zipfile.ZipFile(path / "x.charm", "w") as archive:
        for name, document in {**given, **documents}.items():
            if document is not None:
                archive.writestr(f"{name}.yaml", yaml.safe_dump(document))
    return path / "x.charm"


def test_a_packed_charm(tmp_path: Path) -> None:
    meta = charmfile.read(pack(tmp_path))
    assert meta.containers["keystone"].mounts[0].storage == "keys"
    assert meta.containers["keystone"].uid == 42425
    assert meta.images == ("keystone-image",)
    assert (meta.storage["keys"].minimum_size, meta.storage["keys"].maximum) == ("5M", 1)
    assert meta.endpoints["database"].limit == 1
    assert list(meta.peers) == ["peers"]
    assert (meta.options["debug"].default, meta.options["key"].default) == (False, None)
    assert meta.actions["act"].schema["required"] == ["n"]
    assert meta.bases == (charmfile.Base("ubuntu", "24.04"),)
    stored = json.loads(json.dumps(charmfile.to_json(meta)))
    assert charmfile.from_json(stored) == meta


def test_an_unpacked_charm_says_the_same(tmp_path: Path) -> None:
    archive = pack(tmp_path)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "dir")  # made above
    assert charmfile.read(tmp_path / "dir") == charmfile.read(archive)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": None}, "has no metadata.yaml"),
        ({"metadata": {**METADATA, "name": ""}}, "has no name"),
        ({"metadata": {**METADATA, "resources": {}}}, "which is not declared"),
        ({"metadata": {**METADATA, "storage": {}}}, "which is not declared"),
        ({"metadata": {**METADATA, "peers": {"peers": {}}}}, "has no interface"),
        ({"metadata": {**METADATA, "peers": {"database": {"interface": "x"}}}}, "twice"),
        ({"metadata": {**METADATA, "subordinate": True}}, "subordinate"),
        ({"config": {"options": {"a": {"type": "int", "default": "x"}}}}, "is no int"),
        ({"config": {"options": {"a": {"type": "bool"}}}}, 'has type "bool"'),
        ({"config": ["a"]}, "expected a mapping"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.CharmError, match=message):
        charmfile.read(pack(tmp_path, **change))


def test_no_archive(tmp_path: Path) -> None:
    with pytest.raises(errors.CharmError, match="no charm was found") as caught:
        charmfile.read(tmp_path / "nosuch.charm")
    assert caught.value.remedy
    (tmp_path / "x.charm").write_text("no zip")
    with pytest.raises(errors.CharmError, match="not a charm archive"):
        charmfile.read(tmp_path / "x.charm")
