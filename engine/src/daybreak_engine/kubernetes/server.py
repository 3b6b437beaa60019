"""The API server: paths, rights, patches and Status errors; objects come from a `Backend`."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import yaml
from aiohttp import web

from ..errors import EngineError, ExistsError, InvalidError, NotFoundError, RefusedError
from . import kinds, rights, selectors
from .failures import ApiError, not_found, not_offered
from .patch import changed_paths, merge, outside, strategic_merge

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from .backend import Account, Backend, Object
    from .kinds import Kind

_LOG = logging.getLogger(__name__)
_BODY_LIMIT = 1 << 20
# What the API says it is; hooks see the same in CLOUD_API_VERSION.
VERSION = "1.31.0"

_MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "application/strategic-merge-patch+json": strategic_merge,
    "application/merge-patch+json": merge,
    # Server-side apply; without other appliers it comes to the same.
    "application/apply-patch+yaml": merge,
}
# What an object keeps that is applied as a whole.
_KEPT = ("apiVersion", "kind", "metadata", "status")
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_STATUS_CODES: tuple[tuple[type[EngineError], int, str], ...] = (
    (ExistsError, 409, "AlreadyExists"),
    (NotFoundError, 404, ""),
    (InvalidError, 422, ""),
    (RefusedError, 409, ""),
)


@dataclass(frozen=True)
class Target:
    """What a path names.

    Args:
        group: API group.
        version: Its version.
        resource: Plural.
        namespace: None outside of one.
        name: Empty for a collection.
        subresource: Empty for the object itself.
    """

    group: str
    version: str
    resource: str
    namespace: str | None
    name: str
    subresource: str


def parse(path: str) -> Target | None:
    """Read a path below ``/api`` or ``/apis``; None when it names no resource."""
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            return None
    namespace = None
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    if not rest or len(rest) > 3:
        return None
    resource, name, subresource = (*rest, "", "")[:3]
    return Target(group, version, resource, namespace, name, subresource)


class Server:
    """Serves the API. `start` and `stop` it in one event loop.

    Args:
        backend: Where objects come from.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._runner: web.AppRunner | None = None

    async def start(self, listener: socket.socket, tls: ssl.SSLContext) -> None:
        """Serve on a listening socket."""
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.SockSite(runner, listener, ssl_context=tls).start()
        self._runner = runner

    async def stop(self) -> None:
        """Close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            code, body = await self._handle(request)
        except ApiError as error:
            code, body = error.code, error.status()
        except EngineError as error:
            failure = _translate(error)
            code, body = failure.code, failure.status()
        if code >= 400:
            _LOG.info("%s %s: %d %s", request.method, request.path, code, body["message"])
        # Clients compare the content type as a whole, so no charset (JSON is UTF-8 anyway).
        return web.Response(
            body=json.dumps(body).encode(),
            status=code,
            headers={"Content-Type": "application/json"},
        )

    async def _handle(self, request: web.Request) -> tuple[int, Object]:
        account = await self._authenticate(request)
        match request.path.strip("/"):
            case "version":
                major, minor, _ = VERSION.split(".")
                return 200, {"major": major, "minor": minor, "gitVersion": f"v{VERSION}"}
            case "healthz" | "livez" | "readyz":
                return 200, {"status": "ok"}
            case _:
                pass
        target = parse(request.path)
        if target is None:
            raise ApiError(404, f"the server could not find the requested resource: {request.path}")
        verb = _verb(request, target)
        resource = "/".join(filter(None, (target.resource, target.subresource)))
        namespace = target.name if target.resource == "namespaces" else target.namespace
        rights.require(account, verb, target.group, resource, namespace, target.name)
        kind = kinds.find(target.group, target.version, target.resource)
        if kind is None:
            where = f"{target.group}/{target.version}" if target.group else target.version
            raise not_offered(f"{target.resource} ({where})")
        if target.subresource:
            raise not_offered(f"the subresource {target.subresource} of {kind.qualified}")
        if request.query.get("watch") in ("1", "true"):
            raise not_offered(f"watching {kind.qualified}")
        if verb not in kind.verbs:
            raise ApiError(
                405, f"the engine does not {verb} {kind.qualified}", kind=kind, name=target.name
            )
        return await self._act(request, verb, kind, target)

    async def _act(
        self, request: web.Request, verb: str, kind: Kind, target: Target
    ) -> tuple[int, Object]:
        match verb:
            case "list":
                return 200, await self._list(request, kind, target.namespace)
            case "get":
                found = await self._backend.get(kind, target.namespace, target.name)
                if found is None:
                    raise not_found(kind, target.name)
                return 200, _complete(kind, found)
            case "create":
                return 201, await self._create(kind, target, await _body(request))
            case "delete":
                grace = await _grace(request)
                namespace = _required(kind, target)
                gone = await self._backend.delete(kind, namespace, target.name, grace)
                if gone is None:
                    raise not_found(kind, target.name)
                return 200, _complete(kind, gone)
            case _:
                return await self._change(request, verb, kind, target)

    async def _authenticate(self, request: web.Request) -> Account:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        account = None
        if scheme.lower() == "bearer" and token:
            account = await self._backend.account(token.strip())
        if account is None:
            raise ApiError(401, "Unauthorized")
        return account

    async def _list(self, request: web.Request, kind: Kind, namespace: str | None) -> Object:
        by_label = selectors.labels(request.query.get("labelSelector", ""))
        by_field = selectors.fields(request.query.get("fieldSelector", ""))
        found = await self._backend.list(kind, namespace)
        items = [item for item in found if by_label(item) and by_field(item)]
        return {
            "apiVersion": kind.api_version,
            "kind": f"{kind.kind}List",
            "metadata": {"resourceVersion": "1"},
            "items": [_complete(kind, item) for item in items],
        }

    async def _create(self, kind: Kind, target: Target, body: Object) -> Object:
        namespace = _required(kind, target)
        metadata = _metadata(body)
        if not metadata.get("name"):
            raise ApiError(422, "metadata.name: Required value", kind=kind)
        named = {**metadata, "namespace": namespace}
        _check_namespace(metadata, namespace)
        created = await self._backend.create(kind, namespace, {**body, "metadata": named})
        return _complete(kind, created)

    async def _change(
        self, request: web.Request, verb: str, kind: Kind, target: Target
    ) -> tuple[int, Object]:
        namespace = _required(kind, target)
        content_type = request.content_type
        body = await _body(request)
        present = await self._backend.get(kind, namespace, target.name)
        if present is None:
            if content_type == "application/apply-patch+yaml" and "create" in kind.verbs:
                return 201, await self._create(kind, target, body)
            raise not_found(kind, target.name)
        if verb == "patch":
            combine = _MERGES.get(content_type)
            if combine is None:
                raise ApiError(415, f"patches of type {content_type} are not supported")
            applied = "apply" in content_type and kind in kinds.APPLIED_WHOLE
            base = (
                {key: value for key, value in present.items() if key in _KEPT}
                if applied
                else present
            )
            wanted = combine(base, _without_type(body))
        else:
            wanted = _replacement(present, _without_type(body))
        self._check(kind, target.name, present, wanted, body)
        updated = await self._backend.update(kind, namespace, target.name, wanted)
        return 200, _complete(kind, updated)

    def _check(self, kind: Kind, name: str, present: Object, wanted: Object, body: Object) -> None:
        version = _metadata(body).get("resourceVersion")
        current = _metadata(present).get("resourceVersion")
        if version and current and version != current:
            raise ApiError(
                409,
                f'Operation cannot be fulfilled on {kind.qualified} "{name}": the object has been '
                "modified; please apply your changes to the latest version and try again",
                kind=kind,
                name=name,
            )
        refused = [
            path
            for path in outside(changed_paths(present, wanted), kind.writable)
            if path not in ("metadata.resourceVersion", "metadata.managedFields")
        ]
        if refused:
            raise ApiError(
                422,
                f'{kind.kind} "{name}" is invalid: the engine cannot change {", ".join(refused)} '
                f"(it can change {', '.join(kind.writable) or 'nothing'})",
                kind=kind,
                name=name,
            )


def _verb(request: web.Request, target: Target) -> str:
    verb = _VERBS.get(request.method)
    if verb is None:
        raise ApiError(405, f"the method {request.method} is not allowed")
    if verb == "get" and not target.name:
        return "list"
    if target.name and verb == "create" and not target.subresource:
        raise ApiError(405, "POST to an object is not allowed")
    if not target.name and verb in ("update", "patch", "delete"):
        if verb == "delete":
            raise not_offered("deleting a whole collection")
        raise ApiError(405, f"the method {request.method} needs the name of an object")
    return verb


def _required(kind: Kind, target: Target) -> str:
    """Return the namespace of a path; empty for what has none."""
    if kind.namespaced and target.namespace is None:
        raise ApiError(405, "this needs a path with a namespace")
    return target.namespace or ""


def _check_namespace(metadata: Object, namespace: str) -> None:
    given = metadata.get("namespace")
    if given and given != namespace:
        raise ApiError(
            400,
            f"the namespace of the provided object does not match the namespace sent on the request: "
            f"{given!r} and {namespace!r}",
        )


async def _body(request: web.Request) -> Object:
    text = await request.text()
    try:
        if "yaml" in request.content_type:
            body = yaml.safe_load(text)
        else:
            body = json.loads(text)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise ApiError(400, f"the body cannot be read: {error}") from error
    if not isinstance(body, dict):
        if request.content_type == "application/json-patch+json":
            raise ApiError(415, "patches of type application/json-patch+json are not supported")
        raise ApiError(400, "the body must be an object")
    return cast("Object", body)


async def _grace(request: web.Request) -> float | None:
    grace = request.query.get("gracePeriodSeconds")
    if grace is None and request.can_read_body:
        grace = (await _body(request)).get("gracePeriodSeconds")
    try:
        return None if grace is None else max(0.0, float(grace))
    except (TypeError, ValueError) as error:
        raise ApiError(400, f"gracePeriodSeconds: {grace!r} is no number") from error


def _metadata(item: Object) -> Object:
    return cast("Object", item.get("metadata") or {})


def _replacement(present: Object, body: Object) -> Object:
    """Return the object that a PUT wants; it need not repeat what the server manages."""
    metadata = dict(_metadata(present))
    for key in ("labels", "annotations", "resourceVersion"):
        if key in _metadata(body):
            metadata[key] = _metadata(body)[key]
    kept = {"status": present["status"]} if "status" in present else {}
    return {**body, **kept, "metadata": metadata}


def _without_type(body: Object) -> Object:
    return {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}


def _complete(kind: Kind, item: Object) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, **item}


def _translate(error: EngineError) -> ApiError:
    message = f"{error.message}: {error.remedy}" if error.remedy else error.message
    for kind, code, reason in _STATUS_CODES:
        if isinstance(error, kind):
            return ApiError(code, message, reason=reason)
    return ApiError(500, message)
