"""Errors of the API, as Kubernetes words them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backend import Object
    from .kinds import Kind

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    415: "UnsupportedMediaType",
    422: "Invalid",
    500: "InternalError",
    501: "NotImplemented",
}


class ApiError(Exception):
    """An answer other than success.

    Args:
        code: HTTP status.
        message: For people.
        reason: Kubernetes' word; by default the usual one for the status.
        kind: What it is about.
        name: Which object it is about.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str = "",
        kind: Kind | None = None,
        name: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS.get(code, "Unknown")
        self.kind = kind
        self.name = name

    def status(self) -> Object:
        """Return the Status object of the answer."""
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.kind is not None:
            details = {"name": self.name, "group": self.kind.group, "kind": self.kind.plural}
            status["details"] = {key: value for key, value in details.items() if value}
        return status


def not_found(kind: Kind, name: str) -> ApiError:
    """Return the error for an object that does not exist."""
    return ApiError(404, f'{kind.qualified} "{name}" not found', kind=kind, name=name)


def not_offered(what: str) -> ApiError:
    """Return the error for what a Kubernetes has and the engine has not."""
    return ApiError(
        501,
        f"{what} is not offered by Daybreak's embedded engine; run the charm on a Kubernetes for it",
    )
