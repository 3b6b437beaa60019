"""`juju integrate` and `juju remove-relation`."""

from collections.abc import Iterable

from daybreak_engine import errors
from daybreak_engine.model import relations, rows
from daybreak_engine.model.store import Transaction

from . import endpoints, queries
from .command import Call, Command
from .deps import Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind


async def integrate(call: Call) -> Iterable[Output]:
    """Relate two applications."""
    if len(call.args) != 2:
        raise UsageError("a relation must involve two applications")
    deps = call.model()
    first, second = call.args
    prefix = f'adding relation between endpoints "{first}" and "{second}": '
    try:
        with deps.store.transaction() as tx:
            one, other = endpoints.infer(first, second, queries.metas(tx))
            relate(tx, one, other)
    except errors.EngineError as error:
        raise CommandError(prefix + error.message, remedy=error.remedy) from error
    deps.wake()
    return ()


def relate(tx: Transaction, one: endpoints.Side, other: endpoints.Side) -> rows.Relation:
    """Relate two endpoints, as `juju integrate` does.

    Raises:
        CommandError: it exists, or an endpoint's limit is reached.
    """
    for side in (one, other):
        limit = side.endpoint.limit
        held = [
            relation
            for relation in relations.of(tx, side.application)
            if not relation.peer
            and any(
                (end.application, end.endpoint) == (side.application, side.endpoint.name)
                for end in relation.endpoints
            )
        ]
        same = frozenset((str(one), str(other)))
        if any(frozenset(map(str, relation.endpoints)) == same for relation in held):
            break
        if limit is not None and len(held) >= limit:
            raise CommandError(
                f'cannot add relation "{one}", "{other}": relation {one} {other}: establishing '
                f"a new relation for {side} would exceed its maximum relation limit of {limit}"
            )
    first, second = (
        rows.RelationEndpoint(side.application, side.endpoint.name, side.endpoint.role)
        for side in (one, other)
    )
    return relations.add(tx, first, second, one.endpoint.interface)


async def remove_relation(call: Call) -> Iterable[Output]:
    """Remove a relation, named by its two sides or by its id."""
    if len(call.args) not in (1, 2) or (len(call.args) == 1 and not call.args[0].isdigit()):
        raise UsageError("a relation must involve two applications, or be an id")
    deps = call.model()
    with deps.store.transaction() as tx:
        relations.destroy(tx, _found(tx, call.args).id)
    deps.wake()
    return ()


def _found(tx: Transaction, args: tuple[str, ...]) -> rows.Relation:
    present = [r for r in relations.all_(tx) if not r.peer]
    first, second = args[0], args[-1]
    number = int(first) if len(args) == 1 else 0
    if len(args) == 1:
        matching = [r for r in present if r.id == number]
    else:
        matching = [r for r in present if _is(r, first, second)]
    if not matching:
        names = "" if len(args) == 1 else " ".join(args)
        raise errors.NotFoundError(
            f"relation with endpoints [{names}] or id {number} not found (not found)"
        )
    if len(matching) > 1:
        texts = "; ".join(f'"{" ".join(map(str, r.endpoints))}"' for r in matching)
        raise CommandError(
            f'ambiguous relation: "{first} {second}" could refer to {texts}',
            remedy="name the endpoints too",
        )
    return matching[0]


def _is(relation: rows.Relation, first: str, second: str) -> bool:
    def fits(side: rows.RelationEndpoint, written: str) -> bool:
        return written in (side.application, str(side))

    one, other = relation.endpoints
    return (fits(one, first) and fits(other, second)) or (fits(one, second) and fits(other, first))


COMMANDS = (
    Command(
        "integrate",
        integrate,
        "<application>[:<endpoint>] <application>[:<endpoint>]",
        "Relate two applications.",
        """\
Both endpoints must have the same interface, one provides it and one requires it. An
endpoint may be left out where only one pair fits.

    juju integrate keystone:database mariadb:database
""",
        flags=(Flag("via", Kind.TEXT, "Accepted and ignored"),),
        aliases=("relate",),
    ),
    Command(
        "remove-relation",
        remove_relation,
        "<application>[:<endpoint>] <application>[:<endpoint>] | <relation id>",
        "Remove a relation.",
        """\
The units on both sides run their departed and broken hooks; then the relation and its
data are gone, and the same endpoints can be related anew.
""",
        flags=(Flag("force", Kind.BOOL, "Accepted and ignored"),),
    ),
)
