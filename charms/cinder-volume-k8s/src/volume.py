"""The volume service on its node: its configuration, its container, and the node it is on; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import backends

from daybreak_charm import sizing
from daybreak_charm.nodes import Component, Container, HostPath, Resources, scripts, shares, shell
from daybreak_charm.nodes.objects import FILES, HOSTNAME, PROGRAMS, Object
from daybreak_charm.openstack import options
from daybreak_charm.openstack.service import CONNECTED
from daybreak_charm.outcome import Blocked, Waiting
from daybreak_interfaces import keystone, mysql_client, rabbitmq

CA = f"{FILES}/ca.pem"
CONF = f"{FILES}/cinder.conf"
STATE = "/var/lib/cinder"
SCRIPTS = {**shares.SCRIPTS, **scripts(Path(__file__).parent / "node")}
HOST_PATHS: dict[str, HostPath] = {**shares.HOST_PATHS}
IMAGE = "cinder-image"
NAME = "agent"
"""Name of the component, behind that of the application."""


@dataclass(frozen=True)
class Cloud:
    """What the relations said.

    Attributes:
        database: Cinder's own.
        messaging: User of the message queue.
        identity: User with which other services are asked.
        ca: PEMs of all authorities that are trusted.
    """

    database: mysql_client.Answer
    messaging: rabbitmq.Answer
    identity: keystone.Answer
    ca: str = field(repr=False)


def all_options(
    app: str, backend: backends.Backend, cloud: Cloud, size: sizing.ApiSize, *, debug: bool
) -> dict[str, options.Section]:
    """Options of cinder.conf.

    Args:
        app: Name of the application.
        backend: What keeps the volumes.
        cloud: What the relations said.
        size: Of its pool of connections to the database.
        debug: Whether DEBUG is logged.
    """
    # The service is root already: no sudo.
    helper: options.Section = {"helper_command": f"privsep-helper --config-file {CONF}"}
    return options.joined(
        options.messaging(cloud.messaging, CA),
        {
            "DEFAULT": {
                "debug": debug,
                "state_path": STATE,
                # The service's name wherever it runs: volumes belong to it, not to a pod or a node.
                "host": app,
                "enabled_backends": [backend.name],
                "glance_catalog_info": "image:glance:internalURL",
                "glance_ca_certificates_file": CA,
            },
            "oslo_messaging_rabbit": {"processname": app},
            "database": options.database(cloud.database, size, CA),
            "nova": {
                **options.login(cloud.identity, CA),
                "region_name": cloud.identity.region,
                "interface": "internal",
            },
            "service_user": options.service_user(cloud.identity, CA),
            "oslo_concurrency": {"lock_path": f"{STATE}/locks"},
            "cinder_sys_admin": helper,
            "privsep_osbrick": helper,
            backend.name: dict(backend.options),
        },
    )


def component(conf: str, backend: backends.Backend, cloud: Cloud, folder: str) -> Component:
    """The volume service.

    Args:
        conf: Content of cinder.conf.
        backend: What keeps the volumes.
        cloud: What the relations said.
        folder: Of its program in the image.
    """
    return Component(
        NAME,
        IMAGE,
        (
            Container(
                "cinder-volume",
                "cinder-volume.sh",
                (shares.FOLDER,),
                (f"{PROGRAMS}/volume-ready.sh",),
                Resources(cpu=100, memory_mb=512, limit_mb=4096),
            ),
        ),
        "RollingUpdate",
        {
            **backend.files,
            "ca.pem": cloud.ca,
            "cinder.conf": conf,
            "connected.py": CONNECTED,
            "settings": shell(
                BIN=folder,
                FOLDER=backend.folder,
                MOUNTS=str(backend.mounts),
                PORT=str(cloud.messaging.port),
            ),
        },
        joined=False,
    )


def place(
    nodes: Sequence[Object], known: str, backend: backends.Backend, app: str
) -> str | Waiting | Blocked:
    """Return the node that the volume service runs on, by its host name.

    It is one: services of the same name that start beside each other take each other's work for left over. It
    stays where it is as long as that node can have it.

    Args:
        nodes: Those that have the labels.
        known: Where it was last; empty for nowhere.
        backend: What keeps the volumes.
        app: Name of the application.
    """
    ready = {node["metadata"]["labels"][HOSTNAME]: _usable(node) for node in nodes}
    if not ready:
        return Waiting("no node has the labels of node-selector", "retry")
    if backend.folder:
        if known not in ("", *ready):
            return Blocked(
                f"the volumes are a folder of node {known}, which lacks the labels of node-selector",
                "give them back to it",
            )
        if len(ready) > 1:
            return Blocked(
                f"volumes in a folder of the node are seen by one node alone, and {len(ready)} have the labels",
                f"juju config {app} shares=SERVER:/PATH, a share of an NFS server",
            )
        return next(iter(ready))
    if ready.get(known):
        return known
    found = next((name for name, usable in sorted(ready.items()) if usable), None)
    return found or Waiting("no node with the labels of node-selector is ready", "retry")


def _usable(node: Object) -> bool:
    conditions = node["status"].get("conditions", [])
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    return ready and not node["spec"].get("unschedulable")
