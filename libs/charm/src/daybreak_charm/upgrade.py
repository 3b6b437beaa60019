"""From one release to the next: the steps as data, and what may be done now; all of it pure.

The course of an upgrade is a row in the database that is upgraded (`Record`): the release that the
cloud runs, the one that it goes to, and the phase. It is written by whoever holds the lease, before
the phase begins, so a schema that is ahead of an image is understood without knowing its revisions:
as long as the contract has not begun, nothing but an expand can have put them there.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Phase = Literal["check", "expand", "roll", "contract", "online"]
Impact = Literal["none", "minor", "major"]
PHASES: tuple[Phase, ...] = ("check", "expand", "roll", "contract", "online")
SchemaState = Literal["empty", "behind", "equal", "unknown"]
"""Heads of the database against those of the image."""


@dataclass(frozen=True)
class Found:
    """What a database holds once a step is done.

    Attributes:
        database: Its name; the schema's own or one of the further ones.
        query: Has rows when the step is done.
        values: For the query's marks.
    """

    database: str
    query: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step of an upgrade.

    Attributes:
        name: Word for status, logs and plans; unique in its service.
        phase: When it runs; the steps of a phase run in their order, by one unit.
        what: What it does, for an operator.
        command: Program of the image and its arguments; empty for the roll. Safe to repeat, or left out
            by `unless`.
        impact: What users notice: `none`, `minor` (slower, or a retry), `major` (an outage).
        passes: Exit codes that let the upgrade go on.
        unless: What shows that it is done already, of a command that must not be repeated.
    """

    name: str
    phase: Phase
    what: str
    command: tuple[str, ...] = ()
    impact: Impact = "none"
    passes: frozenset[int] = frozenset({0})
    unless: Found | None = None


@dataclass(frozen=True)
class Record:
    """Where a schema's cloud stands.

    Attributes:
        running: Release whose upgrade was finished last; empty when it is not known.
        target: Release that is gone to; the same as `running` when no upgrade was begun.
        phase: Phase that has begun: `create` (of a database that was empty), `expand`, `roll`, `contract`; `back`
            when it shall not be finished; empty when none.
    """

    running: str
    target: str
    phase: str = ""

    @property
    def under_way(self) -> bool:
        """Whether an upgrade was begun and not finished."""
        return self.running != self.target


@dataclass(frozen=True)
class Run:
    """The image may serve; nothing is to be migrated before."""


@dataclass(frozen=True)
class Create:
    """The schema is brought to the image's heads in one go: nobody else uses it."""


@dataclass(frozen=True)
class Expand:
    """An upgrade begins, or goes on: check, then expand, before the image serves.

    Attributes:
        begins: What the record must say from now on.
    """

    begins: Record


@dataclass(frozen=True)
class Refuse:
    """The image must not serve.

    Attributes:
        why: For the status.
        remedy: How to go on or back.
    """

    why: str
    remedy: str


Decision = Run | Create | Expand | Refuse


def _parse(release: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"(\d{4})\.([12])", release)
    return (int(match[1]), int(match[2])) if match else None


def refusal(running: str, wanted: str) -> str:
    """Why upstream does not support going from one release to another in one step; "" if it does.

    The next release, and from one that skips are supported from (SLURP, the first of each year) to
    the next of these. Names that are no OpenStack releases are not judged: the heads decide.
    """
    before, after = _parse(running), _parse(wanted)
    if before is None or after is None or before == after:
        return ""
    if after < before:
        return f"{wanted} is older than {running}, and a finished upgrade cannot be taken back"
    year, half = before
    following = (year, 2) if half == 1 else (year + 1, 1)
    if after in {following, (year + 1, 1)}:
        return ""
    return f"{running} cannot become {wanted} in one step, {year + 1}.1 comes before it"


def decide(
    image: str, schema: SchemaState, record: Record | None, others: Iterable[str] = ()
) -> Decision:
    """What an image may do with a schema.

    Args:
        image: Release of the image.
        schema: The database's heads against the image's.
        record: Where the cloud stands; None when nobody has written it yet.
        others: Releases that the units say they run.
    """
    if schema == "empty":
        return Create()
    if record is None:
        known: Mapping[SchemaState, Decision] = {
            "equal": Run(),
            "behind": Expand(Record("", image, "expand")),
        }
        return known.get(schema, _unknown(image))
    if image == record.target:
        return _towards(image, schema, record, others)
    if image == record.running:
        return _from(image, schema, record)
    if record.under_way and (record.phase == "contract" or record.target in others):
        return Refuse(
            f"an upgrade from {record.running} to {record.target} is under way",
            f"refresh to the image of {record.target}, {image} can follow when it is finished",
        )
    if why := refusal(record.running, image):
        return Refuse(why, f"refresh to an image of {record.running}")
    if schema == "unknown":
        return _unknown(image)
    return Expand(Record(record.running, image, "expand"))


def _towards(image: str, schema: SchemaState, record: Record, others: Iterable[str]) -> Decision:
    """The image is the release that the cloud goes to, or runs."""
    if schema == "unknown":
        return _unknown(image)
    if not record.under_way:
        # The heads are there before the program that makes them has ended.
        return Run() if schema == "equal" and record.phase != "create" else Create()
    if record.phase == "back" and image not in others:
        # The way back was gone to its end, and this is another upgrade.
        return Expand(Record(record.running, record.target, "expand"))
    return Expand(record) if record.phase == "expand" else Run()


def _from(image: str, schema: SchemaState, record: Record) -> Decision:
    """The image is the release that the cloud comes from: an old unit, or the way back."""
    if record.phase == "contract":
        return Refuse(
            f"the schema was contracted for {record.target}",
            f"refresh to the image of {record.target}: {image} can no longer use the database",
        )
    return (
        Refuse("the database lacks revisions of its own release", "restore a backup")
        if (schema == "behind")
        else Run()
    )


def _unknown(image: str) -> Refuse:
    return Refuse(
        f"the database is at a schema that {image} does not know",
        "use the image of its release, or restore a backup",
    )


def as_report(step: Step) -> dict[str, str]:
    """A step as an operator's tool gets it."""
    return {
        "name": step.name,
        "phase": step.phase,
        "what": step.what,
        "command": " ".join(step.command),
        "impact": step.impact,
    }


def waits_for(units: Mapping[str, str], planned: int, target: str) -> list[str]:
    """Units that do not run a release yet, in the order in which a roll reaches them.

    Args:
        units: Release that each unit says it runs, by its name.
        planned: Number of units that there shall be; higher ones are leaving.
        target: The release.
    """
    by_ordinal = {int(name.rpartition("/")[2]): (name, value) for name, value in units.items()}
    late: list[str] = []
    for ordinal in reversed(range(planned)):
        name, release = by_ordinal.get(ordinal, (f"unit {ordinal}", ""))
        if release != target:
            late.append(name)
    return late


def turned(record: Record | None, wanted: str, *, untouched: bool) -> Record | str:
    """Let an upgrade under way end at one of its two releases.

    Args:
        record: Where the cloud stands.
        wanted: The release that it runs, so that no contract begins; or the one that it goes to, so that one may.
        untouched: Whether the schema is that of `wanted`, and all units serve with it: then nothing is left
            of the upgrade, and no schema but that one is to be expected any more.

    Returns:
        What the record must say from now on; or why that cannot be.
    """
    if record is None or not record.under_way or wanted not in (record.running, record.target):
        return f"no upgrade from or to {wanted} is under way"
    if record.phase == "contract":
        return (
            record if wanted == record.target else f"the schema is contracted for {record.target}"
        )
    if wanted == record.running:
        return Record(wanted, wanted) if untouched else Record(wanted, record.target, "back")
    return Record(record.running, record.target, "roll") if record.phase == "back" else record


def back(app: str, record: Record) -> str:
    """How an operator takes an upgrade back, while that is possible; "" when it is not."""
    if not record.running or record.phase == "contract":
        return ""
    return f"back: daybreak upgrade {app} --to {record.running}"
