#!/usr/bin/env python3
"""The volume service: its API and scheduler. Volumes are kept by other applications, its back ends."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from daybreak_charm import Context, DaybreakCharm, Description, File, Folder, events, ini
from daybreak_charm.openstack import Api, Entry, Inputs, Service, Worker, describe, options, steps
from daybreak_interfaces import readiness

CONF = "/etc/cinder"
STATE = "/var/lib/cinder"
_MANAGE = ("cinder-manage", "--config-file", f"{CONF}/cinder.conf", "db")


def our_options(inputs: Inputs) -> ini.Options:
    """Options of its own."""
    identity = inputs.identity
    ca = f"{CONF}/ca.pem"
    return {
        "DEFAULT": {
            "state_path": STATE,
            "api_paste_config": f"{inputs.layout.etc}/api-paste.ini",
            "resource_query_filters_file": f"{inputs.layout.etc}/resource_filters.json",
            "glance_catalog_info": "image:glance:internalURL",
            "glance_ca_certificates_file": ca,
        },
        "nova": {
            **options.login(identity, ca),
            "region_name": inputs.region,
            "interface": "internal",
        },
        "service_user": options.service_user(identity, ca),
        "oslo_concurrency": {"lock_path": f"{STATE}/locks"},
    }


def files(inputs: Inputs) -> list[File | Folder]:
    """Folders that Cinder writes to."""
    user = inputs.layout.user
    return [Folder(path, mode=0o750, user=user, group=user) for path in (STATE, f"{STATE}/locks")]


CINDER = Service(
    project="cinder",
    apis=(Api("cinder-api", "cinder.wsgi.api", port=8776, health_port=8786, container="cinder"),),
    entries=(
        Entry("cinderv3", "volumev3", "OpenStack Block Storage", "/v3/$(tenant_id)s"),
        Entry("cinder", "block-storage", "OpenStack Block Storage", "/v3/$(tenant_id)s"),
    ),
    catalogue=Path(__file__).parent / "catalogue",
    options=our_options,
    databases={"database": "cinder"},
    sync=(*_MANAGE, "sync"),
    upgrade=(
        steps.check("cinder-status", "--config-file", f"{CONF}/cinder.conf", "upgrade", "check"),
        steps.expand(*_MANAGE, "sync"),
        steps.ROLL,
        steps.online(*_MANAGE, "online_data_migrations"),
    ),
    workers=(Worker("cinder-scheduler", "cinder"),),
    messaging=True,
    files=files,
)


def publish(context: Context, _: Inputs) -> None:
    """Say to the back ends that the API is there (leader only)."""
    for relation in context.relations("storage-backend") if context.leader else ():
        readiness.write_answer(relation.data[context.charm.app], ready=True)


class CinderCharm(DaybreakCharm):
    """The charm."""

    description: ClassVar[Description[Inputs]] = dataclasses.replace(
        describe(CINDER), publish=publish
    )


if __name__ == "__main__":  # pragma: no cover
    events.main(CinderCharm)
