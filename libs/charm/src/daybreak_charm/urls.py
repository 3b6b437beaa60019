"""URLs and host names; the only place that knows how an IPv6 address is written."""

from ipaddress import AddressValueError, IPv6Address
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def host(name: str) -> str:
    """A host as it stands in a URL or a `host:port` text."""
    try:
        return f"[{IPv6Address(name.strip('[]')).compressed}]"
    except AddressValueError:
        return name


def any_address(address: str | None) -> str:
    """The address that means all addresses of a unit with this one."""
    return "::" if address and ":" in address else "0.0.0.0"  # noqa: S104 - the gateway is in front


def host_port(name: str, port: int) -> str:
    """`host:port`, with brackets where needed."""
    return f"{host(name)}:{port}"


def split_host_port(text: str, default_port: int = 0) -> tuple[str, int]:
    """Host without brackets or a trailing dot, and port.

    Raises:
        ValueError: The text is no `host:port`.
    """
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"no host in {text!r}")
    return parts.hostname.rstrip("."), parts.port or default_port


def url(scheme: str, name: str, port: int | None = None, path: str = "") -> str:
    """A URL without a slash at its end; the scheme's own port is left out."""
    where = host(name) if port in (None, DEFAULT_PORTS.get(scheme)) else host_port(name, port or 0)
    path = path.strip("/")
    return f"{scheme}://{where}/{path}" if path else f"{scheme}://{where}"


def path_of(text: str) -> str:
    """The path of a URL without a slash at its end, "" for none."""
    return urlsplit(text).path.rstrip("/")
