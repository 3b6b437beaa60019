"""Where the dashboard is, and who can log in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import access, bootstrap
from .errors import DaybreakError

if TYPE_CHECKING:
    import jubilant
    from jubilant.statustypes import Status

    from .places import Instance

HORIZON = "horizon-k8s"


@dataclass(frozen=True)
class Dashboard:
    """What a user types into a browser.

    Attributes:
        url: Address of the page.
        domain: Domain of the user's account, which the page asks for.
        username: The administrator.
        password: The administrator's.
        ca_file: Certificate of the cloud's authority, which no browser knows; empty when the URL is plain http.
    """

    url: str
    domain: str
    username: str
    password: str = field(repr=False)
    ca_file: str


def find(juju: jubilant.Juju, status: Status, instance: Instance) -> Dashboard:
    """Ask Horizon for its address and Keystone for the account.

    Raises:
        DaybreakError: The cloud has no dashboard, or one of them does not answer.
    """
    horizon = access.application_of(status, HORIZON)
    if horizon is None:
        raise DaybreakError(
            "this cloud has no dashboard",
            remedy="Deploy horizon-k8s; bundles/openstack.yaml has it and its relations. Without it the `openstack`"
            ' client does everything: eval "$(./daybreak openrc)"',
        )
    if not status.apps[horizon].units:
        raise DaybreakError(
            "the dashboard has no units", remedy=f"Give it one: juju scale-application {horizon} 1"
        )
    url = str(access.action(juju, f"{horizon}/leader", "get-dashboard-url").get("url", ""))
    account = bootstrap.fetch_access(juju, status)
    ca_file = bootstrap.write_authority(instance, account)
    return Dashboard(
        url, account.user_domain, account.username, account.password, str(ca_file or "")
    )
