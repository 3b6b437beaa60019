"""The model as `juju status` and its relatives show it: plain values, no formats.

`queries` fills them in one read transaction; the formatters only look at them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

VERSION = "3.6.14"
"""The Juju version that the engine claims to be."""
CONTROLLER = "embedded"
CLOUD = "embedded"
REGION = "localhost"
SPACE = "alpha"
"""The one network space of a Kubernetes model."""


@dataclass(frozen=True)
class StatusView:
    """One status of an entity."""

    current: str
    message: str = ""
    since: float | None = None
    """Seconds since the epoch."""


@dataclass(frozen=True)
class UnitView:
    """One unit."""

    name: str
    workload: StatusView
    agent: StatusView
    leader: bool = False
    life: str = "alive"
    address: str = ""
    ports: tuple[str, ...] = ()
    """Such as `5000/tcp`, sorted."""

    @property
    def provider_id(self) -> str:
        """The name of the unit's pod; empty before there is one."""
        return self.name.replace("/", "-") if self.address else ""


@dataclass(frozen=True)
class EndpointView:
    """One application's relation, seen from one of its endpoints."""

    endpoint: str
    other: str
    """The related application; the own one for peers."""
    interface: str


@dataclass(frozen=True)
class ApplicationView:
    """One application with its units."""

    name: str
    charm: str
    revision: int
    base: tuple[str, str]
    """Such as `("ubuntu", "24.04")`."""
    status: StatusView
    charm_version: str = ""
    scale: int = 0
    provider_id: str = ""
    address: str = ""
    exposed: bool = False
    life: str = "alive"
    workload_version: str = ""
    relations: tuple[EndpointView, ...] = ()
    units: tuple[UnitView, ...] = ()
    """Sorted by ordinal."""
    endpoints: tuple[str, ...] = ()
    """All endpoints of the charm, `juju-info` among them, sorted."""


@dataclass(frozen=True)
class RelationView:
    """One relation of the model."""

    id: int
    provider: str
    """`application:endpoint`; the same as `requirer` for peers."""
    requirer: str
    interface: str
    peer: bool = False
    message: str = ""
    """`joining`, `removing`, or empty when all is well."""


@dataclass(frozen=True)
class StorageView:
    """One storage instance with its filesystem."""

    id: str
    """Such as `data/0`."""
    status: StatusView
    unit: str = ""
    """Empty once detached."""
    location: str = ""
    size: int = 0
    """In MiB."""
    life: str = "alive"
    provider_id: str = ""


@dataclass(frozen=True)
class ModelView:
    """A model at one moment."""

    name: str
    uuid: str
    status: StatusView
    now: float
    life: str = "alive"
    applications: Mapping[str, ApplicationView] = field(default_factory=dict[str, ApplicationView])
    """By name, sorted."""
    relations: tuple[RelationView, ...] = ()
    storage: tuple[StorageView, ...] = ()
