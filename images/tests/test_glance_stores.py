"""Glance as the charm sets it up, and a real server of S3 over TLS: images come and go, keys change, it is away.

Two units share a database and a bucket, and nothing else: the first has old images in files, the second starts with
none. The server is versitygw; it runs beside them, on their loopback.
"""

import dataclasses
import functools
import importlib.util
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ops import testing

from daybreak_charm.openstack.testing import Cloud
from daybreak_charm.testing import quiet_effects
from daybreak_images import spec, store

pytestmark = pytest.mark.stores
HERE = Path(__file__).parent / "s3"
CHARM = Path(__file__).parents[2] / "charms/glance-k8s"
SERVER = Path(os.environ.get("DAYBREAK_CACHE", "/var/cache/daybreak")) / "bin/versitygw"
DATABASE = (
    "mariadb-install-db --user=mysql > /dev/null && exec mariadbd --user=mysql"
    " --bind-address=127.0.0.1 --skip-grant-tables --innodb-flush-log-at-trx-commit=0"
)
CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    " -keyout /data/tls.key -out /data/tls.crt"
)
ALIVE = "until mariadb-admin ping 2> /dev/null; do sleep 0.1; done"
PORTS = {"a": 9292, "b": 9392}
ENDPOINT = "https://localhost:7070"
# With everything that a key may have and the driver could trip over.
KEYS = {"access-key": "AK-1", "secret-key": "s3cret/with+all=of_them~."}
NEW_KEYS = {"access-key": "AK-2", "secret-key": "another/s3cret="}
FAILED = (0, 500, 503)
"""What a request ends with: an error, or the connection, which a gateway makes 502 of."""
PATIENCE = 30
"""Seconds in which an error has to come; those seen were below 5."""
OVERRIDES = {
    "database": {"connection": "mysql+pymysql://root@127.0.0.1/glance"},
    "paste_deploy": {"config_file": "/etc/glance/test-paste.ini"},
}


@functools.cache
def load_charm() -> Any:
    """The charm's modules, under the names that they have for each other."""
    sys.path.insert(0, str(CHARM / "src"))
    try:
        found = importlib.util.spec_from_file_location("glance_charm", CHARM / "src/charm.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules[found.name] = module
        found.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(CHARM / "src"))


@dataclasses.dataclass
class Place:
    """A namespace with a server of S3 and units of Glance.

    Attributes:
        images: Runs podman.
        image: Glance's.
        folder: On this machine; `data` in it is what the containers share.
        name: Of its containers.
        user: Number of the user that Glance runs as.
        paste: Its pipelines, with users that the test names.
        said: What units said that have been replaced.
    """

    images: store.Store
    image: spec.Image
    folder: Path
    name: str
    user: int
    paste: str
    said: str = ""

    def podman(self, *words: str) -> str:
        return self.images.run(["podman", *words])

    def begin(self) -> None:
        """Make the namespace, and the server's certificate."""
        data = self.folder / "data"
        (data / "s3").mkdir(parents=True)
        (data / "meta").mkdir()
        shutil.copy(SERVER, data / "versitygw")
        shutil.copytree(HERE, data / "test")
        data.chmod(0o777)
        run = ["run", "--rm", "--pull=never", "--network=none", f"--volume={data}:/data"]
        self.podman(*run, self.image.reference, *CERTIFICATE.split())
        name = f"{self.name}-db"
        options = ["--detach", "--pull=never", "--network=none", f"--name={name}", "--user=root"]
        options += ["--tmpfs=/var/lib/mysql", f"--volume={data}:/data"]
        server = spec.choose(spec.load(), ["mariadb"])[0].reference
        self.podman("run", *options, server, "sh", "-c", DATABASE)
        made = f"{ALIVE} && mariadb-admin create glance"
        self.podman("exec", name, "timeout", "60", "sh", "-c", made)

    def serve(self, keys: dict[str, str]) -> None:
        """Start the server of S3 and wait for it."""
        env = [f"--env=ROOT_ACCESS_KEY={keys['access-key']}"]
        env += [f"--env=ROOT_SECRET_KEY={keys['secret-key']}"]
        words = "exec /data/versitygw --quiet --port 127.0.0.1:7070 --cert /data/tls.crt"
        words += " --key /data/tls.key posix --sidecar /data/meta /data/s3 > /data/s3.log 2>&1"
        self.podman("exec", "--detach", *env, f"{self.name}-db", "sh", "-c", words)
        ready = "until (exec 3<> /dev/tcp/127.0.0.1/7070) 2> /dev/null; do sleep 0.1; done"
        self.podman("exec", f"{self.name}-db", "timeout", "30", "bash", "-c", ready)

    def stop_serving(self) -> None:
        """End the server of S3, as if its machine were lost."""
        is_it = '[ "$(readlink $p/exe)" != /data/versitygw ]'
        kill = f"for p in /proc/[0-9]*; do {is_it} || kill -KILL ${{p#/proc/}}; done"
        self.podman("exec", f"{self.name}-db", "bash", "-c", kill)

    def unit(self, unit: str, keys: dict[str, str] | None, planned: int) -> None:
        """Set a unit up as the charm does, in the place of one that was there."""
        etc = self.folder / f"etc-{unit}"
        shutil.rmtree(etc, ignore_errors=True)
        etc.mkdir()
        self.rendered(keys, planned, etc)
        ini = etc / "glance-api.ini"
        # Both are in one namespace.
        first = PORTS[unit] - PORTS["a"]
        ours = re.sub(r":(929[23])\b", lambda port: f":{int(port[1]) + first}", ini.read_text())
        ini.write_text(ours)
        (etc / "test-paste.ini").write_text(self.paste)
        name = f"{self.name}-{unit}"
        own = self.folder / f"lib-{unit}"
        if own.exists():
            self.said += self.log(unit)
            self.podman("rm", "--force", "--time=0", name)
        own.mkdir(exist_ok=True)
        for path in (own, etc, *etc.rglob("*")):
            os.chown(path, 0, self.user)
        own.chmod(0o770)
        for path in (own / "images", own / "staging", own / "work", own / "work/locks"):
            path.mkdir(exist_ok=True)
            os.chown(path, self.user, self.user)
        options = ["--detach", "--pull=never", f"--network=container:{self.name}-db"]
        options += [f"--name={name}", "--user=glance", "--env=PYTHONPATH=/data/test"]
        options += [f"--volume={etc}:/etc/glance:ro", f"--volume={own}:/var/lib/glance"]
        options += [f"--volume={self.folder / 'data'}:/data", self.image.reference]
        sync = "glance-manage --config-file /etc/glance/glance-api.conf db sync"
        run = "exec uwsgi --ini /etc/glance/glance-api.ini"
        self.podman("run", *options, "sh", "-c", f"{sync} && {run}")
        assert self.ask(unit, "wait") == {"code": 200}, self.log(unit)

    def rendered(self, keys: dict[str, str] | None, planned: int, etc: Path) -> None:
        """Write what the charm writes for a unit of so many."""
        charm = load_charm()
        folder = self.folder / f"charm-{uuid.uuid4().hex[:8]}"
        cloud = Cloud(
            charm.GlanceCharm,
            CHARM,
            folder,
            charm.GLANCE,
            {"glance": ["a1"]},
            release=self.image.tag,
            mounts=("/var/lib/glance",),
        )
        charm.GlanceCharm.effects = quiet_effects(database=cloud.database)
        relations: list[testing.Relation] = []
        if keys:
            bag = {**keys, "bucket": "images", "endpoint": ENDPOINT, "s3-uri-style": "path"}
            bag["tls-ca-chain"] = json.dumps([(self.folder / "data/tls.crt").read_text()])
            relations.append(testing.Relation("s3-credentials", remote_app_data=bag))
        config = {"config-overrides": yaml.safe_dump(OVERRIDES), "debug": True}
        out = cloud.running(*relations, planned_units=planned, config=config)
        assert out.unit_status == testing.ActiveStatus()
        shutil.copytree(cloud.file("/etc/glance"), etc, dirs_exist_ok=True)

    def ask(self, unit: str, *words: str) -> dict[str, Any]:
        """What the client says of a request."""
        python = ["timeout", "120", "python", "/data/test/client.py", str(PORTS[unit]), *words]
        return json.loads(self.podman("exec", f"{self.name}-{unit}", *python))

    def only_in(self, name: str) -> int:
        """What the charm asks the database, asked of a real one."""
        sql = load_charm()._ONLY_IN
        word = f"""'%"store": "{name}"%'"""
        query = ["mariadb", "--skip-column-names", f"--execute={sql % (word, word)}", "glance"]
        return int(self.podman("exec", f"{self.name}-db", *query))

    def objects(self) -> set[str]:
        """Names in the bucket."""
        folder = self.folder / "data/s3/images"
        return {path.name for path in folder.iterdir() if not path.name.startswith(".")}

    def log(self, unit: str) -> str:
        """What a unit has said since it was set up."""
        return self.images.run(["sh", "-c", 'podman logs "$0" 2>&1', f"{self.name}-{unit}"])


@pytest.fixture
def place(images: store.Store, glance: spec.Image, tmp_path: Path) -> Iterator[Place]:
    assert SERVER.is_file(), f"{SERVER} is missing: tests/run engine builds it"
    read = ["podman", "run", "--rm", "--pull=never", "--network=none", glance.reference]
    paste = images.run([*read, "cat", "/opt/openstack/etc/glance/glance-api-paste.ini"])
    ours = paste.replace("keystonemiddleware.auth_token:filter_factory", "identity:filter_factory")
    assert ours != paste
    name = f"test-images-{uuid.uuid4().hex[:8]}"
    user = int(dict(glance.arguments)["UID"])
    made = Place(images, glance, tmp_path, name, user, ours)
    made.begin()
    try:
        yield made
    finally:
        for unit in ("a", "b", "db"):
            images.run(["podman", "rm", "--force", "--time=0", "--ignore", f"{name}-{unit}"])


def test_images_come_to_a_bucket_stay_there_and_go(place: Place) -> None:
    place.serve(KEYS)

    # Before there was a bucket.
    place.unit("a", None, 1)
    old = place.ask("a", "upload", "old", "2048", "--public")
    assert (old["whole"], old["stores"]) == (True, "local")

    # A lone unit has both; what was there is read, and copied as the charm's README says.
    place.unit("a", KEYS, 1)
    assert place.ask("a", "download", old["id"])["sha512"] == old["sent"]
    large = place.ask("a", "upload", "large", "102400")
    assert (large["code"], large["whole"], large["stores"]) == (204, True, "s3")
    sized = place.ask("a", "upload", "sized", "20480", "--public", "--sized")
    assert (sized["code"], sized["whole"], sized["stores"]) == (204, True, "s3")
    assert place.only_in("local") == 1
    assert place.ask("a", "copy", old["id"])["stores"] == "local,s3"
    assert (place.only_in("local"), place.only_in("s3")) == (0, 2)

    # Another unit, which has no file of it.
    place.unit("b", KEYS, 3)
    assert place.ask("b", "download", large["id"])["sha512"] == large["sent"]
    assert place.ask("b", "other", sized["id"])["sha512"] == sized["sent"]
    assert place.ask("b", "download", old["id"])["sha512"] == old["sent"]
    assert place.ask("a", "drop", old["id"])["code"] == 204
    assert place.ask("b", "show", old["id"])["stores"] == "s3"
    assert place.ask("b", "download", old["id"])["sha512"] == old["sent"]
    assert list((place.folder / "lib-a/images").iterdir()) == []
    assert place.objects() == {image["id"] for image in (old, large, sized)}
    assert place.ask("b", "delete", large["id"])["code"] == 204
    assert place.objects() == {image["id"] for image in (old, sized)}

    # The server is away: an error soon, and all is as before when it is back.
    place.stop_serving()
    away = place.ask("b", "upload", "away", "16")
    assert (away["status"], away["took"] < PATIENCE) == ("queued", True)
    assert away["code"] in FAILED
    lost = place.ask("b", "download", sized["id"])
    assert (lost["code"] in FAILED, lost["took"] < PATIENCE) == (True, True)
    place.serve(KEYS)
    assert place.ask("b", "download", sized["id"])["sha512"] == sized["sent"]
    assert place.ask("b", "upload", "back", "16")["whole"]

    # It knows other keys: no image becomes active, and none is given out that is not whole.
    place.stop_serving()
    place.serve(NEW_KEYS)
    refused = place.ask("b", "upload", "refused", "16")
    assert (refused["code"] in FAILED, refused["status"]) == (True, "queued")
    assert "S3: An error occurred (" in place.log("b")
    # Glance's way to say that an image has no data.
    assert place.ask("b", "download", sized["id"])["code"] == 204

    # The charm is told the new ones. In 2025.1 an image is read with those of its day.
    place.unit("b", NEW_KEYS, 3)
    assert place.ask("b", "upload", "after", "16")["whole"]
    again = place.ask("b", "other", sized["id"])
    if place.image.tag == "2025.1":
        assert again["code"] == 204
    else:
        assert again["sha512"] == sized["sent"]

    # The bucket is not related any more: nothing in it is touched.
    before = place.objects()
    place.unit("a", None, 1)
    assert place.ask("a", "download", sized["id"])["code"] in FAILED
    assert place.ask("a", "delete", sized["id"])["code"] in FAILED
    assert place.objects() == before
    # At level DEBUG.
    said = place.said + place.log("a") + place.log("b")
    assert [key for key in (*KEYS.values(), *NEW_KEYS.values()) if key in said] == []
