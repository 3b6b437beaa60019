from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daybreak_engine.hooktools import wire

pytestmark = pytest.mark.pods


class Agent:
    """Answers each call with the next of `answers` and keeps what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[wire.Question] = []
        self.answer = wire.answer_bytes(wire.Answer(0))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                self.asked.append(wire.question(stream.read()))
                stream.write(self.answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path / "agent.socket")
    yield made
    made.close()


def call(
    hooktool: Path, agent_socket: Path, tool: str, *args: str, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    link = agent_socket.parent / tool
    if not link.is_symlink():
        link.symlink_to(hooktool)
    env = {"JUJU_CONTEXT_ID": "a/0-install-1", "JUJU_AGENT_SOCKET_ADDRESS": str(agent_socket)}
    return subprocess.run(
        [link, *args], env=env, input=stdin, capture_output=True, text=True, check=False, timeout=10
    )


def test_name_arguments_output_and_code_pass_through(hooktool: Path, agent: Agent) -> None:
    agent.answer = wire.answer_bytes(wire.Answer(2, "out\n", "ERROR ü\n"))
    done = call(hooktool, agent.path, "relation-get", "-r", "db:3", "--format=json", "-", "a/0")
    assert (done.returncode, done.stdout, done.stderr) == (2, "out\n", "ERROR ü\n")
    args = ("-r", "db:3", "--format=json", "-", "a/0")
    assert agent.asked == [wire.Question("a/0-install-1", "relation-get", args)]


def test_files_and_input_are_read_where_the_charm_is(
    hooktool: Path, agent: Agent, tmp_path: Path
) -> None:
    secret, bulk = tmp_path / "secret", tmp_path / "bulk"
    secret.write_text("s3")
    bulk.write_text("a: 1\n")
    call(hooktool, agent.path, "secret-add", f"key#file={secret}", "other=1", "none#file=/none")
    call(hooktool, agent.path, "relation-set", "--file", str(bulk))
    call(hooktool, agent.path, "relation-set", f"--file={bulk}")
    call(hooktool, agent.path, "relation-set", "--file", "-", stdin="b: 2\n")
    call(hooktool, agent.path, "status-set", "active", stdin="not read")
    assert [(asked.files, asked.stdin) for asked in agent.asked] == [
        ({str(secret): "s3"}, None),
        ({str(bulk): "a: 1\n"}, None),
        ({str(bulk): "a: 1\n"}, None),
        ({}, "b: 2\n"),
        ({}, None),
    ]


def test_much_passes_in_both_directions(hooktool: Path, agent: Agent, tmp_path: Path) -> None:
    large = "0123456789abcdef" * 2**16
    agent.answer = wire.answer_bytes(wire.Answer(0, large))
    (tmp_path / "large").write_text(large)
    done = call(hooktool, agent.path, "secret-add", f"key#file={tmp_path / 'large'}")
    assert done.stdout == large
    assert list(agent.asked[0].files.values()) == [large]


@pytest.mark.parametrize("broken", [b"", b"o5:hello", b"o5:hel", b"o1", b"x", b"o99999999:a"])
def test_an_answer_that_is_not_whole_is_a_clear_error(
    hooktool: Path, agent: Agent, broken: bytes
) -> None:
    agent.answer = broken
    done = call(hooktool, agent.path, "is-leader")
    assert done.returncode == 1
    assert "is-leader: the agent of this unit went away before it answered" in done.stderr


def test_no_agent_is_a_clear_error(hooktool: Path, tmp_path: Path) -> None:
    done = call(hooktool, tmp_path / "away.socket", "is-leader")
    assert done.returncode == 1
    assert "is-leader: the agent of this unit does not answer" in done.stderr
    outside = subprocess.run([hooktool], env={}, capture_output=True, text=True, check=False)
    assert outside.returncode == 1
    assert "only inside a hook" in outside.stderr


def test_a_call_is_cheap(hooktool: Path, agent: Agent) -> None:
    call(hooktool, agent.path, "is-leader")
    env = {"JUJU_CONTEXT_ID": "c", "JUJU_AGENT_SOCKET_ADDRESS": str(agent.path)}

    def measure(argv: list[str]) -> float:
        best = 1.0
        for _ in range(20):
            started = time.perf_counter()
            subprocess.run(argv, env=env, check=True, capture_output=True)
            best = min(best, time.perf_counter() - started)
        return best

    tool, nothing = measure([str(hooktool)]), measure(["/bin/true"])
    # A ratio, because the machine may be busy; the target is 3 ms where /bin/true takes 1.
    assert tool < nothing * 5, (tool, nothing)
