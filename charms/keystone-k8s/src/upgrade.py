"""How Keystone goes from one release to the next (upstream: admin/upgrading.rst).

Its data migrations are no longer a step of their own: `db_sync --migrate` does nothing since Yoga.
"""

from keystone import CONF

from daybreak_charm import Step

_MANAGE = ("keystone-manage", "--config-file", f"{CONF}/keystone.conf")

UPGRADE = (
    Step(
        "check",
        "check",
        "ask the new release whether this cloud can be upgraded",
        ("keystone-status", "--config-file", f"{CONF}/keystone.conf", "upgrade", "check"),
        # 1 is a warning.
        passes=frozenset({0, 1}),
    ),
    Step(
        "expand",
        "expand",
        "add to the schema what the new release needs; the old one goes on serving",
        (*_MANAGE, "db_sync", "--expand"),
    ),
    Step(
        "roll",
        "roll",
        "drain and replace the units one by one, each online before the next",
    ),
    Step(
        "contract",
        "contract",
        "remove from the schema what only the old release needed; no way back from here",
        (*_MANAGE, "db_sync", "--contract"),
    ),
    Step(
        "verify",
        "online",
        "ask the new release whether the database owes it anything",
        (*_MANAGE, "db_sync", "--check"),
    ),
)
