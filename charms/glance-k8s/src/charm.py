#!/usr/bin/env python3
"""The image service."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import ops

from daybreak_charm import (
    Blocked,
    Context,
    DaybreakCharm,
    Description,
    File,
    Folder,
    Gate,
    Outcome,
    Ready,
    ini,
)
from daybreak_charm.openstack import Api, Entry, Inputs, Service, describe, steps

PORT = 9292
STORE = "local"
"""Name of the store and of its section; images keep it in their locations."""
IMAGES = "/var/lib/glance/images"
"""Where the storage `images` is mounted."""
STAGING = "/var/lib/glance/staging"
"""Uploads that wait for their import; lost with the unit, and the client sends them again."""
WORK = "/var/lib/glance/work"
_MANAGE = ("glance-manage", "--config-file", "/etc/glance/glance-api.conf", "db")


def options(inputs: Inputs) -> ini.Options:
    """Options of its own."""
    return {
        "DEFAULT": {
            "enabled_backends": [f"{STORE}:file"],
            # Another unit that is asked to import what was staged here passes the request on.
            "worker_self_reference_url": f"https://{inputs.fqdn}:{PORT}",
            "show_image_direct_url": False,
        },
        "glance_store": {"default_backend": STORE},
        STORE: {"filesystem_store_datadir": IMAGES},
        "os_glance_staging_store": {"filesystem_store_datadir": STAGING},
        "os_glance_tasks_store": {"filesystem_store_datadir": WORK},
        "oslo_concurrency": {"lock_path": f"{WORK}/locks"},
        "paste_deploy": {
            "flavor": "keystone",
            "config_file": f"{inputs.layout.etc}/glance-api-paste.ini",
        },
    }


def files(inputs: Inputs) -> list[File | Folder]:
    """Folders for images and uploads."""
    user = inputs.layout.user
    return [
        Folder(path, mode=0o750, user=user, group=user)
        for path in (IMAGES, STAGING, WORK, f"{WORK}/locks")
    ]


GLANCE = Service(
    project="glance",
    apis=(Api("glance-api", "glance.wsgi.api", PORT, health_port=9293, container="glance-api"),),
    entries=(Entry("glance", "image", "OpenStack Image"),),
    catalogue=Path(__file__).parent / "catalogue",
    options=options,
    databases={"database": "glance_api"},
    sync=(*_MANAGE, "sync"),
    upgrade=(
        steps.check("glance-status", "upgrade", "check"),
        steps.expand(*_MANAGE, "expand"),
        steps.expand(*_MANAGE, "migrate", name="migrate"),
        steps.ROLL,
        steps.contract(*_MANAGE, "contract"),
    ),
    config_file="glance-api.conf",
    sections={
        STORE: "glance_store",
        "os_glance_staging_store": "glance_store",
        "os_glance_tasks_store": "glance_store",
    },
    files=files,
)


def store_gate(context: Context) -> Outcome:
    """Whether all units see the same images: each has a volume of its own unless it is shared."""
    if context.planned > 1 and not context.config["shared-storage"]:
        return Blocked(
            f"{context.planned} units would each have images of their own",
            f"juju scale-application {context.app} 1, or, where the storage `images` is one file system "
            f"for all units, juju config {context.app} shared-storage=true",
        )
    return Ready()


class GlanceCharm(DaybreakCharm):
    """The charm."""

    description: ClassVar[Description[Inputs]] = dataclasses.replace(
        describe(GLANCE), gates=(Gate("store", store_gate),)
    )


if __name__ == "__main__":  # pragma: no cover
    ops.main(GlanceCharm)
