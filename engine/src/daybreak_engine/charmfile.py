"""Read what a packed charm says about itself (contract section 6.4).

The source is a `.charm` zip or its unpacked directory: `metadata.yaml`, `config.yaml`,
`actions.yaml`, `manifest.yaml`. An unpacked project with only `charmcraft.yaml` is read, too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import yaml

from daybreak_engine import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

OptionType: TypeAlias = Literal["string", "int", "float", "boolean", "secret"]
OptionValue: TypeAlias = str | int | float | bool
Role: TypeAlias = Literal["provider", "requirer", "peer"]

_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "secret": (str,),
    "int": (int,),
    "float": (float, int),
    "boolean": (bool,),
}


@dataclass(frozen=True)
class Mount:
    """A storage seen in a workload container."""

    storage: str
    location: str


@dataclass(frozen=True)
class Container:
    """A workload container; `resource` is empty when the charm names a base instead."""

    name: str
    resource: str = ""
    mounts: tuple[Mount, ...] = ()
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True)
class Storage:
    """A storage of the charm. `count` is the least number; `maximum` None means no limit."""

    name: str
    location: str = ""
    minimum_size: str = ""
    count: int = 1
    maximum: int | None = 1
    read_only: bool = False


@dataclass(frozen=True)
class Resource:
    """A resource: type `oci-image` or `file`."""

    name: str
    type: str
    filename: str = ""
    description: str = ""
    upstream_source: str = ""


@dataclass(frozen=True)
class Endpoint:
    """A relation endpoint."""

    name: str
    role: Role
    interface: str
    limit: int | None = None
    optional: bool | None = None


@dataclass(frozen=True)
class Option:
    """A config option; `default` None means unset."""

    name: str
    type: OptionType
    default: OptionValue | None = None
    description: str = ""


@dataclass(frozen=True)
class Action:
    """An action; `schema` is the JSON schema (type object) of its parameters."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Base:
    """An operating system base such as ubuntu 24.04."""

    name: str
    channel: str


@dataclass(frozen=True)
class CharmMeta:
    """What a charm declares. Mappings are by name, in the charm's own order."""

    name: str
    summary: str
    containers: Mapping[str, Container]
    storage: Mapping[str, Storage]
    resources: Mapping[str, Resource]
    endpoints: Mapping[str, Endpoint]
    options: Mapping[str, Option]
    actions: Mapping[str, Action]
    assumes: tuple[Any, ...] = ()
    charm_user: str = "root"
    bases: tuple[Base, ...] = ()
    extra_bindings: tuple[str, ...] = ()
    version: str = ""

    def of_role(self, role: Role) -> dict[str, Endpoint]:
        """Return the endpoints of one role."""
        return {name: e for name, e in self.endpoints.items() if e.role == role}

    @property
    def peers(self) -> dict[str, Endpoint]:
        """The peer endpoints."""
        return self.of_role("peer")

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the resources that are images."""
        return tuple(r.name for r in self.resources.values() if r.type == "oci-image")


def read(path: Path) -> CharmMeta:
    """Read a `.charm` file or an unpacked charm directory.

    Raises:
        errors.CharmError: It is neither, or says something that cannot be used.
    """
    if path.is_dir():
        return _parse(str(path), lambda name: _read_file(path / name))
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            return _parse(
                str(path), lambda name: archive.read(name).decode() if name in names else None
            )
    except FileNotFoundError as error:
        raise errors.CharmError(
            f'no charm was found at "{path}"', remedy="pack the charm first, or correct the path"
        ) from error
    except (zipfile.BadZipFile, UnicodeDecodeError, IsADirectoryError) as error:
        raise errors.CharmError(
            f'"{path}" is not a charm archive: {error}', remedy="pack the charm again"
        ) from error


def digest(path: Path) -> str:
    """Return the SHA-256 of an archive in hexadecimal: two equal archives are one charm."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(meta: CharmMeta) -> dict[str, Any]:
    """Return a JSON-able value from which `from_json` makes an equal CharmMeta."""
    return dataclasses.asdict(meta)


def from_json(data: Mapping[str, Any]) -> CharmMeta:
    """Return the CharmMeta that `to_json` wrote."""
    return CharmMeta(
        name=data["name"],
        summary=data["summary"],
        containers={
            name: Container(
                value["name"],
                value["resource"],
                tuple(Mount(**mount) for mount in value["mounts"]),
                value["uid"],
                value["gid"],
            )
            for name, value in data["containers"].items()
        },
        storage={name: Storage(**value) for name, value in data["storage"].items()},
        resources={name: Resource(**value) for name, value in data["resources"].items()},
        endpoints={name: Endpoint(**value) for name, value in data["endpoints"].items()},
        options={name: Option(**value) for name, value in data["options"].items()},
        actions={name: Action(**value) for name, value in data["actions"].items()},
        assumes=tuple(data["assumes"]),
        charm_user=data["charm_user"],
        bases=tuple(Base(**value) for value in data["bases"]),
        extra_bindings=tuple(data["extra_bindings"]),
        version=data["version"],
    )


def _read_file(path: Path) -> str | None:
    return path.read_text() if path.is_file() else None


def _parse(where: str, read_text: Callable[[str], str | None]) -> CharmMeta:
    def document(name: str) -> dict[str, Any] | None:
        text = read_text(name)
        if text is None:
            return None
        try:
            return _mapping(yaml.safe_load(text), f"{where}: {name}")
        except yaml.YAMLError as error:
            raise errors.CharmError(f"{where}: {name} is not valid YAML: {error}") from error

    unified = document("charmcraft.yaml") or {}
    metadata = document("metadata.yaml")
    if metadata is None:
        metadata = unified
    if not metadata:
        raise errors.CharmError(
            f'"{where}" has no metadata.yaml',
            remedy="give a packed charm (.charm); a source directory has to be packed first",
        )
    config = document("config.yaml") or _mapping(unified.get("config"), where)
    actions = document("actions.yaml") or _mapping(unified.get("actions"), where)
    manifest = document("manifest.yaml") or {}
    version = read_text("version") or ""
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise errors.CharmError(f"{where}: metadata.yaml has no name")
    if metadata.get("subordinate"):
        raise errors.CharmError(
            f'charm "{name}" is subordinate: not supported by this engine',
            remedy="deploy it with real Juju on machines",
        )
    meta = CharmMeta(
        name=name,
        summary=str(metadata.get("summary", "")),
        containers=_containers(name, _section(metadata, "containers", name)),
        storage=_storage(name, _section(metadata, "storage", name)),
        resources=_resources(name, _section(metadata, "resources", name)),
        endpoints=_endpoints(name, metadata),
        options=_options(name, _section(config, "options", name)),
        actions=_actions(name, actions),
        assumes=tuple(metadata.get("assumes") or ()),
        charm_user=str(metadata.get("charm-user") or "root"),
        bases=_bases(manifest),
        extra_bindings=tuple(_section(metadata, "extra-bindings", name)),
        version=version.strip(),
    )
    _check(meta)
    return meta


def _mapping(value: object, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise errors.CharmError(f"{what}: expected a mapping, got {type(value).__name__}")
    return {str(key): item for key, item in cast("dict[object, Any]", value).items()}


def _section(document: Mapping[str, Any], key: str, charm: str) -> dict[str, dict[str, Any]]:
    return {
        name: _mapping(value, f'charm "{charm}": {key}.{name}')
        for name, value in _mapping(document.get(key), f'charm "{charm}": {key}').items()
    }


def _containers(charm: str, section: Mapping[str, dict[str, Any]]) -> dict[str, Container]:
    result: dict[str, Container] = {}
    for name, value in section.items():
        mounts: list[Mount] = []
        for mount in value.get("mounts") or ():
            item = _mapping(mount, f'charm "{charm}": containers.{name}.mounts')
            if not item.get("storage"):
                raise errors.CharmError(f'charm "{charm}": a mount of "{name}" names no storage')
            mounts.append(Mount(str(item["storage"]), str(item.get("location", ""))))
        result[name] = Container(
            name, str(value.get("resource", "")), tuple(mounts), value.get("uid"), value.get("gid")
        )
    return result


def _storage(charm: str, section: Mapping[str, dict[str, Any]]) -> dict[str, Storage]:
    result: dict[str, Storage] = {}
    for name, value in section.items():
        kind = value.get("type", "filesystem")
        if kind != "filesystem":
            raise errors.CharmError(
                f'charm "{charm}": storage "{name}" has type {kind}; only filesystem is supported'
            )
        least, most = 1, 1
        multiple = _mapping(value.get("multiple"), f'charm "{charm}": storage.{name}.multiple')
        if multiple:
            text = str(multiple.get("range", "0-"))
            low, dash, high = text.replace("+", "-").partition("-")
            try:
                least = int(low)
                most = (int(high) if high else None) if dash else least
            except ValueError as error:
                raise errors.CharmError(
                    f'charm "{charm}": storage "{name}" has no valid range: {text}'
                ) from error
        result[name] = Storage(
            name,
            str(value.get("location") or ""),
            str(value.get("minimum-size") or ""),
            least,
            most,
            bool(value.get("read-only", False)),
        )
    return result


def _resources(charm: str, section: Mapping[str, dict[str, Any]]) -> dict[str, Resource]:
    result: dict[str, Resource] = {}
    for name, value in section.items():
        kind = str(value.get("type", ""))
        if kind not in ("oci-image", "file"):
            raise errors.CharmError(
                f'charm "{charm}": resource "{name}" has type "{kind}", expected oci-image or file'
            )
        result[name] = Resource(
            name,
            kind,
            str(value.get("filename") or ""),
            str(value.get("description") or ""),
            str(value.get("upstream-source") or ""),
        )
    return result


def _endpoints(charm: str, metadata: Mapping[str, Any]) -> dict[str, Endpoint]:
    result: dict[str, Endpoint] = {}
    roles: tuple[tuple[str, Role], ...] = (
        ("provides", "provider"),
        ("requires", "requirer"),
        ("peers", "peer"),
    )
    for key, role in roles:
        for name, value in _section(metadata, key, charm).items():
            if name in result:
                raise errors.CharmError(f'charm "{charm}" declares endpoint "{name}" twice')
            interface = value.get("interface")
            if not isinstance(interface, str) or not interface:
                raise errors.CharmError(f'charm "{charm}": endpoint "{name}" has no interface')
            if value.get("scope", "global") != "global":
                raise errors.CharmError(
                    f'charm "{charm}": endpoint "{name}" has container scope: only for machines'
                )
            result[name] = Endpoint(
                name, role, interface, value.get("limit"), value.get("optional")
            )
    return result


def _options(charm: str, section: Mapping[str, dict[str, Any]]) -> dict[str, Option]:
    result: dict[str, Option] = {}
    for name, value in section.items():
        kind = value.get("type", "string")
        if kind not in _PYTHON_TYPES:
            raise errors.CharmError(
                f'charm "{charm}": option "{name}" has type "{kind}",'
                f" expected one of {', '.join(_PYTHON_TYPES)}"
            )
        default = value.get("default")
        right = default is None or (
            isinstance(default, _PYTHON_TYPES[kind])
            and (kind == "boolean" or not isinstance(default, bool))
        )
        if not right:
            raise errors.CharmError(
                f'charm "{charm}": the default of option "{name}" is no {kind}: {default!r}'
            )
        if kind == "float" and default is not None:
            default = float(default)
        result[name] = Option(name, kind, default, str(value.get("description") or "").strip())
    return result


def _actions(charm: str, document: Mapping[str, Any]) -> dict[str, Action]:
    result: dict[str, Action] = {}
    for name, raw in document.items():
        value = _mapping(raw, f'charm "{charm}": action {name}')
        schema: dict[str, Any] = {
            key: item
            for key, item in value.items()
            if key not in ("description", "params", "parallel", "execution-group")
        }
        schema["type"] = "object"
        schema["properties"] = _mapping(value.get("params"), f'charm "{charm}": action {name}')
        result[name] = Action(name, str(value.get("description") or "").strip(), schema)
    return result


def _bases(manifest: Mapping[str, Any]) -> tuple[Base, ...]:
    bases: list[Base] = []
    for raw in manifest.get("bases") or ():
        base = _mapping(raw, "manifest.yaml: bases")
        bases.append(Base(str(base.get("name", "ubuntu")), str(base.get("channel", ""))))
    return tuple(bases)


def _check(meta: CharmMeta) -> None:
    for container in meta.containers.values():
        if container.resource and container.resource not in meta.resources:
            raise errors.CharmError(
                f'charm "{meta.name}": container "{container.name}" uses'
                f' resource "{container.resource}", which is not declared'
            )
        for mount in container.mounts:
            if mount.storage not in meta.storage:
                raise errors.CharmError(
                    f'charm "{meta.name}": container "{container.name}" mounts'
                    f' storage "{mount.storage}", which is not declared'
                )
