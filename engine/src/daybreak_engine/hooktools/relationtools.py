"""relation-ids, -list, -get, -set, -model-get (contract 2.2, 2.3)."""

from __future__ import annotations

from collections.abc import Mapping

from daybreak_engine.hooktools.context import HookContext
from daybreak_engine.hooktools.flags import Arguments, ToolError
from daybreak_engine.hooktools.inputs import Inputs, settings_of
from daybreak_engine.model import relations, rows


def relation_ids(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """List the ids of an endpoint's relations, sorted by number."""
    del inputs
    endpoint = args.position(0) or context.operation.endpoint
    if not endpoint:
        raise ToolError("no endpoint name specified", 2)
    found: list[str] = []
    for relation in relations.of(context.tx, context.application):
        known = context.relation_state(relation.id) is not None
        if known and relation.of(context.application).endpoint == endpoint:
            found.append(f"{endpoint}:{relation.id}")
    return found


def relation_list(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """List the units whose joined has run; with --app the remote application."""
    del inputs
    relation = context.relation(args.get("r"))
    if args.on.get("app"):
        return relation.other(context.application).application
    return context.members(relation.id)


def relation_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Read a databag, or one key of it (None when the key is not there)."""
    del inputs
    relation = context.relation(args.get("r"))
    key = args.position(0) or "-"
    member = args.position(1) or context.operation.remote_unit
    of_application = args.on.get("app", False)
    if not member and context.operation.relation_id == relation.id:
        # An application-level hook has no remote unit: its subject is the application.
        member, of_application = context.operation.remote_application, True
    if not member:
        raise ToolError("no unit or application specified", 2)
    if of_application:
        settings = _application_settings(context, relation, member.partition("/")[0])
    elif "/" not in member:
        raise ToolError(f'expected unit name, got application name "{member}"', 2)
    else:
        settings = _unit_settings(context, relation, member)
    return dict(settings) if key == "-" else settings.get(key)


def relation_set(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Buffer changes to an own databag."""
    relation = context.relation(args.get("r"))
    changes = settings_of(args, inputs)
    pending = context.pending.unit_settings
    if args.on.get("app"):
        if not context.is_leader:
            raise ToolError("cannot write relation settings")
        pending = context.pending.application_settings
    pending.setdefault(relation.id, {}).update(changes)
    return None


def relation_model_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Tell the model of the remote application: always this one."""
    del inputs
    context.relation(args.get("r"))
    return {"uuid": context.model.uuid}


def _application_settings(
    context: HookContext, relation: rows.Relation, name: str
) -> Mapping[str, str]:
    if name == context.application:
        if not relation.peer and not context.is_leader:
            raise ToolError("permission denied")
        stored = context.bag(relation.id, name).settings
        return context.pending.overlay(stored, relation.id, application=True)
    if name != relation.other(context.application).application:
        raise ToolError("permission denied")
    return context.bag(relation.id, name).settings


def _unit_settings(context: HookContext, relation: rows.Relation, name: str) -> Mapping[str, str]:
    if name == context.unit:
        stored = context.bag(relation.id, name).settings
        return context.pending.overlay(stored, relation.id, application=False)
    fresh = context.views.get((relation.id, name))
    if fresh is not None:
        return fresh
    application = name.partition("/")[0]
    if application != relation.other(context.application).application:
        # 3.6: units of the own application are seen through peer relations only.
        denied = application == context.application
        raise ToolError("permission denied" if denied else "relation unit not found")
    if name in context.members(relation.id):
        seen = relations.view(context.tx, relation.id, context.unit, name)
        if seen is not None:
            return seen
    bag = context.bag(relation.id, name)
    if bag.version == 0:
        raise ToolError("relation unit not found")
    return bag.settings
