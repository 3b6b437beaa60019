"""A pod of a DaemonSet, from its object to podman's words; pure functions."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import InvalidError
from . import network, nodes
from .layout import write_layout
from .part import part, parts, words
from .specs import ContainerSpec, Directory, File, Layout, Mount, PodSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..instance import Instance
    from .addresses import Plan

_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
_SUFFIXES: Mapping[str, float] = {
    "": 1,
    "m": 0.001,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
}
_SECRET_MODE = 0o644

Content: TypeAlias = "Callable[[str, str], Mapping[str, Any] | None]"
"""Body of a Secret or a ConfigMap by kind and name, None when there is none."""


@dataclass(frozen=True)
class Place:
    """Where a pod runs.

    Args:
        instance: Whose.
        plan: Its addresses.
        model: Namespace.
        node: Name of the node.
        address: The node's.
        pid: Process 1 of the node.
    """

    instance: Instance
    plan: Plan
    model: str
    node: str
    address: str
    pid: int


def spec(pod: Mapping[str, Any], place: Place, content: Content, *, field: str) -> PodSpec:
    """Return the containers of a pod.

    Args:
        pod: Its object.
        place: Where it runs.
        content: Of Secrets and ConfigMaps.
        field: ``containers`` or ``initContainers``.

    Raises:
        InvalidError: A Secret, a ConfigMap, a key or a path of the node is missing.
    """
    name: str = pod["metadata"]["name"]
    wanted: Mapping[str, Any] = pod["spec"]
    layout = _layout(wanted, place, content)
    shared = place.instance.pod(name)
    sources = {item["name"]: _source(item, place, shared) for item in parts(wanted, "volumes")}
    return PodSpec(
        unit=name,
        hostname=place.node,
        netns=network.NETNS_DIRECTORY / place.instance.pod_netns(nodes.unit(place.node)),
        containers=tuple(
            _container(item, pod, place, sources, shared) for item in parts(wanted, field)
        ),
        layout=layout,
    )


def _container(
    item: Mapping[str, Any],
    pod: Mapping[str, Any],
    place: Place,
    sources: Mapping[str, Path | None],
    shared: Path,
) -> ContainerSpec:
    security = {**part(pod, "spec", "securityContext"), **part(item, "securityContext")}
    limits = part(item, "resources", "limits")
    namespaces = {
        kind: place.pid
        for kind, field in (("pid", "hostPID"), ("ipc", "hostIPC"))
        if pod["spec"].get(field)
    }
    return ContainerSpec(
        name=item["name"],
        image=item["image"],
        argv=words(item, "command"),
        args=words(item, "args"),
        env={variable["name"]: _value(variable, pod, place) for variable in parts(item, "env")},
        mounts=(
            *(Mount(shared / path, f"/{path}") for path in _ETC),
            *_mounts(item, sources),
        ),
        uid=security.get("runAsUser"),
        gid=security.get("runAsGroup"),
        privileged=bool(security.get("privileged")),
        capabilities=words(part(security, "capabilities"), "add"),
        namespaces={**namespaces, "cgroup": place.pid},
        memory=int(quantity(limits["memory"])) if "memory" in limits else None,
        cpus=quantity(limits["cpu"]) if "cpu" in limits else None,
        workdir=item.get("workingDir"),
    )


_ETC = ("etc/resolv.conf", "etc/hosts", "etc/hostname")


def _mounts(item: Mapping[str, Any], sources: Mapping[str, Path | None]) -> Iterator[Mount]:
    for mount in parts(item, "volumeMounts"):
        source = sources[mount["name"]]
        if source is None:
            if not part(item, "securityContext").get("privileged"):
                raise InvalidError(f"{mount['mountPath']} needs a privileged container")
            continue
        if mount.get("subPath"):
            source /= mount["subPath"]
        yield Mount(
            source,
            mount["mountPath"],
            read_only=bool(mount.get("readOnly")),
            propagation=_PROPAGATION.get(mount.get("mountPropagation", "None")),  # pyright: ignore[reportArgumentType] # the values of the table
        )


def _value(variable: Mapping[str, Any], pod: Mapping[str, Any], place: Place) -> str:
    source: Mapping[str, Any] | None = variable.get("valueFrom")
    if not source:
        return str(variable.get("value") or "")
    metadata: Mapping[str, Any] = pod["metadata"]
    return {
        "spec.nodeName": place.node,
        "status.hostIP": place.address,
        "status.podIP": place.address,
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
    }[source["fieldRef"]["fieldPath"]]


def _source(volume: Mapping[str, Any], place: Place, shared: Path) -> Path | None:
    if "hostPath" not in volume:
        return shared / "volumes" / volume["name"]
    return nodes.on_machine(nodes.root(place.instance, place.node), volume["hostPath"]["path"])


def prepare_host_paths(pod: Mapping[str, Any], place: Place) -> None:
    """Make the paths of the node that a pod wants made, and look at the others.

    Raises:
        InvalidError: One is not what the pod says.
    """
    for volume in parts(pod["spec"], "volumes"):
        host: Mapping[str, Any] | None = volume.get("hostPath")
        path = _source(volume, place, Path()) if host else None
        if host is None or path is None:
            continue
        kind = host.get("type", "")
        if not path.is_relative_to(nodes.root(place.instance, place.node)):
            pass  # this machine's own: nothing is made there
        elif kind == "DirectoryOrCreate":
            path.mkdir(parents=True, exist_ok=True)
        elif kind == "FileOrCreate" and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        present = {
            "Directory": path.is_dir,
            "DirectoryOrCreate": path.is_dir,
            "File": path.is_file,
            "FileOrCreate": path.is_file,
            "Socket": path.is_socket,
            "CharDevice": path.is_char_device,
        }.get(kind, path.exists)
        if not present():
            raise InvalidError(
                f"hostPath {host['path']} of node {place.node} is no {kind or 'file'}"
            )


def _layout(wanted: Mapping[str, Any], place: Place, content: Content) -> Layout:
    directories, files = [Directory("etc"), Directory("volumes")], list(_etc(wanted, place))
    for volume in parts(wanted, "volumes"):
        if "hostPath" in volume:
            continue
        top = f"volumes/{volume['name']}"
        directories.append(Directory(top))
        for path, text, mode in _projected(volume, content):
            folders = path.split("/")[:-1]
            for end in range(1, len(folders) + 1):
                directory = Directory("/".join((top, *folders[:end])))
                directories += [] if directory in directories else [directory]
            files.append(File(f"{top}/{path}", text, mode=mode))
    return Layout(directories=tuple(directories), files=tuple(files))


def _etc(wanted: Mapping[str, Any], place: Place) -> Iterator[File]:
    # A pod on the host's network that asks for nothing gets the node's name servers: none.
    cluster = wanted.get("dnsPolicy") == "ClusterFirstWithHostNet"
    resolv = network.resolv_conf(place.model, place.plan) if cluster else ""
    yield File("etc/resolv.conf", resolv)
    yield File("etc/hostname", f"{place.node}\n")
    yield File("etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{place.address} {place.node}\n")


def _projected(volume: Mapping[str, Any], content: Content) -> Iterator[tuple[str, str, int]]:
    """Yield path, text and mode of the files of a Secret or ConfigMap."""
    for key, kind, named in (
        ("secret", "Secret", "secretName"),
        ("configMap", "ConfigMap", "name"),
    ):
        source: Mapping[str, Any] | None = volume.get(key)
        if source is None:
            continue
        name = source[named]
        body = content(kind, name)
        if body is None:
            if source.get("optional"):
                continue
            raise InvalidError(f'{kind.lower()} "{name}" not found')
        data = part(body, "data")
        mode = source.get("defaultMode", _SECRET_MODE)
        items = parts(source, "items") or [{"key": entry, "path": entry} for entry in sorted(data)]
        for item in items:
            if item["key"] not in data:
                raise InvalidError(f'{kind.lower()} "{name}" has no key {item["key"]!r}')
            text = data[item["key"]]
            if kind == "Secret":
                text = _text(text, name)
            yield item["path"], text, int(item.get("mode", mode))


def _text(encoded: str, name: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        # Without the cause, which would quote the secret.
        raise InvalidError(f'secret "{name}" holds something else than text') from None


def write(pod: Mapping[str, Any], place: Place, layout: Layout) -> None:
    """Make the files of a pod as they are wanted now; a key that has gone takes its file with it."""
    shared = place.instance.pod(pod["metadata"]["name"])
    write_layout(shared, layout)
    wanted = {file.path for file in layout.files}
    for volume in parts(pod["spec"], "volumes"):
        if "secret" in volume or "configMap" in volume:
            for path in (shared / "volumes" / volume["name"]).rglob("*"):
                if path.is_file() and str(path.relative_to(shared)) not in wanted:
                    path.unlink()


def quantity(text: str) -> float:
    """Return the number that a Kubernetes quantity such as ``512Mi`` or ``250m`` means.

    Raises:
        InvalidError: It is none.
    """
    digits = str(text).rstrip("KMGkim")
    factor = _SUFFIXES.get(str(text)[len(digits) :])
    try:
        return float(digits) * (factor if factor is not None else float("nan"))
    except ValueError as error:
        raise InvalidError(f"{text!r} is no quantity") from error
