"""Bring a schema to the image's release, by one unit, and finish an upgrade when all have moved."""

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from daybreak_charm import program as programs
from daybreak_charm import schema as schemas
from daybreak_charm import upgrade
from daybreak_charm.outcome import Blocked, Outcome, Ready, Waiting
from daybreak_charm.program import Ended, Program
from daybreak_charm.schema import Lease
from daybreak_charm.upgrade import (
    Create,
    Decision,
    Expand,
    Found,
    Phase,
    Record,
    Refuse,
    Run,
    Step,
)
from daybreak_charm.wakers import SELDOM

if TYPE_CHECKING:
    import ops

    from daybreak_charm.context import Context
    from daybreak_charm.description import Schema
    from daybreak_charm.effects import Connection
    from daybreak_charm.layout import Layout

logger = logging.getLogger(__name__)

RELEASE = "release"
"""Key of a unit's peer databag: the release that it serves with."""
FINISHED = "upgraded"
"""Key of the databag of the unit that finished an upgrade: its event tells the others."""
CHECK_REFUSES = 2
"""Exit code by which an upgrade check says no (oslo.upgradecheck's FAILURE)."""
_RECORD = "upgrade-record"
_LOST = Waiting("another unit has taken the migration over", "retry")


def migrate(context: "Context", schema: "Schema", place: str) -> Outcome:
    """Whether the image may serve with the schema; migrates it when that is owed and the loop runs.

    Raises:
        DatabaseUnreachableError: The database does not answer.
    """
    try:
        return _migrate(context, schema, place)
    except schemas.LeaseLostError:
        return _LOST


def _migrate(context: "Context", schema: "Schema", place: str) -> Outcome:
    layout = context.layout(place)
    if layout is None:
        return Blocked("the image does not say its release", "use an image with a layout file")
    with context.effects.connect(schema.connect) as connection:
        decision = _look(context, connection, schema, layout)
        if isinstance(decision, Run):
            _let_go(context, connection, schema)
            return Ready()
        if isinstance(decision, Refuse):
            # What is in the database may be mended there, and no event tells.
            return Blocked(decision.why, decision.remedy, SELDOM)
        if not context.acting:
            return Waiting("the schema is to be migrated", "")
        lease = schemas.take(connection, schema.project, context.unit)
        if not lease.mine:
            # Its end is a change in the database, which only asking shows.
            return Waiting(f"{lease.owner} migrates the schema", "retry")
        # Another unit may have finished between the first look and the lease.
        decision = _look(context, connection, schema, layout)
        if isinstance(decision, Create):
            record = _creation(context, connection, schema, layout)
        elif isinstance(decision, Expand):
            record = decision.begins
        else:
            schemas.release(connection, schema.project, lease)
            return Ready()
        # Before the first change: what is found half-way is understood by whoever comes next.
        _write(context, connection, schema, record, lease)
    steps = _whole(schema) if isinstance(decision, Create) else _of(schema, "check", "expand")
    trouble = _walk(context, schema, place, layout, steps, record, lease)
    if isinstance(trouble, Waiting) and trouble.waker != "retry":
        return trouble
    with context.effects.connect(schema.connect) as connection:
        if isinstance(decision, Create):
            trouble = _created(context, connection, schema, layout, record, lease, trouble)
        elif trouble is None:
            found = schemas.read_record(connection, schema.project)
            if found is None or found.phase != "back":
                rolling = Record(record.running, record.target, "roll")
                _write(context, connection, schema, rolling, lease)
        schemas.release(connection, schema.project, lease)
    return trouble or Ready()


def _let_go(context: "Context", connection: "Connection", schema: "Schema") -> None:
    """Give back what this unit's last pod held when it ended in the middle of an expand.

    A unit has one pod at a time, so nothing of that one lives any more; and one that only serves needs the lease for
    the contract at most.
    """
    record = context.memo.get(_RECORD)
    begun = isinstance(record, Record) and record.under_way and record.phase != "contract"
    if begun and context.acting:
        schemas.release_all(connection, schema.project, context.unit)


def _created(
    context: "Context",
    connection: "Connection",
    schema: "Schema",
    layout: "Layout",
    record: Record,
    lease: Lease,
    trouble: Outcome | None,
) -> Outcome | None:
    """End a creation: note that it is done, or take away what one has left that failed half-way."""
    whole = schemas.compare(schemas.heads(connection, schema.table), schema, layout) == "equal"
    if trouble is None:
        if not whole:
            return Waiting("the migration did not reach the image's schema", "retry")
        _write(context, connection, schema, Record(record.running, record.target), lease)
    elif record.phase == "create" and not whole:
        # MariaDB takes back no half of a migration, and the next try would stumble over it. All of it is
        # the creation's own.
        schemas.renew(connection, schema.project, lease)
        schemas.clear(connection)
        for address in schema.further:
            with context.effects.connect(address) as other:
                schemas.clear(other)
        logger.info("the half-made schema was removed")
    return trouble


def _creation(
    context: "Context", connection: "Connection", schema: "Schema", layout: "Layout"
) -> Record:
    """The record of a schema that is made: in the phase `create` when every database was empty before."""
    known = context.memo.get(_RECORD)
    if isinstance(known, Record):
        return known
    empty = not schemas.tables(connection)
    for address in schema.further:
        with context.effects.connect(address) as other:
            empty = empty and not schemas.tables(other)
    return Record(layout.release, layout.release, "create" if empty else "")


def finish(context: "Context", schema: "Schema", place: str) -> Outcome:
    """Say that this unit serves with its release; contract when all planned units do.

    Raises:
        DatabaseUnreachableError: The database does not answer.
    """
    try:
        return _finish(context, schema, place)
    except schemas.LeaseLostError:
        return _LOST


def _finish(context: "Context", schema: "Schema", place: str) -> Outcome:
    record = context.memo.get(_RECORD)
    layout = context.layout(place)
    if not isinstance(record, Record) or layout is None:
        return Ready()
    if context.acting and context.peer_unit.get(RELEASE) != layout.release:
        context.put_peer_unit(**{RELEASE: layout.release})
    if not record.under_way:
        return Ready()
    late = upgrade.waits_for(releases(context), context.planned, record.target)
    if late or layout.release != record.target or record.phase == "back":
        return Ready(_progress(context, record, late))
    if not context.acting:
        return Waiting(f"the end of the upgrade to {record.target} is owed", "")
    with context.effects.connect(schema.connect) as connection:
        lease = schemas.take(connection, schema.project, context.unit)
        if not lease.mine:
            return Ready(f"{lease.owner} ends the upgrade to {record.target}")
        record = schemas.read_record(connection, schema.project) or record
        if record.phase == "back":
            schemas.release(connection, schema.project, lease)
            return Ready(_progress(context, record, late))
        if record.under_way:
            record = Record(record.running, record.target, "contract")
            _write(context, connection, schema, record, lease)
    steps = _of(schema, "contract", "online") if record.under_way else ()
    trouble = _walk(context, schema, place, layout, steps, record, lease)
    if isinstance(trouble, Waiting) and trouble.waker != "retry":
        return trouble
    with context.effects.connect(schema.connect) as connection:
        if trouble is None:
            done = Record(record.target, record.target)
            _write(context, connection, schema, done, lease)
            logger.info("upgrade to %s finished", record.target)
        schemas.release(connection, schema.project, lease)
    if trouble is None and context.peer_unit.get(FINISHED) != record.target:
        context.put_peer_unit(**{FINISHED: record.target})
    return trouble or Ready()


def releases(context: "Context") -> dict[str, str]:
    """Release that each unit says it serves with; "" where it has said nothing."""
    relation = context.peers
    if relation is None:
        return {context.unit: context.peer_unit.get(RELEASE, "")}
    bags: dict[str, Mapping[str, str]] = {u.name: relation.data[u] for u in relation.units}
    bags[context.unit] = context.peer_unit
    return {name: bag.get(RELEASE, "") for name, bag in sorted(bags.items())}


def report(context: "Context", schema: "Schema", place: str, wanted: str) -> dict[str, object]:
    """What an operator's tool asks for before and after an upgrade; JSON can hold it.

    Args:
        context: This dispatch.
        schema: The schema.
        place: Its container.
        wanted: Release to judge, "" for none.

    Raises:
        DatabaseUnreachableError: The database does not answer.
    """
    layout = context.layout(place)
    with context.effects.connect(schema.connect) as connection:
        record = schemas.read_record(connection, schema.project)
        found = schemas.heads(connection, schema.table)
    image = layout.release if layout else ""
    record = record or Record(image, image)
    units = releases(context)
    late = upgrade.waits_for(units, context.planned, record.target)
    return {
        "running": record.running,
        "target": record.target,
        "phase": _phase(record, late),
        "units": units,
        "planned": context.planned,
        "waits-for": late,
        "heads": sorted(found),
        "refused": _refused(record, wanted, units) if wanted else "",
        "steps": [upgrade.as_report(step) for step in schema.upgrade],
    }


def turn(context: "Context", schema: "Schema", place: str, wanted: str) -> str:
    """Let an upgrade under way end at one of its two releases; see `upgrade.turned`.

    Args:
        context: This dispatch.
        schema: The schema.
        place: Its container.
        wanted: The release.

    Returns:
        Why that cannot be; empty when it is so.

    Raises:
        DatabaseUnreachableError: The database does not answer.
    """
    with context.effects.connect(schema.connect) as connection:
        record = schemas.read_record(connection, schema.project)
        target = _turned(context, connection, schema, place, wanted)
        if isinstance(target, str):
            return target
        if target == record:
            return ""
        lease = schemas.take(connection, schema.project, context.unit)
        if not lease.mine:
            return f"{lease.owner} is changing the schema"
        try:
            # What was read before the lease may be over.
            target = _turned(context, connection, schema, place, wanted)
            if isinstance(target, str):
                return target
            schemas.write_record(connection, schema.project, target, lease)
        except schemas.LeaseLostError:
            return "another unit is changing the schema"
        finally:
            schemas.release(connection, schema.project, lease)
    logger.info("the upgrade shall end at %s", wanted)
    return ""


def _turned(
    context: "Context", connection: "Connection", schema: "Schema", place: str, wanted: str
) -> Record | str:
    layout = context.layout(place)
    found = schemas.heads(connection, schema.table)
    untouched = (
        layout is not None
        and layout.release == wanted
        and schemas.compare(found, schema, layout) == "equal"
        and set(releases(context).values()) == {wanted}
    )
    record = schemas.read_record(connection, schema.project)
    return upgrade.turned(record, wanted, untouched=untouched)


def _refused(record: Record, wanted: str, units: Mapping[str, str]) -> str:
    """Why a release cannot be gone to now; what only the image knows is not asked."""
    decision = upgrade.decide(wanted, "equal", record, units.values())
    return decision.why if isinstance(decision, Refuse) else ""


def _phase(record: Record, late: list[str]) -> str:
    if not record.under_way:
        return ""
    return record.phase if record.phase != "roll" or late else "contract"


def _progress(context: "Context", record: Record, late: list[str]) -> str:
    moved = context.planned - len(late)
    if record.phase == "back" and moved:
        return f"back {record.target} -> {record.running}: {len(late)} of {context.planned} units"
    if not moved:
        # Begun and left; or the first unit is at it, and says so itself.
        return ""
    way_back = upgrade.back(context.app, record)
    return f"upgrade {record.running} -> {record.target}: {moved} of {context.planned} units" + (
        f"; {way_back}" if way_back else ""
    )


def _look(
    context: "Context", connection: "Connection", schema: "Schema", layout: "Layout"
) -> Decision:
    found = schemas.heads(connection, schema.table)
    state = schemas.compare(found, schema, layout)
    record = schemas.read_record(connection, schema.project)
    context.memo[_RECORD] = record
    under_way = record is not None and record.under_way
    strange = record and layout.release not in (record.running, record.target)
    # The databags of the others cost a call each, so they are read only where they decide.
    asked = under_way and (strange or (record and record.phase == "back"))
    others = releases(context).values() if asked else ()
    decision = upgrade.decide(layout.release, state, record, others)
    if isinstance(decision, Refuse) and state == "unknown":
        return Refuse(f"{decision.why} ({', '.join(sorted(found))})", decision.remedy)
    if isinstance(decision, Run) and record is None and context.acting:
        # A schema that was there before: it is this release's.
        record = Record(layout.release, layout.release)
        schemas.first_record(connection, schema.project, record)
        context.memo[_RECORD] = record
    return decision


def _write(
    context: "Context", connection: "Connection", schema: "Schema", record: Record, lease: Lease
) -> None:
    if context.memo.get(_RECORD) != record:
        schemas.write_record(connection, schema.project, record, lease)
        context.memo[_RECORD] = record


def _whole(schema: "Schema") -> tuple[Step, ...]:
    return (*schema.prepare, Step("migrate", "expand", "migrate the schema", schema.command))


def _of(schema: "Schema", *phases: Phase) -> tuple[Step, ...]:
    return tuple(step for phase in phases for step in schema.upgrade if step.phase == phase)


def _walk(
    context: "Context",
    schema: "Schema",
    place: str,
    layout: "Layout",
    steps: Iterable[Step],
    record: Record,
    lease: Lease,
) -> Outcome | None:
    """Run steps in their order up to the first that has not succeeded; None when all have.

    Raises:
        LeaseLostError: Another unit has taken the lease.
    """
    container = context.container(place)
    steps = tuple(steps)
    before = _before(context, container, schema, steps, record)
    for step in steps:
        with context.effects.connect(schema.connect) as connection:
            schemas.renew(connection, schema.project, lease)
        if step.unless and _is_found(context, schema, step.unless):
            continue
        first, *rest = step.command
        program = Program(
            _program(step, schema),
            (layout.program(first), *rest),
            schema.user,
            schema.environment,
        )
        ended = programs.run(context, container, program, _doing(step, record) + before)
        if isinstance(ended, Waiting):
            return ended
        if ended.code not in step.passes:
            return _failed(context, step, ended, record)
        logger.info("%s done", step.name)
    return None


def _is_found(context: "Context", schema: "Schema", found: Found) -> bool:
    address = next(
        address
        for address in (schema.connect, *schema.further)
        if address.database == found.database
    )
    with context.effects.connect(address) as connection:
        return bool(connection.query(found.query, *found.values))


def _doing(step: Step, record: Record) -> str:
    if not record.under_way:
        return "the schema is being migrated"
    return f"upgrade {record.running} -> {record.target}: {step.name} runs"


def _program(step: Step, schema: "Schema") -> str:
    return f"{step.name}-{schema.project}"


def _before(
    context: "Context",
    container: "ops.Container",
    schema: "Schema",
    steps: Iterable[Step],
    record: Record,
) -> str:
    """What a status says beside a further try: why it is one. Else it would show the cause half of the time."""
    for step in steps:
        ended = programs.failure(container, _program(step, schema))
        if ended and ended.code not in step.passes:
            return f"; before, {_why(step, ended)}{_way_back(context, record)}"
    return ""


def _why(step: Step, ended: Ended) -> str:
    return f"{step.name} failed ({ended.code}): {ended.said}"


def _way_back(context: "Context", record: Record) -> str:
    way = upgrade.back(context.app, record) if record.under_way else ""
    return f"; {way}" if way else ""


def _failed(context: "Context", step: Step, ended: Ended, record: Record) -> Outcome:
    why, way_back = _why(step, ended), _way_back(context, record)
    if step.phase == "check" and ended.code == CHECK_REFUSES:
        # It has judged the cloud, not stumbled: only somebody's hand changes its answer.
        return Blocked(why, way_back.removeprefix("; ") or "correct it", SELDOM)
    logger.warning("%s", why)
    return Waiting(f"{why}; tried again every 10 s{way_back}", "retry")
