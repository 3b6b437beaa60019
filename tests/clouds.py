"""Clouds under test: made by the engine of this checkout or by any `juju`, used in one way.

Only :func:`embedded` knows how this checkout makes a cloud; everything else speaks `juju` and HTTPS.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import jubilant

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "bundles/identity.yaml"
PROGRAMS = Path(sys.executable).absolute().parent
APPLICATIONS = ("certificates", "mariadb", "memcached", "keystone", "gateway")
SETTLE_SECONDS = 300.0

T = TypeVar("T")


class UnsettledError(Exception):
    """A cloud did not become active and idle in time."""


@dataclass(frozen=True)
class Account:
    """The administrator's account, from Keystone's and the authority's actions."""

    url: str
    internal_url: str
    username: str
    password: str = field(repr=False)
    project: str
    user_domain: str
    project_domain: str
    region: str
    authority: str = field(repr=False)

    def environment(self, directory: Path) -> dict[str, str]:
        """Return the client's variables, with the authority's certificate written below *directory*."""
        certificate = directory / "ca.crt"
        certificate.write_text(self.authority)
        return {
            "OS_AUTH_URL": self.url,
            "OS_CACERT": str(certificate),
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": self.username,
            "OS_PASSWORD": self.password,
            "OS_PROJECT_NAME": self.project,
            "OS_USER_DOMAIN_NAME": self.user_domain,
            "OS_PROJECT_DOMAIN_NAME": self.project_domain,
            "OS_REGION_NAME": self.region,
        }

    def connection(self, directory: Path, **options: Any) -> Any:
        """Return a connection of OpenStack's SDK; nothing is asked yet.

        Args:
            directory: Where the authority's certificate is written.
            options: Further options of `openstack.connect`.
        """
        # It takes a second to import, and most tests need none.
        import openstack

        cloud = openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth={
                "auth_url": self.url,
                "username": self.username,
                "password": self.password,
                "user_domain_name": self.user_domain,
                "project_name": self.project,
                "project_domain_name": self.project_domain,
            },
            region_name=self.region,
            interface="public",
            cacert=self.environment(directory)["OS_CACERT"],
            app_name="daybreak-tests",
            **options,
        )
        # The gateway is near: no proxy of the environment leads to it.
        cloud.session.session.trust_env = False
        return cloud

    def context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts only this cloud."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.authority)
        return context


@dataclass(frozen=True)
class Cloud:
    """A deployed bundle.

    Attributes:
        juju: Its model.
        instance: Name of the engine's instance; None on a real Juju.
        environment: Variables that programs need to reach it.
    """

    juju: jubilant.Juju
    instance: str | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def settle(self, *applications: str, timeout: float = SETTLE_SECONDS) -> jubilant.Status:
        """Wait until the applications, or all, are active and their agents idle.

        Raises:
            UnsettledError: They were not in time; says what waits for what, and what was logged last.
        """
        try:
            return self.juju.wait(
                lambda status: (
                    jubilant.all_active(status, *applications)
                    and jubilant.all_agents_idle(status, *applications)
                ),
                delay=0.5,
                successes=2,
                timeout=timeout,
            )
        except TimeoutError:
            # The original holds the whole status, five screens of it.
            raise UnsettledError(self._why(timeout)) from None

    def _why(self, timeout: float) -> str:
        units = [
            f"{name}: {unit.workload_status.current}: {unit.workload_status.message}"
            f" ({unit.juju_status.current} {unit.juju_status.message})"
            for app in self.juju.status().apps.values()
            for name, unit in app.units.items()
        ]
        log = self.juju.debug_log(limit=60)
        return "\n".join([f"not settled within {timeout:.0f} s", *units, "", log])

    def account(self) -> Account:
        """Ask the cloud for its administrator's account."""
        keystone = self.juju.run("keystone/leader", "get-admin-account").results
        authority = self.juju.run("certificates/leader", "get-ca-certificate").results
        return Account(
            url=keystone["public-endpoint"],
            internal_url=keystone["internal-endpoint"],
            username=keystone["username"],
            password=keystone["password"],
            project=keystone["project-name"],
            user_domain=keystone["user-domain-name"],
            project_domain=keystone["project-domain-name"],
            region=keystone["region"],
            authority=authority["ca-certificate"],
        )

    def client(self, account: Account, directory: Path, *words: str) -> Any:
        """Run the ordinary `openstack` client and return its JSON answer."""
        local = PROGRAMS / "openstack"
        done = subprocess.run(
            [local if local.exists() else "openstack", *words, "-f", "json"],
            env={"PATH": os.environ["PATH"], **account.environment(directory)},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def variant(directory: Path, charm: str, files: Mapping[str, str]) -> Path:
    """Return a copy of a packed charm in which some files have other contents, or are new.

    Args:
        directory: Where the copy is made.
        charm: Its name.
        files: New content by the end of the path in the archive.
    """
    target = directory / f"{charm}-{time.time_ns()}.charm"
    with zipfile.ZipFile(ROOT / f"dist/{charm}.charm") as old, zipfile.ZipFile(target, "w") as new:
        left = dict(files)
        for item in old.infolist():
            ends = [end for end in files if item.filename.endswith(end)]
            for end in ends:
                left.pop(end, None)
            new.writestr(item, files[ends[0]].encode() if ends else old.read(item))
        for name, content in left.items():
            new.writestr(name, content)
    return target


def token(account: Account, timeout: float = 10) -> str:
    """Issue a token by one HTTPS request, many times quicker than the client; return its id.

    Raises:
        OSError: There was no token; the exceptions of `urllib` are of this kind.
    """
    request = urllib.request.Request(
        f"{account.url.rstrip('/')}/auth/tokens",
        data=json.dumps(
            {
                "auth": {
                    "identity": {
                        "methods": ["password"],
                        "password": {
                            "user": {
                                "name": account.username,
                                "domain": {"name": account.user_domain},
                                "password": account.password,
                            }
                        },
                    },
                    "scope": {
                        "project": {
                            "name": account.project,
                            "domain": {"name": account.project_domain},
                        }
                    },
                }
            }
        ).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=account.context()),
    )
    with opener.open(request, timeout=timeout) as answer:
        return answer.headers["X-Subject-Token"]


def issues_tokens(account: Account) -> bool:
    """Whether a token is issued now."""
    try:
        return bool(token(account))
    except OSError:
        return False


@contextlib.contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Have something done all the while; it ends when the event that it is given is set."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def eventually(look: Callable[[], T], what: str, timeout: float = 60, period: float = 0.2) -> T:
    """Return the first true answer of *look*; fail with *what* when there is none in time."""
    deadline = time.monotonic() + timeout
    while True:
        answer = look()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(period)


def program(*words: str | Path, instance: str, timeout: float = 1800) -> str:
    """Run one of the checkout's programs for an instance and return its output."""
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, "DAYBREAK_INSTANCE": instance, "NO_COLOR": "1"},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def podman(instance: str, *words: str, stdin: str | None = None, timeout: float = 60) -> str:
    """Run podman as the engine does and return its output."""
    exports = program(PROGRAMS / "daybreak-engine", "podman-env", instance=instance)
    script = f'{exports}\nexec podman "$@"'
    return subprocess.run(
        ["sh", "-c", script, "podman", *words],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=timeout,
    ).stdout


@contextlib.contextmanager
def chosen(instance: str) -> Iterator[None]:
    """Let `juju`, which jubilant starts with this process's environment, find an instance."""
    before = os.environ.get("DAYBREAK_INSTANCE")
    os.environ["DAYBREAK_INSTANCE"] = instance
    try:
        yield
    finally:
        if before is None:
            del os.environ["DAYBREAK_INSTANCE"]
        else:
            os.environ["DAYBREAK_INSTANCE"] = before


@contextlib.contextmanager
def embedded(
    instance: str, bundle: Path = BUNDLE, *, size: Path | None = None, bootstrap: bool = True
) -> Iterator[Cloud]:
    """Make an instance of the engine with a cloud in it, and remove it afterwards.

    Args:
        instance: Its name.
        bundle: What is deployed.
        size: An overlay on the bundle that says how many units.
        bootstrap: Whether anything is deployed.
    """
    daybreak = [PROGRAMS / "python", "-m", "daybreak"]
    # What a run that was killed has left.
    remove(instance)
    try:
        with chosen(instance):
            juju = jubilant.Juju(model="openstack", cli_binary=PROGRAMS / "juju")
            # An hour between update-status hooks: whatever heals, heals without them.
            program(PROGRAMS / "daybreak-engine", "start", instance=instance)
            juju.cli("add-model", "openstack", include_model=False)
            juju.model_config({"update-status-hook-interval": "60m"})
            if bootstrap:
                sized = ("--size", size) if size else ()
                program(*daybreak, "bootstrap", "--bundle", bundle, *sized, instance=instance)
            yield Cloud(juju, instance, {"DAYBREAK_INSTANCE": instance})
    finally:
        remove(instance)


def remove(instance: str) -> None:
    """Destroy an instance, if it is there."""
    if Path("/var/lib/daybreak", instance).exists() or Path("/run/daybreak", instance).exists():
        program(PROGRAMS / "python", "-m", "daybreak", "destroy", "--yes", instance=instance)


@contextlib.contextmanager
def on_juju(
    binary: str, model: str, bundle: Path = BUNDLE, *, deploy: bool = True
) -> Iterator[Cloud]:
    """Add a model to the current controller of a real Juju, deploy, and destroy it afterwards."""
    juju = jubilant.Juju(model=model, cli_binary=binary)
    juju.cli("add-model", "--no-switch", model, include_model=False)
    try:
        juju.model_config({"update-status-hook-interval": "60m"})
        if deploy:
            juju.deploy(bundle, trust=True)
        yield Cloud(juju)
    finally:
        juju.destroy_model(model, destroy_storage=True, force=True)
