#!/usr/bin/env python3
"""The compute service: its APIs, scheduler, conductor and console proxy."""

import dataclasses
import secrets
from typing import ClassVar

import nova as workload
from nova import CONSOLE_PAGE, CONSOLE_PORT, NOVA, SECRET

from daybreak_charm import (
    Context,
    DaybreakCharm,
    Description,
    Gate,
    Need,
    Outcome,
    Ready,
    Task,
    Waiting,
    events,
    urls,
)
from daybreak_charm.openstack import Inputs, describe, needs, service
from daybreak_interfaces import ingress, nova, readiness

CONSOLE = "ingress-console"


def secret_gate(context: Context) -> Outcome:
    """Whether the secret exists that Nova's metadata API shares with the hypervisors' agents."""
    made = {nova.METADATA_SECRET: secrets.token_urlsafe(32)}
    acting = context.acting and context.leader
    secret_id = context.app_secret(SECRET, made if acting else None)
    content = context.secret(secret_id) if secret_id else None
    if content is None:
        return Waiting("the leader is making the metadata secret", "peers-relation-changed")
    context.needs[SECRET] = content[nova.METADATA_SECRET]
    return Ready()


def console_route() -> Need:
    """A URL for users' consoles: files at the proxy's root, and a connection for as long as a user looks."""
    path = f"/{CONSOLE_PAGE}"
    check = ingress.HealthCheck(path, port=CONSOLE_PORT, scheme="https")
    return needs.route(CONSOLE, CONSOLE_PORT, check, suffix="-console", strip=True)


def console_url(context: Context) -> str:
    """The page of users' consoles.

    The page opens its connection at the root of the host, unless the parameter `path` names another place. Nova puts
    the token behind what it finds there (nova/objects/console_auth_token.py).
    """
    where = needs.addresses(context, CONSOLE_PORT, (CONSOLE,), "-console")
    path = urls.path_of(where.public).lstrip("/")
    return f"{where.public}/{CONSOLE_PAGE}" + (f"?path={path}" if path else "")


def tasks(context: Context, inputs: Inputs) -> list[Task]:
    """The cell's mapping, when the message queue is reached by more or fewer names than it says."""
    assert inputs.messaging is not None  # its gate is open
    if not context.leader:
        return []
    hosts = len(inputs.messaging.hosts)
    with context.effects.connect(
        service.database_address(inputs.databases["api-database"])
    ) as connection:
        rows = connection.query(
            "SELECT uuid, transport_url FROM cell_mappings WHERE name = %s", workload.CELL
        )
    return [
        Task(
            "update-cell",
            workload.update_cell(inputs.layout, str(uuid), hosts),
            lambda: True,
            user=inputs.layout.user,
        )
        for uuid, url in rows
        if url != workload.transport(hosts)
    ]


def announce(context: Context, inputs: Inputs) -> None:
    """Tell the hypervisors about Nova (leader only), whose agents wait for it by themselves."""
    if not context.leader:
        return
    facts = nova.Facts(
        region=inputs.region,
        metadata_url=inputs.urls["nova-metadata"].internal,
        vnc_proxy_url=console_url(context),
        cell=workload.CELL,
    )
    for relation in context.relations("nova-service"):
        key = "metadata-proxy-shared-secret-id"
        content = {nova.METADATA_SECRET: str(inputs.needs[SECRET])}
        secret_id = context.grant(relation, key, content)
        bag = relation.data[context.charm.app]
        nova.write_answer(bag, facts, metadata_secret=secret_id or "")


_PLACEMENT = Need("placement", lambda c, r: readiness.read_answer(c.remote_app(r)), late=True)
_BASE = describe(NOVA)


class NovaCharm(DaybreakCharm):
    """The charm."""

    description: ClassVar[Description[Inputs]] = dataclasses.replace(
        _BASE,
        needs=(*_BASE.needs, _PLACEMENT, console_route()),
        gates=(Gate("secret", secret_gate),),
        tasks=tasks,
        announce=announce,
        ports=lambda _: [workload.API_PORT, workload.METADATA_PORT, CONSOLE_PORT],
    )


if __name__ == "__main__":  # pragma: no cover
    events.main(NovaCharm)
