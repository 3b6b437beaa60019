"""What the model holds, as values. Times are seconds since the epoch, lives are words of Juju."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Life: TypeAlias = Literal["alive", "dying", "dead"]
OwnerKind: TypeAlias = Literal["application", "unit", "model"]


@dataclass(frozen=True, slots=True)
class Model:
    """The model itself; `config` holds only what was set."""

    name: str
    uuid: str
    life: Life
    config: Mapping[str, Any]
    constraints: Mapping[str, str]
    created: float


@dataclass(frozen=True, slots=True)
class Charm:
    """A stored charm archive (its description: `charms.meta`)."""

    id: int
    name: str
    revision: int
    digest: str
    path: str
    created: float

    @property
    def url(self) -> str:
        """The name that `juju status` shows, such as `local:keystone-k8s-0`."""
        return f"local:{self.name}-{self.revision}"


@dataclass(frozen=True, slots=True)
class Application:
    """An application. `storage` holds the directives given at deploy (`5M`) by storage name.

    `charm_modified_version` grows with everything that makes new pods: charm, resources, limits.
    """

    name: str
    charm_id: int
    life: Life
    scale: int
    trust: bool
    exposed: bool
    constraints: Mapping[str, str]
    storage: Mapping[str, str]
    partition: int
    grace_period: float
    charm_modified_version: int
    service_address: str
    load_balancer_address: str
    provider_id: str
    workload_version: str
    created: float


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit and its pod.

    `charm_id`, `charm_modified_version`: of the present pod (None, -1: never had one).
    `pod_generation`: number of the present pod, 0 while there never was one; each new pod means
    a fresh charm directory. `boot`: names the present start of the charm container. `stopping`:
    the pod is being ended, the `stop` hook is due. `resolved`: "", "retry" or "no-retry".
    `state`: the resolver's `UnitState` as JSON, empty at first.
    """

    name: str
    application: str
    ordinal: int
    life: Life
    address: str
    charm_id: int | None
    charm_modified_version: int
    pod_generation: int
    boot: str
    stopping: bool
    resolved: str
    state: str
    created: float

    @property
    def provider_id(self) -> str:
        """The pod's name, such as `keystone-0`."""
        return f"{self.application}-{self.ordinal}"


@dataclass(frozen=True, slots=True)
class Status:
    """A status with its time. `by_charm` tells a charm's own from one that the agent set."""

    status: str
    message: str
    data: Mapping[str, Any]
    since: float
    by_charm: bool = False


@dataclass(frozen=True, slots=True)
class Port:
    """An open port; `endpoint` is empty for all endpoints."""

    protocol: str
    port: int
    endpoint: str = ""

    def __str__(self) -> str:
        return self.protocol if self.protocol == "icmp" else f"{self.port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class RelationEndpoint:
    """One side of a relation; role: provider, requirer, peer."""

    application: str
    endpoint: str
    role: str

    def __str__(self) -> str:
        return f"{self.application}:{self.endpoint}"


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation with its one (peer) or two endpoints, the provider last."""

    id: int
    interface: str
    peer: bool
    life: Life
    endpoints: tuple[RelationEndpoint, ...]
    created: float

    def of(self, application: str) -> RelationEndpoint:
        """Return the endpoint of an application (of a relation with itself: the first)."""
        for endpoint in self.endpoints:
            if endpoint.application == application:
                return endpoint
        raise KeyError(application)

    def other(self, application: str) -> RelationEndpoint:
        """Return the opposite endpoint; the own one for peers."""
        for endpoint in self.endpoints:
            if endpoint.application != application:
                return endpoint
        return self.endpoints[0]


@dataclass(frozen=True, slots=True)
class Databag:
    """The settings of a unit or application in a relation; version 0: never written."""

    version: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lease:
    """Leadership of an application until `expires`."""

    application: str
    holder: str
    expires: float


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret's metadata. `label` is the owner's; for user secrets (owner_kind model) the name."""

    id: str
    owner_kind: OwnerKind
    owner: str
    label: str
    description: str
    rotate: str
    rotates: float | None
    expires: float | None
    auto_prune: bool
    revision: int
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class SecretRevision:
    """A revision without its content (`secrets.content`)."""

    secret_id: str
    revision: int
    checksum: str
    created: float


@dataclass(frozen=True, slots=True)
class SecretConsumer:
    """What a unit tracks of a secret, under its own label."""

    secret_id: str
    unit: str
    label: str
    revision: int


@dataclass(frozen=True, slots=True)
class SecretGrant:
    """Who may read: an application or unit name; `relation_id` None for user secrets."""

    secret_id: str
    target: str
    relation_id: int | None


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource's value: `{"registrypath", "username", "password"}` or `{"path"}`."""

    application: str
    name: str
    type: str
    value: Mapping[str, str]
    created: float


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage instance such as `data/0`; `unit` None once detached."""

    id: str
    name: str
    application: str
    unit: str | None
    location: str
    size: str
    life: Life
    provisioned: bool
    created: float


@dataclass(frozen=True, slots=True)
class Task:
    """One run of an action (or of a command: action `juju-exec`) on a unit.

    `status`: pending, running, completed, failed, aborted, error. `results` are nested values
    as a charm set them, with `return-code`, `stdout`, `stderr`. `log`: (seconds, message).
    """

    id: int
    operation_id: int
    unit: str
    action: str
    parameters: Mapping[str, Any]
    status: str
    message: str
    results: Mapping[str, Any]
    log: tuple[tuple[float, str], ...]
    cancel: bool
    enqueued: float
    started: float | None
    completed: float | None


@dataclass(frozen=True, slots=True)
class KubernetesObject:
    """An object that a charm made through the Kubernetes API; `version` grows with writes."""

    kind: str
    name: str
    version: int
    body: Mapping[str, Any]
