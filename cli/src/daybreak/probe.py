"""Asking APIs the way a user does: over their public URLs, with the certificate verified.

By the standard library alone: `daybreak status` has to answer within seconds, whatever is down, and
loading a client of OpenStack's takes one of them.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .access import Access

PROBE_SECONDS = 10.0
"""How long a lone API may take, when its answer is waited for."""
LOOK_SECONDS = 5.0
"""How long each of many may take, when they are looked at."""
_CHOICES = 300
"""Several versions: what the root of an API may answer instead of 200."""


@dataclass(frozen=True)
class Answer:
    """What a request to an API gave.

    Attributes:
        ok: Whether it is what was asked for.
        detail: In words: a version, or what went wrong.
        seconds: How long it took.
        status: Of HTTP; 0 when there was no answer.
        document: The answer's JSON, None when it is none.
        headers: The answer's.
    """

    ok: bool
    detail: str
    seconds: float = 0.0
    status: int = 0
    document: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


def ask(
    url: str,
    certificate: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    timeout: float = LOOK_SECONDS,
) -> Answer:
    """Send a request and return whatever comes of it.

    Args:
        url: Where to.
        certificate: PEM of the authority to trust; the machine's own ones when empty.
        headers: Beside those that every request has.
        body: Sent as JSON by POST; None for a GET.
        timeout: Seconds for each step of the connection.
    """
    started = time.monotonic()

    def answer(detail: str, status: int = 0, document: Any = None, said: Any = None) -> Answer:
        good = 200 <= status <= _CHOICES
        seconds = time.monotonic() - started
        return Answer(good, detail, seconds, status, document, dict(said or {}))

    try:
        context = ssl.create_default_context(cadata=certificate or None)
        opener = urllib.request.build_opener(
            # the gateway is near: no proxy of the environment leads to it
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
        )
        request = urllib.request.Request(  # noqa: S310  URLs are the cloud's own
            url,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Accept": "application/json", "Content-Type": "application/json"}
            | dict(headers or {}),
        )
        with opener.open(request, timeout=timeout) as response:
            content = _json(response.read())
            return answer("", response.status, content, response.headers)
    except urllib.error.HTTPError as error:
        with error:
            words = f"HTTP {error.code} {error.reason}"
            return answer(words, error.code, _json(error.read()), error.headers)
    except urllib.error.URLError as error:
        return answer(_words(error.reason))
    except (OSError, ValueError, http.client.HTTPException) as error:
        return answer(_words(error))


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _words(error: Any) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = str(error)
    # OpenSSL's own words, without the place in its source
    return re.sub(r"\[.*?\] |\s*\(_ssl\.c:\d+\)", "", text) or type(error).__name__


def identity(url: str, certificate: str, timeout: float = PROBE_SECONDS) -> Answer:
    """Ask Keystone for its version document.

    Args:
        url: The versioned public URL (`https://.../v3`).
        certificate: PEM of the authority to trust; the machine's own ones when empty.
        timeout: Seconds.
    """
    found = ask(url, certificate, timeout=timeout)
    if not found.ok:
        return found
    try:
        return Answer(True, f"API {found.document['version']['id']}", found.seconds, found.status)
    except (KeyError, TypeError):
        return Answer(False, "the answer is not Keystone's", found.seconds, found.status)


def api(url: str, certificate: str) -> Answer:
    """Ask an API for the versions that it has.

    Args:
        url: Its public URL from the catalogue.
        certificate: PEM of the authority to trust.
    """
    found = ask(root(url), certificate)
    if not found.ok:
        return found
    newest = version(found.document)
    return Answer(True, f"API {newest}" if newest else "answers", found.seconds, found.status)


def page(url: str, certificate: str) -> Answer:
    """Ask a site for a page."""
    found = ask(url, certificate, headers={"Accept": "text/html"})
    return Answer(found.ok, found.detail or "answers", found.seconds, found.status)


def root(url: str) -> str:
    """Return the URL at which an API lists its versions: what stands before the first of them."""
    return re.split(r"/v\d", url, maxsplit=1)[0].rstrip("/") + "/"


def version(document: Any) -> str:
    """Return the newest version in a version document; empty when there is none.

    An API with microversions has the newest of them.
    """
    entries = list(_versions(document))
    current = [entry for entry in entries if str(entry.get("status", "")).upper() == "CURRENT"]
    chosen = (current or entries)[:1]
    for entry in chosen:
        micro = str(entry.get("max_version") or entry.get("version") or "")
        return f"v{micro}" if micro else str(entry.get("id", ""))
    return ""


def _versions(document: Any) -> Iterator[Mapping[str, Any]]:
    found = document.get("versions") if isinstance(document, dict) else None
    if isinstance(found, dict):  # Keystone's form
        found = cast("dict[str, Any]", found).get("values")
    for entry in found if isinstance(found, list) else ():
        if isinstance(entry, dict):
            yield entry


@dataclass(frozen=True)
class Session:
    """A login.

    Attributes:
        token: What requests carry.
        endpoints: Public URL by type of service, of the account's region, in the catalogue's order.
        certificate: PEM of the authority to trust.
    """

    token: str = field(repr=False)
    endpoints: Mapping[str, str]
    certificate: str = field(repr=False)

    def get(self, type_: str, path: str) -> Answer:
        """Ask a service for something, as the user.

        Args:
            type_: Its type.
            path: Behind its URL of the catalogue.
        """
        url = self.endpoints[type_].rstrip("/") + path
        return ask(url, self.certificate, headers={"X-Auth-Token": self.token})


def login(account: Access) -> Session | Answer:
    """Log in; return the failed answer when Keystone gives no token."""
    user = {
        "name": account.username,
        "domain": {"name": account.user_domain},
        "password": account.password,
    }
    project = {"name": account.project, "domain": {"name": account.project_domain}}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": project},
        }
    }
    found = ask(
        f"{account.auth_url}/auth/tokens", account.authority, body=body, timeout=PROBE_SECONDS
    )
    token = next((v for k, v in found.headers.items() if k.lower() == "x-subject-token"), "")
    if not found.ok or not token:
        return found
    entries: list[dict[str, Any]] = found.document["token"].get("catalog", [])
    endpoints = {
        str(entry["type"]): str(endpoint["url"])
        for entry in entries
        for endpoint in entry["endpoints"]
        if endpoint["interface"] == "public" and endpoint["region"] == account.region
    }
    return Session(token, endpoints, account.authority)
