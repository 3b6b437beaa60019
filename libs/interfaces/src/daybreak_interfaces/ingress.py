"""Interface `ingress`, version 2: HTTP routing of an application behind one address.

Every value in the databags is JSON, plain text included; values that equal their default are left
out.
"""

import json
from dataclasses import dataclass

from daybreak_interfaces._common import Bag, NotReady, WritableBag, load_json, mapping_of, put


@dataclass(frozen=True)
class HealthCheck:
    """How the units are asked for their health.

    Attributes:
        path: Path of a GET that answers 2xx.
        port: Port of the health listener, None for the service's own.
        scheme: `http` or `https`, None for the service's own.
        interval: Time between two checks, such as `30s`.
        timeout: Limit for one check, such as `5s`.
    """

    path: str
    port: int | None = None
    scheme: str | None = None
    interval: str = "30s"
    timeout: str = "5s"


@dataclass(frozen=True)
class Request:
    """What an application asks for.

    Attributes:
        model: Name of its model.
        name: Name of the application.
        port: Port that its units listen on.
        scheme: `http`, `https` or `h2c`.
        strip_prefix: Whether the route's path is taken off before a request reaches the
            application.
        redirect_https: Whether plain HTTP is redirected.
        healthcheck: How to ask for health, None for the provider's own way.
    """

    model: str
    name: str
    port: int
    scheme: str = "http"
    strip_prefix: bool = False
    redirect_https: bool = False
    healthcheck: HealthCheck | None = None


@dataclass(frozen=True)
class Server:
    """One unit behind the route.

    Attributes:
        host: Its stable DNS name.
        ip: Its current address, may be missing.
        concurrency: Requests that it works on at the same time; more wait better in the gateway. Not part
            of version 2, whose readers drop keys that they do not know.
    """

    host: str
    ip: str | None = None
    concurrency: int | None = None


_APP_KEYS = (
    "model",
    "name",
    "port",
    "scheme",
    "strip-prefix",
    "redirect-https",
    "healthcheck_params",
)


def write_request(app_bag: WritableBag, request: Request) -> None:
    """Write the application's side (leader only)."""
    values: dict[str, object] = {
        "model": request.model,
        "name": request.name,
        "port": request.port,
    }
    if request.scheme != "http":
        values["scheme"] = request.scheme
    if request.strip_prefix:
        values["strip-prefix"] = True
    if request.redirect_https:
        values["redirect-https"] = True
    if (check := request.healthcheck) is not None:
        params: dict[str, object] = {"path": check.path}
        if check.scheme:
            params["scheme"] = check.scheme
        if check.port:
            params["port"] = check.port
        if check.interval != "30s":
            params["interval"] = check.interval
        if check.timeout != "5s":
            params["timeout"] = check.timeout
        values["healthcheck_params"] = params
    put(app_bag, {key: json.dumps(values[key]) if key in values else None for key in _APP_KEYS})


def write_unit(unit_bag: WritableBag, server: Server | None) -> None:
    """Write one unit's side; None takes the unit out of the route."""
    put(
        unit_bag,
        {
            "host": json.dumps(server.host) if server else None,
            "ip": json.dumps(server.ip) if server and server.ip else None,
            "concurrency": json.dumps(server.concurrency)
            if server and server.concurrency
            else None,
        },
    )


def _text(bag: Bag, key: str) -> str | None:
    value = load_json(bag, key)
    return value if isinstance(value, str) and value else None


def _healthcheck(value: object) -> HealthCheck | None:
    params = mapping_of(value)
    if not params or not isinstance(path := params.get("path"), str):
        return None

    def text(key: str) -> str | None:
        item = params.get(key)
        return item if isinstance(item, str) else None

    port = params.get("port")
    return HealthCheck(
        path=path,
        port=port if isinstance(port, int) else None,
        scheme=text("scheme"),
        interval=text("interval") or "30s",
        timeout=text("timeout") or "5s",
    )


def read_request(app_bag: Bag) -> Request | NotReady:
    """Read the application's side."""
    model, name, port = _text(app_bag, "model"), _text(app_bag, "name"), load_json(app_bag, "port")
    if not model or not name or not isinstance(port, int) or not 0 < port < 65535:
        return NotReady("the application has not described itself")
    return Request(
        model=model,
        name=name,
        port=port,
        scheme=_text(app_bag, "scheme") or "http",
        strip_prefix=load_json(app_bag, "strip-prefix") is True,
        redirect_https=load_json(app_bag, "redirect-https") is True,
        healthcheck=_healthcheck(load_json(app_bag, "healthcheck_params")),
    )


def read_unit(unit_bag: Bag) -> Server | NotReady:
    """Read one unit's side."""
    host = _text(unit_bag, "host")
    if not host:
        return NotReady("the unit has not named its host")
    concurrency = load_json(unit_bag, "concurrency")
    if not isinstance(concurrency, int) or concurrency < 1:
        concurrency = None
    return Server(host, _text(unit_bag, "ip"), concurrency)


def write_answer(app_bag: WritableBag, url: str | None) -> None:
    """Write the provider's side (leader only); None withdraws the URL."""
    put(app_bag, {"ingress": json.dumps({"url": url}) if url else None})


def read_answer(app_bag: Bag) -> str | NotReady:
    """Read the URL, without a slash at its end."""
    value = mapping_of(load_json(app_bag, "ingress")) or {}
    url = value.get("url")
    if not isinstance(url, str) or not url:
        return NotReady("the gateway has not published a URL")
    return url.rstrip("/")
