"""A model in memory, charms in a directory, and a fake of what the daemon does."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from daybreak_engine import errors
from daybreak_engine.commands import deps, dispatch
from daybreak_engine.model import Store, models, open_store

T = TypeVar("T")

START = datetime(2026, 11, 22, 16, 29, 28, tzinfo=UTC).timestamp()

ALPHA: Mapping[str, Any] = {
    "name": "alpha",
    "summary": "two containers",
    "description": "two containers",
    "containers": {
        "app": {"resource": "app-image", "mounts": [{"storage": "data", "location": "/srv"}]},
        "side": {"resource": "side-image", "uid": 10001, "gid": 10001},
    },
    "resources": {"app-image": {"type": "oci-image"}, "side-image": {"type": "oci-image"}},
    "storage": {"data": {"type": "filesystem", "minimum-size": "10M"}},
    "requires": {"db": {"interface": "kv", "limit": 1}},
    "provides": {"web": {"interface": "http"}},
    "peers": {"cluster": {"interface": "alpha_peers"}},
}
ALPHA_CONFIG: Mapping[str, Any] = {
    "options": {
        "greeting": {"type": "string", "default": "hello", "description": "text to show"},
        "port": {"type": "int", "default": 8080, "description": "port to open"},
        "ratio": {"type": "float", "default": 0.5, "description": "a float"},
        "debug": {"type": "boolean", "default": False, "description": "a flag"},
        "token": {"type": "secret", "description": "secret with a token"},
        "note": {"type": "string", "description": "string without default"},
    }
}
ALPHA_ACTIONS: Mapping[str, Any] = {
    "say": {
        "description": "Say something back.",
        "params": {
            "what": {"type": "string", "default": "hi", "description": "words"},
            "times": {"type": "integer", "minimum": 1, "maximum": 3, "description": "repeats"},
        },
        "required": ["what"],
        "additionalProperties": False,
    },
    "slow": {
        "description": "Sleep and log progress.",
        "params": {"seconds": {"type": "integer", "default": 5}},
        "additionalProperties": False,
    },
}
BETA: Mapping[str, Any] = {
    "name": "beta",
    "summary": "one container",
    "description": "one container",
    "containers": {"app": {"resource": "app-image"}},
    "resources": {"app-image": {"type": "oci-image"}},
    "provides": {"kv": {"interface": "kv"}, "kv2": {"interface": "kv"}},
    "requires": {"site": {"interface": "http"}},
}


def pack(
    path: Path,
    metadata: Mapping[str, Any],
    config: Mapping[str, Any] | None = None,
    actions: Mapping[str, Any] | None = None,
) -> Path:
    """Write a packed charm with charmcraft's layout."""
    files = {"metadata.yaml": metadata, "config.yaml": config, "actions.yaml": actions}
    manifest = {"bases": [{"name": "ubuntu", "channel": "24.04", "architectures": ["amd64"]}]}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, "manifest.yaml": manifest}.items():
            if content is not None:
                archive.writestr(name, yaml.safe_dump(dict(content)))
        archive.writestr("dispatch", "#!/bin/sh\n")
    return path


class Clock:
    """Seconds since the epoch; moves only when told."""

    def __init__(self) -> None:
        self.seconds = START

    def __call__(self) -> float:
        return self.seconds


@dataclass
class FakeDeps:
    """One model; waits end on a commit, or at once when their time is over."""

    store: Store
    clock: Clock
    directory: Path
    images: set[str] = field(default_factory=set)
    cluster: dict[str, deps.Node] = field(default_factory=dict[str, deps.Node])
    ran: list[tuple[str, str, tuple[str, ...], str | None]] = field(default_factory=list)
    result: deps.ExecResult = field(default_factory=lambda: deps.ExecResult(0, "", ""))
    on_wait: list[Callable[[], object]] = field(default_factory=list)
    """What happens, one after another, while a command waits."""

    @property
    def log_path(self) -> Path:
        return self.directory / "debug.log"

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    def wake(self) -> None:
        pass

    async def wait(self, predicate: Callable[[], T | None], timeout: float | None) -> T | None:
        while (value := predicate()) is None:
            if not self.on_wait:
                assert timeout is not None, "nothing happens, and the command waits for ever"
                self.clock.seconds += timeout
                return None
            self.on_wait.pop(0)()
            await asyncio.sleep(0)
        return value

    async def store_charm(self, archive: Path) -> deps.StoredCharm:
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        return deps.StoredCharm(digest, self.directory / digest)

    async def store_file(self, path: Path) -> deps.StoredCharm:
        return await self.store_charm(path)

    async def image_present(self, reference: str) -> bool:
        return reference in self.images

    def nodes(self) -> Sequence[deps.Node]:
        return list(self.cluster.values())

    def add_node(self, name: str, labels: Mapping[str, str]) -> None:
        self.cluster[name] = deps.Node(name, "10.0.0.1", labels, ())

    def remove_node(self, name: str) -> None:
        if name not in self.cluster:
            raise errors.NotFoundError(f"node {name} not found")
        del self.cluster[name]

    async def exec_in(
        self, unit: str, container: str, argv: Sequence[str], stdin: str | None
    ) -> deps.ExecResult:
        self.ran.append((unit, container, tuple(argv), stdin))
        return self.result


@dataclass
class FakeEngine:
    """The keeper of one model."""

    directory: Path
    clock: Clock = field(default_factory=Clock)
    present: dict[str, FakeDeps] = field(default_factory=dict)
    removed: list[tuple[str, bool]] = field(default_factory=list)

    def models(self) -> dict[str, FakeDeps]:
        return self.present

    async def add_model(self, name: str) -> FakeDeps:
        if self.present:
            raise errors.ExistsError("model already exists")
        store = open_store(None, clock=self.clock)
        with store.transaction() as tx:
            models.create(tx, name, uuid_="7381af0b-05db-42cf-8c33-5369bd599a11")
        self.present[name] = FakeDeps(store, self.clock, self.directory)
        return self.present[name]

    async def remove_model(self, name: str, *, keep_storage: bool) -> None:
        self.present.pop(name).store.close()
        self.removed.append((name, keep_storage))


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass
class Cloud:
    """Runs command lines against a fake engine, from one directory."""

    engine: FakeEngine
    directory: Path
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, *argv: str, stdin: str | None = None, tty: bool = False) -> Answer:
        return asyncio.run(self.run(deps.Request(argv, self.directory, stdin, tty, self.env)))

    def ok(self, *argv: str, stdin: str | None = None) -> Answer:
        answer = self(*argv, stdin=stdin)
        assert answer.code == 0, answer
        return answer

    async def run(self, request: deps.Request) -> Answer:
        """Run a command in the caller's event loop."""
        out = err = ""
        code = None
        async for part in dispatch.execute(request, self.engine):
            assert code is None, "something after the exit code"
            match part:
                case deps.Out(data):
                    out += data
                case deps.Err(data):
                    err += data
                case deps.Exit(code):
                    pass
        assert code is not None
        return Answer(code, out, err)

    @property
    def deps(self) -> FakeDeps:
        (only,) = self.engine.present.values()
        return only

    def file(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The charms alpha and beta."""
    directory = tmp_path_factory.mktemp("charms")
    pack(directory / "alpha.charm", ALPHA, ALPHA_CONFIG, ALPHA_ACTIONS)
    pack(directory / "beta.charm", BETA)
    return directory


@pytest.fixture
def bare(tmp_path: Path, packed: Path) -> Cloud:
    """An engine without a model, in a directory with the charms alpha and beta."""
    for charm in packed.iterdir():
        shutil.copy(charm, tmp_path)
    return Cloud(FakeEngine(tmp_path), tmp_path)


@pytest.fixture
def cloud(bare: Cloud) -> Cloud:
    """An engine with the empty model fmt-demo."""
    bare.ok("add-model", "--no-switch", "fmt-demo")
    bare.deps.images = {"img"}
    return bare


DEPLOY_ALPHA = (
    *("deploy", "./alpha.charm", "--resource", "app-image=img", "--resource", "side-image=img"),
    *("--num-units", "2", "--trust"),
)
DEPLOY_BETA = ("deploy", "./beta.charm", "beta", "--resource", "app-image=img")


@pytest.fixture
def demo(cloud: Cloud) -> Cloud:
    """alpha with two units and beta with one, as far as the model goes without agents."""
    cloud.ok(*DEPLOY_ALPHA)
    cloud.ok(*DEPLOY_BETA)
    return cloud
