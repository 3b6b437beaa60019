"""Pushing images to a registry, by its HTTP interface (OCI distribution-spec 1.1)."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .oci import Layout

SECONDS = 60.0
LOCAL = ("localhost", "127.0.0.1", "::1")
"""Hosts that are spoken to without TLS, as container tools do."""
_REGISTRY = re.compile(
    r"(?P<host>(?:\[[0-9a-f:]+\]|[a-z0-9.-]+)(?::\d+)?)(?:/(?P<path>[a-z0-9._/-]+))?"
)


@dataclass(frozen=True)
class Registry:
    """Where images go.

    Attributes:
        host: Name or address, with the port if it is not the usual one.
        path: What stands before the images' names; empty when nothing does.
        plain: Whether it is spoken to without TLS.
    """

    host: str
    path: str
    plain: bool

    def repository(self, image: str) -> tuple[str, str]:
        """Return the repository and the tag of an image of a bundle: `daybreak/keystone`, `2026.1`."""
        name, _, tag = image.partition("/")[2].rpartition(":")
        return "/".join(filter(None, (self.path, name))), tag


def parse(text: str, *, plain: bool = False) -> Registry:
    """Return the registry that a word of the command line means.

    Raises:
        UsageError: It cannot be one.
    """
    found = _REGISTRY.fullmatch(text.strip().rstrip("/"))
    if not found:
        raise UsageError(
            f'"{text}" is no registry',
            remedy="Write it as in an image's name, without https://: registry.example.com:5000/team",
        )
    host = found["host"]
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    return Registry(host, found["path"] or "", plain or name.strip("[]") in LOCAL)


def account(host: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return name and password for a registry; None when there are none.

    They come from DAYBREAK_REGISTRY_USER and DAYBREAK_REGISTRY_PASSWORD, else from the file that
    `podman login` and `docker login` write.
    """
    name = environ.get("DAYBREAK_REGISTRY_USER")
    if name:
        return name, environ.get("DAYBREAK_REGISTRY_PASSWORD", "")
    home = Path(environ.get("HOME", "/root"))
    files = (
        Path(environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")) / "containers/auth.json",
        home / ".config/containers/auth.json",
        Path(environ.get("DOCKER_CONFIG", home / ".docker")) / "config.json",
    )
    for path in files:
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))["auths"][host]["auth"]
            user, _, password = base64.b64decode(entry).decode().partition(":")
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return user, password
    return None


@dataclass
class Client:
    """A conversation with one registry."""

    registry: Registry
    login: tuple[str, str] | None = field(default=None, repr=False)
    authority: Path | None = None
    authorization: str = field(default="", repr=False)
    places: dict[str, str] = field(default_factory=dict[str, str])
    """Where each part went that was sent: images of one registry can share it."""

    def push(self, layout: Layout, image: str, digest: str, say: Callable[[str], None]) -> str:
        """Push an image, except for what is there already; return the name to pull it by.

        Raises:
            DaybreakError: The registry refuses, or cannot be reached; what arrived stays there.
        """
        repository, tag = self.registry.repository(image)
        content = layout.blob(digest).read_bytes()
        kind = json.loads(content).get("mediaType", "application/vnd.oci.image.manifest.v1+json")
        manifests = f"/v2/{repository}/manifests"
        if self._ask("HEAD", f"{manifests}/{digest}", headers={"Accept": kind}).status != 200:
            for part in layout.parts(digest):
                self._push_blob(layout, repository, part, say)
        put = self._ask("PUT", f"{manifests}/{tag}", headers={"Content-Type": kind}, body=content)
        self._expect(put, {201}, f"take {repository}:{tag}")
        return f"{self.registry.host}/{repository}@{digest}"

    def _push_blob(
        self, layout: Layout, repository: str, part: dict[str, Any], say: Callable[[str], None]
    ) -> None:
        digest, size = part["digest"], part["size"]
        if self._ask("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200:
            return
        share = ""
        if digest in self.places:
            share = "?" + urllib.parse.urlencode({"mount": digest, "from": self.places[digest]})
        self.places[digest] = repository
        begun = self._ask("POST", f"/v2/{repository}/blobs/uploads/{share}", body=b"")
        if share and begun.status == 201:
            return
        say(f"{repository}: {digest[7:19]}, {size / 1e6:.1f} MB")
        self._expect(begun, {202}, f"take uploads to {repository}")
        place = urllib.parse.urljoin(
            f"{self._scheme}://{self.registry.host}/", begun.headers.get("Location", "")
        )
        target = urllib.parse.urlsplit(place)
        query = "&".join(filter(None, (target.query, f"digest={urllib.parse.quote(digest)}")))
        done = self._ask(
            "PUT",
            f"{target.path}?{query}",
            host=target.netloc,
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
            body=layout.blob(digest),
        )
        self._expect(done, {201}, f"take {digest} into {repository}")

    @property
    def _scheme(self) -> str:
        return "http" if self.registry.plain else "https"

    def _expect(self, answer: Answer, codes: set[int], what: str) -> None:
        if answer.status in codes:
            return
        remedies = {
            401: f"Log in (podman login {self.registry.host}), or set DAYBREAK_REGISTRY_USER and"
            " DAYBREAK_REGISTRY_PASSWORD.",
            403: "The account may not write there: choose another path behind the registry's name, or"
            " have the right given.",
            404: "Choose a path that the registry has: REGISTRY/PROJECT.",
            413: "A layer is too big for what stands before the registry; its limit has to be raised.",
            507: "The registry has no space left.",
        }
        raise DaybreakError(
            f"the registry {self.registry.host} does not {what}: HTTP {answer.status}",
            details=tuple(answer.errors()),
            remedy=remedies.get(answer.status, "See the registry's own log.")
            + " Then run the command again: what has arrived is not sent again.",
        )

    def _ask(
        self,
        method: str,
        path: str,
        *,
        host: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | Path | None = None,
    ) -> Answer:
        own = host in ("", self.registry.host)
        for again in (False, True):
            given = {"Authorization": self.authorization} if self.authorization and own else {}
            answer = self._once(
                method, path, host or self.registry.host, given | dict(headers or {}), body
            )
            if answer.status != 401 or again or not own or not self._authorize(answer):
                break
        return answer

    def _once(
        self,
        method: str,
        path: str,
        host: str,
        headers: Mapping[str, str],
        body: bytes | Path | None,
    ) -> Answer:
        connection: http.client.HTTPConnection
        if self.registry.plain:
            connection = http.client.HTTPConnection(host, timeout=SECONDS)
        else:
            context = ssl.create_default_context(cafile=self.authority)
            connection = http.client.HTTPSConnection(host, timeout=SECONDS, context=context)
        try:
            if isinstance(body, Path):
                with body.open("rb") as file:
                    connection.request(method, path, file, dict(headers))
                    response = connection.getresponse()
            else:
                connection.request(method, path, body, dict(headers))
                response = connection.getresponse()
            return Answer(response.status, response.headers, response.read(1 << 16))
        except ssl.SSLCertVerificationError as error:
            raise DaybreakError(
                f"the certificate of {host} is not trusted: {error.verify_message}",
                remedy="Name its authority: --ca-file FILE; or, for one without TLS: --plain-http",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise DaybreakError(
                f"the registry {host} cannot be reached: {error or type(error).__name__}",
                remedy="Check its name, port and the network (--plain-http for one without TLS); then run"
                " the command again: what has arrived is not sent again.",
            ) from error
        finally:
            connection.close()

    def _authorize(self, answer: Answer) -> bool:
        """Do what a refusal asks for; whether asking again makes sense."""
        challenge = answer.headers.get("WWW-Authenticate", "")
        basic = ""
        if self.login:
            basic = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            self.authorization = basic
            return bool(basic)
        if kind.lower() != "bearer":
            return False
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = urllib.parse.urlsplit(asked.pop("realm", ""))
        query = urllib.parse.urlencode(asked)
        path = f"{realm.path}?{query}"
        token = self._once(
            "GET", path, realm.netloc, {"Authorization": basic} if basic else {}, None
        )
        try:
            content = json.loads(token.body)
            self.authorization = f"Bearer {content.get('token') or content['access_token']}"
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        return True


@dataclass(frozen=True)
class Answer:
    """What a registry answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes = field(repr=False)

    def errors(self) -> Iterator[str]:
        """Yield the registry's own words."""
        try:
            for entry in json.loads(self.body)["errors"]:
                yield f"{entry.get('code', '')}: {entry.get('message', '')}".strip(": ")
        except (ValueError, KeyError, TypeError, AttributeError):
            return
