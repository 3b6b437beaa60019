"""A strict fake at the one seam, `subprocess.run`, and an instance below a temporary directory."""

from __future__ import annotations

import functools
import grp
import json
import os
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from daybreak import bootstrap, places, preflight, users
from daybreak.preflight import GIB
from daybreak.providers import checks, cluster, microk8s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Answer = tuple[int, str, str]


@dataclass
class Programs:
    """Stands in for `subprocess.run`: knows only what a test declared and fails on all else."""

    home: places.Home
    known: dict[tuple[str, ...], list[Answer | Callable[[], Answer]]] = field(default_factory=dict)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(
        self,
        *argv: str,
        code: int = 0,
        stdout: str = "",
        stderr: str = "",
        effect: Callable[[], None] | None = None,
    ) -> None:
        """Declare a command; declared again, its answers come in turn and the last one stays."""

        def answer() -> Answer:
            if effect:
                effect()
            return code, stdout, stderr

        self.known.setdefault(argv, []).append(answer)

    def run(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        words = tuple(self._short(word) for word in self._parameters(argv))
        with self.lock:
            self.calls.append(words)
            self.environments.append(dict(options.get("env") or {}))
        for secret in ("hunter2",):
            assert not any(secret in word for word in words), "a secret in argv"
        answers = self.known.get(words)
        if answers is None:
            pytest.fail(f"unexpected command: {words}")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        code, stdout, stderr = answer() if callable(answer) else answer
        if isinstance(options.get("stdout"), int) and options["stdout"] > 0:
            os.write(options["stdout"], (stdout + stderr).encode())
        if options.get("check") and code:
            raise subprocess.CalledProcessError(code, list(argv), stdout, stderr)
        return subprocess.CompletedProcess(list(argv), code, stdout, stderr)

    @staticmethod
    def _parameters(argv: Sequence[str]) -> list[str]:
        """Put the content of an action's parameters in the place of their temporary file."""
        words = [str(word) for word in argv]
        if "--params" in words:
            place = words.index("--params") + 1
            words[place] = Path(words[place]).read_text().strip()
        return words

    def _short(self, word: str) -> str:
        """Turn paths into names, so that tests read like command lines."""
        text = str(word)
        for prefix in (f"{self.home.programs}/", f"{self.home.path}/"):
            text = text.removeprefix(prefix)
        return text


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> places.Home:
    checkout = tmp_path / "checkout"
    (checkout / "bundles").mkdir(parents=True)
    (checkout / "tools").mkdir()
    binaries = checkout / ".venv/bin"
    binaries.mkdir(parents=True)
    for name in ("python", "juju", "daybreak-engine", "openstack"):
        (binaries / name).touch(mode=0o755)
    made = places.Home(checkout, binaries)
    monkeypatch.setattr(places, "home", lambda environ: made)
    return made


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> places.Instance:
    monkeypatch.setenv("DAYBREAK_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("DAYBREAK_INSTANCE", "unit-test")
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "root").mkdir()
    return places.instance(None, os.environ)


@pytest.fixture
def programs(home: places.Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    fake = Programs(home)
    monkeypatch.setattr(subprocess, "run", fake.run)
    yield fake
    assert fake.calls, "the test started no program, so it proves nothing about them"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, programs: Programs) -> Programs:
    """A machine on which every check passes."""
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    programs.expect(*NETNS)
    return programs


@pytest.fixture
def outside(
    home: places.Home,
    bundle: Path,
    instance: places.Instance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """A good machine with nothing on it, and `ubuntu`, who calls sudo."""
    from .outside import Outside

    (tmp_path / "ubuntu").mkdir()
    machine = Outside(home)
    machine.user = users.User("ubuntu", 1000, 1000, tmp_path / "ubuntu")
    (home.path / "dist").mkdir()
    (home.path / "images").mkdir()
    (home.path / "images/images.toml").touch()
    for charm in ("keystone-k8s", "mariadb-k8s"):
        (home.path / f"dist/{charm}.charm").write_text(charm)

    def become(user: users.User) -> None:
        if machine.euid == 0:
            machine.transcript.append(f"(root is given up for {user.name})")
            machine.euid = user.uid

    def members(name: str) -> Any:
        if name != "snap_microk8s" or "microk8s" not in machine.snaps:
            raise KeyError(name)
        return SimpleNamespace(gr_mem=sorted(machine.members))

    monkeypatch.setattr(subprocess, "run", machine.run)
    monkeypatch.setattr(os, "geteuid", lambda: machine.euid)
    monkeypatch.setattr(users, "become", become)
    monkeypatch.setattr(users, "invoking", lambda environ: machine.user)
    monkeypatch.setattr(users, "named", lambda name: machine.user)
    monkeypatch.setattr(grp, "getgrnam", members)
    monkeypatch.setattr(
        cluster, "_found", lambda name: f"/snap/bin/{name}" if name in machine.snaps else None
    )
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    monkeypatch.setattr(microk8s, "SHARED", tmp_path / "var-snap/images.tar")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096}.get(name, 4 << 20))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100 * GIB))
    monkeypatch.setattr(checks, "_taken", lambda port: False)
    monkeypatch.setattr(checks, "apparmor", lambda: True)
    monkeypatch.setattr(
        bootstrap,
        "Run",
        functools.partial(bootstrap.Run, clock=bootstrap.Clock(now=_ticks(), sleep=lambda s: None)),
    )
    yield machine
    assert machine.transcript, "the test started no program, so it proves nothing about them"


def _ticks() -> Any:
    time = iter(range(10**6))
    return lambda: next(time) / 100


@pytest.fixture
def prod(outside: Any) -> Any:
    """A machine whose user has a controller on some Kubernetes, and no root."""
    outside.euid = 1000
    outside.snaps["juju"] = ("3.6.27", "34040", "3.6/stable", "canonical**", "-")
    outside.controllers["prod"] = "3.6.27"
    return outside


NETNS = (
    "unshare",
    "--net",
    "nft",
    "add table ip daybreak; add chain ip daybreak nat { type nat hook prerouting priority -100; }",
)

BUNDLE = """\
bundle: kubernetes
default-base: ubuntu@24.04
applications:
  db:
    charm: ../dist/mariadb-k8s.charm
    scale: 1
    resources: {mariadb-image: "localhost:32000/daybreak/mariadb:11.8"}
  keystone:
    charm: ../dist/keystone-k8s.charm
    scale: 1
    resources: {keystone-image: "localhost:32000/daybreak/keystone:2026.1"}
relations:
- [keystone:database, db:database]
"""


@pytest.fixture
def bundle(home: places.Home) -> Path:
    path = home.bundles / "openstack.yaml"
    for file in (path, home.bundles / "identity.yaml"):
        file.write_text(BUNDLE)
    for charm in ("mariadb-k8s", "keystone-k8s"):
        (home.path / "charms" / charm).mkdir(parents=True)
    return path


def unit(state: str = "active", message: str = "", agent: str = "idle", **more: Any) -> Any:
    return {
        "workload-status": {"current": state, "message": message},
        "juju-status": {"current": agent},
        **more,
    }


def application(charm: str, *units: Any, **more: Any) -> dict[str, Any]:
    name = more.pop("name", charm)
    state = more.pop("state", units[0]["workload-status"] if units else {"current": "waiting"})
    return {
        "charm": f"local:{charm}-0",
        "charm-origin": "local",
        "charm-name": charm,
        "charm-rev": 0,
        "exposed": False,
        "scale": more.pop("scale", len(units)),
        "application-status": state,
        "units": {f"{name}/{number}": value for number, value in enumerate(units)},
        **more,
    }


def status_json(**applications: Any) -> str:
    return json.dumps(
        {
            "model": {
                "name": "openstack",
                "type": "caas",
                "controller": "embedded",
                "cloud": "embedded",
                "version": "3.6.14",
            },
            "machines": {},
            "applications": applications,
        }
    )


def _to(related: str) -> dict[str, Any]:
    link = {"related-application": related, "interface": "mysql_client", "scope": "global"}
    return {"database": [link]}


def settled(**more: Any) -> str:
    return status_json(
        db=application("mariadb-k8s", unit(leader=True), name="db", relations=_to("keystone")),
        keystone=application(
            "keystone-k8s", unit(leader=True), name="keystone", relations=_to("db")
        ),
        **more,
    )


STATUS = ("juju", "status", "--model", "openstack", "--format", "json")
