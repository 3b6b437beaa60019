"""What the course of upgrades is made with: a cloud of the older release, its operator, its users, and faults."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jubilant

from ..clouds import BUNDLE, PROGRAMS, Account, Cloud, beside, embedded, eventually, program, token
from ..pods import containers, paths

INSTANCE = "upgrade-test"
OLD, NEW = "2025.1", "2026.1"
IMAGE = "localhost:32000/daybreak/keystone"
CHARM = BUNDLE.parents[1] / "dist/keystone-k8s.charm"
LONG = 420.0
ANSWER_SECONDS = 30.0
DISK_BYTES = 1 << 30
"""Size of the database's storage: large enough for a server, small enough to fill."""
RESULTS = BUNDLE.parents[1] / ".daybreak/results/upgrade.json"
_BACKUP = "/tmp/keystone.sql"


# --- the cloud --------------------------------------------------------------------------------


@contextlib.contextmanager
def older_cloud(directory: Path) -> Iterator[Cloud]:
    """Make the identity bundle with Keystone's older release and a database on a small disk."""
    RESULTS.unlink(missing_ok=True)
    text = BUNDLE.read_text().replace(f"{IMAGE}:{NEW}", f"{IMAGE}:{OLD}")
    text = text.replace("../dist/", f"{BUNDLE.parents[1]}/dist/")
    bundle = directory / "identity.yaml"
    bundle.write_text(text)
    daybreak_program = [PROGRAMS / "python", "-m", "daybreak"]
    with embedded(INSTANCE, bundle, bootstrap=False) as made, small_disk(made):
        program(*daybreak_program, "bootstrap", "--bundle", bundle, instance=INSTANCE)
        made.settle(timeout=900)
        yield made


@contextlib.contextmanager
def small_disk(cloud: Cloud) -> Iterator[None]:
    """Put the database's storage on a file system of its own, before there is a database."""
    storage = _storage(cloud)
    storage.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "database"]
    subprocess.run(["mount", *options, storage], check=True)
    try:
        yield
    finally:
        # The pods, which end later, have mounts of their own.
        subprocess.run(["umount", "--lazy", storage], check=True)


def _storage(cloud: Cloud) -> Path:
    return Path(paths(cloud)["storage"], "database-0")


@contextlib.contextmanager
def full_disk(cloud: Cloud) -> Iterator[None]:
    """Leave not one free block on the database's disk."""
    filler = _storage(cloud) / "filler"
    with filler.open("wb") as file:
        size = 0
        while free := os.statvfs(filler).f_bavail * os.statvfs(filler).f_frsize:
            os.posix_fallocate(file.fileno(), size, free)
            size += free
    try:
        yield
    finally:
        filler.unlink()


def sql(cloud: Cloud, statement: str) -> str:
    """Run a statement in Keystone's database."""
    return _shell(cloud, f"mariadb --skip-column-names keystone -e {shlex.quote(statement)}")


def rename_head(cloud: Cloud, before: str, after: str) -> None:
    """Let the schema be at another revision than it is."""
    where = f"WHERE version_num = '{before}'"
    sql(cloud, f"UPDATE alembic_version SET version_num = '{after}' {where}")  # noqa: S608 - ours


def backup(cloud: Cloud) -> None:
    """Keep what is in Keystone's database."""
    _shell(cloud, f"mariadb-dump --single-transaction keystone >{_BACKUP}")


def restore(cloud: Cloud) -> None:
    """Put back what was in Keystone's database, its schema included."""
    _shell(cloud, f"mariadb keystone <{_BACKUP}")


def _shell(cloud: Cloud, script: str) -> str:
    words = ("sh", "-c", shlex.quote(script))
    return cloud.juju.ssh("mariadb/0", *words, container="mariadb")


# --- its operator -----------------------------------------------------------------------------


def daybreak(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the operator's command to its end."""
    started = start(*words)
    out, _ = started.communicate(timeout=1200)
    print(out)
    return subprocess.CompletedProcess(words, started.returncode, out)


def start(*words: str) -> subprocess.Popen[str]:
    """Start the operator's command."""
    return subprocess.Popen(
        [PROGRAMS / "python", "-m", "daybreak", *words],
        env={**os.environ, "DAYBREAK_INSTANCE": INSTANCE, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def interrupt(command: subprocess.Popen[str]) -> str:
    """End a command as Ctrl-C does; what it has begun goes on without it."""
    command.send_signal(signal.SIGINT)
    out, _ = command.communicate(timeout=60)
    print(out)
    return out


def report(cloud: Cloud) -> dict[str, Any]:
    """Ask Keystone's charm how its releases stand."""
    return json.loads(cloud.juju.run("keystone/0", "upgrade-status").results["report"])


def phase(cloud: Cloud) -> str:
    """Return the phase that has begun; empty when none has, or while nobody can say."""
    with contextlib.suppress(jubilant.TaskError, jubilant.CLIError, TimeoutError, ValueError):
        return str(report(cloud)["phase"])
    return ""


def messages(cloud: Cloud) -> dict[str, str]:
    """Return what each unit of Keystone says."""
    units = cloud.juju.status().apps["keystone"].units
    return {name: unit.workload_status.message for name, unit in units.items()}


def says(cloud: Cloud, text: str) -> bool:
    """Tell whether a unit of Keystone says something."""
    return any(text in message for message in messages(cloud).values())


def hears(cloud: Cloud, text: str) -> str:
    """Wait until a unit of Keystone says something; return all that it says."""
    last: dict[str, str] = {}

    def heard() -> str:
        last.update(messages(cloud))
        return next((message for message in last.values() if text in message), "")

    try:
        return eventually(heard, text, LONG, 0.5)
    except AssertionError:
        raise AssertionError(f"no unit says {text!r}: {last}") from None


def active(cloud: Cloud) -> set[str]:
    """Return the units of Keystone that are well."""
    units = cloud.juju.status().apps["keystone"].units
    return {name for name, unit in units.items() if unit.workload_status.current == "active"}


def pods(cloud: Cloud) -> set[int]:
    """Return the first processes of Keystone's pods: others, when a pod was replaced."""
    return {pid for name, pid in containers(cloud).items() if name.startswith("keystone-")}


def leader(cloud: Cloud) -> str:
    """Return Keystone's leader."""
    units = cloud.juju.status().apps["keystone"].units
    return next(name for name, unit in units.items() if unit.leader)


# --- its users --------------------------------------------------------------------------------


@dataclass
class Seen:
    """What users saw.

    Attributes:
        asked: How many logins there were.
        failed: Why some failed.
    """

    asked: int
    failed: list[str]


@contextlib.contextmanager
def watched(account: Account) -> Iterator[Seen]:
    """Ask for tokens all the while; none may be missing."""
    seen = Seen(0, [])

    def ask(over: threading.Event) -> None:
        while not over.wait(0.5):
            seen.asked += 1
            try:
                token(account, timeout=ANSWER_SECONDS)
            except OSError as error:
                seen.failed.append(f"login {seen.asked}: {error}")

    try:
        with beside(ask):
            yield seen
    finally:
        _note(seen)
    assert seen.asked
    assert not seen.failed, f"{len(seen.failed)} of {seen.asked} logins failed: {seen.failed[:5]}"


def _note(seen: Seen) -> None:
    """Add what was seen to the results of this run, under the name of the test."""
    name = os.environ["PYTEST_CURRENT_TEST"].partition("::")[2].partition(" ")[0]
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(
        json.dumps({**known, name: {"logins": seen.asked, "failed": seen.failed}}, indent=1)
    )
