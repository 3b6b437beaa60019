"""How Keystone goes from one release to the next (upstream: admin/upgrading.rst).

Its data migrations are no longer a step of their own: `db_sync --migrate` does nothing since Yoga.
"""

from keystone import CONF

from daybreak_charm import Step
from daybreak_charm.openstack import steps

_FILE = ("--config-file", f"{CONF}/keystone.conf")
_SYNC = ("keystone-manage", *_FILE, "db_sync")

UPGRADE = (
    steps.check("keystone-status", *_FILE, "upgrade", "check"),
    steps.expand(*_SYNC, "--expand"),
    steps.ROLL,
    steps.contract(*_SYNC, "--contract"),
    Step(
        "verify",
        "online",
        "ask the new release whether the database owes it anything",
        (*_SYNC, "--check"),
    ),
)
