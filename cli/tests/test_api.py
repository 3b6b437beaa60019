"""The connection to the cloud's APIs, against a server that speaks just enough of them."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from daybreak import api
from daybreak.access import Access


def test_a_service_that_is_away_for_a_moment_is_asked_again():
    answers = [503, 503, 204]
    asked: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.answer(201, {"token": token}, {"X-Subject-Token": "t"})

        def do_GET(self) -> None:
            links = [{"rel": "self", "href": f"{url}{self.path}"}]
            name = "v2.1" if "compute" in self.path else "v3"
            self.answer(200, {"version": {"id": name, "status": "CURRENT", "links": links}})

        def do_DELETE(self) -> None:
            asked.append(answers[len(asked)])
            self.answer(asked[-1], None, {})

        def answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
            content = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            for name, value in (headers or {"Content-Type": "application/json"}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        endpoint = {"interface": "public", "region_id": "R", "url": f"{url}/compute/v2.1"}
        token = {
            "methods": ["password"],
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "catalog": [{"type": "compute", "endpoints": [endpoint]}],
        }
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            account = Access(f"{url}/v3", "admin", "pw", "p", "d", "d", "R", "")
            api.connect(account, None).compute.delete_server("s", ignore_missing=False)
        finally:
            server.shutdown()
            thread.join()
    assert asked == answers
