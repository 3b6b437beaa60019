"""The `juju` command: hands its command line to the daemon and prints what comes back.

Standard library only, and little of it: this program starts for every single call, so imports
that cost milliseconds (http.client, argparse, typing) stay out. Everything else happens in the
daemon, which is started when it does not answer.
"""

from __future__ import annotations

import json
import os
import socket
import sys

TYPE_CHECKING = False  # typing's own costs its import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

_RUN = "run/daybreak"
_KEPT = ("JUJU_MODEL",)
"""Variables of the caller that commands look at."""
_TRIES = 3
_MAKING = "add-model"
"""The command that may make an instance; a mistyped name must not leave one behind."""


def main() -> int:
    """Run the command line of this process; return its exit code."""
    try:
        code = _call(sys.argv[1:])
    except KeyboardInterrupt:
        # Closing the socket has ended what the command waited for.
        sys.stderr.write("\n")
        code = 130
    except BrokenPipeError:
        # The reader (head, less) has enough; nothing more can be written, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    return code


def _call(argv: list[str]) -> int:
    making = argv[:1] == [_MAKING]
    body = json.dumps(
        {
            "argv": argv,
            "cwd": os.getcwd(),  # noqa: PTH109 - pathlib costs 5 ms of start
            "stdin": _stdin(argv),
            "tty": sys.stdout.isatty(),
            "env": {name: os.environ[name] for name in _KEPT if os.environ.get(name)},
        }
    ).encode()
    request = (
        b"POST /v1/command HTTP/1.1\r\nHost: juju\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    for _ in range(_TRIES):
        connection = _connect(making=making)
        if connection is None:
            return 1
        with connection, connection.makefile("rb") as stream:
            status = _send(connection, stream, request)
            if status is not None:
                return _print(status, stream)
    sys.stderr.write("ERROR the engine ends again and again\n" + _where_its_log_is())
    return 1


def _send(connection: socket.socket, stream: IO[bytes], request: bytes) -> bytes | None:
    """Send a request and return the first line of the answer, empty where the daemon ended in the middle.

    None when the daemon ended before it had read all of it, so that it can be sent again, whatever it asks for: only
    what the other side left unread is an error (ECONNRESET, in Linux' unix_release_sock), all else is an end.
    """
    try:
        connection.sendall(request)
        return stream.readline()
    except ConnectionError:
        return None


def _stdin(argv: list[str]) -> str | None:
    """Return standard input when the command line says that it is wanted."""
    named = any(word in ("-", "@-") or word.endswith(("=-", "=@-")) for word in argv)
    if named and not sys.stdin.isatty():
        return sys.stdin.read()
    if argv[:1] != ["ssh"] or sys.stdin.isatty():
        return None
    # A caller that inherited an open pipe never closes it: only what is on its way counts.
    import select

    ready, _, _ = select.select([sys.stdin], [], [], 0.2)
    return sys.stdin.read() if ready else None


def _connect(*, making: bool) -> socket.socket | None:
    """Return a connection to the daemon, starting it when nobody answers.

    Args:
        making: Whether an instance that is not there may be made.
    """
    connection = _try()
    if connection is not None:
        return connection
    # Imported late: the engine's own modules cost more than all the rest of this program.
    from daybreak_engine import daemon
    from daybreak_engine.errors import EngineError
    from daybreak_engine.instance import instance_from

    try:
        instance = instance_from(None)
        if not making and not instance.database.exists():
            raise EngineError(
                f"there is no instance {instance.name!r} on this machine",
                remedy="make one with `daybreak bootstrap`, or name another (DAYBREAK_INSTANCE)",
            )
        daemon.start(instance)
    except EngineError as error:
        sys.stderr.write(f"ERROR {error.message}\n")
        if error.remedy:
            sys.stderr.write(f"{error.remedy}\n")
        return None
    connection = _try()
    if connection is None:
        sys.stderr.write("ERROR the engine was started and does not answer\n")
    return connection


def _instance() -> str:
    return os.environ.get("DAYBREAK_INSTANCE") or "daybreak"


def _root() -> str:
    return os.environ.get("DAYBREAK_ROOT") or "/"


def _try() -> socket.socket | None:
    directory = os.path.join(_root(), _RUN, _instance())  # noqa: PTH118 - as above
    connection = socket.socket(socket.AF_UNIX)
    handle = -1
    try:
        # An address holds 108 bytes; a handle on the directory keeps it short.
        handle = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        connection.connect(f"/proc/self/fd/{handle}/engine.sock")
    except PermissionError:
        connection.close()
        sys.stderr.write(
            f"ERROR no permission to use the engine of instance {_instance()}\n"
            "run the command as root or with sudo\n"
        )
        raise SystemExit(1) from None
    except OSError:
        connection.close()
        return None
    finally:
        if handle >= 0:
            os.close(handle)
    return connection


def _print(first: bytes, stream: IO[bytes]) -> int:
    status = first.split()
    chunked = False
    while (line := stream.readline()) not in (b"\r\n", b"\n", b""):
        chunked |= line.lower().replace(b" ", b"").startswith(b"transfer-encoding:chunked")
    if status and (len(status) < 2 or status[1] != b"200"):
        sys.stderr.write("ERROR the engine does not understand this client\n")
        return 1
    code = None
    for line in _lines(stream, chunked):
        frame = json.loads(line)
        if "exit" in frame:
            code = frame["exit"]
            continue
        target = sys.stdout if frame["stream"] == "stdout" else sys.stderr
        target.write(frame["data"])
        target.flush()
    if code is None:
        sys.stderr.write(
            "ERROR the engine ended in the middle of the command; run it again\n"
            + _where_its_log_is()
        )
        return 1
    return code


def _where_its_log_is() -> str:
    return f"its log: {os.path.join(_root(), 'var/lib/daybreak', _instance(), 'logs')}\n"  # noqa: PTH118 - as above


def _lines(stream: IO[bytes], chunked: bool) -> Iterator[bytes]:
    """Yield the lines of a body, whose chunks end anywhere."""
    if not chunked:
        yield from stream
        return
    rest = b""
    while True:
        size = int(stream.readline().split(b";")[0] or b"0", 16)
        if size == 0:
            break
        rest += stream.read(size)
        stream.readline()
        *lines, rest = rest.split(b"\n")
        yield from lines
    if rest:
        yield rest


if __name__ == "__main__":
    sys.exit(main())
