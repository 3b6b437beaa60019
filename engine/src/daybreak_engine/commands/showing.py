"""`juju show-unit`, `juju show-application`."""

from collections.abc import AsyncIterator

from daybreak_engine import errors
from daybreak_engine.model import applications, charms, models, relations, rows, units
from daybreak_engine.model.store import Transaction

from . import output, queries, running, statusjson
from .command import Call, Command, format_flag
from .deps import Out, Output
from .failures import UsageError
from .flags import Flag, Kind


async def show_unit(call: Call) -> AsyncIterator[Output]:
    """Show units with their relations' data."""
    if not call.args:
        raise UsageError("an unit name must be supplied")
    tx = call.model().store.read()
    tree: dict[str, object] = {}
    wanted = call.parsed.text("endpoint")
    for written in call.args:
        name = running.unit_named(tx, written)
        unit = units.find(tx, name)
        if unit is None:
            raise errors.NotFoundError(f"unit {name} not found")
        tree[name] = _unit(tx, unit, wanted, app_only=call.parsed.on("app"))
    yield call.formatted(tree)


def _unit(tx: Transaction, unit: rows.Unit, wanted: str, *, app_only: bool) -> dict[str, object]:
    app = applications.get(tx, unit.application)
    related = [
        info
        for relation in relations.of(tx, app.name)
        for side in _own_sides(relation, app.name)
        if not wanted or side.endpoint == wanted
        for info in [_relation(tx, relation, side, unit, app_only=app_only)]
    ]
    ports = [str(port) for port in units.ports(tx, unit.name)]
    tree: dict[str, object] = {}
    if app.workload_version:
        tree["workload-version"] = app.workload_version
    tree |= {
        "opened-ports": list(dict.fromkeys(ports)),
        "charm": charms.get(tx, unit.charm_id or app.charm_id).url,
        "leader": queries.leaders(tx).get(app.name) == unit.name,
        "life": unit.life,
    }
    if related:
        tree["relation-info"] = related
    if unit.address:
        tree |= {"provider-id": unit.provider_id, "address": unit.address}
    return tree


def _own_sides(relation: rows.Relation, application: str) -> list[rows.RelationEndpoint]:
    return [side for side in relation.endpoints if side.application == application]


def _relation(
    tx: Transaction,
    relation: rows.Relation,
    side: rows.RelationEndpoint,
    unit: rows.Unit,
    *,
    app_only: bool,
) -> dict[str, object]:
    other = side
    for end in relation.endpoints:
        if end != side:
            other = end
    scope = relations.in_scope(tx, relation.id)
    members = [
        name
        for name, application in scope.items()
        if application == other.application and name != unit.name
    ]
    # Juju 3.6 shows the data of the other side's application; for peers that is the own one.
    tree: dict[str, object] = {
        "relation-id": relation.id,
        "endpoint": side.endpoint,
        "related-endpoint": other.endpoint,
        "application-data": _settings(tx, relation.id, other.application),
    }
    if app_only:
        return tree
    return {
        **tree,
        "local-unit": {
            "in-scope": unit.name in scope,
            "data": _settings(tx, relation.id, unit.name),
        },
        "related-units": {
            name: {"in-scope": True, "data": _settings(tx, relation.id, name)}
            for name in sorted(members)
        },
    }


def _settings(tx: Transaction, relation: int, entity: str) -> dict[str, str]:
    return dict(sorted(relations.databag(tx, relation, entity).settings.items()))


async def show_application(call: Call) -> AsyncIterator[Output]:
    """Show applications."""
    if not call.args:
        raise UsageError("an application name must be supplied")
    tx = call.model().store.read()
    tree: dict[str, object] = {}
    for name in call.args:
        app = applications.find(tx, name)
        if app is None:
            raise errors.NotFoundError(f"application {name} not found")
        tree[name] = _application(tx, app)
    yield call.formatted(tree)


def _application(tx: Transaction, app: rows.Application) -> dict[str, object]:
    meta = charms.meta(tx, app.charm_id)
    view = queries.model_view(tx).applications[app.name]
    return {
        "charm": charms.get(tx, app.charm_id).name,
        "base": "@".join(queries.base_of(meta)),
        **({"constraints": dict(app.constraints)} if app.constraints else {}),
        "principal": True,
        "exposed": app.exposed,
        "remote": False,
        "life": app.life,
        "endpoint-bindings": statusjson.bindings(view),
    }


async def model_defaults(call: Call) -> AsyncIterator[Output]:
    """Show what the engine acts on, with its defaults."""
    known = dict(sorted(models.DEFAULTS.items()))
    if call.parsed.text("format") != "tabular":
        yield call.formatted({key: {"default": value} for key, value in known.items()})
        return
    lines = [(key, str(value) or '""') for key, value in known.items()]
    yield Out(output.table([("Attribute", "Default"), *lines]))


COMMANDS = (
    Command(
        "show-unit",
        show_unit,
        "<unit> [...]",
        "Show units: ports, leadership, and the data of their relations.",
        """\
application-data is what the related application published, for peer relations the own.

    juju show-unit keystone/0
    juju show-unit keystone/0 --endpoint database --format json
""",
        flags=(
            format_flag("yaml", "smart"),
            Flag("endpoint", Kind.TEXT, "Only the relations of this endpoint"),
            Flag("related-unit", Kind.TEXT, "Accepted and ignored"),
            Flag("app", Kind.BOOL, "Only the applications' data"),
        ),
        braces=True,
    ),
    Command(
        "show-application",
        show_application,
        "<application> [...]",
        "Show applications.",
        flags=(format_flag("yaml", "smart"),),
        braces=True,
    ),
    Command(
        "model-defaults",
        model_defaults,
        "",
        "Show the settings that the engine acts on, with their defaults.",
        flags=(format_flag("tabular"),),
        on_model=False,
    ),
)
