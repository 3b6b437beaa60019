"""Images as files, in archives and on a registry; the registry here is a small strict one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import tarfile
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from daybreak import __main__, archive, bundles, oci, places, registry
from daybreak.errors import DaybreakError, UsageError

from .outside import write_layout

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYSTONE = "localhost:32000/daybreak/keystone:2026.1"
MARIADB = "localhost:32000/daybreak/mariadb:11.8"


class Store:
    """What a registry has, and how it behaves."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.sent: list[str] = []
        self.auth = ""
        self.refuse = 0
        self.port = 0
        self.shares = False
        """Whether a repository has only what was sent to it, and takes others' parts when asked."""


class Handler(BaseHTTPRequestHandler):
    store: Store

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as it is inherited
        pass

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def allowed(self) -> bool:
        given = self.headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(b"me:hunter2").decode()
        if self.store.auth == "basic" and given != basic:
            self.answer(401, WWW_Authenticate='Basic realm="r"')
            return False
        if self.store.auth == "bearer" and given != "Bearer good":
            realm = f'Bearer realm="http://127.0.0.1:{self.store.port}/token",service="s",scope="x"'
            self.answer(401, WWW_Authenticate=realm)
            return False
        return True

    def do_GET(self) -> None:
        assert self.path == "/token?service=s&scope=x", self.path
        good = self.headers.get("Authorization", "").startswith("Basic ")
        self.answer(200, json.dumps({"token": "good" if good else "bad"}).encode())

    def do_HEAD(self) -> None:
        kind, digest = self.path.split("/")[-2:]
        there = self.store.blobs if kind == "blobs" else self.store.manifests
        if self.allowed():
            known = digest in there and not (self.store.shares and kind == "blobs")
            self.answer(200 if known else 404)

    def do_POST(self) -> None:
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if not self.allowed():
            return
        if self.store.shares and asked.get("mount", [""])[0] in self.store.blobs:
            assert asked["from"] == ["team/daybreak/keystone"]
            self.answer(201)
            return
        self.answer(202, Location="/upload/1?state=x")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.allowed():
            return
        if self.store.refuse:
            error = {"errors": [{"code": "DENIED", "message": "quota exceeded"}]}
            self.answer(self.store.refuse, json.dumps(error).encode())
            return
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if self.path.startswith("/upload/1?state=x&digest="):
            assert urllib.parse.unquote(self.path.partition("digest=")[2]) == digest
            self.store.blobs[digest] = body
        else:
            content = json.loads(body)
            named = [content["config"], *content["layers"]]
            assert all(part["digest"] in self.store.blobs for part in named), "parts come first"
            self.store.manifests[self.path] = self.store.manifests[digest] = body
        self.store.sent.append(self.path)
        self.answer(201)


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    handler = type("Bound", (Handler,), {"store": made})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def layout(tmp_path: Path) -> oci.Layout:
    write_layout(tmp_path / "layout", KEYSTONE, MARIADB)
    return oci.Layout(tmp_path / "layout")


def client(store: Store, login: tuple[str, str] | None = ("me", "hunter2")) -> registry.Client:
    return registry.Client(registry.parse(f"127.0.0.1:{store.port}/team"), login)


def push(store: Store, layout: oci.Layout, image: str, **options: Any) -> str:
    digest = layout.digests()[image]
    return client(store, **options).push(layout, image, digest, lambda line: None)


@pytest.mark.parametrize("auth", ["", "basic", "bearer"])
def test_an_image_is_pushed_with_its_parts_and_named_by_digest(
    store: Store, layout: oci.Layout, auth: str
):
    store.auth = auth

    name = push(store, layout, KEYSTONE)

    digest = layout.digests()[KEYSTONE]
    assert name == f"127.0.0.1:{store.port}/team/daybreak/keystone@{digest}"
    assert f"sha256:{hashlib.sha256(store.manifests[digest]).hexdigest()}" == digest
    assert "/v2/team/daybreak/keystone/manifests/2026.1" in store.manifests


def test_what_is_there_is_not_sent_again(store: Store, layout: oci.Layout):
    push(store, layout, KEYSTONE)
    store.sent.clear()

    push(store, layout, MARIADB)
    shared = [path for path in store.sent if "digest=" in path]
    store.sent.clear()
    push(store, layout, MARIADB)

    assert len(shared) == 1, "the configuration and a layer are shared, one layer is its own"
    assert store.sent == ["/v2/team/daybreak/mariadb/manifests/11.8"]


def test_what_images_share_is_sent_once(store: Store, layout: oci.Layout):
    store.shares = True
    pushing = client(store)
    for image in (KEYSTONE, MARIADB):
        pushing.push(layout, image, layout.digests()[image], lambda line: None)

    assert len([path for path in store.sent if "digest=" in path]) == 4


@pytest.mark.parametrize(
    ("status", "remedy"), [(403, "another path"), (413, "too big"), (507, "no space left")]
)
def test_a_registry_that_refuses_says_why(
    store: Store, layout: oci.Layout, status: int, remedy: str
):
    store.refuse = status

    with pytest.raises(DaybreakError) as caught:
        push(store, layout, KEYSTONE)

    assert f"HTTP {status}" in caught.value.message
    assert caught.value.details == ("DENIED: quota exceeded",)
    assert remedy in caught.value.remedy
    store.refuse = 0
    assert push(store, layout, KEYSTONE), "the next run goes on"


def test_without_an_account_it_says_how_to_log_in(store: Store, layout: oci.Layout):
    store.auth = "basic"

    with pytest.raises(DaybreakError, match="HTTP 401") as caught:
        push(store, layout, KEYSTONE, login=None)

    assert "podman login" in caught.value.remedy


def test_a_registry_that_is_not_there(layout: oci.Layout):
    gone = registry.Client(registry.parse("127.0.0.1:1"))

    with pytest.raises(DaybreakError, match="cannot be reached") as caught:
        gone.push(layout, KEYSTONE, layout.digests()[KEYSTONE], lambda line: None)

    assert "not sent again" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "host", "path", "plain"),
    [
        ("registry.example.com", "registry.example.com", "", False),
        ("registry.example.com:5000/a/b/", "registry.example.com:5000", "a/b", False),
        ("localhost:32000", "localhost:32000", "", True),
        ("[::1]:5000/x", "[::1]:5000", "x", True),
    ],
)
def test_a_registry_is_written_as_in_image_names(text: str, host: str, path: str, plain: bool):
    assert registry.parse(text) == registry.Registry(host, path, plain)


@pytest.mark.parametrize("text", ["https://x.example", "", "UPPER/x", "a b"])
def test_what_is_no_registry(text: str):
    with pytest.raises(UsageError, match="is no registry"):
        registry.parse(text)


def test_accounts_come_from_where_logins_are_kept(tmp_path: Path):
    auth = base64.b64encode(b"me:secret").decode()
    kept = tmp_path / ".docker/config.json"
    kept.parent.mkdir()
    kept.write_text(json.dumps({"auths": {"r.example": {"auth": auth}}}))
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}

    assert registry.account("r.example", environ) == ("me", "secret")
    assert registry.account("other.example", environ) is None
    given = {**environ, "DAYBREAK_REGISTRY_USER": "u", "DAYBREAK_REGISTRY_PASSWORD": "p"}
    assert registry.account("r.example", given) == ("u", "p")


# --- archives


@pytest.fixture
def packed(home: places.Home, bundle: Path, layout: oci.Layout, tmp_path: Path) -> Path:
    (home.path / "dist").mkdir()
    for charm in ("keystone-k8s", "mariadb-k8s"):
        (home.path / f"dist/{charm}.charm").write_text(charm)
    home.overlays.mkdir()
    (home.overlays / "ha.yaml").write_text("applications: {keystone: {scale: 3}}\n")
    target = tmp_path / "daybreak.tar"
    archive.write(target, archive.load_bundles([], home.bundles), layout, "1")
    return target


def test_an_archive_unpacks_to_what_a_cloud_is_made_of(packed: Path, tmp_path: Path):
    said: list[str] = []

    made = archive.unpack(packed, tmp_path / "there", said.append)

    bundle = bundles.load(made / "bundles/openstack.yaml")
    assert all((made / "bundles" / app.charm).is_file() for app in bundle.applications)
    assert bundles.known(places.Home(made, made).overlays) == ("ha",)
    assert set(oci.Layout(made / "images").digests()) == {KEYSTONE, MARIADB}
    assert oci.Layout(made / "images").damaged([KEYSTONE, MARIADB]) == []
    assert archive.unpack(packed, tmp_path / "there", said.append) == made
    assert len(said) == 1, "unpacked once"


def test_the_same_content_gives_the_same_archive(packed: Path, home: places.Home, layout, tmp_path):
    again = tmp_path / "again.tar"
    archive.write(again, archive.load_bundles([], home.bundles), layout, "1")

    assert again.read_bytes() == packed.read_bytes()


def _changed(packed: Path, change: Any) -> None:
    entries: list[tuple[tarfile.TarInfo, bytes]] = []
    with tarfile.open(packed) as opened:
        for member in opened:
            file = opened.extractfile(member)
            entries.append((member, file.read() if file else b""))
    with tarfile.open(packed, "w") as target:
        for member, content in change(entries):
            oci.add_bytes(target, member.name, content)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda e: e[1:], "does not begin with a manifest"),
        (lambda e: e[:-1], "ends before"),
        (lambda e: [*e[:-1], (e[-1][0], b"other")], "is damaged"),
        (lambda e: [(e[0][0], e[0][1].replace(b'"bundles/', b'"../bundles/')), *e[1:]], "outside"),
        (lambda e: [(e[0][0], b"[]"), *e[1:]], "cannot be read"),
        (lambda e: [(e[0][0], e[0][1].replace(b'format": 1', b'format": 9')), *e[1:]], "format is 9"),
    ],
)  # fmt: skip
def test_a_damaged_archive_is_refused_and_leaves_nothing(
    packed: Path, tmp_path: Path, change: Any, says: str
):
    _changed(packed, change)

    with pytest.raises(DaybreakError, match=re.escape(says)):
        archive.unpack(packed, tmp_path / "there", lambda line: None)

    assert not list((tmp_path / "there").glob("*"))
    assert not list((tmp_path / "there").glob(".*"))


def test_what_is_no_archive_at_all(tmp_path: Path):
    (tmp_path / "x").write_text("no tar")

    with pytest.raises(DaybreakError, match="is no archive of Daybreak"):
        archive.unpack(tmp_path / "x", tmp_path / "there", lambda line: None)


# --- the command


def test_push_from_an_archive_writes_an_overlay_by_digest(
    packed: Path, home: places.Home, store: Store, instance, tmp_path: Path, capsys, layout
):
    overlay = tmp_path / "images.yaml"
    words = ["images", "push", f"127.0.0.1:{store.port}", "--from", str(packed)]

    assert __main__.main([*words, "--overlay", str(overlay)]) == 0

    digest = layout.digests()[KEYSTONE]
    image = f"127.0.0.1:{store.port}/daybreak/keystone@{digest}"
    content = yaml.safe_load(overlay.read_text())["applications"]
    assert content["keystone"]["resources"] == {"keystone-image": image}
    assert set(content) == {"db", "keystone"}
    assert "2 images pushed" in capsys.readouterr().out


def test_a_full_disk_leaves_the_archive_before(
    packed: Path, home: places.Home, layout: oci.Layout, monkeypatch
):
    before = packed.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    chosen = archive.load_bundles([], home.bundles)
    with monkeypatch.context() as struck:
        struck.setattr(oci, "add_file", full)
        with pytest.raises(DaybreakError, match="No space") as caught:
            archive.write(packed, chosen, layout, "2")

    assert "another place" in caught.value.remedy
    assert packed.read_bytes() == before
    assert not list(packed.parent.glob(".*.new"))


def test_a_disk_too_full_to_unpack_keeps_nothing(packed: Path, tmp_path: Path, monkeypatch):
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as struck:
        struck.setattr(archive, "_copy", full)
        with pytest.raises(DaybreakError, match="No space") as caught:
            archive.unpack(packed, tmp_path / "there", lambda line: None)

    assert "DAYBREAK_CACHE" in caught.value.remedy
    assert list((tmp_path / "there").iterdir()) == []
    assert archive.unpack(packed, tmp_path / "there", lambda line: None).is_dir()


def test_export_of_charms_that_are_not_packed(home: places.Home, bundle: Path, layout, tmp_path):
    with pytest.raises(DaybreakError, match=r"not there: dist/mariadb-k8s\.charm") as caught:
        archive.write(tmp_path / "x.tar", archive.load_bundles([], home.bundles), layout, "1")

    assert "tools/pack" in caught.value.remedy
    assert not (tmp_path / "x.tar").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("build",),
        ("export", "x.tar", "--bundle", "openstack"),
        ("push", "registry.example.com", "--bundle", "openstack"),
    ],
    ids=lambda words: words[0],
)
def test_where_nothing_can_be_built_an_archive_is_asked_for(
    home: places.Home, bundle: Path, instance: places.Instance, capsys, words: tuple[str, ...]
):
    """As in the snap."""
    shutil.rmtree(home.path / "charms")

    assert __main__.main(["images", *words]) == 1

    err = capsys.readouterr().err
    assert "images are built in a checkout" in err
    assert "--from ARCHIVE" in err
