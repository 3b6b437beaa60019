"""Starting, supervising and ending the daemon of one instance.

A Pebble of the instance's own is the supervisor: it runs the daemon and the name server as services and
starts them again when they end. Where systemd runs, that Pebble is a unit of systemd; elsewhere the daemon
starts a new supervisor when it sees the end of its own, so that each brings the other back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import yaml

from daybreak_engine import errors
from daybreak_engine.instance import CACHE_VARIABLE, ROOT_VARIABLE, Instance

START_SECONDS = 30.0
"""How long the daemon may take until it answers on its socket; it makes network and model first."""
_DNS_SECONDS = 10.0

STOP_SECONDS = 20.0
"""How long daemon and supervisor may take to end."""


def start(instance: Instance) -> None:
    """Make sure that the daemon runs and answers; returns at once when it does.

    Raises:
        errors.EngineError: The supervisor cannot be started or the daemon does not answer in time.
    """
    if answers(instance):
        return
    if os.geteuid() != 0:
        raise errors.EngineError(
            "the engine needs root", remedy="run the command as root or with sudo"
        )
    instance.run.mkdir(parents=True, exist_ok=True)
    with _lock(instance):
        if not answers(instance):
            if not _supervisor_pid(instance):
                _start_supervisor(instance)
                _await_supervisor(instance)
            _await_answer(instance)


def stop(instance: Instance) -> None:
    """End supervisor, daemon and name server; pods go on running."""
    if _systemd_runs():
        subprocess.run(
            ["systemctl", "stop", _systemd_unit(instance)], check=False, capture_output=True
        )
    # Read before the supervisor ends; and end the supervisor first, or it starts the daemon again.
    daemon, dns = _read_pid(_pid_file(instance)), _read_pid(instance.dnsmasq_pid_file)
    stopping = _stopping_file(instance)
    if instance.run.is_dir():
        stopping.touch()
    for pid in (_supervisor_pid(instance), daemon, dns):
        _end(pid)
    for path in (stopping, _pid_file(instance), instance.dnsmasq_pid_file, instance.daemon_socket):
        path.unlink(missing_ok=True)
    shutil.rmtree(instance.supervisor, ignore_errors=True)


def restart_supervisor(instance: Instance) -> None:
    """Called by a daemon whose supervisor is gone: start a new one, which starts a new daemon.

    A command may have noticed as well and be doing the same; a second supervisor would outlive `stop`.
    """
    if _systemd_runs():
        return
    with _lock(instance):
        if not _stopping_file(instance).exists() and not _supervisor_pid(instance):
            _start_supervisor(instance)
            _await_supervisor(instance)


def record_pid(instance: Instance) -> None:
    """Note the running daemon's process id for `stop`."""
    _pid_file(instance).write_text(f"{os.getpid()}\n")


def answers(instance: Instance) -> bool:
    """Tell whether a daemon accepts connections on the instance's socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(instance.daemon_socket))
        except OSError:
            return False
    return True


def layer(instance: Instance, python: str) -> dict[str, object]:
    """Return the supervisor's Pebble layer; the name server's part follows when its network is there."""
    environment = {ROOT_VARIABLE: os.fspath(instance.root), "PYTHONUNBUFFERED": "1"}
    if instance.cache_override:
        environment[CACHE_VARIABLE] = os.fspath(instance.cache_override)
    return {
        "summary": f"Daybreak's engine, instance {instance.name}",
        "services": {
            "engine": {
                **_QUICK,
                "command": shlex.join(
                    [python, "-m", "daybreak_engine", "--instance", instance.name, "run"]
                ),
                "startup": "enabled",
                "kill-delay": f"{STOP_SECONDS:.0f}s",
                "environment": environment,
            },
        },
    }


def start_dns(instance: Instance, command: Sequence[str]) -> None:
    """Have the supervisor run the name server.

    One that was left over by a supervisor that died still holds the address; it is ended first.

    Raises:
        errors.EngineError: The name server does not start.
    """
    supervisor = _supervisor_pid(instance)
    left_over = _read_pid(instance.dnsmasq_pid_file)
    if left_over and _parent(left_over) != supervisor:
        _end(left_over)
        instance.dnsmasq_pid_file.unlink(missing_ok=True)
    service = {**_QUICK, "command": shlex.join(command), "startup": "enabled"}
    path = instance.supervisor / "dns.yaml"
    path.write_text(yaml.safe_dump({"services": {"dns": service}}))
    for words in (["add", "--combine", "dns", os.fspath(path)], ["start", "--no-wait", "dns"]):
        done = subprocess.run(
            [os.fspath(instance.pebble), *words],
            env={"PATH": os.defpath, "PEBBLE": os.fspath(instance.supervisor)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise errors.EngineError(
                f"the name server of instance {instance.name} does not start: {done.stderr.strip()}",
                remedy=f"see {_log(instance)}",
            )
    # Pebble's own word comes a second later: that is how long a service has to run to count as started.
    deadline = time.monotonic() + _DNS_SECONDS
    while not _read_pid(instance.dnsmasq_pid_file):
        if time.monotonic() > deadline:
            raise errors.EngineError(
                f"the name server of instance {instance.name} does not start",
                remedy=f"see {_log(instance)}",
            )
        time.sleep(0.01)


_QUICK = {"override": "replace", "backoff-delay": "100ms", "backoff-limit": "5s"}


def _start_supervisor(instance: Instance) -> None:
    if not instance.pebble.exists():
        raise errors.EngineError(
            f"Pebble is missing at {instance.pebble}",
            remedy="run ./daybreak: it builds what is missing",
        )
    layers = instance.supervisor / "layers"
    layers.mkdir(parents=True, exist_ok=True)
    (layers / "001-engine.yaml").write_text(yaml.safe_dump(layer(instance, sys.executable)))
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PEBBLE": os.fspath(instance.supervisor),
        "PEBBLE_PERSIST": "never",
    }
    command = [os.fspath(instance.pebble), "run", "--create-dirs", "--verbose"]
    instance.logs.mkdir(parents=True, exist_ok=True)
    if _systemd_runs():
        _start_under_systemd(instance, command, environment)
        return
    with _log(instance).open("ab") as log:
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def _start_under_systemd(
    instance: Instance, command: Sequence[str], environment: dict[str, str]
) -> None:
    unit = _systemd_unit(instance)
    subprocess.run(["systemctl", "reset-failed", unit], check=False, capture_output=True)
    settings = [f"--setenv={name}={value}" for name, value in environment.items()]
    # KillMode: conmon and the pods below it may count to the unit's cgroup and must outlive it.
    properties = [
        f"--property={item}" for item in ("Restart=always", "RestartSec=1", "KillMode=process")
    ]
    done = subprocess.run(
        ["systemd-run", f"--unit={unit}", *properties, *settings, "--", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise errors.EngineError(
            f"systemd does not start {unit}: {done.stderr.strip()}",
            remedy=f"see: systemctl status {unit}",
        )


def _systemd_runs() -> bool:
    # sd_booted(3): the directory exists exactly when systemd is the init.
    return Path("/run/systemd/system").is_dir()


def _systemd_unit(instance: Instance) -> str:
    return f"daybreak-engine-{instance.name}.service"


def _pid_file(instance: Instance) -> Path:
    return instance.run / "engine.pid"


def _stopping_file(instance: Instance) -> Path:
    return instance.run / "stopping"


def _log(instance: Instance) -> Path:
    return instance.logs / "supervisor.log"


def _read_pid(path: Path) -> int | None:
    """Return the process id in a file when that process is there."""
    try:
        pid = int(path.read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def _supervisor_pid(instance: Instance) -> int | None:
    """Return the process behind the supervisor's socket, as the kernel names it."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(instance.supervisor / ".pebble.socket"))
        except OSError:
            return None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], sys.byteorder)


def _parent(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(status.rpartition(")")[2].split()[1])


def _end(pid: int | None) -> None:
    """Send SIGTERM, after `STOP_SECONDS` SIGKILL, and wait until the process is gone."""
    if not pid:
        return
    with contextlib.suppress(ProcessLookupError), _pidfd(pid) as handle:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            poller = select.poll()
            poller.register(handle, select.POLLIN)
            if poller.poll(STOP_SECONDS * 1000):
                return


@contextlib.contextmanager
def _pidfd(pid: int) -> Generator[int]:
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def _await_answer(instance: Instance) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(instance):
        if time.monotonic() > deadline:
            log = _log(instance)
            tail = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
            raise errors.EngineError(
                f"the engine of instance {instance.name} did not answer within {START_SECONDS:.0f} s",
                remedy="\n  ".join([f"its last words, from {log}:", *tail]),
            )
        time.sleep(0.02)


def _await_supervisor(instance: Instance) -> None:
    """Wait until a supervisor that was started can be seen, for at most a second."""
    deadline = time.monotonic() + 1.0
    while not _supervisor_pid(instance) and time.monotonic() < deadline:
        time.sleep(0.01)


@contextlib.contextmanager
def _lock(instance: Instance) -> Generator[None]:
    with (instance.run / "start.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
