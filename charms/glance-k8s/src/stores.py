"""What keeps images: the stores that this charm has, and those that are used; pure.

A store is a value that one function makes. Another kind (RBD, say) is one more function and a line in `choose`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from daybreak_charm import ini
from daybreak_interfaces import s3

LOCAL, S3 = "local", "s3"
"""Names of the stores and of their sections; images keep them in their locations."""
IMAGES = "/var/lib/glance/images"
"""Where the storage `images` is mounted."""
_KEY = re.compile(r"[A-Za-z0-9._~+=-]+")
_SECRET = re.compile(r"(?!.*//)[A-Za-z0-9._~+=/-]+")


class InvalidError(ValueError):
    """A store cannot be used as it is; the message says why."""


@dataclass(frozen=True)
class Store:
    """A store of Glance with what it needs.

    Attributes:
        name: Its section, and what images call it: it stays.
        driver: Of glance_store.
        options: Of that section; kept out of `repr`, for they may hold keys.
        shared: Whether all units see the same images in it.
        folders: Of the container.
        files: Beside the configuration file, by name.
        environment: Variables of the service.
    """

    name: str
    driver: str
    options: Mapping[str, ini.Value] = field(repr=False)
    shared: bool
    folders: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


def choose(
    config: Mapping[str, bool | int | float | str],
    bucket: s3.Answer | None,
    *,
    planned: int,
    folder: str,
    release: str,
) -> tuple[Store, ...]:
    """Return the stores to use, first the one that new images go to.

    The files stay beside a bucket, so that images which came before it can be read and moved. They do not where
    several units would each have files of their own.

    Args:
        config: The charm's options.
        bucket: What the relation with an object store says; None without.
        planned: Number of units.
        folder: Where files beside the configuration are.
        release: Of OpenStack.

    Raises:
        InvalidError: The object store is none for Glance.
    """
    files = local(shared=bool(config["shared-storage"]))
    if bucket is None:
        return (files,)
    objects = in_bucket(bucket, folder, release)
    return (objects, files) if planned == 1 or files.shared else (objects,)


def local(*, shared: bool) -> Store:
    """Images as files of the unit's storage."""
    return Store(
        LOCAL,
        "file",
        {"filesystem_store_datadir": IMAGES},
        shared=shared,
        folders=(IMAGES,),
    )


def in_bucket(bucket: s3.Answer, folder: str, release: str) -> Store:
    """Images as objects of a bucket: glance_store's S3 driver (5.4.0 in 2026.1, 4.9.1 in 2025.1).

    Raises:
        InvalidError: The driver has no way to use it.
    """
    if bucket.path:
        raise InvalidError("images are at the top of a bucket, and the object store names a path")
    # The driver keeps both keys in the URL of each image and takes it apart at these letters; oslo.config replaces
    # what follows a dollar.
    if not _KEY.fullmatch(bucket.access_key) or not _SECRET.fullmatch(bucket.secret_key):
        raise InvalidError(
            "Glance cannot keep the object store's keys: letters, digits and ._~+=- are fine, in the secret one "
            "single slashes, too"
        )
    amazon = f"s3.{bucket.region}.amazonaws.com" if bucket.region else "s3.amazonaws.com"
    style = bucket.style or ("" if bucket.endpoint else "host")
    authorities = {"s3-ca.pem": bucket.ca} if bucket.ca else {}
    return Store(
        S3,
        "s3",
        {
            "s3_store_host": bucket.endpoint or f"https://{amazon}",
            "s3_store_region_name": bucket.region or None,
            "s3_store_access_key": bucket.access_key,
            "s3_store_secret_key": bucket.secret_key,
            "s3_store_bucket": bucket.bucket,
            "s3_store_bucket_url_format": {"host": "virtual", "path": "path"}.get(style, "auto"),
            # Version 0 of s3-integrator makes none.
            "s3_store_create_bucket_on_put": True,
            "s3_store_cacert": f"{folder}/s3-ca.pem" if authorities else None,
            # In parts, also when the size is not known before: else such an image is in memory as a whole. The driver
            # of 2025.1 refuses the 0 when it is asked for the first image.
            "s3_store_large_object_size": None if release == "2025.1" else 0,
        },
        shared=True,
        files=authorities,
        environment={
            # A server that is away is noticed after seconds, not minutes: 3 tries of 3.1 s (botocore's
            # sdk-default-configuration.json).
            "AWS_DEFAULTS_MODE": "standard",
            # What newer drivers say themselves: not every server knows these sums. Images have their own.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        },
    )
