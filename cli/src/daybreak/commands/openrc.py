"""The command `openrc`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .. import output, places, providers
from ..errors import DaybreakError
from .common import add_format

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "print the account for a shell"
DESCRIPTION = """\
Print the variables with which the `openstack` client, and every OpenStack SDK, reaches the cloud
as its administrator: OS_AUTH_URL, OS_PASSWORD, OS_CACERT and the rest. The password comes from
Keystone's action get-admin-account; the certificate is written beside the instance's state.
"""
EPILOG = """\
Examples:
  eval "$(./daybreak openrc)"; openstack token issue
  (umask 077; ./daybreak openrc > admin-openrc)
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_format(parser)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    import jubilant

    from .. import access, bootstrap, cloud

    provider, instance = providers.of(instance, places.home(os.environ), os.environ)
    cloud.require(instance)
    juju = provider.juju()
    try:
        account = bootstrap.fetch_access(juju, juju.status())
    except jubilant.CLIError as error:
        raise DaybreakError(
            "the account could not be asked for",
            details=tuple((error.stderr or "").strip().splitlines()),
            remedy="See `daybreak status`.",
        ) from error
    variables = account.variables(bootstrap.write_authority(instance, account))
    if options.format == "json":
        output.show_json(variables)
    else:
        print(access.exports(variables), end="")
    return 0
