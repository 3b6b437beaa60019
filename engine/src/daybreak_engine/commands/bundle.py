"""Reading bundles: documents, overlays, and the files they name.

Contract section 5.1. The result is one merged `Bundle` with absolute paths of charms; what
the model already has is no subject here (see `bundleplan`).
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import yaml

from .failures import CommandError

_APPLICATION_FIELDS = frozenset(
    {
        "charm",
        "channel",
        "revision",
        "base",
        "series",
        "resources",
        "num_units",
        "scale",
        "to",
        "expose",
        "options",
        "annotations",
        "constraints",
        "storage",
        "devices",
        "bindings",
        "trust",
        "plan",
        "requirement",
    }
)
_OVERLAY_FIELDS = frozenset({"offers", "exposed-endpoints"})
_BUNDLE_FIELDS = frozenset(
    {
        "bundle",
        "type",
        "name",
        "description",
        "summary",
        "title",
        "tags",
        "docs",
        "website",
        "source",
        "issues",
        "assumes",
        "default-base",
        "series",
        "saas",
        "applications",
        "services",
        "relations",
        "machines",
        "links",
        "variables",
        "charmhub",
        "local",
    }
)


@dataclass(frozen=True)
class BundleApplication:
    """One application as the bundle wants it; None stands for "not said"."""

    name: str
    charm: str = ""
    """As written."""
    path: Path | None = None
    """The packed charm, when `charm` is a path."""
    base_directory: Path = Path("/")
    """Directory of the document that named the charm; `resources` files are relative to it."""
    resources: Mapping[str, str] = field(default_factory=dict[str, str])
    scale: int | None = None
    expose: bool | None = None
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    constraints: str | None = None
    storage: Mapping[str, str] = field(default_factory=dict[str, str])
    trust: bool | None = None
    channel: str = ""
    revision: int | None = None


@dataclass(frozen=True)
class Bundle:
    """A bundle with its overlays applied."""

    applications: Mapping[str, BundleApplication]
    """By name, sorted."""
    relations: tuple[tuple[str, str], ...] = ()
    """Sides as written: `application` or `application:endpoint`."""
    warnings: tuple[str, ...] = ()
    """Fields that nobody reads."""
    unsupported: tuple[str, ...] = ()
    """Parts that real Juju knows and this engine does not."""


@dataclass(frozen=True)
class Source:
    """One file of YAML documents."""

    text: str
    directory: Path
    """Paths in the documents are relative to it."""


def read(base: Source, overlays: Sequence[Source] = ()) -> Bundle:
    """Return the bundle of `base`, its own further documents, and the overlays, in order.

    Raises:
        CommandError: not a bundle, or one that contradicts itself.
    """
    documents = _documents(base)
    if not documents:
        raise CommandError("cannot deploy bundle: the bundle is empty")
    if _OVERLAY_FIELDS & {key for app in _applications(documents[0]).values() for key in app}:
        raise CommandError(
            "cannot deploy bundle: offers and exposed-endpoints may only stand in an overlay"
        )
    applications: dict[str, BundleApplication] = {}
    relations: list[tuple[str, str]] = []
    warnings: list[str] = []
    unsupported: list[str] = []
    layers = [(document, base.directory) for document in documents]
    layers += [(d, overlay.directory) for overlay in overlays for d in _documents(overlay)]
    for index, (document, directory) in enumerate(layers):
        warnings += _unknown(document, index)
        unsupported += [key for key in ("machines", "saas") if document.get(key)]
        for name, values in _applications(document).items():
            if not values and name in applications:
                del applications[name]
                relations = [r for r in relations if name not in (_owner(r[0]), _owner(r[1]))]
                continue
            if values.get("offers"):
                unsupported.append("offers")
            old = applications.get(name, BundleApplication(name))
            applications[name] = _merged(old, values, directory, index)
        relations += [r for r in _relations(document) if r not in relations]
    return Bundle(
        dict(sorted(applications.items())),
        tuple(relations),
        tuple(warnings),
        tuple(dict.fromkeys(unsupported)),
    )


def _owner(side: str) -> str:
    return side.partition(":")[0]


def _documents(source: Source) -> list[dict[str, object]]:
    try:
        documents = [d for d in yaml.safe_load_all(source.text) if d is not None]
    except yaml.YAMLError as error:
        raise CommandError(
            f"cannot deploy bundle: cannot unmarshal bundle contents: unmarshal document 0: "
            f"yaml: {_problem(error)}"
        ) from error
    return [_mapping(document, "bundle") for document in documents]


def _problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error)


def _mapping(value: object, where: str) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CommandError(
            f"cannot deploy bundle: cannot unmarshal bundle contents: {where} must be a mapping"
        )
    return {str(key): item for key, item in cast("dict[object, object]", value).items()}


def _applications(document: Mapping[str, object]) -> dict[str, dict[str, object]]:
    section = _mapping(document.get("applications"), "applications")
    return {name: _mapping(app, f'application "{name}"') for name, app in section.items()}


def _relations(document: Mapping[str, object]) -> list[tuple[str, str]]:
    listed = cast("list[object] | object", document.get("relations") or [])
    result: list[tuple[str, str]] = []
    for entry in cast("list[object]", listed) if isinstance(listed, list) else [listed]:
        sides = [str(s) for s in cast("list[object]", entry)] if isinstance(entry, list) else []
        if len(sides) != 2:
            raise CommandError(
                f"cannot deploy bundle: relation {entry} must be a list of two endpoints"
            )
        result.append((sides[0], sides[1]))
    return result


def _unknown(document: Mapping[str, object], index: int) -> list[str]:
    found = [f"field {key} not found in bundle" for key in document if key not in _BUNDLE_FIELDS]
    for app in _applications(document).values():
        found += [
            f"field {key} not found in applications"
            for key in app
            if key not in _APPLICATION_FIELDS | _OVERLAY_FIELDS
        ]
    return [f"unmarshal document {index}: {text}" for text in found]


def _merged(
    old: BundleApplication, values: Mapping[str, object], directory: Path, index: int
) -> BundleApplication:
    name = old.name
    prefix = f"cannot deploy bundle: cannot unmarshal bundle contents: unmarshal document {index}: "
    if "scale" in values and "num_units" in values:
        raise CommandError(
            f'{prefix}cannot specify both scale and num_units for application "{name}"'
        )
    new = old
    if values.get("charm"):
        charm = str(values["charm"])
        local = charm.startswith((".", "/"))
        path = (directory / charm).resolve() if local else None
        new = replace(new, charm=charm, path=path, base_directory=directory)
    options = {
        key: _included(value, directory, name)
        for key, value in _mapping(values.get("options"), "options").items()
    }
    new = replace(
        new,
        options={**old.options, **options},
        resources={**old.resources, **_texts(values, "resources")},
        storage={**old.storage, **_texts(values, "storage")},
    )
    scale = values.get("scale", values.get("num_units"))
    if scale is not None:
        new = replace(new, scale=_whole(scale, prefix + f'scale of application "{name}"'))
    if values.get("revision") is not None:
        number = _whole(values["revision"], prefix + f'revision of application "{name}"')
        new = replace(new, revision=number)
    if values.get("constraints") is not None:
        new = replace(new, constraints=str(values["constraints"]))
    if values.get("channel"):
        new = replace(new, channel=str(values["channel"]))
    for key in ("expose", "trust"):
        if values.get(key) is not None:
            new = replace(new, **{key: bool(values[key])})
    return new


def _texts(values: Mapping[str, object], key: str) -> dict[str, str]:
    return {name: str(value) for name, value in _mapping(values.get(key), key).items()}


def _whole(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise CommandError(f"{what} must be a whole number, got {value}")
    return value


def _included(value: object, directory: Path, application: str) -> object:
    """Return an option's value, read from a file where it says so."""
    if not isinstance(value, str):
        return value
    for prefix in ("include-file://", "include-base64://"):
        if value.startswith(prefix):
            path = directory / value.removeprefix(prefix)
            try:
                content = path.read_bytes()
                if prefix == "include-base64://":
                    return base64.b64encode(content).decode()
                return content.decode()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                raise CommandError(
                    f"cannot deploy bundle: unable to process overlays: cannot read {path} "
                    f'for an option of application "{application}": {reason}'
                ) from error
    return value
