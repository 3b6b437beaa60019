"""A small client for the Keystone of this unit: the requests that this charm makes, no more."""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any, cast


class ApiError(Exception):
    """Keystone refused or did not answer; the text names no secret."""


class _LocalConnection(http.client.HTTPSConnection):
    """TLS to this unit's own listener, checked against the unit's name."""

    def __init__(self, name: str, port: int, context: ssl.SSLContext):
        super().__init__(name, port, timeout=60, context=context)
        self._tls = context

    def connect(self) -> None:
        raw = socket.create_connection(("localhost", self.port), timeout=60)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)


class Api:
    """Requests as the administrator; the first one logs in.

    Args:
        name: DNS name in the unit's certificate.
        port: Port of the listener.
        ca: PEM to verify the certificate with.
        password: The administrator's.
    """

    def __init__(self, name: str, port: int, ca: str, password: str):
        self._name = name
        self._port = port
        self._context = ssl.create_default_context(cadata=ca)
        self._password = password
        self._token = ""

    def _login(self) -> str:
        domain = {"name": "Default"}
        user = {"name": "admin", "domain": domain, "password": self._password}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "admin", "domain": domain}},
        }
        answer, headers = self._send("POST", "/v3/auth/tokens", {"auth": auth}, {})
        del answer
        return headers.get("X-Subject-Token", "")

    def _send(
        self, method: str, path: str, body: object, headers: Mapping[str, str]
    ) -> tuple[dict[str, Any], http.client.HTTPMessage]:
        try:
            connection = _LocalConnection(self._name, self._port, self._context)
            sent = {"Content-Type": "application/json", **headers}
            connection.request(method, path, json.dumps(body) if body is not None else None, sent)
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(f"{method} {path}: {type(error).__name__}") from None
        if answer.status >= 300:
            raise ApiError(f"{method} {path}: {answer.status} {answer.reason}")
        return cast("dict[str, Any]", json.loads(text or "{}")), answer.headers

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Send a request with the administrator's token.

        Raises:
            ApiError: Keystone refused or did not answer.
        """
        if not self._token:
            self._token = self._login()
        return self._send(method, path, body, {"X-Auth-Token": self._token})[0]

    def create(self, kind: str, values: Mapping[str, object]) -> str:
        """Create a thing (`domain`, `project`, `user`, `role`, `service`, `endpoint`); its id."""
        return str(self.call("POST", f"/v3/{kind}s", {kind: dict(values)})[kind]["id"])

    def update(self, kind: str, thing: str, values: Mapping[str, object]) -> None:
        """Change a thing."""
        self.call("PATCH", f"/v3/{kind}s/{thing}", {kind: dict(values)})

    def delete(self, kind: str, thing: str) -> None:
        """Delete a thing."""
        self.call("DELETE", f"/v3/{kind}s/{thing}")

    def grant(self, user: str, project: str, role: str) -> None:
        """Give a user a role on a project."""
        self.call("PUT", f"/v3/projects/{project}/users/{user}/roles/{role}")
