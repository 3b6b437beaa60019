"""The pod of a sidecar charm, from plain values: Juju's layout, as pure functions.

Mounts, users, modes, arguments and environment are those of a running Juju.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..instance import Instance, unit_file_name
from . import addresses, network
from .pods import ContainerSpec, Directory, File, Layout, Link, Mount, PodSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Address

CHARM_CONTAINER = "charm"
JUJU_GID = 170
JUJU_UID = 170
FIRST_HTTP_PORT = 38812
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

# The interpreter that hooks are forked from, see tools/hooktool/python.c.
WARM = Path(__file__).parent / "warm/sitecustomize.py"
# Juju's shared volume: everybody may create, the group is inherited.
_SHARED = 0o2777
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Workload:
    """A container of the charm's metadata.

    Args:
        name: Its name.
        image: Its image.
        mounts: Pairs of storage id (``data/0``) and location.
        uid: As in the metadata.
        gid: As in the metadata.
        privileged: For containers that manage the machine.
        host_pid: For containers that manage the machine.
        devices: Device nodes to give.
        extra_mounts: Paths of the machine, for containers that manage it.
        shm_size: Size of ``/dev/shm`` in bytes.
    """

    name: str
    image: str
    mounts: tuple[tuple[str, str], ...] = ()
    uid: int | None = None
    gid: int | None = None
    privileged: bool = False
    host_pid: bool = False
    devices: tuple[str, ...] = ()
    extra_mounts: tuple[Mount, ...] = ()
    shm_size: int | None = None


@dataclass(frozen=True)
class ServiceAccount:
    """What a pod needs to talk to the Kubernetes API.

    Args:
        token: Bearer token of the application.
        ca: PEM of the API's certificate authority.
        namespace: The model.
    """

    token: str = field(repr=False)
    ca: str
    namespace: str


def service_environment(host: IPv4Address | str, port: int = 443) -> dict[str, str]:
    """Return the eight variables by which a container finds the Kubernetes API."""
    address = f"{host}:{port}"
    return {
        "KUBERNETES_PORT": f"tcp://{address}",
        f"KUBERNETES_PORT_{port}_TCP": f"tcp://{address}",
        f"KUBERNETES_PORT_{port}_TCP_ADDR": str(host),
        f"KUBERNETES_PORT_{port}_TCP_PORT": str(port),
        f"KUBERNETES_PORT_{port}_TCP_PROTO": "tcp",
        "KUBERNETES_SERVICE_HOST": str(host),
        "KUBERNETES_SERVICE_PORT": str(port),
        "KUBERNETES_SERVICE_PORT_HTTPS": str(port),
    }


def pod_spec(
    instance: Instance,
    plan: addresses.Plan,
    *,
    unit: str,
    model: str,
    address: IPv4Address,
    charm_image: str,
    workloads: Sequence[Workload],
    account: ServiceAccount,
    tools: Sequence[str],
    storages: Mapping[str, Path] = {},
    charm_user: str = "root",
    memory: int | None = None,
    cpus: float | None = None,
    labels: Mapping[str, str] = {},
) -> PodSpec:
    """Return the pod of `unit`.

    Args:
        instance: Whose.
        plan: Addresses of the instance.
        unit: ``keystone/0``.
        model: Name of the model.
        address: The pod's address.
        charm_image: Image of the charm container.
        workloads: In the order of the charm's metadata.
        account: For the Kubernetes API.
        tools: Names of the hook tools to link.
        storages: Directory on the machine by storage id (``data/0``), of the unit's storage
            instances.
        charm_user: ``root``, ``sudoer`` or ``non-root`` as in the metadata.
        memory: Limit in bytes for each container (Juju's `mem` constraint).
        cpus: Limit for each container of a workload (Juju's `cpu-power`).
        labels: For all containers.
    """
    name = unit_file_name(unit)
    root = instance.pod(unit)
    grouped = charm_user != "root" or any(workload.uid is not None for workload in workloads)
    identities = charm_user != "root"
    charm_uid = {"root": None, "sudoer": 171, "non-root": JUJU_UID}.get(charm_user)
    common = (
        Mount(root / "serviceaccount", SERVICE_ACCOUNT, read_only=True),
        Mount(root / "etc/resolv.conf", "/etc/resolv.conf"),
        Mount(root / "etc/hosts", "/etc/hosts"),
        Mount(root / "etc/hostname", "/etc/hostname"),
    )
    groups = (JUJU_GID,) if grouped else ()
    api = service_environment(plan.gateway)
    ports = {
        workload_name: FIRST_HTTP_PORT + 1 + index
        for index, workload_name in enumerate(sorted(workload.name for workload in workloads))
    }
    charm = ContainerSpec(
        name=CHARM_CONTAINER,
        image=charm_image,
        argv=("/charm/bin/pebble", "run", "--http", f":{FIRST_HTTP_PORT}", "--verbose"),
        env={
            **api,
            "JUJU_CONTAINER_NAMES": ",".join(workload.name for workload in workloads),
            "HTTP_PROBE_PORT": "3856",
        },
        mounts=(
            Mount(root / "charm/bin", "/charm/bin", read_only=True),
            Mount(root / "charm/containers", "/charm/containers"),
            Mount(root / "var/lib/juju", "/var/lib/juju"),
            Mount(root / "containeragent/pebble", "/var/lib/pebble/default"),
            Mount(root / "containeragent/var/log/juju", "/var/log/juju"),
            *common,
            *(
                Mount(source, f"/var/lib/juju/storage/{unit_file_name(storage)}")
                for storage, source in sorted(storages.items())
            ),
        ),
        uid=charm_uid,
        gid=charm_uid,
        groups=groups,
        memory=memory,
        workdir="/var/lib/juju",
    )
    return PodSpec(
        unit=unit,
        hostname=name,
        netns=network.NETNS_DIRECTORY / instance.pod_netns(unit),
        containers=(
            charm,
            *(
                _workload(
                    root,
                    workload,
                    port=ports[workload.name],
                    common=common,
                    storages=storages,
                    groups=groups,
                    root_user=not grouped,
                    identities=identities,
                    env=api,
                    memory=memory,
                    cpus=cpus,
                )
                for workload in workloads
            ),
        ),
        layout=_layout(
            instance,
            plan,
            name=name,
            model=model,
            address=address,
            workloads=workloads,
            account=account,
            tools=tools,
            grouped=grouped,
            identities=identities,
            storages=storages,
        ),
        labels=dict(labels),
    )


def _workload(
    root: Path,
    workload: Workload,
    *,
    port: int,
    common: tuple[Mount, ...],
    storages: Mapping[str, Path],
    groups: tuple[int, ...],
    root_user: bool,
    identities: bool,
    env: Mapping[str, str],
    memory: int | None,
    cpus: float | None,
) -> ContainerSpec:
    extra = ("--identities", "/charm/etc/pebble/identities.yaml") if identities else ()
    known = (Mount(root / "charm/etc", "/charm/etc", read_only=True),) if identities else ()
    return ContainerSpec(
        name=workload.name,
        image=workload.image,
        argv=(
            *("/charm/bin/pebble", "run", "--create-dirs", "--hold"),
            *("--http", f":{port}", "--verbose"),
            *extra,
        ),
        env={
            **env,
            "JUJU_CONTAINER_NAME": workload.name,
            "PEBBLE_SOCKET": "/charm/container/pebble.socket",
            "PEBBLE": "/charm/container/pebble",
            "PEBBLE_COPY_ONCE": "/var/lib/pebble/default",
        },
        mounts=(
            Mount(root / "charm/bin/pebble", "/charm/bin/pebble", read_only=True),
            Mount(root / "charm/containers" / workload.name, "/charm/container"),
            *known,
            *common,
            *(
                Mount(storages[storage], location)
                for storage, location in workload.mounts
                if storage in storages
            ),
            *workload.extra_mounts,
        ),
        # Juju sets user 0 only where no container of the charm names a user.
        uid=0 if root_user else workload.uid,
        gid=0 if root_user else workload.gid,
        groups=groups,
        privileged=workload.privileged,
        host_pid=workload.host_pid,
        memory=memory,
        cpus=cpus,
        shm_size=workload.shm_size,
        devices=workload.devices,
    )


def _layout(
    instance: Instance,
    plan: addresses.Plan,
    *,
    name: str,
    model: str,
    address: IPv4Address,
    workloads: Sequence[Workload],
    account: ServiceAccount,
    tools: Sequence[str],
    grouped: bool,
    identities: bool,
    storages: Mapping[str, Path],
) -> Layout:
    agent = f"var/lib/juju/agents/unit-{name}"
    tool_directory = f"var/lib/juju/tools/unit-{name}"

    def shared(path: str) -> Directory:
        return Directory(path, _SHARED, 0, JUJU_GID)

    token_owner = {"mode": 0o640, "gid": JUJU_GID} if grouped else {"mode": 0o644, "gid": 0}
    return Layout(
        directories=(
            Directory("etc"),
            Directory("serviceaccount"),
            Directory("charm"),
            shared("charm/bin"),
            Directory("charm/bin/warm"),
            *((Directory("charm/etc"), Directory("charm/etc/pebble")) if identities else ()),
            shared("charm/containers"),
            *(shared(f"charm/containers/{workload.name}") for workload in workloads),
            Directory("var"),
            Directory("var/lib"),
            shared("var/lib/juju"),
            shared("var/lib/juju/agents"),
            shared(agent),
            # mount point of each storage, made here because the parent is a mount itself
            *((shared("var/lib/juju/storage"),) if storages else ()),
            *(
                shared(f"var/lib/juju/storage/{unit_file_name(storage)}")
                for storage in sorted(storages)
            ),
            shared("var/lib/juju/tools"),
            shared(tool_directory),
            Directory("containeragent"),
            shared("containeragent/pebble"),
            Directory("containeragent/var"),
            Directory("containeragent/var/log"),
            shared("containeragent/var/log/juju"),
        ),
        files=(
            File("etc/hostname", f"{name}\n"),
            File("etc/hosts", _hosts(name, model, address)),
            File("etc/resolv.conf", network.resolv_conf(model, plan)),
            File("charm/bin/warm/sitecustomize.py", WARM.read_text(encoding="utf-8")),
            File("serviceaccount/token", account.token, **token_owner),
            File("serviceaccount/ca.crt", account.ca),
            File("serviceaccount/namespace", account.namespace),
            *((File("charm/etc/pebble/identities.yaml", _IDENTITIES),) if identities else ()),
        ),
        links=(
            *(Link(f"{tool_directory}/{tool}", "/charm/bin/hooktool") for tool in sorted(tools)),
            Link(f"{tool_directory}/python3", "/charm/bin/python3"),
        ),
        copies={
            "charm/bin/pebble": instance.pebble,
            "charm/bin/hooktool": instance.hooktool,
            # By this name it runs Python also when it is called directly.
            "charm/bin/python3": instance.hooktool,
        },
    )


_IDENTITIES = f"""\
identities:
    juju:
        access: admin
        local:
            user-id: {JUJU_UID}
"""


def _hosts(name: str, model: str, address: IPv4Address) -> str:
    application = name.rpartition("-")[0]
    return (
        "127.0.0.1 localhost\n"
        "::1 localhost ip6-localhost ip6-loopback\n"
        f"{address} {name}.{application}-endpoints.{model}.svc.cluster.local {name}\n"
    )


def hook_path(unit: str) -> str:
    """Return the PATH of a hook of `unit`."""
    return f"/var/lib/juju/tools/unit-{unit_file_name(unit)}:{_SYSTEM_PATH}:/charm/bin"


def pebble_socket(instance: Instance, unit: str, container: str) -> Path:
    """Return the path on the machine of the Pebble socket of a unit's container."""
    root = instance.pod(unit)
    if container == CHARM_CONTAINER:
        return root / "containeragent/pebble/.pebble.socket"
    return root / "charm/containers" / container / "pebble.socket"
