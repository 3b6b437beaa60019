"""Sends bodies in chunks over TLS, and prints what the application said of each; beside uwsgi, in its container.

usage: client.py PATIENCE   Seconds of silence that the server bears.
"""

import contextlib
import hashlib
import json
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

PORT = 9292
HEAD = b"PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
MIB = 2**20
BLOCK = bytes(range(256)) * 16 + b"never the same twice at a record's end"
Write = Callable[[bytes], object]


class Connection:
    """TLS whose records can be taken apart."""

    def __init__(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out)
        self.socket = connect()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(self._out.read())
                self._in.write(self.socket.recv(65536))

    def write(self, data: bytes) -> None:
        """Send in one go."""
        self._tls.write(data)
        self.socket.sendall(self._out.read())

    def write_torn(self, data: bytes) -> None:
        """Send the record in two parts, the second when the first is likely to have been read."""
        self._tls.write(data)
        record = self._out.read()
        self.socket.sendall(record[: len(record) // 2])
        time.sleep(0.02)
        self.socket.sendall(record[len(record) // 2 :])

    def answer(self) -> Any:
        """What the application says."""
        got = b""
        while True:
            try:
                while data := self._tls.read(65536):
                    got += data
                break
            except ssl.SSLWantReadError:
                if not (data := self.socket.recv(65536)):
                    break
                self._in.write(data)
        self.socket.close()
        return json.loads(got.partition(b"\r\n\r\n")[2])

    def reset(self) -> None:
        """Go as a machine does that has lost its power, once it is back."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def connect() -> socket.socket:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", PORT))
        except ConnectionRefusedError:
            time.sleep(0.1)


def blocks(size: int, chunk: int) -> Iterator[bytes]:
    whole = BLOCK * (chunk // len(BLOCK) + 1)
    for start in range(0, size, chunk):
        yield whole[: min(chunk, size - start)]


def send(write: Write, block: bytes) -> None:
    """One chunk as http.client's and urllib3's callers do: each part of it by itself."""
    write(b"%x" % len(block))
    write(b"\r\n")
    write(block)
    write(b"\r\n")


def upload(size: int, chunk: int, *, torn: bool = False, pause: float = 0, pauses: int = 0) -> Any:
    """A whole body; whether it came so, or what became of it."""
    to = Connection()
    to.write(HEAD)
    write = to.write_torn if torn else to.write
    sent = hashlib.sha256()
    for number, block in enumerate(blocks(size, chunk)):
        if 0 < number <= pauses:
            time.sleep(pause)
        send(write, block)
        sent.update(block)
    write(END)
    answer = to.answer()
    return "whole" if answer == {"size": size, "sha256": sent.hexdigest()} else answer


def begin(rest: bytes) -> Connection:
    """A body that has begun with a whole chunk."""
    to = Connection()
    to.write(HEAD)
    send(to.write, b"begun")
    to.write(rest)
    return to


def begin_too_large() -> None:
    """A chunk of which more comes than fits; the server may close the connection before all is sent."""
    with contextlib.suppress(OSError):
        begin(b"%x\r\n" % (64 * MIB) + bytes(32 * MIB)).socket.close()


def refused(size: int, *, chunked: bool) -> Any:
    """What is answered to a body that is not wanted; all of it is sent before the answer is read."""
    to = Connection()
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    to.write(b"PUT /full HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n" % length)
    for block in blocks(size, MIB):
        if chunked:
            send(to.write, block)
        else:
            to.write(block)
    if chunked:
        to.write(END)
    return to.answer()


def taken() -> Any:
    """What became of the bodies since this was asked last."""
    to = Connection()
    to.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return to.answer()["taken"]


def main(patience: float) -> None:
    result: dict[str, Any] = {
        "large": upload(200 * MIB, 65536),
        "chunks of glanceclient": upload(32 * MIB, MIB),
        "torn": upload(100_000, 10_000, torn=True),
        # Together they are longer than what is borne of one.
        "pauses": upload(4 * 65536, 65536, pause=patience * 0.6, pauses=2),
    }
    taken()
    begin(b"").socket.close()
    begin(b"100\r\nhalf a ch").socket.close()
    begin(b"100\r\nhalf a ch").reset()
    # Answered by the one thread that the bodies above had.
    result["gone"] = taken()
    result["silent"] = begin(b"100\r\nhalf a ch").answer()
    result["malformed"] = begin(b"no number\r\n").answer()
    taken()
    begin_too_large()
    result["too large"] = taken()
    result["refused"] = [refused(50 * MIB, chunked=chunked) for chunked in (True, False)]
    result["after them"] = upload(MIB, 65536)
    print(json.dumps(result))


main(float(sys.argv[1]))
