"""action-get, action-set, action-log, action-fail (contract 2.9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from daybreak_engine.hooktools.context import HookContext
from daybreak_engine.hooktools.flags import Arguments, ToolError
from daybreak_engine.hooktools.inputs import Inputs
from daybreak_engine.model import tasks

_KEY = re.compile(r"[a-z0-9](([a-z0-9-.]+)?[a-z0-9])?")
_RESERVED = frozenset(("stdout", "stdout-encoding", "stderr", "stderr-encoding"))


def action_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Show the parameters, or one of them by its dotted name."""
    del inputs
    context.require_action()
    value: object = dict(context.parameters)
    for part in (args.position(0) or "").split("."):
        if part:
            value = cast("Mapping[str, object]", value).get(part) if _is_map(value) else None
    return value


def action_set(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Set results; of two keys where one contains the other the later wins."""
    del inputs
    context.require_action()
    for argument in args.rest:
        key, equals, value = argument.partition("=")
        if not equals:
            raise ToolError(f'argument "{argument}" must be of the form key...=value', 2)
        if key in _RESERVED:
            raise ToolError(f'cannot set reserved action key "{key}"', 2)
        for part in key.split("."):
            if not _KEY.fullmatch(part):
                raise ToolError(
                    f'key "{key}" must start and end with lowercase alphanumeric,'
                    " and contain only lowercase alphanumeric and hyphens",
                    2,
                )
        _put(context.action_results, key.split("."), value)
    return None


def action_log(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Append a progress message: seen at once."""
    del inputs
    context.require_action()
    with context.store.transaction() as tx:
        tasks.log(tx, context.operation.task_id, " ".join(args.rest))
    return None


def action_fail(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Mark the action failed; the hook's writes are still committed."""
    del inputs
    context.require_action()
    context.action_failed = (
        " ".join(args.rest) or "action failed without reason given, check action for errors"
    )
    return None


def _put(results: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        inner = results.get(part)
        if not isinstance(inner, dict):
            inner = results[part] = {}
        results = cast("dict[str, Any]", inner)
    results[path[-1]] = value


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)
