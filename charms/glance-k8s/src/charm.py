#!/usr/bin/env python3
"""The image service."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import ops
import stores

from daybreak_charm import (
    Blocked,
    Context,
    DaybreakCharm,
    Description,
    File,
    Folder,
    Gate,
    Need,
    Outcome,
    Ready,
    Waiting,
    events,
    ini,
)
from daybreak_charm.effects import DatabaseUnreachableError
from daybreak_charm.openstack import Api, Entry, Inputs, Service, service, steps
from daybreak_charm.schema import NoSuchTableError
from daybreak_interfaces import NotReady, s3

PORT = 9292
STAGING = "/var/lib/glance/staging"
"""Uploads that wait for their import; lost with the unit, and the client sends them again."""
WORK = "/var/lib/glance/work"
BUCKET = "s3-credentials"
"""Endpoint of the relation with an object store; the key of the peers' databag that says which one it was."""
LOG_LEVELS = [
    # Says an image's location, which holds the keys of its bucket, when that is not related any more.
    "glance.common.store_utils=ERROR",
    "boto3=WARN",
    "botocore=WARN",
    # The rest is oslo.log's own (8.1, DEFAULT_LOG_LEVELS), of what Glance uses.
    "amqp=WARN",
    "dogpile.core.dogpile=INFO",
    "keystoneauth=WARN",
    "keystonemiddleware=WARN",
    "oslo.cache=INFO",
    "oslo.messaging=INFO",
    "oslo_messaging=INFO",
    "oslo_policy=INFO",
    "requests.packages.urllib3.connectionpool=WARN",
    "requests.packages.urllib3.util.retry=WARN",
    "routes.middleware=WARN",
    "sqlalchemy=WARN",
    "stevedore=WARN",
    "taskflow=WARN",
    "urllib3.connectionpool=WARN",
    "urllib3.util.retry=WARN",
]
_MANAGE = ("glance-manage", "--config-file", "/etc/glance/glance-api.conf", "db")
_ONLY_IN = """SELECT COUNT(DISTINCT image_id) FROM image_locations WHERE deleted = 0 AND meta_data LIKE %s
  AND image_id NOT IN (SELECT image_id FROM image_locations WHERE deleted = 0 AND meta_data NOT LIKE %s)"""


def used(inputs: Inputs) -> tuple[stores.Store, ...]:
    """The stores of a unit; the gate has seen that they can be used."""
    return stores.choose(
        inputs.config,
        inputs.needs.get(BUCKET),
        planned=inputs.planned,
        folder=GLANCE.folder,
        release=inputs.layout.release,
    )


def options(inputs: Inputs) -> ini.Options:
    """Options of its own."""
    chosen = used(inputs)
    return {
        "DEFAULT": {
            "enabled_backends": [f"{store.name}:{store.driver}" for store in chosen],
            # Another unit that is asked to import what was staged here passes the request on.
            "worker_self_reference_url": f"https://{inputs.fqdn}:{PORT}",
            "show_image_direct_url": False,
            "default_log_levels": LOG_LEVELS,
        },
        "glance_store": {"default_backend": chosen[0].name},
        **{store.name: store.options for store in chosen},
        "os_glance_staging_store": {"filesystem_store_datadir": STAGING},
        "os_glance_tasks_store": {"filesystem_store_datadir": WORK},
        "oslo_concurrency": {"lock_path": f"{WORK}/locks"},
        "paste_deploy": {
            "flavor": "keystone",
            "config_file": f"{inputs.layout.etc}/glance-api-paste.ini",
        },
    }


def files(inputs: Inputs) -> list[File | Folder]:
    """Folders for images and uploads, and what the stores bring."""
    user, chosen = inputs.layout.user, used(inputs)
    folders = [path for store in chosen for path in store.folders]
    return [
        *(
            Folder(path, mode=0o750, user=user, group=user)
            for path in (*folders, STAGING, WORK, f"{WORK}/locks")
        ),
        *(
            # Each new connection reads it again.
            File(f"{GLANCE.folder}/{name}", content, mode=0o640, group=user, on_change="none")
            for store in chosen
            for name, content in store.files.items()
        ),
    ]


def environment(inputs: Inputs) -> dict[str, str]:
    """Variables that the stores want."""
    return {key: value for store in used(inputs) for key, value in store.environment.items()}


GLANCE = Service(
    project="glance",
    apis=(
        Api(
            "glance-api",
            "glance.wsgi.api",
            PORT,
            health_port=9293,
            container="glance-api",
            environment=environment,
        ),
    ),
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
        stores.LOCAL: "glance_store",
        stores.S3: "glance_store",
        "os_glance_staging_store": "glance_store",
        "os_glance_tasks_store": "glance_store",
    },
    files=files,
)


def object_store() -> Need:
    """A bucket for images, an `s3.Answer`; without, they are files."""

    def request(context: Context, relation: ops.Relation) -> None:
        if context.leader:
            wanted = s3.Request(f"{context.model}-{context.app}")
            s3.write_request(relation.data[context.charm.app], wanted)

    def read(context: Context, relation: ops.Relation) -> s3.Answer | NotReady:
        return s3.read_answer(context.remote_app(relation), context.secret)

    return Need(BUCKET, read, request, required=False)


def only_in(context: Context, store: str) -> int:
    """Number of images that are in this store and in no other one.

    Raises:
        DatabaseUnreachableError: The database does not answer.
    """
    address = service.database_address(context.needs["database"])
    word = f'%"store": "{store}"%'
    try:
        with context.effects.connect(address) as connection:
            return int(str(connection.query(_ONLY_IN, word, word)[0][0]))
    except NoSuchTableError:
        return 0  # nothing was ever migrated


def store_gate(context: Context) -> Outcome:
    """Whether the stores can be used, and whether all units see the same images."""
    for relation in context.relations(BUCKET):
        answer = s3.read_answer(context.remote_app(relation), context.secret)
        if isinstance(answer, NotReady):
            # Not with files meanwhile: images would be there that belong into the bucket.
            return Waiting(f"{BUCKET}: {answer.why}", f"{BUCKET}-relation-changed")
    try:
        chosen = stores.choose(
            context.config,
            context.needs.get(BUCKET),
            planned=context.planned,
            folder=GLANCE.folder,
            release="",
        )
    except stores.InvalidError as error:
        return Blocked(str(error), f"set other values in the application behind {BUCKET}")
    if context.planned > 1 and not chosen[0].shared:
        return Blocked(
            f"{context.planned} units would each have images of their own",
            f"juju integrate {context.app}:{BUCKET} <application>, or juju scale-application {context.app} 1, or, "
            f"where the storage `images` is one file system for all units, juju config {context.app} "
            "shared-storage=true",
        )
    if stores.LOCAL in (store.name for store in chosen):
        return Ready()
    try:
        left = only_in(context, stores.LOCAL)
    except DatabaseUnreachableError:
        return Waiting("the database does not answer", "retry")
    if left:
        return Blocked(
            f"images that only one of {context.planned} units has in its storage: {left}",
            f"juju scale-application {context.app} 1, then move them as the charm's README says",
        )
    return Ready()


def publish(context: Context, inputs: Inputs) -> Outcome | None:
    """Remember the bucket; say which images are missed when it is not there any more."""
    bucket = inputs.needs.get(BUCKET)
    if isinstance(bucket, s3.Answer):
        if context.leader:
            where = f"{bucket.bucket} at {bucket.endpoint or 'Amazon'}"
            context.put_peer_app(**{BUCKET: where})
        return None
    before = context.peer_app.get(BUCKET, "")
    if not before:
        return None
    if left := only_in(context, stores.S3):
        return Blocked(
            f"images that cannot be read, because they are in the bucket {before}: {left}",
            f"juju integrate {context.app}:{BUCKET} <application>",
        )
    if context.leader:
        context.put_peer_app(**{BUCKET: None})
    return None


def describe() -> Description[Inputs]:
    """What the charm is."""
    made = service.describe(GLANCE)
    return dataclasses.replace(
        made,
        needs=(*made.needs, object_store()),
        gates=(Gate("store", store_gate),),
        publish=publish,
    )


class GlanceCharm(DaybreakCharm):
    """The charm."""

    description: ClassVar[Description[Inputs]] = describe()


if __name__ == "__main__":  # pragma: no cover
    events.main(GlanceCharm)
