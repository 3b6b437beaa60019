#!/usr/bin/env python3
"""The dashboard."""

import secrets
from typing import ClassVar
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import horizon as workload
import ops

from daybreak_charm import (
    Blocked,
    Context,
    DaybreakCharm,
    Description,
    Gate,
    Outcome,
    Ready,
    Tls,
    Waiting,
    events,
    sizing,
    urls,
)
from daybreak_charm.openstack import needs
from daybreak_interfaces import certificate_transfer

CONTAINER = "horizon"
SECRET = "secret-key"  # noqa: S105 - the key of a secret's id in the peer databag
LATER = "peers-relation-changed"


def size(context: Context) -> sizing.ApiSize:
    """Its workers and threads."""
    return sizing.api(context.machine(CONTAINER))


def secret_gate(context: Context) -> Outcome:
    """Whether the key exists that signs what browsers bring back; the leader makes it, once."""
    acting = context.acting and context.leader
    content = {"key": secrets.token_urlsafe(48)} if acting else None
    if context.app_secret(SECRET, content):
        return Ready()
    return Waiting("the leader is making the key of sessions", LATER)


def read(context: Context) -> workload.Inputs | Waiting | Blocked:
    """Collect what decides how Horizon runs."""
    layout = context.layout(CONTAINER)
    if layout is None or not layout.static:
        return Blocked(
            "the image does not say where its files for browsers are",
            "attach an image with a layout file",
        )
    zone = str(context.config["time-zone"])
    if zone not in available_timezones():
        return Blocked(
            f"there is no time zone {zone}", "set the option time-zone to one, such as UTC"
        )
    timeout = int(context.config["session-timeout"])
    if not 300 <= timeout <= 86400:
        return Blocked("the option session-timeout is out of range", "set it to 300 to 86400")
    key = context.secret(context.app_secret(SECRET) or "")
    if key is None:
        return Waiting("the key of sessions cannot be read yet", LATER)
    certificate = context.certificate
    assert certificate is not None  # the certificate's gate is open
    where = needs.addresses(context, workload.PORT)
    cache = context.needs[needs.CACHE]
    trusted = [pem for answer in needs.answers(context.needs) for pem in answer.certificates]
    return workload.Inputs(
        layout=layout,
        certificate=certificate.certificate,
        key=certificate.key,
        ca=certificate_transfer.bundle(certificate.ca, *trusted),
        secret_key=key["key"],
        identity_url=context.needs["identity-credentials"].internal_url,
        prefix=where.prefix,
        origins=tuple(dict.fromkeys(_origin(url) for url in (where.public, where.internal))),
        size=size(context),
        any_address=urls.any_address(context.bind_address),
        cache_servers=cache.servers if cache else (),
        time_zone=zone,
        session_timeout=timeout,
        debug=bool(context.config["debug"]),
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class HorizonCharm(DaybreakCharm):
    """The charm."""

    description: ClassVar[Description[workload.Inputs]] = Description(
        containers=(CONTAINER,),
        needs=(
            needs.credentials(),
            needs.cache(),
            needs.trusted(),
            *(
                needs.route(endpoint, workload.PORT, needs.health(workload.HEALTH_PORT), size=size)
                for endpoint in (needs.INTERNAL, needs.PUBLIC)
            ),
        ),
        tls=Tls(),
        gates=(Gate("secret", secret_gate),),
        read=read,
        render=workload.render,
        processes=workload.processes,
        ports=lambda _: [workload.PORT],
        version=lambda inputs: inputs.layout.version,
    )

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.get_dashboard_url_action, self._on_get_dashboard_url)

    def _on_get_dashboard_url(self, event: ops.ActionEvent) -> None:
        event.set_results({"url": f"{needs.addresses(self.context, workload.PORT).public}/"})


if __name__ == "__main__":  # pragma: no cover
    events.main(HorizonCharm)
