"""The thin client and jubilant, over a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import jubilant
import pytest
from aiohttp import web

from daybreak_engine import client
from daybreak_engine.commands import deps, dispatch
from daybreak_engine.model import tasks

from .conftest import DEPLOY_ALPHA, DEPLOY_BETA, Cloud


class Server:
    """The daemon's side of the socket, in a thread of its own."""

    def __init__(self, cloud: Cloud, directory: Path) -> None:
        self._cloud = cloud
        self._directory = directory
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self.cancelled = threading.Event()

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)

    def _serve(self) -> None:
        self.loop.run_until_complete(self._start())
        self._ready.set()
        self.loop.run_forever()
        self.loop.run_until_complete(self._runner.cleanup())
        self.loop.close()

    async def _start(self) -> None:
        # SQLite ties a connection to its thread, so the model is made in this one.
        for argv in (("add-model", "fmt-demo"), DEPLOY_ALPHA, DEPLOY_BETA):
            answer = await self._cloud.run(deps.Request(argv, self._cloud.directory))
            assert answer.code == 0, answer
        application = web.Application()
        application.router.add_post("/v1/command", self._command)
        self._runner = web.AppRunner(application, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._directory / "engine.sock")).start()

    async def _command(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        line = deps.Request(
            tuple(body["argv"]), Path(body["cwd"]), body["stdin"], body["tty"], body["env"]
        )
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            async for part in dispatch.execute(line, self._cloud.engine):
                frame = (
                    {"exit": part.code}
                    if isinstance(part, deps.Exit)
                    else {
                        "stream": "stdout" if isinstance(part, deps.Out) else "stderr",
                        "data": part.data,
                    }
                )
                await response.write(json.dumps(frame).encode() + b"\n")
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        await response.write_eof()
        return response


@pytest.fixture
def served(bare: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    directory = tmp_path / "run/daybreak/test"
    directory.mkdir(parents=True)
    monkeypatch.setenv("DAYBREAK_ROOT", str(tmp_path))
    monkeypatch.setenv("DAYBREAK_INSTANCE", "test")
    with Server(bare, directory) as server:
        yield server


@pytest.fixture
def juju(served: Server, tmp_path: Path) -> jubilant.Juju:
    """jubilant with the client as its `juju`."""
    del served
    script = tmp_path / "juju"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -S {client.__file__} "$@"\n')
    script.chmod(0o755)
    return jubilant.Juju(model="fmt-demo", cli_binary=str(script))


def test_jubilant_drives_it(juju: jubilant.Juju, bare: Cloud) -> None:
    juju.integrate("alpha:db", "beta:kv")
    assert juju.status().apps["alpha"].relations["db"][0].related_app == "beta"
    juju.config("alpha", {"port": 9091, "debug": True})
    assert juju.config("alpha")["port"] == 9091
    juju.config("alpha", reset="port")
    assert juju.config("alpha")["port"] == 8080
    juju.model_config({"update-status-hook-interval": "1h"})
    assert juju.model_config()["update-status-hook-interval"] == "1h"
    juju.deploy(bare.directory / "beta.charm", "more", resources={"app-image": "img"}, num_units=2)
    juju.add_unit("more")
    juju.remove_unit("more", num_units=2)
    assert juju.status().apps["more"].scale == 1
    juju.trust("more", scope="cluster")
    juju.refresh("more", path=bare.directory / "beta.charm")
    juju.remove_relation("alpha:db", "beta:kv")
    juju.remove_application("more")
    uri = juju.add_secret("mine", {"password": "p4ss"}, info="of a user")
    juju.grant_secret(uri, ["alpha", "beta"])
    shown = juju.show_secret(uri, reveal=True)
    assert shown.content == {"password": "p4ss"}
    assert [secret.uri for secret in juju.secrets()] == [shown.uri]
    juju.update_secret(uri, {"password": "other"})
    assert juju.show_secret(uri).revision == 2
    juju.remove_secret(uri)
    assert juju.show_model().short_name == "fmt-demo"
    assert juju.show_unit("alpha/0").charm == "local:alpha-0"
    assert juju.version().tuple == (3, 6, 14)
    assert juju.debug_log() == ""
    with pytest.raises(jubilant.CLIError) as caught:
        juju.config("alpha", {"port": "abc"})
    assert 'option "port" expected int, got "abc"' in str(caught.value.stderr)


def _ends(cloud: Cloud, code: int, **results: object) -> None:
    def end() -> None:
        with cloud.deps.store.transaction() as tx:
            task = tasks.pending(tx, "alpha/0")[0][0]
            tasks.start(tx, task)
            tasks.finish(
                tx,
                task,
                "failed" if code else "completed",
                f"exit status {code}" if code else "",
                {"return-code": code, **results},
            )

    cloud.deps.on_wait.append(end)


def test_jubilant_runs_actions_and_commands(juju: jubilant.Juju, bare: Cloud) -> None:
    _ends(bare, 0, said="hello")
    task = juju.run("alpha/0", "say", {"what": "hello"})
    assert (task.success, task.results) == (True, {"said": "hello"})
    _ends(bare, 3, stdout="out\n", stderr="err\n")
    with pytest.raises(jubilant.TaskError) as caught:
        juju.exec("exit 3", unit="alpha/0")
    assert caught.value.task.return_code == 3
    assert caught.value.task.stderr == "err\n"
    with pytest.raises(ValueError, match="not defined"):
        juju.run("alpha/0", "nosuch")
    with pytest.raises(TimeoutError):
        juju.run("alpha/0", "slow", wait=0.01)
    with pytest.raises(jubilant.TaskError):
        juju.run("alpha/0", "say", {"times": 9})


def test_exit_code_and_streams(served: Server, tmp_path: Path) -> None:
    del served
    command = [sys.executable, "-S", client.__file__, "status", "--nosuch"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ERROR option provided but not defined: --nosuch\n"


def test_the_callers_directory_and_standard_input(served: Server, tmp_path: Path) -> None:
    del served
    command = [sys.executable, "-S", client.__file__, *DEPLOY_BETA[:2], "other", *DEPLOY_BETA[3:]]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    command = [sys.executable, "-S", client.__file__, "add-secret", "s", "--file", "-"]
    done = subprocess.run(command, input="key: value\n", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("secret:")


def test_ctrl_c_ends_the_waiting_and_nothing_else(served: Server, bare: Cloud) -> None:
    waiting = threading.Event()

    async def wait(predicate: object, timeout: float | None) -> None:
        del predicate, timeout
        waiting.set()
        await asyncio.Event().wait()

    bare.deps.wait = wait
    # A shell starts what it runs in the background with this signal ignored, and so would all below be.
    heeds = ("env", "--default-signal=INT")
    process = subprocess.Popen(
        [*heeds, sys.executable, "-S", client.__file__, "run", "alpha/0", "slow"],
        stderr=subprocess.DEVNULL,
    )
    try:
        assert waiting.wait(60)
        process.send_signal(2)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
    assert served.cancelled.wait(5)

    async def left() -> list[tuple[int, str]]:
        return list(tasks.pending(bare.deps.store.read(), "alpha/0"))

    assert asyncio.run_coroutine_threadsafe(left(), served.loop).result(5) == [(2, "slow")]


def test_it_starts_quickly(
    served: Server, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Processor time, not time on the clock: other work on the machine must not matter."""
    del served
    once = min(_cpu(client.__file__, "version") for _ in range(10))
    record_testsuite_property("juju_version_cpu_seconds", once)
    assert once < 0.05


def _cpu(*argv: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-S", *argv], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_long_root_still_fits_a_socket_address(
    bare: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / ("long" * 30) / "run/daybreak/test"
    directory.mkdir(parents=True)
    monkeypatch.setenv("DAYBREAK_ROOT", str(directory.parents[2]))
    monkeypatch.setenv("DAYBREAK_INSTANCE", "test")
    here = os.open(directory, os.O_PATH)
    try:
        with Server(bare, Path(f"/proc/self/fd/{here}")):
            subprocess.run([sys.executable, "-S", client.__file__, "status"], check=True)
    finally:
        os.close(here)


def test_a_mistyped_instance_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAYBREAK_ROOT", str(tmp_path))
    monkeypatch.setenv("DAYBREAK_INSTANCE", "nosuch")
    monkeypatch.setattr(sys, "argv", ["juju", "status"])

    assert client.main() == 1

    said = capsys.readouterr().err
    assert "there is no instance 'nosuch'" in said
    assert "daybreak bootstrap" in said
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def dying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The daemon's socket, without a daemon."""
    directory = tmp_path / "run/daybreak/dying"
    directory.mkdir(parents=True)
    monkeypatch.setenv("DAYBREAK_ROOT", str(tmp_path))
    monkeypatch.setenv("DAYBREAK_INSTANCE", "dying")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / "engine.sock"))
        listening.listen()
        yield listening


def run_client() -> subprocess.Popen[str]:
    words = [sys.executable, "-S", client.__file__, "status"]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )


def test_what_a_dying_daemon_has_not_read_is_sent_again(dying: socket.socket) -> None:
    with run_client() as asking:
        for _ in range(2):
            unread, _ = dying.accept()
            assert unread.recv(1, socket.MSG_PEEK)
            unread.close()
        answering, _ = dying.accept()
        with answering:
            answering.recv(1 << 16)
            answering.sendall(
                b'HTTP/1.1 200 OK\r\n\r\n{"stream":"stdout","data":"well"}\n{"exit":0}\n'
            )
        out, err = asking.communicate(timeout=20)
    assert (out, err, asking.returncode) == ("well", "", 0)


def test_what_a_dying_daemon_has_read_is_not_sent_again(dying: socket.socket) -> None:
    """It may have been done."""
    with run_client() as asking:
        reading, _ = dying.accept()
        with reading:
            assert reading.recv(1 << 16)
        _, err = asking.communicate(timeout=20)
    assert asking.returncode == 1
    assert "ended in the middle of the command; run it again" in err
