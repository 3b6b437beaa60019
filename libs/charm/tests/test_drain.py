"""The drain program, with real shells, processes and signals; and the times, which must fit together."""

import contextlib
import dataclasses
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daybreak_charm import drain, sizing, uwsgi
from daybreak_charm.containers import check_dict, checks, seconds, service_dict
from daybreak_charm.description import Drain, Process

SCRIPT = Path(drain.__file__).with_name("drain.sh")
MULE = Path(drain.__file__).with_name("mule.py")
SHELLS = [["/bin/sh"], *([["busybox", "sh"]] if shutil.which("busybox") else [])]

# Says what it hears. SIGTERM, which would be the whole group's, ends it with another code.
PROGRAM = """
import os, signal, sys, time
def say(word): print(word, time.monotonic(), flush=True)
for name in ("HUP", "USR2"):
    signal.signal(getattr(signal, "SIG" + name), lambda *_, name=name: say(name))
signal.signal(signal.SIGTERM, lambda *_: (say("TERM"), sys.exit(9)))
def end(*_):
    say("USR1")
    if "stubborn" not in sys.argv:
        sys.exit(7)
signal.signal(signal.SIGUSR1, end)
# A signal just before signal.pause() would be heard only with the next one.
heard, hears = os.pipe()
os.set_blocking(hears, False)
signal.set_wakeup_fd(hears)
say("started")
if "short" in sys.argv:
    sys.exit(5)
while True:
    os.read(heard, 1)
"""


class Run:
    def __init__(
        self, shell: list[str], folder: Path, *words: str, detection: int = 1, end: str = "USR1"
    ) -> None:
        self.flag = folder / "draining"
        self.pid = folder / "pid"
        times = (str(detection), "1")
        command = [*shell, str(SCRIPT), str(folder), end, *times, "--"]
        self.process = subprocess.Popen(
            [*command, sys.executable, "-c", PROGRAM, *words],
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            # A shell cannot trap what was ignored when it started, as under nohup.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )

    def hear(self) -> tuple[str, float]:
        assert self.process.stdout
        heard, _, _ = select.select([self.process.stdout], [], [], 30)
        assert heard, "the program says nothing"
        word, _, when = self.process.stdout.readline().decode().partition(" ")
        return word, float(when or 0)

    def stop(self) -> None:
        """As Pebble does: SIGTERM for the process group."""
        os.killpg(self.process.pid, signal.SIGTERM)

    def close(self) -> None:
        own = [int(self.pid.read_text())] if self.pid.exists() else []
        for group in (self.process.pid, *own):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.communicate()


Start = Callable[..., Run]


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    return request.param


@pytest.fixture
def start(shell: list[str], tmp_path: Path) -> Iterator[Start]:
    runs: list[Run] = []

    def new(*words: str, detection: int = 1, end: str = "USR1") -> Run:
        runs.append(Run(shell, tmp_path, *words, detection=detection, end=end))
        return runs[-1]

    yield new
    for run in runs:
        run.close()


def test_it_leaves_traffic_before_the_program_hears_of_it(start: Start, tmp_path: Path) -> None:
    (tmp_path / "draining").touch()  # of an earlier run
    run = start()
    assert run.hear()[0] == "started"
    assert not run.flag.exists()
    told = time.monotonic()
    run.stop()
    word, when = run.hear()
    assert word == "USR1"
    assert when - told >= 1
    assert run.flag.exists()
    assert run.process.wait(10) == 7
    # Health stays red until the next start.
    assert run.flag.exists()
    assert not run.pid.exists()


def test_a_program_may_end_it_in_the_place_of_a_signal(start: Start, tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    ends.write_text('#!/bin/sh\nkill -s "$1" "$(cat "$2/pid")"\n')
    ends.chmod(0o755)
    run = start(detection=0, end=f"{ends} USR1 {tmp_path}")
    run.hear()
    run.stop()
    assert run.hear()[0] == "USR1"
    assert run.process.wait(10) == 7


def test_other_signals_reach_the_program_and_it_goes_on(start: Start) -> None:
    run = start()
    run.hear()
    for name in ("HUP", "USR2", "HUP"):
        # Only the drain's own process: so Pebble signals a service.
        run.process.send_signal(getattr(signal, f"SIG{name}"))
        assert run.hear()[0] == name
    assert not run.flag.exists()
    run.stop()
    assert run.hear()[0] == "USR1"
    assert run.process.wait(10) == 7


def test_the_exit_code_is_passed_on(start: Start) -> None:
    run = start("short")
    assert run.process.wait(10) == 5
    assert not run.flag.exists()


def test_a_command_that_is_not_there_is_an_error(shell: list[str], tmp_path: Path) -> None:
    command = [*shell, str(SCRIPT), str(tmp_path), "TERM", "1", "1", "--", "/no/such/program"]
    assert subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 127


def test_a_program_that_does_not_end_is_killed(start: Start) -> None:
    run = start("stubborn", detection=0)
    run.hear()
    run.stop()
    assert run.hear()[0] == "USR1"
    assert run.process.wait(10) == 128 + signal.SIGKILL


def test_a_lone_unit_leaves_at_once(start: Start) -> None:
    run = start(detection=60)
    run.hear()
    run.flag.with_name("alone").touch()
    run.stop()
    assert run.hear()[0] == "USR1"
    assert run.process.wait(10) == 7


def test_a_program_that_dies_while_leaving_is_not_waited_for(start: Start) -> None:
    run = start(detection=60)
    run.hear()
    child = int(run.pid.read_text())
    run.stop()
    while not run.flag.exists():
        pass
    os.kill(child, signal.SIGKILL)
    assert run.process.wait(10) == 128 + signal.SIGKILL


def test_what_a_killed_drain_left_behind_is_ended(start: Start) -> None:
    first = start()
    first.hear()
    first.process.kill()
    first.process.wait(10)
    second = start()
    assert second.hear()[0] == "started"
    assert first.hear()[0] == ""  # its output has ended, and so has it


def test_the_plan_says_the_same() -> None:
    process = Process("api", "/bin/api --x", user="api", drain=Drain(3, 4, signal="SIGUSR1"))
    service = service_dict(process, [])
    assert service["command"] == (
        "/bin/sh /run/daybreak/drain /run/daybreak/api USR1 3 4 -- /bin/api --x"
    )
    assert 3 + 4 < seconds(service["kill-delay"]) < drain.GRACE
    serving = checks([process])["api-serving"]
    assert serving["level"] == "ready"
    assert serving["exec"] == {"command": "test ! -e /run/daybreak/api/draining"}
    # Without a drain nothing changes.
    plain = Process("db", "/bin/db")
    assert service_dict(plain, [])["command"] == "/bin/db"
    assert checks([plain]) == {}


def test_the_times_fit() -> None:
    gateway = (
        drain.CHECK_INTERVAL
        + drain.CHECK_FAST * (drain.CHECK_FALL - 1)
        + drain.CHECK_TIMEOUT * drain.CHECK_FALL
    )
    flag = drain.SERVING_PERIOD * drain.SERVING_THRESHOLD + drain.SERVING_TIMEOUT
    address = flag + drain.PROBE_PERIOD + drain.PROBE_TIMEOUT
    assert max(gateway, address) < drain.DETECTION
    process = Process("api", "/bin/api", drain=drain.DEFAULT)
    assert drain.DETECTION + drain.LIMIT < seconds(drain.kill_delay(process)) < drain.GRACE
    assert uwsgi.MERCY < drain.LIMIT
    # Pebble's own step must not be shorter than the plan says.
    period = check_dict(drain.check(process))
    assert seconds(period["timeout"]) < seconds(period["period"]) == drain.SERVING_PERIOD


# --- the mule -------------------------------------------------------------------------------------


def test_the_health_of_an_api_follows_the_flag(tmp_path: Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flag = tmp_path / "draining"
    mule = subprocess.Popen(
        [sys.executable, str(MULE)],
        env={
            **os.environ,
            "DAYBREAK_HEALTH": f"127.0.0.1:{port}",
            "DAYBREAK_DRAINING": str(flag),
        },
        stderr=subprocess.PIPE,
    )

    def status() -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            return 0

    try:
        deadline = time.monotonic() + 20
        while not status() and time.monotonic() < deadline and mule.poll() is None:
            pass
        assert status() == 200
        flag.touch()
        assert status() == 503
        flag.unlink()
        assert status() == 200
    finally:
        mule.kill()
        assert mule.communicate()[1] == b""


def test_a_lazy_api_is_healthy_when_a_worker_has_it(tmp_path: Path) -> None:
    # What uwsgi's own module says of workers, seen in uwsgi 2.0.28; it is there in uwsgi's mules alone.
    (tmp_path / "uwsgi.py").write_text(
        "import pathlib\n"
        "def workers():\n"
        f"    return [dict(apps=['/'] if pathlib.Path({str(tmp_path / 'has')!r}).exists() else [])]\n"
    )
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        f"code = open({str(MULE)!r}).read().removesuffix('main()\\n'); exec(code); print(loaded())"
    )

    def loaded(**environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    assert loaded() == "True"
    assert loaded(DAYBREAK_LAZY="yes") == "False"
    (tmp_path / "has").touch()
    assert loaded(DAYBREAK_LAZY="yes") == "True"


ECHO = uwsgi.Api(
    name="echo",
    program="/bin/uwsgi",
    folder="/etc/echo",
    application="echo.wsgi:application",
    port=1,
    health_port=2,
    certificate="/c",
    key="/k",
    user="echo",
    size=sizing.api(sizing.Machine(2, 4096)),
    any_address="::",
    mounts=("/", "/cloud-echo"),
)


def test_the_configuration_of_an_api() -> None:
    text = uwsgi.config(ECHO)
    assert "https-socket = [::]:1,/c,/k,HIGH" in text
    assert re.findall(r"^mount = (.*)$", text, re.MULTILINE) == [
        "/=echo.wsgi:application",
        "/cloud-echo=echo.wsgi:application",
    ]
    assert "env = DAYBREAK_HEALTH=[::]:2" in text
    assert f"env = DAYBREAK_DRAINING={drain.flag('echo')}" in text
    assert "chunked-input-limit = 16777216" in text
    process = uwsgi.process(ECHO)
    assert process.reload is None
    assert process.drain == drain.DEFAULT


@pytest.mark.parametrize(
    ("workers", "lazy", "late"),
    [(1, False, True), (2, False, True), (3, False, False), (8, False, False), (8, True, True)],
)
def test_many_workers_share_what_their_master_has_loaded(
    workers: int, lazy: bool, late: bool
) -> None:
    size = dataclasses.replace(sizing.api(sizing.Machine(2, 4096)), workers=workers)
    text = uwsgi.config(dataclasses.replace(ECHO, size=size, lazy=lazy))
    assert ("lazy-apps = true" in text) == late
    assert ("start-time = %t" in text) == late
    assert ("env = DAYBREAK_LAZY=yes" in text) == late
