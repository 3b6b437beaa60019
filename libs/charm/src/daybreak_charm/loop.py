"""The loop: read, decide, apply, publish, on every event, from one ordered list of gates."""

import json
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import ops
from ops import pebble

from daybreak_charm import (
    containers,
    migration,
    partition,
    roll,
    room,
    start,
    tls,
    urls,
    wakers,
)
from daybreak_charm.context import Context
from daybreak_charm.description import Description, File, Folder, Need, Process, Schema
from daybreak_charm.effects import DatabaseUnreachableError, Effects
from daybreak_charm.outcome import Blocked, Outcome, Ready, Waiter, Waiting
from daybreak_charm.wakers import RETRY
from daybreak_interfaces import NotReady

logger = logging.getLogger(__name__)

_EXCLUDED = (
    ops.StopEvent,
    ops.RemoveEvent,
    ops.ActionEvent,
    ops.SecretRemoveEvent,
    ops.SecretExpiredEvent,
    ops.SecretRotateEvent,
    ops.CollectStatusEvent,
)
# What a retry cannot be told from: such an error in a hook of Pebble would restart the unit's
# agent.
_FAILURES = (pebble.Error, ops.ModelError, OSError, RuntimeError, ValueError, LookupError)
_ROUNDS = 3

_Gate = tuple[str, Callable[[], Outcome]]


def _open(found: list[tuple[str, Outcome]], gates: Iterable[_Gate]) -> bool:
    """Ask gates in their order up to the first closed one, and note what they answer; whether all are open."""
    for name, test in gates:
        found.append((name, test()))
        if not isinstance(found[-1][1], Ready):
            return False
    return True


class DaybreakCharm(ops.CharmBase):
    """A charm made of a description.

    Attributes:
        description: What the service is.
        effects: Time, probes and database connections; replaced in tests.
    """

    description: ClassVar[Description[Any]]
    effects: ClassVar[Effects] = Effects()

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self.context = Context(self, self.effects)
        self.inputs: Any = None
        self._settings = self._new_pod = self._may_start = False
        self._nothing_new = False
        self._held = set[str]()
        self._late: list[_Gate] = []
        self._outcomes: list[tuple[str, Outcome]] | None = None
        for bound in self.on.events().values():
            kind = bound.event_type
            if issubclass(kind, ops.HookEvent) and not issubclass(kind, _EXCLUDED):
                framework.observe(bound, self._on_event)
        framework.observe(self.on.collect_unit_status, self._on_collect_status)
        framework.observe(self.on.secret_remove, self._on_secret_unused)
        framework.observe(self.on.secret_expired, self._on_secret_unused)
        framework.observe(self.on.secret_rotate, self._on_secret_rotate)
        framework.observe(self.on.stop, self._on_going)
        framework.observe(self.on.remove, self._on_going)
        if "upgrade-status" in self.meta.actions:
            framework.observe(self.on["upgrade_status"].action, self._on_upgrade_status)
        if "upgrade-turn" in self.meta.actions:
            framework.observe(self.on["upgrade_turn"].action, self._on_upgrade_turn)

    # --- events -----------------------------------------------------------------------------

    def ask(self) -> list[tuple[str, Outcome]]:
        """What the gates say, without acting; sets `inputs` if they could be read. For actions."""
        if self._outcomes is None:
            self._outcomes = self._evaluate()
        return self._outcomes

    def explain(self, outcomes: Sequence[tuple[str, Outcome]]) -> str:
        """The status that these answers mean, as a text."""
        return self._status(outcomes).message

    def again(self, event: ops.EventBase) -> None:
        """Run the loop in an event that it does not run on: after a rotation by an action, say."""
        self._on_event(event)

    def _on_secret_rotate(self, event: ops.SecretRotateEvent) -> None:
        rotate = self.description.rotate
        if rotate and not self.context.leaving:
            rotate(self, event.secret.id or "")
        self._on_event(event)

    def _on_event(self, event: ops.EventBase) -> None:
        starting = (
            isinstance(event, ops.PebbleCheckEvent) and event.info.name == containers.STARTING
        )
        if starting:
            self._nothing_new = True
            return
        # Juju tells of trust by config-changed alone.
        self._settings = isinstance(event, ops.ConfigChangedEvent | ops.UpdateStatusEvent)
        # Juju sends it first in every pod that takes another's place, before the pod is ready.
        self._new_pod = isinstance(event, ops.UpgradeCharmEvent)
        try:
            self._run()
        except pebble.ConnectionError as error:
            # The container has gone; pebble-ready follows when it is back.
            self._outcomes = [("container", Waiting("a container is restarting", "pebble-ready"))]
            logger.info("no connection to Pebble: %s", error)
        except _FAILURES as error:
            if not isinstance(event, ops.WorkloadEvent):
                raise
            logger.exception("the loop failed")
            waiting = Waiting(f"{type(error).__name__}, see the log", RETRY)
            self._outcomes = [("loop", waiting)]
            self._arm(waiting)

    def _on_secret_unused(self, event: ops.SecretRemoveEvent | ops.SecretExpiredEvent) -> None:
        event.remove_revision()

    def _on_going(self, _: ops.EventBase) -> None:
        self._outcomes = []

    def _on_upgrade_status(self, event: ops.ActionEvent) -> None:
        wanted = str(event.params.get("release", ""))
        with self._schema_for(event) as schema:
            if schema:
                place = self._place(schema.container)
                report = migration.report(self.context, schema, place, wanted)
                event.set_results({"report": json.dumps(report)})

    def _on_upgrade_turn(self, event: ops.ActionEvent) -> None:
        wanted = str(event.params["release"])
        with self._schema_for(event) as schema:
            if schema:
                place = self._place(schema.container)
                if why := migration.turn(self.context, schema, place, wanted):
                    event.fail(why)
                    return
                # Whether this unit is the last one, and has an upgrade to finish.
                self.again(event)

    @contextmanager
    def _schema_for(self, event: ops.ActionEvent) -> Generator[Schema | None]:
        """Give an action the schema; let it fail, and give None, where the database is not known or silent."""
        outcomes = self.ask()
        known = self.inputs is not None and self.description.schema is not None
        try:
            yield (
                self.description.schema(self.inputs) if known and self.description.schema else None
            )
        except DatabaseUnreachableError as error:
            event.fail(
                f"the database says: {error.said}" if error.said else "the database does not answer"
            )
            return
        if not known:
            event.fail(f"the database is not known yet: {self.explain(outcomes)}")

    def _on_collect_status(self, event: ops.CollectStatusEvent) -> None:
        if self._nothing_new:
            return
        if self._outcomes is None:
            try:
                self.ask()
                self._see_that_it_ends()
            except pebble.ConnectionError:
                self._outcomes = [("container", Waiting("a container is restarting", ""))]
        event.add_status(self._status(self._outcomes or []))

    def _see_that_it_ends(self) -> None:
        """Give a wait a waker that was found without the loop, in an action for example."""
        last = self.ask()[-1][1] if self.ask() else Ready()
        if self.context.leaving:
            return
        if isinstance(last, Blocked) and last.waker:
            self._arm(last)
        if isinstance(last, Waiting) and self._arm(Waiting(last.why, last.waker or RETRY)):
            self._outcomes = None
            again = self.ask()
            self._arm_timer(again[-1][1] if again else Ready())

    @staticmethod
    def _status(outcomes: Sequence[tuple[str, Outcome]]) -> ops.StatusBase:
        hints: list[str] = []
        for _, outcome in outcomes:
            match outcome:
                case Blocked(why, remedy):
                    return ops.BlockedStatus(f"{why}: {remedy}" if remedy else why)
                case Waiting(why):
                    return ops.WaitingStatus(why)
                case Ready(hint):
                    hints += [hint] if hint else []
        return ops.ActiveStatus("; ".join(hints)) if outcomes else ops.MaintenanceStatus("leaving")

    # --- the loop ---------------------------------------------------------------------------

    def _run(self) -> None:
        self.context.acting = not self.context.leaving
        try:
            if self.context.acting:
                if self._new_pod:
                    partition.hold(self.context)
                partition.park(self.context, again=self._settings)
            last: Outcome = Ready()
            for _ in range(_ROUNDS):
                self.context.changed = self._may_start = False
                outcomes = self._evaluate()
                self._outcomes = outcomes
                if not self.context.acting:
                    return
                if not self._may_start:
                    roll.give_up(self.context)
                last = outcomes[-1][1] if outcomes else Ready()
                if not self._arm(last) and not self.context.changed:
                    break
            else:
                self._arm_timer(last)
            roll.lead(self.context)
        finally:
            self.context.acting = False

    def _arm(self, outcome: Outcome) -> bool:
        return wakers.arm(self.context, self.description.containers, outcome)

    def _arm_timer(self, outcome: Outcome) -> None:
        wakers.arm_timer(self.context, self.description.containers, outcome)

    def _evaluate(self) -> list[tuple[str, Outcome]]:
        """Ask the gates in order up to the first closed one; act in between if the loop runs."""
        context, what = self.context, self.description
        if context.acting:
            self._request()
        # First of all: whatever else is closed may be so for want of room.
        found: list[tuple[str, Outcome]] = [("room", room.look(context, what.containers))]
        if not _open(found, self._gates()):
            return found
        inputs = what.read(context)
        if isinstance(inputs, Waiting | Blocked):
            found.append(("inputs", inputs))
            return found
        self.inputs = inputs
        try:
            self._serve(inputs, found)
        except DatabaseUnreachableError as error:
            if what.schema is None:
                raise
            logger.warning("the database is unreachable: %s", error)
            where = what.schema(inputs).connect
            waiter = Waiter("database", tcp=urls.host_port(where.host, where.port))
            why = (
                f"the database says: {error.said}" if error.said else "the database does not answer"
            )
            found.append(("database", Waiting(why, waiter)))
        return found

    def _gates(self) -> Iterator[_Gate]:
        """The conditions in front of the inputs, in the order of asking."""
        self._late = []
        context, what = self.context, self.description
        for name in what.containers:
            yield f"container {name}", partial(self._container_gate, name)
        yield "peers", self._peers_gate
        for gate in (gate for gate in what.gates if gate.first):
            yield gate.name, partial(gate.test, context)
        for need in what.needs:
            yield need.endpoint, partial(self._need_gate, need)
        if what.tls:
            yield what.tls.endpoint, partial(tls.gate, context, what.tls)
        for gate in (gate for gate in what.gates if not gate.first):
            yield gate.name, partial(gate.test, context)

    def _serve(self, inputs: Any, found: list[tuple[str, Outcome]]) -> None:
        context, what = self.context, self.description
        items = tuple(what.render(inputs))
        processes = tuple(what.processes(inputs))
        if context.acting:
            self._write(items)
            what.announce(context, inputs)
        if what.schema:
            schema = what.schema(inputs)
            place = self._place(schema.container)
            if not _open(found, [("schema", partial(migration.migrate, context, schema, place))]):
                return
        if not _open(found, self._late):
            if what.early and context.acting:
                what.early(context, inputs)
            return
        fresh = False
        if context.acting:
            self._may_start = True
            turn = self._start(items, processes)
            if not isinstance(turn, bool):
                found.append(("roll", turn))
                return
            fresh = turn
        main = self._place(None)
        service: tuple[_Gate, ...] = (
            ("service", lambda: start.run_tasks(context, main, what.tasks(context, inputs))),
            ("service", lambda: self._online(processes, fresh=fresh)),
            ("service", lambda: what.after(context, inputs) if what.after else Ready()),
        )
        if not _open(found, service):
            return
        if context.acting:
            self._settle()
            published = what.publish(context, inputs)
            if isinstance(published, Waiting | Blocked):
                found.append(("publish", published))
                return
            self._describe(inputs)
        if not _open(found, self._last_gates(inputs)):
            return
        found.append(("ready", Ready(what.hint(inputs) if what.hint else "")))

    def _last_gates(self, inputs: Any) -> Iterator[_Gate]:
        """The conditions behind a unit that serves: those of the application's change."""
        context, what = self.context, self.description
        yield "partition", partial(partition.go_on, context, self._place(None))
        if what.schema:
            schema = what.schema(inputs)
            place = self._place(schema.container)
            yield "upgrade", partial(migration.finish, context, schema, place)

    def _online(self, processes: Sequence[Process], *, fresh: bool) -> Outcome:
        """Whether all processes answer; traffic may come to the containers whose own do.

        Container by container, because one may wait for another (a proxy for its database, say).
        """
        found: Outcome = Ready()
        for name in self.description.containers:
            mine = [process for process in processes if self._place(process.container) == name]
            outcome = start.wait_online(self.context, name, mine, fresh=fresh)
            if not isinstance(outcome, Ready):
                found, fresh = (outcome if isinstance(found, Ready) else found), False
            elif name in self._held:
                self._held.discard(name)
                containers.let_in(self.context.container(name))
        return found

    def _settle(self) -> None:
        """The processes run with what was read: say so to whoever waits for it."""
        roll.end(self.context)
        self.context.settle()
        if self.description.tls:
            tls.confirm(self.context, self.description.tls)

    # --- its parts --------------------------------------------------------------------------

    def _request(self) -> None:
        for need in self.description.needs:
            if need.request:
                for relation in self.context.relations(need.endpoint):
                    need.request(self.context, relation)
        if self.description.tls:
            tls.request(self.context, self.description.tls)

    def _container_gate(self, name: str) -> Outcome:
        container = self.context.container(name)
        if container.can_connect():
            if self.context.acting and containers.hold_back(container, self.effects):
                self._held.add(name)
            return Ready()
        return Waiting(f"container {name} is starting", f"{name}-pebble-ready")

    def _peers_gate(self) -> Outcome:
        if self.context.peers is None and "peers" in self.meta.peers:
            return Waiting("the unit is being set up", "start")
        return Ready()

    def _need_gate(self, need: Need) -> Outcome:
        outcome = self._ask(need)
        sooner = self.description.schema or self.description.early
        if isinstance(outcome, Ready) or not (need.late and sooner):
            return outcome
        places = map(self.context.container, self.description.containers)
        if any(containers.is_planned(place.get_plan()) for place in places):
            return outcome
        # What follows is asked first, so that what can be done without this one is done when it is there.
        self._late.append((need.endpoint, lambda: outcome))
        return Ready()

    def _ask(self, need: Need) -> Outcome:
        context = self.context
        relations = context.relations(need.endpoint)
        values = [need.read(context, relation) for relation in relations]
        ready = [value for value in values if not isinstance(value, NotReady)]
        reasons = [value.why for value in values if isinstance(value, NotReady)]
        if need.many:
            context.needs[need.endpoint] = tuple(ready)
        else:
            context.needs[need.endpoint] = ready[0] if ready else None
        if ready or not need.required:
            return Ready()
        if need.closed == "stop" and context.acting:
            start.stop(context, self.description.containers)
        if not relations:
            return Blocked(
                f"relation {need.endpoint} is missing",
                f"juju integrate {context.app}:{need.endpoint} <application>",
            )
        return Waiting(f"{need.endpoint}: {reasons[0]}", f"{need.endpoint}-relation-changed")

    def _write(self, items: Sequence[File | Folder]) -> None:
        for name in self.description.containers:
            mine = [item for item in items if self._place(item.container) == name]
            if mine and containers.write_all(self.context.container(name), mine, self.effects):
                logger.info("files of %s written", name)

    def _start(
        self, items: Sequence[File | Folder], processes: Sequence[Process]
    ) -> bool | Waiting:
        """Bring the processes of all containers to the plan.

        Returns:
            Whether one starts now whose answer is worth waiting for; or that another unit's turn is first.
        """
        fresh = False
        for name in self.description.containers:
            files = [i for i in items if isinstance(i, File) and self._place(i.container) == name]
            mine = [process for process in processes if self._place(process.container) == name]
            outcome = start.bring(self.context, name, files, mine)
            if isinstance(outcome, Waiting):
                return outcome
            fresh |= outcome
        return fresh

    def _describe(self, inputs: Any) -> None:
        if ports := tuple(self.description.ports(inputs)):
            self.unit.set_ports(*ports)
        version = self.description.version(inputs) if self.description.version else ""
        if not version:
            return
        if self.context.peer_unit.get("version") != version:
            self.context.put_peer_unit(version=version)
        # Juju takes the version of an application from its leader only.
        if self.context.leader and self.context.peer_app.get("version") != version:
            self.unit.set_workload_version(version)
            self.context.put_peer_app(version=version)

    def _place(self, container: str | None) -> str:
        return container or next(iter(self.description.containers), "")
