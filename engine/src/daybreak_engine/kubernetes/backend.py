"""What the API server asks of the engine: objects as plain dictionaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .kinds import Kind

Object: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Account:
    """The service account behind a token.

    Args:
        application: Its name.
        namespace: Its model.
        trusted: Deployed with ``--trust``.
    """

    application: str
    namespace: str
    trusted: bool


class Backend(Protocol):
    """The objects of the cluster.

    Objects are whole, shaped as Kubernetes does (`objects` builds them); the server adds
    ``apiVersion`` and ``kind``, checks rights, merges patches, and refuses changes outside
    `Kind.writable`, so an implementation sees only what it can act on. It may raise `ExistsError`
    (409), `NotFoundError` (404), `InvalidError` (422), `RefusedError` (409).
    """

    async def account(self, token: str) -> Account | None:
        """Return whose token this is, None for nobody's."""
        ...

    async def list(self, kind: Kind, namespace: str | None) -> Sequence[Object]:
        """Return all objects of a kind, of one namespace or of all."""
        ...

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """Return an object, None when there is none."""
        ...

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """Make an object and return it as it is now (addresses assigned, for example)."""
        ...

    async def update(self, kind: Kind, namespace: str, name: str, body: Object) -> Object:
        """Make an existing object `body` and return it as it is now."""
        ...

    async def delete(
        self, kind: Kind, namespace: str, name: str, grace: float | None
    ) -> Object | None:
        """Delete an object and return its last state, None when there is none.

        A pod is ended in the background with `grace` seconds (None: its own) and made anew.
        """
        ...
