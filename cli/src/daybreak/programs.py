"""The one place where this package starts other programs.

Everything that acts goes through :func:`subprocess.run`, here and in jubilant, so a test that
replaces this single function sees every command that would have been started.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TAIL_LINES = 25
NOT_FOUND = 127
TIMED_OUT = 124


@dataclass(frozen=True)
class Output:
    """What a finished program left: exit code and both streams."""

    code: int
    stdout: str = ""
    stderr: str = ""

    @property
    def ok(self) -> bool:
        """Whether the program ended with exit code 0."""
        return self.code == 0


def search_path() -> str:
    """Return PATH with the directory of snaps, which sudo leaves out on some distributions."""
    path = os.environ.get("PATH", os.defpath)
    return path if "/snap/bin" in path.split(":") else f"{path}:/snap/bin"


def capture(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> Output:
    """Run a program to its end and return its streams.

    Args:
        argv: Program and arguments.
        env: Variables added to those of this process.
        cwd: Working directory.
        timeout: Seconds after which the program is killed.

    Returns:
        The output; a missing program has code 127 and one that was killed by the timeout 124,
        as a shell reports them.
    """
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            env={**os.environ, "PATH": search_path(), **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        return Output(NOT_FOUND, stderr=f"{argv[0]}: not found")
    except subprocess.TimeoutExpired:
        return Output(TIMED_OUT, stderr=f"{argv[0]}: no answer within {timeout:.0f} s")
    return Output(done.returncode, done.stdout, done.stderr)


def follow(
    argv: Sequence[str | Path],
    on_line: Callable[[str], None],
    *,
    what: str,
    remedy: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> None:
    """Run a program and hand over every line that it writes, as it writes it.

    Args:
        argv: Program and arguments.
        on_line: Called with each line of stdout and stderr, without its newline, from another
            thread.
        what: The action in words, for the error: "build the images".
        remedy: What the operator can do when it fails.
        env: Variables added to those of this process.
        cwd: Working directory.
        timeout: Seconds after which the program is killed.

    Raises:
        DaybreakError: The program is missing, failed or took too long; carries its last lines.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    reading, writing = os.pipe()

    def pump() -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                tail.append(line.rstrip())
                on_line(line.rstrip())

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    try:
        code = subprocess.run(
            [str(word) for word in argv],
            env={**os.environ, "PATH": search_path(), **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        ).returncode
    except FileNotFoundError:
        code = NOT_FOUND
        tail.append(f"{argv[0]}: not found")
    except subprocess.TimeoutExpired:
        code = TIMED_OUT
        tail.append(f"{argv[0]}: not done within {timeout:.0f} s")
    finally:
        os.close(writing)
        thread.join()
    if code:
        raise DaybreakError(
            f"could not {what} (exit code {code})", remedy=remedy, details=tuple(tail)
        )
