"""secret-add, -get, -info-get, -ids, -set, -grant, -revoke, -remove (contract 2.8)."""

from __future__ import annotations

from typing import Any

from daybreak_engine import errors
from daybreak_engine.hooktools import secretcontent
from daybreak_engine.hooktools.context import HookContext
from daybreak_engine.hooktools.flags import Arguments, ToolError
from daybreak_engine.hooktools.inputs import Inputs
from daybreak_engine.model import rows, secrets
from daybreak_engine.model.changes import NewSecret, SecretChange, manageable


def secret_add(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Make a secret: the URI is given now, the secret is stored with the hook."""
    content = secretcontent.content(args, 0, inputs)
    if not content:
        raise ToolError("missing secret value or filename", 2)
    kind = _owner_kind(args)
    rotate = secretcontent.rotation(args.get("rotate")) or "never"
    expires = secretcontent.expiry(args.get("expire"), context.tx.now)
    if kind == "application":
        context.require_leader()
    label = args.get("label") or ""
    _label_free(context, kind, label, "")
    id_ = secrets.new_id(context.tx.now)
    context.pending.added[id_] = NewSecret(
        id=id_,
        owner_kind=kind,
        content=content,
        label=label,
        description=args.get("description") or "",
        rotate=rotate,
        expires=expires,
    )
    return f"secret:{id_}"


def secret_set(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Buffer a change: new content replaces all keys, no content changes metadata only.

    Whether the unit may do so is decided at the commit, as in Juju.
    """
    id_ = _id(args)
    content = secretcontent.content(args, 1, inputs)
    rotate = secretcontent.rotation(args.get("rotate"))
    expires = secretcontent.expiry(args.get("expire"), context.tx.now)
    stored = _known(context, id_)
    label = args.get("label")
    if label:
        added = context.pending.added.get(id_)
        kind = stored.owner_kind if stored else added.owner_kind if added else "application"
        _label_free(context, kind, label, id_)
    context.pending.change_secret(
        SecretChange(
            id=id_,
            content=content or None,
            label=label,
            description=args.get("description"),
            rotate=rotate,
            expires=expires,
        )
    )
    return None


def secret_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Show the content of the tracked revision, or of the latest with --refresh and --peek."""
    del inputs
    text, label = args.position(0), args.get("label")
    if text is None and not label:
        raise ToolError("require either a secret URI or label", 2)
    peek, refresh = args.on.get("peek", False), args.on.get("refresh", False)
    if peek and refresh:
        raise ToolError("specify one of --peek or --refresh but not both", 2)
    id_ = _by_label(context, label or "") if text is None else secretcontent.secret_id(text)
    added = context.pending.added.get(id_)
    if added is not None:
        shown = dict(added.content)
    else:
        # With a URI, the label is the unit's own name for the secret from now on.
        own_label = label if text is not None else None
        shown = _tracked_content(context, id_, own_label, peek=peek, refresh=refresh)
    key = args.position(1)
    if key is None:
        return shown
    if key not in shown:
        raise ToolError(f'key "{key}" not found')
    return shown[key]


def secret_info_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Show the metadata of an own secret, this hook's changes included."""
    del inputs
    text, label = args.position(0), args.get("label")
    if text is not None and label:
        raise ToolError("specify either a secret URI or label but not both", 2)
    if text is None and not label:
        raise ToolError("require either a secret URI or label", 2)
    id_ = _by_label(context, label or "") if text is None else secretcontent.secret_id(text)
    added = context.pending.added.get(id_)
    if added is not None:
        shown = _info(1, added.label, added.owner_kind, added.description, added.rotate)
        if added.expires is not None:
            shown["expiry"] = secretcontent.shown_time(added.expires)
        return {id_: {**shown, "access": _access(context, id_)}}
    tx = context.tx
    secret = secrets.find(tx, id_)
    if secret is None or not manageable(tx, secret, context.unit):
        raise ToolError(f'secret "{label or id_}" not found')
    change = context.pending.changed.get(id_, SecretChange(id=id_))
    shown = _info(
        secret.revision,
        secret.label if change.label is None else change.label,
        secret.owner_kind,
        secret.description if change.description is None else change.description,
        change.rotate or secret.rotate,
    )
    if secret.rotates is not None:
        shown["rotates"] = secretcontent.shown_time(secret.rotates)
    expires = secret.expires if change.expires is None else change.expires
    if expires is not None:
        shown["expiry"] = secretcontent.shown_time(expires)
    return {id_: {**shown, "access": _access(context, id_)}}


def secret_ids(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """List the bare ids of own secrets (None for none); the application's for its leader."""
    del args, inputs
    tx = context.tx
    found = [secret.id for secret in secrets.owned(tx, "unit", context.unit)]
    if context.is_leader:
        found += [secret.id for secret in secrets.owned(tx, "application", context.application)]
    gone = {id_ for id_, revision in context.pending.removed if revision is None}
    found = [id_ for id_ in [*found, *context.pending.added] if id_ not in gone]
    return found or None


def secret_grant(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Buffer a grant to the remote application of a relation, or to one of its units."""
    del inputs
    id_ = _id(args)
    _known(context, id_)
    if args.get("relation") is None:
        raise ToolError("missing relation id", 2)
    relation = _relation(context, args)
    target = args.get("unit") or relation.other(context.application).application
    context.pending.granted[(id_, target)] = relation.id
    return None


def secret_revoke(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Buffer the revocation of what an application or a unit was granted."""
    del inputs
    id_ = _id(args)
    _known(context, id_)
    target = args.get("unit") or args.get("app")
    if target is None and args.get("relation") is not None:
        target = _relation(context, args).other(context.application).application
    if target is None:
        raise ToolError("missing relation, application or unit", 2)
    context.pending.granted.pop((id_, target), None)
    if id_ not in context.pending.added:
        context.pending.revoked.append((id_, target))
    return None


def secret_remove(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Buffer the removal of a secret or of one revision."""
    del inputs
    id_ = _id(args)
    _known(context, id_)
    text = args.get("revision")
    if text is not None and not text.isdecimal():
        raise ToolError(f'invalid value "{text}" for option --revision: not a number', 2)
    context.pending.removed.append((id_, None if text is None else int(text)))
    return None


def _tracked_content(
    context: HookContext, id_: str, label: str | None, *, peek: bool, refresh: bool
) -> dict[str, str]:
    tx = context.tx
    secret = secrets.find(tx, id_)
    if secret is None:
        raise ToolError(f'secret "{id_}" not found')
    if not secrets.readable(tx, secret, context.unit):
        raise ToolError("permission denied")
    if label:
        other = secrets.find_consumer_label(tx, context.unit, label)
        if other is not None and other.secret_id != id_:
            raise ToolError(f'secret with label "{label}" already exists')
    consumer = secrets.consumer(tx, id_, context.unit)
    change = context.pending.changed.get(id_)
    changed = change is not None and change.content is not None
    revision = secret.revision
    if consumer is not None and not refresh:
        revision = consumer.revision
    if refresh and changed:
        # The revision to come is tracked when it exists, with the hook's commit.
        context.pending.tracked.add(id_)
        revision = secret.revision if consumer is None else consumer.revision
    new_label = bool(label) and (consumer is None or consumer.label != label)
    if consumer is None or consumer.revision != revision or new_label:
        with context.store.transaction() as writing:
            secrets.track(writing, id_, context.unit, revision, label=label)
    if (peek or refresh) and change is not None and change.content is not None:
        return dict(change.content)
    try:
        return secrets.content(tx, id_, secret.revision if peek else revision)
    except errors.NotFoundError as error:
        raise ToolError(error.message) from None


def _id(args: Arguments) -> str:
    text = args.position(0)
    if text is None:
        raise ToolError("missing secret URI", 2)
    return secretcontent.secret_id(text)


def _known(context: HookContext, id_: str) -> rows.Secret | None:
    """Return a stored secret; None for one that this hook made."""
    if id_ in context.pending.added:
        return None
    secret = secrets.find(context.tx, id_)
    if secret is None:
        raise ToolError(f'secret "{id_}" not found')
    return secret


def _owner_kind(args: Arguments) -> rows.OwnerKind:
    owner = args.get("owner") or "application"
    if owner not in ("application", "unit"):
        raise ToolError(f'secret owner "{owner}" not valid', 2)
    return "unit" if owner == "unit" else "application"


def _by_label(context: HookContext, label: str) -> str:
    """Find a secret by label: made or renamed in this hook, the unit's own, the owner's."""
    tx = context.tx
    pending = [*context.pending.added.values(), *context.pending.changed.values()]
    for item in pending:
        if item.label == label:
            return item.id
    consumer = secrets.find_consumer_label(tx, context.unit, label)
    if consumer is not None:
        return consumer.secret_id
    for kind, owner in (("unit", context.unit), ("application", context.application)):
        found = secrets.find_label(tx, "unit" if kind == "unit" else "application", owner, label)
        if found is not None:
            return found.id
    raise ToolError(f'secret "{label}" not found')


def _label_free(context: HookContext, kind: rows.OwnerKind, label: str, id_: str) -> None:
    if not label:
        return
    owner = context.unit if kind == "unit" else context.application
    stored = secrets.find_label(context.tx, kind, owner, label)
    pending = [n.id for n in context.pending.added.values() if n.label == label]
    pending += [c.id for c in context.pending.changed.values() if c.label == label]
    if stored is not None:
        pending.append(stored.id)
    if any(other != id_ for other in pending):
        raise ToolError(f'secret with label "{label}" already exists')


def _relation(context: HookContext, args: Arguments) -> rows.Relation:
    """Return the relation of --relation.

    The text must not say "relation not found": ops would take it for a missing secret.
    """
    try:
        return context.relation(args.get("relation"), "--relation")
    except ToolError as error:
        if "not found" in error.message:
            raise ToolError(
                f'invalid value "{args.get("relation")}" for option --relation:'
                " this unit is in no such relation",
                2,
            ) from None
        raise


def _info(revision: int, label: str, owner: str, description: str, rotation: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"revision": revision, "owner": owner, "rotation": rotation}
    if label:
        shown["label"] = label
    if description:
        shown["description"] = description
    return shown


def _access(context: HookContext, id_: str) -> list[dict[str, str]]:
    granted = {g.target: g.relation_id for g in secrets.grants(context.tx, id_)}
    for (pending_id, target), relation_id in context.pending.granted.items():
        if pending_id == id_:
            granted[target] = relation_id
    for pending_id, target in context.pending.revoked:
        if pending_id == id_:
            granted.pop(target, None)
    shown: list[dict[str, str]] = []
    for target, relation_id in sorted(granted.items()):
        kind = "unit" if "/" in target else "application"
        scope = f"model-{context.model.uuid}"
        if relation_id is not None:
            ends = [str(e).replace(":", ".") for e in context.relation(str(relation_id)).endpoints]
            scope = f"relation-{'#'.join(ends)}"
        name = target.replace("/", "-")
        shown.append({"target": f"{kind}-{name}", "scope": scope, "role": "view"})
    return shown
