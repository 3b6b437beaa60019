"""Health of a Python API: a mule of uwsgi, forked when the application has been loaded.

It answers 200, and 503 while the unit is leaving traffic, or where each worker loads the application itself
(DAYBREAK_LAZY) while none has. As a process of its own it shares no worker with users'
requests, so that an API busy with bcrypt is not taken for a dead one.
"""

import http.server
import importlib
import os
import socket
from typing import Any


class Health(http.server.BaseHTTPRequestHandler):
    """The one answer."""

    timeout = 5

    def do_GET(self) -> None:
        """Say whether this unit wants requests."""
        leaving = os.path.exists(os.environ["DAYBREAK_DRAINING"])  # noqa: PTH110 - each check pays
        self.send_response(503 if leaving or not loaded() else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Say nothing: there are several a second."""


def loaded() -> bool:
    """Whether a worker has the application."""
    if "DAYBREAK_LAZY" not in os.environ:
        return True
    workers: list[dict[str, Any]] = importlib.import_module("uwsgi").workers()
    return any(worker["apps"] for worker in workers)


class Server(http.server.ThreadingHTTPServer):
    """Listens on all addresses of the unit."""

    daemon_threads = True


def main() -> None:
    """Answer until the master ends."""
    host, _, port = os.environ["DAYBREAK_HEALTH"].rpartition(":")
    host = host.strip("[]")
    if ":" in host:
        Server.address_family = socket.AF_INET6
    Server((host, int(port)), Health).serve_forever()


main()
