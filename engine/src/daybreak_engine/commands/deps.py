"""What a command gets and what it may do outside the model.

A command reads and writes the model by itself. Everything else it needs from the
machine goes through `Deps`, which the daemon implements, so that commands run in
tests with a small fake and no containers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from daybreak_engine.model import Store

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One call of the `juju` command, as the client saw it."""

    argv: tuple[str, ...]
    """The arguments after the program's name."""
    cwd: Path
    """The caller's working directory; relative paths in `argv` start here."""
    stdin: str | None = None
    """What stood on standard input, or None when the client did not read it."""
    tty: bool = False
    """Whether standard output is a terminal."""
    env: dict[str, str] = field(default_factory=dict[str, str])
    """The few variables of the caller that matter (`JUJU_MODEL`)."""


@dataclass(frozen=True)
class Out:
    """Text for the caller's standard output."""

    data: str


@dataclass(frozen=True)
class Err:
    """Text for the caller's standard error."""

    data: str


@dataclass(frozen=True)
class Exit:
    """The exit code; nothing follows it. Without one a command ends with 0."""

    code: int


Output = Out | Err | Exit


@dataclass(frozen=True)
class ExecResult:
    """How a program in a container ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class StoredCharm:
    """A charm archive in the engine's content-addressed store."""

    digest: str
    """SHA-256 of the archive, in hex."""
    path: Path
    """The archive inside the store; it does not change any more."""


@dataclass(frozen=True)
class Node:
    """A node of the cluster."""

    name: str
    address: str
    labels: Mapping[str, str]
    pods: tuple[str, ...]
    """Names of the DaemonSets' pods on it."""


class Deps(Protocol):
    """The effects that commands on one model need beyond it; the daemon provides them."""

    @property
    def store(self) -> "Store":
        """The model's store; commands run their transactions on it."""
        ...

    def now(self) -> datetime:
        """Return the current time, in UTC."""
        ...

    def wake(self) -> None:
        """Say that the model changed, so that agents look at it. Does not wait."""
        ...

    async def wait(self, predicate: Callable[[], T | None], timeout: float | None) -> T | None:
        """Return what `predicate` gives once that is not None.

        It is asked at once, and again after each change of the model.

        Args:
            predicate: reads the model; must not change it.
            timeout: in seconds; None waits for ever.

        Returns:
            The predicate's value, or None when the time is over.
        """
        ...

    async def store_charm(self, archive: Path) -> StoredCharm:
        """Copy a packed charm into the content-addressed store.

        Storing the same content again is cheap and gives the same row.

        Raises:
            OSError: the archive cannot be read or the store cannot be written.
        """
        ...

    async def store_file(self, path: Path) -> StoredCharm:
        """Copy the content of a `file` resource into the content-addressed store.

        Raises:
            OSError: as for `store_charm`.
        """
        ...

    async def image_present(self, reference: str) -> bool:
        """Tell whether podman has the image `reference` (or can name it by alias)."""
        ...

    def nodes(self) -> Sequence[Node]:
        """Return the nodes of the cluster that charms see."""
        ...

    def add_node(self, name: str, labels: Mapping[str, str]) -> None:
        """Add a node; it starts when a pod needs it.

        Raises:
            EngineError: the name is taken or cannot be used.
        """
        ...

    def remove_node(self, name: str) -> None:
        """Have a node go, with its pods. Does not wait.

        Raises:
            EngineError: there is none, or it has to stay.
        """
        ...

    async def exec_in(
        self, unit: str, container: str, argv: Sequence[str], stdin: str | None
    ) -> ExecResult:
        """Run a program in a container of a unit's pod and wait for its end.

        Args:
            unit: such as `keystone/0`.
            container: `charm` or the name of a workload container.
            argv: the program and its arguments; there is no shell.
            stdin: text for its standard input; None is an empty one.

        Raises:
            LookupError: the unit has no running pod, or the pod no such container.
        """
        ...

    @property
    def log_path(self) -> Path:
        """The model's debug log (`model.log.LogFile`)."""
        ...


class Engine(Protocol):
    """The daemon as a keeper of models, for the commands that make and end them."""

    def models(self) -> "Mapping[str, Deps]":
        """Return the models there are, by name; the ones being destroyed too."""
        ...

    async def add_model(self, name: str) -> Deps:
        """Make an empty model, its network and its agents' runner.

        Raises:
            EngineError: this engine cannot have one more model.
        """
        ...

    async def remove_model(self, name: str, *, keep_storage: bool) -> None:
        """Forget a model that has no units left: network, files, volumes.

        The caller has made the model dying and has waited for its applications.
        """
        ...
