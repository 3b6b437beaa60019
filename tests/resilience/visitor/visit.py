"""Log in twice a second, and write down how it went.

usage: visit.py FOLDER VISITS

FOLDER has account.json and ca.pem, read once. Each visit becomes a line of VISITS: user, and what was answered.
"""

import http.client
import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PERIOD = 0.5


def main(folder: Path, visits: Path) -> None:
    """Log in until somebody ends it."""
    account = json.loads((folder / "account.json").read_text())
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    user = {
        "name": account["username"],
        "domain": {"name": account["domain"]},
        "password": account["password"],
    }
    scope = {"project": {"name": account["project"], "domain": {"name": account["domain"]}}}
    identity = {"methods": ["password"], "password": {"user": user}}
    request = urllib.request.Request(
        f"{account['url'].rstrip('/')}/auth/tokens",
        json.dumps({"auth": {"identity": identity, "scope": scope}}).encode(),
        {"Content-Type": "application/json"},
    )
    with visits.open("a", buffering=1) as log:
        while True:
            began = time.monotonic()
            try:
                with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                    said = str(answer.status)
            except urllib.error.HTTPError as error:
                said = str(error.code)
            except (OSError, http.client.HTTPException) as error:
                said = type(error).__name__
            log.write(f"{user['name']} {said}\n")
            time.sleep(max(0.0, began + PERIOD - time.monotonic()))


main(Path(sys.argv[1]), Path(sys.argv[2]))
