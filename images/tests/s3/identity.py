"""Stands in for Keystone's middleware: a token is `USER:PROJECT:ROLES`, and true."""

from collections.abc import Callable, Iterable
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]


def filter_factory(_: object, **__: object) -> Callable[[Application], Application]:
    def made(application: Application) -> Application:
        def check(
            environ: dict[str, Any], start_response: Callable[..., object]
        ) -> Iterable[bytes]:
            user, project, roles = environ.get("HTTP_X_AUTH_TOKEN", "::").split(":")
            environ |= {
                "HTTP_X_IDENTITY_STATUS": "Confirmed" if user else "Invalid",
                "HTTP_X_USER_ID": user,
                "HTTP_X_PROJECT_ID": project,
                "HTTP_X_TENANT_ID": project,
                "HTTP_X_ROLES": roles,
            }
            return application(environ, start_response)

        return check

    return made
