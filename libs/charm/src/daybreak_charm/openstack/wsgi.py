"""The WSGI application of an OpenStack service, made fit for threads; uwsgi loads this file.

DAYBREAK_APPLICATION names the module that has it. DAYBREAK_ARGUMENTS are the words that it takes for its
command line: the first one names its reply queue, too, which every program under uwsgi would share.
"""

import contextlib
import functools
import importlib
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

LINGER, SILENCE = 30, 5
"""Seconds in which the rest of a refused body is read, and of silence that are borne (nginx, lingering_close)."""
PIECE = 65536

sys.argv = os.environ["DAYBREAK_ARGUMENTS"].split()


def load_policies_alone() -> None:
    """Let one thread load policies while the others wait.

    oslo.policy does not lock: threads that come while another loads see half of the rules, and refuse what
    is allowed. Nor do rules change below running threads: another file of policies is a restart.
    """
    enforcer: Any = importlib.import_module("oslo_policy.policy").Enforcer
    lock = threading.RLock()
    load = enforcer.load_rules

    def load_rules(self: Any, force_reload: bool = False) -> None:
        if not self.use_conf and not force_reload:
            return
        with lock:
            load(self, force_reload)
            self.use_conf = False

    enforcer.load_rules = load_rules


def read_chunks_whole() -> None:
    """Let a body that comes in chunks, without its length, come over TLS and with pauses.

    uwsgi 2.0.28 waits for the socket, reads once, and takes it for the end of the connection when no more than a part
    of a TLS record has come (core/chunked.c, uwsgi_chunked_input_recv). Its reader that does not wait keeps the two
    apart. So the waiting is done here, for each silence anew, and never while TLS has bytes left: the reader
    says that it would wait when those are used up.

    That reader tells "would wait" from an error by errno alone (plugins/python/uwsgi_pymodule.c), which a chunk that
    is too large or malformed leaves as it was. poll() clears it (CPython, Modules/selectmodule.c), so that
    nothing is asked again for ever.
    """
    try:
        server: Any = importlib.import_module("uwsgi")
    except ImportError:
        return  # another server
    read = server.chunked_read_nb
    patience = int(server.opt["chunked-input-timeout"])

    def chunked_read(timeout: int = 0) -> bytes:
        """The next chunk, empty at the end of the body.

        Args:
            timeout: Seconds of silence that are borne, 0 for the server's own number, below 0 for ever.

        Raises:
            OSError: The client is silent or gone, or a chunk is too large or malformed.
        """
        client = select.poll()
        client.register(server.connection_fd(), select.POLLIN)
        while (chunk := read()) is None:
            if not client.poll((timeout or patience) * 1000):
                raise TimeoutError("nothing more of the request's body has come")
        return chunk

    server.chunked_read = chunked_read


def refuse_after_the_body(
    answer: Callable[..., Iterable[bytes]],
) -> Callable[..., Iterable[bytes]]:
    """Let a request that is refused while its body still comes be answered when that is over.

    uwsgi closes the connection behind the answer. What it has not read then makes the kernel reset the connection, and
    the gateway loses the answer: its client hears of a broken connection instead of, say, a store that is full.
    """

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        said: list[str] = []

        def start(status: str, *rest: Any) -> Any:
            said.append(status)
            return start_response(status, *rest)

        body = answer(environ, start)
        if said and said[-1] >= "400":
            _read_away(environ)
        return body

    return application


def _read_away(environ: dict[str, Any]) -> None:
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        server: Any = importlib.import_module("uwsgi")
        read = functools.partial(server.chunked_read, SILENCE)
    elif environ.get("CONTENT_LENGTH"):
        read = functools.partial(environ["wsgi.input"].read, PIECE)
    else:
        return
    until = time.monotonic() + LINGER
    # The client may be gone, or silent for longer than the server bears.
    with contextlib.suppress(OSError):
        while time.monotonic() < until and read():
            pass


load_policies_alone()
read_chunks_whole()
application = refuse_after_the_body(
    importlib.import_module(os.environ["DAYBREAK_APPLICATION"]).application
)
