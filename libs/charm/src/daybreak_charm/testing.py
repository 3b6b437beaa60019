"""What unit tests of charms share: effects that take no time, and the proof of idempotence."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ops

from daybreak_charm.effects import Connection, Effects

if TYPE_CHECKING:
    from ops import testing

    from daybreak_charm.description import DatabaseAddress


def quiet_effects(
    *,
    now: float = 1_800_000_000.0,
    answers: bool = True,
    database: Connection | None = None,
) -> Effects:
    """Effects for `ops.testing`: no time passes, processes answer as told, owners are as wanted.

    Args:
        now: The clock.
        answers: What every probe says.
        database: What every database connection is; None refuses connections.
    """

    @contextmanager
    def connect(_: "DatabaseAddress") -> Iterator[Connection]:
        from daybreak_charm.effects import DatabaseUnreachableError

        if database is None:
            raise DatabaseUnreachableError("refused")
        yield database

    return Effects(
        now=lambda: now,
        sleep=lambda _: None,
        probe=lambda *_: answers,
        connect=connect,
        owner=lambda _: (None, None),
    )


@dataclasses.dataclass(frozen=True)
class Writes:
    """What a dispatch did to its containers.

    Attributes:
        pushed: Paths written.
        layers: Labels of layers added.
        replans: Number of replans.
        signals: Signals sent.
        commands: Programs executed.
    """

    pushed: list[str] = dataclasses.field(default_factory=list[str])
    layers: list[str] = dataclasses.field(default_factory=list[str])
    replans: list[str] = dataclasses.field(default_factory=list[str])
    signals: list[str] = dataclasses.field(default_factory=list[str])
    commands: list[Sequence[str]] = dataclasses.field(default_factory=list[Sequence[str]])

    @property
    def nothing(self) -> bool:
        """Whether the dispatch changed nothing."""
        return not (self.pushed or self.layers or self.replans or self.signals or self.commands)


@contextmanager
def recorded() -> Iterator[Writes]:
    """Record what dispatches within the block do to containers."""
    writes = Writes()
    kept: list[tuple[str, Callable[..., Any]]] = []

    def watch(method: str, note: Callable[[tuple[Any, ...]], None]) -> None:
        original: Callable[..., Any] = getattr(ops.Container, method)
        kept.append((method, original))

        def wrapped(self: ops.Container, *args: Any, **kwargs: Any) -> Any:
            note(args)
            return original(self, *args, **kwargs)

        setattr(ops.Container, method, wrapped)

    watch("push", lambda args: writes.pushed.append(str(args[0])))
    watch("make_dir", lambda args: writes.pushed.append(str(args[0])))
    watch("remove_path", lambda args: writes.pushed.append(str(args[0])))
    watch("add_layer", lambda args: writes.layers.append(str(args[0])))
    watch("start", lambda args: writes.replans.append(str(args)))
    watch("stop", lambda args: writes.replans.append(str(args)))
    watch("send_signal", lambda args: writes.signals.append(str(args)))
    watch("exec", lambda args: writes.commands.append(args[0]))
    try:
        yield writes
    finally:
        for method, original in kept:
            setattr(ops.Container, method, original)


def assert_idempotent(
    context: "testing.Context[Any]", event: Any, state: "testing.State"
) -> "testing.State":
    """Run an event twice; the second run must write, restart and publish nothing.

    Containers need a `Mount` wherever the charm writes, so that files outlive the first run.

    Returns:
        The state after the first run.
    """
    first = context.run(event, state)
    with recorded() as writes:
        second = context.run(event, first)
    assert writes.nothing, writes
    databags = [
        {r.id: (r.local_app_data, r.local_unit_data) for r in s.relations} for s in (first, second)
    ]
    assert databags[0] == databags[1]
    assert {s.id: s.latest_content for s in first.secrets} == {
        s.id: s.latest_content for s in second.secrets
    }
    assert first.opened_ports == second.opened_ports
    assert first.unit_status == second.unit_status
    return first
