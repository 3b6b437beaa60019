"""How a user reaches the cloud: account, URL and certificate authority."""

from __future__ import annotations

import contextlib
import json
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import jubilant

from .errors import DaybreakError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from jubilant.statustypes import Status

KEYSTONE = "keystone-k8s"
AUTHORITY = ("certificates-k8s", "self-signed-certificates")
ACTION_SECONDS = 60


@dataclass(frozen=True)
class Access:
    """The administrator's account, as the `openstack` client wants it."""

    auth_url: str
    username: str
    password: str = field(repr=False)
    project: str
    user_domain: str
    project_domain: str
    region: str
    authority: str = field(repr=False)
    """Certificate of the authority, PEM; empty when the URL is plain http."""

    def variables(self, ca_file: Path | None) -> dict[str, str]:
        """Return the variables of an openrc file, in the order to print them."""
        pairs = {
            "OS_AUTH_URL": self.auth_url,
            "OS_AUTH_TYPE": "password",
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": self.username,
            "OS_PASSWORD": self.password,
            "OS_USER_DOMAIN_NAME": self.user_domain,
            "OS_PROJECT_NAME": self.project,
            "OS_PROJECT_DOMAIN_NAME": self.project_domain,
            "OS_REGION_NAME": self.region,
            "OS_INTERFACE": "public",
        }
        return pairs | ({"OS_CACERT": str(ca_file)} if ca_file else {})


def exports(variables: Mapping[str, str]) -> str:
    """Return shell text that exports the variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def application_of(status: Status, *charms: str) -> str | None:
    """Return the first application made of one of these charms."""
    return next((name for name, app in status.apps.items() if app.charm_name in charms), None)


def fetch(juju: jubilant.Juju, status: Status) -> Access:
    """Ask Keystone for the administrator's account and the authority for its certificate.

    Raises:
        DaybreakError: An application is missing, or its action did not succeed.
    """
    keystone = application_of(status, KEYSTONE)
    if keystone is None:
        raise DaybreakError(
            "this cloud has no Keystone",
            remedy="Deploy a bundle that has one: daybreak bootstrap --bundle identity",
        )
    account = action(juju, f"{keystone}/leader", "get-admin-account")
    return account_from(account, authority(juju, status))


def authority(juju: jubilant.Juju, status: Status, seconds: int = ACTION_SECONDS) -> str:
    """Return the certificate of the authority behind the gateway, PEM; empty without one."""
    application = application_of(status, *AUTHORITY)
    if application is None:
        return ""
    results = action(juju, f"{application}/leader", "get-ca-certificate", seconds=seconds)
    return str(results.get("ca-certificate", "")).strip()


def account_from(results: Mapping[str, Any], certificate: str) -> Access:
    """Return the access described by the results of `get-admin-account`.

    Raises:
        DaybreakError: The results lack the password or the URL.
    """
    url = results.get("public-endpoint") or results.get("internal-endpoint")
    if not url or not results.get("password"):
        raise DaybreakError(
            "Keystone has no account to give yet",
            remedy="See `daybreak status` for what it waits for, and try again.",
        )
    return Access(
        auth_url=str(url),
        username=str(results.get("username", "admin")),
        password=str(results["password"]),
        project=str(results.get("project-name", "admin")),
        user_domain=str(results.get("user-domain-name", "Default")),
        project_domain=str(results.get("project-domain-name", "Default")),
        region=str(results.get("region", "RegionOne")),
        authority=certificate if str(url).startswith("https") else "",
    )


def action(
    juju: jubilant.Juju,
    unit: str,
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    remedy: str = "See `daybreak status`; the unit must be active.",
    seconds: int = ACTION_SECONDS,
) -> Mapping[str, Any]:
    """Run an action on a unit, such as `keystone/0` or `keystone/leader`, and return its results.

    Raises:
        DaybreakError: The action failed, timed out or is not known; names the remedy.
    """
    try:
        task = juju.run(unit, name, parameters, wait=seconds)
    except jubilant.TaskError as error:
        why = error.task.message or error.task.stderr or error.task.status
        raise DaybreakError(f"{unit} refused {name}: {why}", remedy=remedy) from error
    except (jubilant.CLIError, ValueError, TimeoutError) as error:
        raise DaybreakError(
            f"action {name} of {unit} did not run",
            details=tuple(str(getattr(error, "stderr", None) or error).strip().splitlines()),
            remedy=remedy,
        ) from error
    return task.results


def public_url(juju: jubilant.Juju, status: Status) -> tuple[str, str] | None:
    """Return Keystone's public URL and the authority's certificate; None when there is none yet.

    They are read from the relations' databags, for which no hook runs, so this may be asked often.
    Juju releases differ in whose databag `show-unit` shows (4.1 its own application's); there the
    actions are asked.
    """
    keystone = application_of(status, KEYSTONE)
    if keystone is None or not status.apps[keystone].units:
        return None
    url, certificate = route(juju, status, keystone)
    if url and (certificate or url.startswith("http:")):
        return f"{url}/v3", certificate
    if status.apps[keystone].units[leader(status, keystone)].workload_status.current != "active":
        return None
    with contextlib.suppress(DaybreakError):
        account = fetch(juju, status)
        return account.auth_url, account.authority
    return None


def leader(status: Status, application: str) -> str:
    """Return the leader of an application that has units; any unit while there is none."""
    units = status.apps[application].units
    return next((name for name, unit in units.items() if unit.leader), min(units))


def route(juju: jubilant.Juju, status: Status, application: str) -> tuple[str, str]:
    """Return an application's URL at the gateway and the authority's certificate, as its databags say.

    Each is empty when it is not there.
    """
    url = certificate = ""
    # an older client does not know the command, or leaves "leader" out
    with contextlib.suppress(jubilant.CLIError, KeyError):
        for relation in juju.show_unit(leader(status, application)).relation_info:
            if relation.endpoint == "ingress-public":
                url = _nested(relation.app_data.get("ingress"), "url").rstrip("/")
            elif relation.endpoint == "certificates":
                certificate = _authority_of(relation.app_data.get("certificates"))
    return url, certificate


def _nested(text: str | None, key: str) -> str:
    try:
        value = json.loads(text or "null")
    except ValueError:
        return ""
    return str(cast("dict[str, Any]", value).get(key, "")) if isinstance(value, dict) else ""


def _authority_of(text: str | None) -> str:
    try:
        entries: Iterable[Any] = json.loads(text or "[]")
    except ValueError:
        return ""
    for entry in entries:
        if isinstance(entry, dict):
            content = cast("dict[str, Any]", entry)
            chain = content.get("chain")
            return str(content.get("ca") or (chain[-1] if chain else ""))
    return ""
