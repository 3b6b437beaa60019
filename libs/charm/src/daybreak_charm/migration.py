"""Bring a schema to the image's release, by one unit, as a Pebble service."""

import logging
from typing import TYPE_CHECKING

import ops
from ops import pebble

from daybreak_charm import schema as schemas
from daybreak_charm.outcome import Blocked, Outcome, Ready, Waiter, Waiting

if TYPE_CHECKING:
    from daybreak_charm.context import Context
    from daybreak_charm.description import Schema

logger = logging.getLogger(__name__)

IN_HOOK = 20.0
"""Seconds that the hook itself follows a migration: an ordinary one is over in 3 to 10."""
LAYER = "daybreak-migration"


def migrate(context: "Context", schema: "Schema", place: str) -> Outcome:
    """Whether the schema fits the image; migrates it when it is behind and the loop runs.

    Raises:
        DatabaseUnreachableError: The database does not answer.
    """
    layout = context.layout(place)
    if layout is None:
        return Blocked("the image does not say its release", "use an image with a layout file")
    with context.effects.connect(schema.connect) as connection:
        found = schemas.heads(connection, schema.table)
        state = schemas.compare(found, schema, layout)
        if state in ("equal", "ahead"):
            return Ready()
        if state == "unknown":
            return Blocked(
                f"the database is at an unknown schema ({', '.join(sorted(found))})",
                f"restore a backup or use the image of its release, not {layout.release}",
            )
        if not context.acting:
            return Waiting("the schema is to be migrated", "")
        lease = schemas.take(connection, schema.project, context.unit)
        if not lease.mine:
            # Its end is a change of heads, which only asking shows.
            return Waiting(f"{lease.owner} migrates the schema", "retry")
        # Another unit may have finished between the first look and the lease.
        if schemas.compare(schemas.heads(connection, schema.table), schema, layout) == "equal":
            schemas.release(connection, schema.project, context.unit)
            return Ready()
    return _follow(context, schema, place)


def _follow(context: "Context", schema: "Schema", place: str) -> Outcome:
    """Start the migration, or go on following the one that runs."""
    container = context.container(place)
    service = f"migrate-{schema.project}"
    if not _runs(container, service):
        context.charm.unit.status = ops.MaintenanceStatus("migrating the schema")
        _launch(container, service, schema)
    waited = 0.0
    while _runs(container, service) and waited < IN_HOOK:
        context.effects.sleep(0.2)
        waited += 0.2
    if _runs(container, service):
        # Not one word about the result: the database is asked for it.
        over = f"/bin/sh -c '! /charm/bin/pebble services {service} | grep -qw active'"
        return Waiting("the schema is being migrated", Waiter(service, command=over))
    layout = context.layout(place)
    with context.effects.connect(schema.connect) as connection:
        found = schemas.heads(connection, schema.table)
        if layout and schemas.compare(found, schema, layout) == "equal":
            schemas.release(connection, schema.project, context.unit)
            logger.info("schema of %s migrated", schema.project)
            return Ready()
    return Waiting(f"the migration failed, see the log of service {service}", "retry")


def _launch(container: ops.Container, service: str, schema: "Schema") -> None:
    value: ops.pebble.ServiceDict = {
        "override": "replace",
        "summary": "schema migration",
        "command": schema.command,
        "startup": "disabled",
        "on-success": "ignore",
        "on-failure": "ignore",
        "environment": dict(schema.environment),
    }
    if schema.user:
        value["user"] = schema.user
    container.add_layer(LAYER, {"services": {service: value}}, combine=True)
    try:
        container.start(service)
    except pebble.ChangeError:
        # Pebble calls every end within the first second an error; the database knows better.
        logger.info("service %s ended within a second", service)


def _runs(container: ops.Container, service: str) -> bool:
    info = container.get_services(service).get(service)
    return info is not None and info.is_running()
