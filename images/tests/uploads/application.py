"""Takes bodies in chunks as Glance does (glance/common/wsgi.py, _UWSGIChunkFile), and says what became of them."""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterable
from typing import Any

taken: list[dict[str, Any]] = []


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    status = "200 OK"
    result: dict[str, Any]
    if environ["PATH_INFO"] == "/full":
        # Nothing of the body is read.
        status, result = "413 Request Entity Too Large", {"full": True}
    elif environ["REQUEST_METHOD"] == "PUT":
        result = take()
        taken.append(result)
    else:
        result = {"taken": taken.copy()}
        taken.clear()
    body = json.dumps(result).encode()
    start_response(status, [("Content-Length", str(len(body)))])
    return [body]


def take() -> dict[str, Any]:
    server: Any = importlib.import_module("uwsgi")
    digest, size = hashlib.sha256(), 0
    try:
        while part := server.chunked_read():
            digest.update(part)
            size += len(part)
    except OSError as error:
        return {"size": size, "error": type(error).__name__}
    return {"size": size, "sha256": digest.hexdigest()}
