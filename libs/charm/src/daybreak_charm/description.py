"""The words a charm is described in: frozen data, no behaviour."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    import ops

    from daybreak_charm.context import Context
    from daybreak_charm.loop import DaybreakCharm
    from daybreak_charm.outcome import Blocked, Outcome, Waiting
    from daybreak_charm.upgrade import Step
    from daybreak_interfaces import NotReady

I = TypeVar("I")  # noqa: E741 - a charm's inputs
OnChange = Literal["restart", "reload", "none"]


@dataclass(frozen=True)
class File:
    """A file in a workload container; content, mode and owner are one wanted state.

    Attributes:
        path: Absolute path; missing folders are made, owned by root.
        content: Whole content; kept out of `repr`.
        mode: Permission bits.
        user: Name of the owner in the container.
        group: Name of the group.
        on_change: What the processes of the container do when it changed.
        container: Its container; None is the charm's first.
    """

    path: str
    content: str = field(repr=False)
    mode: int = 0o644
    user: str = "root"
    group: str = "root"
    on_change: OnChange = "restart"
    container: str | None = None


@dataclass(frozen=True)
class Folder:
    """A folder in a workload container.

    Attributes:
        exclusive: Whether files in it that the charm does not render are removed.
    """

    path: str
    mode: int = 0o755
    user: str = "root"
    group: str = "root"
    exclusive: bool = False
    container: str | None = None


@dataclass(frozen=True)
class Check:
    """A health check of a process. Use `online` and `up` to make one.

    Attributes:
        name: Name in Pebble's plan.
        http: URL of a GET that answers 2xx; or
        tcp: port on 127.0.0.1 that accepts connections; or
        command: a command that exits with 0.
        level: `ready` takes the unit out of service while it fails; None only observes.
        restart: Whether Pebble restarts the process when it fails.
    """

    name: str
    http: str | None = None
    tcp: int | None = None
    command: str | None = None
    level: Literal["ready"] | None = None
    restart: bool = False
    period: str = "2s"
    timeout: str = "3s"
    threshold: int = 3


def online(
    *,
    http: str | None = None,
    tcp: int | None = None,
    command: str | None = None,
    name: str = "online",
    threshold: int = 3,
) -> Check:
    """The check that decides whether a unit gets traffic.

    It must ask a listener that shares no worker with users' requests.
    """
    return Check(name, http, tcp, command, level="ready", threshold=threshold)


def up(
    *,
    http: str | None = None,
    tcp: int | None = None,
    command: str | None = None,
    name: str = "up",
    period: str = "10s",
    threshold: int = 6,
) -> Check:
    """The check that has a hung process restarted by Pebble, after a generous time.

    It has no level: `alive` is the container's liveness probe and would kill a migration.
    """
    return Check(name, http, tcp, command, restart=True, period=period, threshold=threshold)


@dataclass(frozen=True)
class Drain:
    """How a process that takes requests is ended without failing one; see `drain`.

    Attributes:
        signal: The process' own for ending what it has; or the line of a program that ends it, its
            absolute path first.
        detection: Seconds in which those who send requests notice that it is leaving.
        limit: Seconds for the requests in flight.
    """

    detection: int
    limit: int
    signal: str = "SIGTERM"


@dataclass(frozen=True)
class Process:
    """A long-running program under Pebble.

    Attributes:
        name: Name of the Pebble service.
        command: Command line, split like a shell would, without a shell.
        container: Its container; None is the charm's first.
        user: User it runs as; None is Pebble's own.
        group: Group it runs as.
        environment: Added to the container's own.
        checks: Enter the plan together with the process.
        reload: What makes it read its files again in place: a signal (`SIGHUP`), or a program with
            its
            arguments, run as root in its container; None means that it cannot.
        kill_delay: Time between SIGTERM and SIGKILL; must be less than the pod's grace of 30 s. That of
            a process with a drain is made of the drain's times.
        working_dir: Where it starts.
        drain: How it leaves traffic; None for one that takes no requests.
    """

    name: str
    command: str
    container: str | None = None
    user: str | None = None
    group: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    checks: tuple[Check, ...] = ()
    reload: str | tuple[str, ...] | None = None
    kill_delay: str = "20s"
    working_dir: str | None = None
    drain: Drain | None = None


@dataclass(frozen=True)
class Need:
    """A relation that the charm consumes.

    Attributes:
        endpoint: Name in charmcraft.yaml.
        read: What the other side says; its value is in `Context.needs[endpoint]`.
        request: Writes this side; called on every event before any gate, also for non-leaders.
        required: Whether the loop waits for it.
        closed: What a closed one means for a running service.
        many: Whether several relations may exist; the value is then a tuple of those that are
            ready.
        late: Whether a unit that has not served yet does before it is ready what can be done without it, with None
            for its value: the schema is made, and `early` brought up.
    """

    endpoint: str
    read: "Callable[[Context, ops.Relation], object | NotReady]"
    request: "Callable[[Context, ops.Relation], None] | None" = None
    required: bool = True
    closed: Literal["keep", "stop"] = "keep"
    many: bool = False
    late: bool = False


@dataclass(frozen=True)
class Gate:
    """A condition in front of the loop, beside those that the library adds by itself.

    Attributes:
        name: Word for logs and tests.
        test: Asked once per dispatch. It may make what it asks for (a key that is missing, say)
            when
            `Context.acting` is true.
        first: Whether it is asked as soon as the containers are there, before the needs and the
            certificate: for work that need not wait for them.
    """

    name: str
    test: "Callable[[Context], Outcome]"
    first: bool = False


@dataclass(frozen=True)
class Tls:
    """A certificate for this unit from the `tls-certificates` interface.

    Attributes:
        endpoint: Name of the relation endpoint.
        names: DNS names and addresses beside the unit's and the application's own, such as an external
            host name.
        required: Whether the loop waits for it.
    """

    endpoint: str = "certificates"
    names: "Callable[[Context], Sequence[str]] | None" = None
    required: bool = True


@dataclass(frozen=True)
class Schema:
    """How a database schema is brought to the image's release.

    Attributes:
        project: Key in the `heads` of the image's layout.
        connect: Where the database is.
        command: Program of the image, and arguments, that bring an empty database to its heads; safe
            to repeat.
        upgrade: The steps from one release to another.
        user: User they run as.
        environment: Added to their environment.
        container: Where they run; None is the charm's first.
        table: Table that holds the applied heads.
        further: Other databases that `prepare` and `command` fill.
        prepare: What an empty database needs before `command`, safe to repeat; only the heads say
            whether all of it is done.
    """

    project: str
    connect: "DatabaseAddress"
    command: tuple[str, ...]
    upgrade: "tuple[Step, ...]" = ()
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    container: str | None = None
    table: str = "alembic_version"
    further: "tuple[DatabaseAddress, ...]" = ()
    prepare: "tuple[Step, ...]" = ()


@dataclass(frozen=True)
class DatabaseAddress:
    """Where a MySQL-protocol database is, and as whom to use it."""

    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)
    tls_ca: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Task:
    """A program that runs once and ends, while the processes are starting or running.

    Attributes:
        name: Word for logs and the status.
        command: Program and arguments; never a secret among them.
        owed: Whether it must run now; derived from facts, never remembered.
        environment: May hold secrets.
        timeout: Seconds.
        done: Called after success.
    """

    name: str
    command: tuple[str, ...]
    owed: Callable[[], bool]
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    container: str | None = None
    timeout: float = 300.0


def _nothing(*_: Any) -> Any:
    return ()


@dataclass(frozen=True)
class Description(Generic[I]):
    """What a service is. The library does the rest.

    Attributes:
        containers: Names of the workload containers, the main one first.
        read: Makes the inputs from what the needs gave, or says why it cannot.
        render: Files and folders; pure.
        processes: Programs; pure.
        needs: Relations that are consumed, in the order in which a status names them.
        gates: Further conditions, asked after the needs and before `read`.
        tls: Certificate of the unit, None without.
        schema: Database schema, None without.
        tasks: Programs that run once; started together with the processes.
        announce: Writes what is true before the unit serves, for those who can begin with it: where it will be.
        early: What is brought up while a need that is late is not there.
        after: Conditions that can only be asked when the processes run (a cluster that has formed,
            say).
        publish: Writes what is offered; runs when every gate is open, also for non-leaders. It may
            answer
            like a gate.
        rotate: Makes the next generation of the application's secret with this id, which is due. The
            loop runs after it.
        ports: TCP ports to open.
        version: Version of the workload for `juju status`.
        hint: Text beside the status active.
    """

    containers: tuple[str, ...]
    read: "Callable[[Context], I | Waiting | Blocked]"
    render: Callable[[I], Sequence[File | Folder]]
    processes: Callable[[I], Sequence[Process]]
    needs: tuple[Need, ...] = ()
    gates: tuple[Gate, ...] = ()
    tls: Tls | None = None
    schema: Callable[[I], Schema] | None = None
    tasks: "Callable[[Context, I], Sequence[Task]]" = _nothing
    announce: "Callable[[Context, I], object]" = _nothing
    early: "Callable[[Context, I], object] | None" = None
    after: "Callable[[Context, I], Outcome] | None" = None
    publish: "Callable[[Context, I], Outcome | None]" = _nothing
    rotate: "Callable[[DaybreakCharm, str], object] | None" = None
    ports: Callable[[I], Sequence[int]] = _nothing
    version: Callable[[I], str] | None = None
    hint: Callable[[I], str] | None = None
