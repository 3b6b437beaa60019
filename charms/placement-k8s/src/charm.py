#!/usr/bin/env python3
"""The placement service: an inventory of what servers can be made of."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from daybreak_charm import Context, DaybreakCharm, Description, events
from daybreak_charm.openstack import Api, Entry, Inputs, Service, describe, steps
from daybreak_interfaces import readiness

PLACEMENT = Service(
    project="placement",
    apis=(
        Api("placement", "placement.wsgi.api", port=8778, health_port=8779, container="placement"),
    ),
    entries=(Entry("placement", "placement", "OpenStack Placement API"),),
    catalogue=Path(__file__).parent / "catalogue",
    databases={"database": "placement_api"},
    database_section="placement_database",
    sync=("placement-manage", "db", "sync"),
    upgrade=(
        steps.check("placement-status", "upgrade", "check"),
        steps.expand("placement-manage", "db", "sync"),
        steps.ROLL,
        steps.online("placement-manage", "db", "online_data_migrations"),
    ),
)


def publish(context: Context, _: Inputs) -> None:
    """Say to those who wait for it that it is there (leader only)."""
    for relation in context.relations("placement") if context.leader else ():
        readiness.write_answer(relation.data[context.charm.app], ready=True)


class PlacementCharm(DaybreakCharm):
    """The charm."""

    description: ClassVar[Description[Inputs]] = dataclasses.replace(
        describe(PLACEMENT), publish=publish
    )


if __name__ == "__main__":  # pragma: no cover
    events.main(PlacementCharm)
