"""The cloud's APIs, asked as the administrator over their public URLs."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .access import Access

SECONDS = 60.0
"""How long one request may take."""

PATIENCE = 5
"""How often a request is sent again that a service was not there for (503), after 0.5 s and twice as long each time."""
CHARMS = {
    "image": "glance-k8s",
    "network": "neutron-k8s",
    "compute": "nova-k8s",
    "placement": "placement-k8s",
    "block-storage": "cinder-k8s",
}
"""Which charm gives which API."""


def connect(account: Access, ca_file: Path | None) -> Any:
    """Return a connection of OpenStack's SDK; nothing is asked yet.

    Neither variables nor files of the user's count: the account is the instance's own.
    """
    import openstack

    # A lone unit is away while it restarts. Not for images: a file that was sent is at its end.
    patience: dict[str, Any] = {
        f"{service.replace('-', '_')}_status_code_retries": PATIENCE
        for service in CHARMS
        if service != "image"
    }
    cloud = openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_type="v3password",
        auth={
            "auth_url": account.auth_url,
            "username": account.username,
            "password": account.password,
            "user_domain_name": account.user_domain,
            "project_name": account.project,
            "project_domain_name": account.project_domain,
        },
        region_name=account.region,
        interface="public",
        cacert=str(ca_file) if ca_file else None,
        api_timeout=SECONDS,
        app_name="daybreak",
        **patience,
    )
    # the gateway is near: no proxy of the environment leads to it
    cloud.session.session.trust_env = False
    return cloud


def services(cloud: Any) -> frozenset[str]:
    """Return the types of the services in the catalogue, a volume service as `block-storage`.

    Raises:
        DaybreakError: Keystone does not answer, or refuses the account.
    """
    with explained("log in"):
        access = cloud.session.auth.get_access(cloud.session)
    types = {str(entry["type"]) for entry in access.service_catalog.catalog}
    return frozenset(types | ({"block-storage"} if types & {"volumev3", "volume"} else set()))


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what the SDK raises into what an operator can act on.

    Args:
        what: The action in words, as in "could not WHAT".

    Raises:
        DaybreakError: The body failed in the cloud, or on the way to it.
    """
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import SDKException

    try:
        yield
    except (ClientException, SDKException) as error:
        cause, remedy = explain(error)
        raise DaybreakError(f"could not {what}: {cause}", remedy=remedy) from error


def explain(error: Exception) -> tuple[str, str]:
    """Return cause and remedy of an exception of keystoneauth or of the SDK."""
    from keystoneauth1 import exceptions as auth

    code = int(getattr(error, "http_status", 0) or getattr(error, "status_code", 0) or 0)
    said = words(error)
    if code == 401:
        return (
            "Keystone refuses the administrator's account",
            "The password is not the one that Keystone's charm keeps: somebody has changed it. A new one that"
            " both know: juju run keystone/leader rotate-admin-password",
        )
    if code == 403 and "quota" in said.lower():
        return (
            said,
            "Ask for less, remove what is not needed any more, or raise the quota: openstack quota set",
        )
    if code == 403:
        return said, "A policy of the service forbids it: see the charm's option policy-overrides."
    if code == 413:
        return (
            f"there is no room for it ({said})",
            "See `daybreak status`: the volume that keeps it is full. Remove what is not needed, or make it larger.",
        )
    if code == 415:
        return (
            f"its content is not of the format that it is given as ({said})",
            "Look at the file: qemu-img info FILE.",
        )
    if isinstance(error, auth.SSLError):
        return (
            "the certificate of the API cannot be verified",
            "See `daybreak status`: the gateway's certificate has to be from the cloud's own authority.",
        )
    down = "See `daybreak status` for what is down, and `daybreak logs APP` for what it says."
    if isinstance(error, auth.ConnectionError):
        # what follows the address is the library's own stack of errors
        return re.split(r": HTTPS?ConnectionPool|: \(", said)[0], down
    if code >= 500:
        return said, down
    return said, "See `daybreak status`. Nothing is lost: run the command again to go on."


def words(error: Exception) -> str:
    """Return the service's own words in an exception, on one line."""
    text = str(getattr(error, "details", "") or "") or str(error)
    return " ".join(text.split()) or type(error).__name__
