"""Which of Juju's events bring nothing that another one right behind them does not bring as well."""

import ops

INSTALLING = "installing charm software"
"""What Juju itself says of a unit from its installation on, until its charm says something (juju
`uniter/runhook.go`)."""
_BEFORE_START = (
    ops.InstallEvent,
    ops.RelationCreatedEvent,
    ops.LeaderElectedEvent,
    ops.ConfigChangedEvent,
    ops.StorageAttachedEvent,
)


def is_followed(event: ops.EventBase, unit: ops.Unit) -> bool:
    """Whether Juju sends another event at once, so that the loop has to run on that one only.

    relation-changed follows each relation-joined, whether anything has changed or not. A unit that is being installed
    gets a relation-created for each of its relations, and then config-changed and start (juju
    `uniter/resolver.go`): with many relations they are most of what runs until a cloud is there.

    Args:
        event: The event.
        unit: This unit.
    """
    if isinstance(event, ops.RelationJoinedEvent):
        return True
    return isinstance(event, _BEFORE_START) and unit.status.message == INSTALLING
