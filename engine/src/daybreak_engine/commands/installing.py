"""Putting an application into the model: what `deploy` and bundles share."""

import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from daybreak_engine import errors
from daybreak_engine.charmfile import CharmMeta, OptionValue
from daybreak_engine.model import applications, charms, config, models, resources, rows
from daybreak_engine.model.store import Transaction

from . import queries, settings
from .deps import Deps, StoredCharm
from .failures import CommandError, UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*")


@dataclass(frozen=True)
class Plan:
    """An application to be, everything checked that can be checked without the model."""

    name: str
    meta: CharmMeta
    archive: StoredCharm
    scale: int
    trust: bool
    options: Mapping[str, OptionValue]
    resources: Mapping[str, Mapping[str, str]]
    constraints: Mapping[str, str]
    storage: Mapping[str, str]


def check_archive(path: Path, written: str) -> None:
    """Refuse what is no packed charm, with a way out.

    Raises:
        CommandError: nothing is there, or it is not packed.
    """
    if not path.exists():
        raise CommandError(f'no charm was found at "{written}"')
    if path.is_dir():
        raise CommandError(
            f'"{written}" is a directory, not a packed charm',
            remedy="pack it first (tools/pack, or charmcraft pack) and deploy the .charm file",
        )
    if not zipfile.is_zipfile(path):
        raise CommandError(f'"{written}" is not a packed charm (a zip archive)')


def check_name(name: str) -> None:
    """Refuse a name that no application can have.

    Raises:
        UsageError: as it says.
    """
    if _NAME.fullmatch(name):
        return
    reason = ", unexpected uppercase character" if name.lower() != name else ""
    raise UsageError(f'invalid application name "{name}"{reason}')


def named(pairs: tuple[str, ...], what: str) -> dict[str, str]:
    """Return `name=value` flags as a mapping.

    Raises:
        UsageError: one has no name or no value.
    """
    result: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals or not value:
            raise UsageError(f'expected {what} "{pair}" to be of the form <name>=<value>')
        result[name] = value
    return result


def checked_options(
    name: str, meta: CharmMeta, values: Mapping[str, object]
) -> dict[str, OptionValue]:
    """Return typed options.

    Raises:
        CommandError: an unknown option or a wrong type, as `juju deploy` says it.
    """
    try:
        return config.parse(meta, values)
    except errors.InvalidError as error:
        raise CommandError(
            f'cannot deploy "{name}": preparing CAAS application args: validating create '
            "application args: validating application config: "
            + error.message.removeprefix("invalid application config: "),
            remedy=error.remedy,
        ) from error


def checked_storage(name: str, meta: CharmMeta, given: Mapping[str, str]) -> dict[str, str]:
    """Return the storage directives.

    Raises:
        CommandError: a storage that the charm does not have, or a directive without size.
    """
    for storage, directive in given.items():
        if storage not in meta.storage:
            raise CommandError(
                f'cannot deploy "{name}": preparing CAAS application args: validating create '
                f"application args: invalid storage directive overrides: storage directive "
                f'"{storage}" does not exist in the charm',
                remedy=f"the charm has: {', '.join(sorted(meta.storage)) or 'no storage'}",
            )
        # "pool,count,size" is allowed; here are no pools and the charm says how many.
        if not queries.mebibytes(directive.split(",")[-1]):
            raise CommandError(
                f'cannot deploy "{name}": storage "{storage}": cannot parse size "{directive}"',
                remedy=f"give a size such as --storage {storage}=1G",
            )
    return {storage: directive.split(",")[-1] for storage, directive in given.items()}


def check_resource_names(meta: CharmMeta, given: Mapping[str, str]) -> None:
    """Refuse resources that the charm lacks, and images that are missing.

    Raises:
        CommandError: as it says.
    """
    missing = [name for name in meta.images if name not in given]
    if missing:
        raise CommandError(
            f"local charm missing OCI images for: {', '.join(sorted(missing))}",
            remedy="give each with --resource NAME=IMAGE, or in the bundle's resources",
        )
    for name in given:
        if name not in meta.resources:
            raise CommandError(
                f'unrecognized resource "{name}"',
                remedy=f"the charm has: {', '.join(sorted(meta.resources)) or 'no resources'}",
            )


async def resource_values(
    directory: Path, meta: CharmMeta, given: Mapping[str, str], deps: Deps
) -> dict[str, dict[str, str]]:
    """Return resources as the model stores them; files are copied into the store.

    Args:
        directory: relative paths start here.
        meta: what the charm declares.
        given: path or image reference by name.
        deps: for the store.

    Raises:
        CommandError: unknown or missing resources, or a file that cannot be read.
    """
    check_resource_names(meta, given)
    result: dict[str, dict[str, str]] = {}
    for name, value in given.items():
        result[name] = await resource_value(directory, meta, name, value, deps)
    return result


async def resource_value(
    directory: Path, meta: CharmMeta, name: str, value: str, deps: Deps
) -> dict[str, str]:
    """Return one resource as the model stores it.

    Raises:
        CommandError: a file that cannot be read, or one that describes no image.
    """
    path = directory / Path(value).expanduser()
    if meta.resources[name].type == "file":
        try:
            stored = await deps.store_file(path)
        except OSError as error:
            raise CommandError(f'resource "{name}": {value}: {error.strerror}') from error
        return {"path": str(stored.path)}
    image = {"registrypath": value, "username": "", "password": ""}
    if not path.is_file():
        return image
    try:
        described = settings.from_plain_yaml(path.read_text(), value)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f'resource "{name}": cannot read {value}') from error
    image |= {key: str(described[key]) for key in image if key in described}
    if "registrypath" not in described:
        raise CommandError(f'resource "{name}": {value} describes no image: it has no registrypath')
    return image


def upload(tx: Transaction, meta: CharmMeta, archive: StoredCharm) -> rows.Charm:
    """Make a stored archive the next revision of its charm."""
    return charms.add(tx, meta, digest=archive.digest, path=str(archive.path))


def add(tx: Transaction, plan: Plan, charm: rows.Charm | None = None) -> rows.Charm:
    """Make an application; uploads its charm unless `charm` is that already.

    Raises:
        errors.ExistsError: the name is taken.
        errors.RefusedError: the model is being destroyed.
    """
    if models.get(tx).life != "alive":
        raise errors.RefusedError(
            f'cannot deploy "{plan.name}": the model is being destroyed',
            remedy="wait until it is gone, then make it again with juju add-model",
        )
    if applications.find(tx, plan.name) is not None:
        raise errors.ExistsError(
            f'cannot deploy "{plan.name}": creating CAAS application "{plan.name}": '
            "application already exists",
            remedy=f"use juju refresh {plan.name} --path ... for a new charm, "
            "or give the new application another name",
        )
    charm = charm or upload(tx, plan.meta, plan.archive)
    applications.add(
        tx,
        plan.name,
        charm.id,
        scale=plan.scale,
        trust=plan.trust,
        options=plan.options,
        constraints=plan.constraints,
        storage_directives=plan.storage,
    )
    for name, value in plan.resources.items():
        resources.put(tx, plan.name, name, plan.meta.resources[name].type, value)
    return charm


async def absent_images(deps: Deps, values: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the image references that podman does not have yet."""
    wanted = dict.fromkeys(v["registrypath"] for v in values if "registrypath" in v)
    return [reference for reference in wanted if not await deps.image_present(reference)]


def image_warning(reference: str) -> str:
    """Return what to say of an image that is not there."""
    return (
        f"WARNING image {reference} is not on this machine: "
        "the unit waits until it is built or pulled\n"
    )
