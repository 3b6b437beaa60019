"""Speaks with Glance from inside of its container, and prints as JSON what came of it.

usage: client.py PORT upload NAME KIB [--sized] [--public] | download ID | show ID | delete ID | copy ID | drop ID
       client.py PORT wait
"""

import contextlib
import hashlib
import http.client
import json
import random
import ssl
import sys
import time
from collections.abc import Iterator
from typing import Any

MIB = 2**20
ADMIN, OTHER = "admin:cloud:admin,member,reader", "other:elsewhere:member,reader"
PATIENCE = 60
"""Seconds; all that is asked here ends earlier, also with an error."""


def ask(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str = ADMIN,
    **headers: str,
) -> tuple[int, bytes]:
    """An answer's status and body; the body of a request comes in chunks when its length is not said."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=context)
    said = {"X-Auth-Token": token, **{key.replace("_", "-"): text for key, text in headers.items()}}
    if isinstance(body, dict):
        said |= {"Content-Type": "application/json"}
        body = json.dumps(body)
    chunked = body is not None and not isinstance(body, str) and "Content-Length" not in said
    # Who refuses early does not read on, and may be gone when its answer is looked for.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
        connection.request(method, path, body, said, encode_chunked=chunked)
    try:
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error).encode()


def content(name: str, size: int) -> Iterator[bytes]:
    """The same bytes for the same name, and nowhere else."""
    source = random.Random(name)
    for start in range(0, size, MIB):
        yield source.randbytes(min(MIB, size - start))


def show(port: int, image: str) -> dict[str, Any]:
    status, body = ask(port, "GET", f"/v2/images/{image}")
    if status != 200:
        return {"code": status}
    wanted = ("id", "status", "stores", "size", "checksum", "os_hash_value")
    return {key: value for key, value in json.loads(body).items() if key in wanted}


def upload(port: int, name: str, kib: str, *how: str) -> dict[str, Any]:
    size = int(kib) * 1024
    about = {"name": name, "disk_format": "raw", "container_format": "bare"}
    about["visibility"] = "public" if "--public" in how else "private"
    status, body = ask(port, "POST", "/v2/images", about)
    if status != 201:
        return {"code": status, "said": body.decode()}
    image = json.loads(body)["id"]
    digest = hashlib.sha512()
    for part in content(name, size):
        digest.update(part)
    headers = {"Content-Type": "application/octet-stream"}
    if "--sized" in how:
        headers["Content-Length"] = str(size)
    start = time.monotonic()
    status, body = ask(port, "PUT", f"/v2/images/{image}/file", content(name, size), **headers)
    took = time.monotonic() - start
    found = show(port, image)
    return {
        **found,
        "id": image,
        "code": status,
        "said": body.decode(errors="replace"),
        "took": round(took, 1),
        "sent": digest.hexdigest(),
        "whole": found.get("os_hash_value") == digest.hexdigest(),
    }


def download(port: int, image: str, token: str = ADMIN) -> dict[str, Any]:
    start = time.monotonic()
    status, body = ask(port, "GET", f"/v2/images/{image}/file", token=token)
    result = {"code": status, "took": round(time.monotonic() - start, 1), "size": len(body)}
    if status == 200:
        return {**result, "sha512": hashlib.sha512(body).hexdigest()}
    return {**result, "said": body.decode(errors="replace")}


def copy(port: int, image: str) -> dict[str, Any]:
    """Have Glance copy an image into the bucket, and wait until it has."""
    wanted = {"method": {"name": "copy-image"}, "stores": ["s3"]}
    status, body = ask(port, "POST", f"/v2/images/{image}/import", wanted)
    end = time.monotonic() + PATIENCE
    while (found := show(port, image)) and time.monotonic() < end:
        if status != 202 or "s3" in found.get("stores", "").split(","):
            break
        time.sleep(0.2)
    return {**found, "code": status, "said": body.decode(errors="replace")}


def wait(port: int) -> dict[str, Any]:
    """Wait until Glance answers."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if code := ask(port, "GET", "/v2/images")[0]:
                return {"code": code}
        time.sleep(0.1)
    return {"code": 0}


def main(port: int, what: str, *words: str) -> None:
    match what:
        case "upload":
            result = upload(port, *words)
        case "download":
            result = download(port, *words)
        case "other":
            result = download(port, *words, token=OTHER)
        case "show":
            result = show(port, *words)
        case "copy":
            result = copy(port, *words)
        case "wait":
            result = wait(port)
        case "delete":
            result = {"code": ask(port, "DELETE", f"/v2/images/{words[0]}")[0]}
        case "drop":
            status, body = ask(port, "DELETE", f"/v2/stores/local/{words[0]}")
            result = {"code": status, "said": body.decode(errors="replace")}
        case _:
            sys.exit(__doc__)
    print(json.dumps(result))


main(int(sys.argv[1]), *sys.argv[2:])
