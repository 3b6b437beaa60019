"""Asking an API the way a user does: over its public URL, with its certificate verified."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

PROBE_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """What a request to an API gave."""

    ok: bool
    detail: str
    seconds: float = 0.0


def identity(url: str, certificate: str, timeout: float = PROBE_SECONDS) -> Answer:
    """Ask Keystone for its version document.

    Args:
        url: The versioned public URL (`https://.../v3`).
        certificate: PEM of the authority to trust; the machine's own ones when empty.
        timeout: Seconds.
    """
    started = time.monotonic()
    try:
        context = ssl.create_default_context(cadata=certificate or None)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(url, timeout=timeout) as response:
            document = json.load(response)
        return Answer(True, f"API {document['version']['id']}", time.monotonic() - started)
    except urllib.error.HTTPError as error:
        return Answer(False, f"HTTP {error.code} {error.reason}", time.monotonic() - started)
    except urllib.error.URLError as error:
        return Answer(False, str(error.reason), time.monotonic() - started)
    except (OSError, http.client.HTTPException) as error:
        return Answer(False, str(error) or type(error).__name__, time.monotonic() - started)
    except (ValueError, KeyError, TypeError):
        return Answer(False, "the answer is not Keystone's", time.monotonic() - started)
