"""All hook tools by name, and the one function that runs a call of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from daybreak_engine import errors
from daybreak_engine.hooktools import (
    actiontools,
    output,
    relationtools,
    secrettools,
    statustools,
    unittools,
)
from daybreak_engine.hooktools.context import HookContext
from daybreak_engine.hooktools.flags import Arguments, ToolError, parse
from daybreak_engine.hooktools.inputs import Inputs

Run: TypeAlias = Callable[[HookContext, Arguments, Inputs], object]
Flags: TypeAlias = Mapping[str, "str | None"]

_FORMAT: Flags = {"format": None, "output": None, "o": "output"}
_RELATION: Flags = {"r": None, "relation": "r"}
_SECRET: Flags = {
    "label": None,
    "description": None,
    "expire": None,
    "rotate": None,
    "owner": None,
    "file": None,
}


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: what it does, its flags, and whether it takes --format."""

    run: Run
    flags: Flags
    formatted: bool = True


def _tool(run: Run, flags: Flags | None = None, *, formatted: bool = False) -> Tool:
    return Tool(run, {**(flags or {}), **(_FORMAT if formatted else {})}, formatted)


def _show(run: Run, flags: Flags | None = None) -> Tool:
    return _tool(run, flags, formatted=True)


TOOLS: Mapping[str, Tool] = {
    "action-fail": _tool(actiontools.action_fail),
    "action-get": _show(actiontools.action_get),
    "action-log": _tool(actiontools.action_log),
    "action-set": _tool(actiontools.action_set),
    "application-version-set": _tool(statustools.application_version_set),
    "close-port": _tool(unittools.close_port, {"endpoints": None, **_FORMAT}),
    "config-get": _show(unittools.config_get, {"all": "bool", "a": "all"}),
    "credential-get": _show(unittools.credential_get),
    "goal-state": _show(statustools.goal_state),
    "is-leader": _show(unittools.is_leader),
    "juju-log": _tool(
        unittools.juju_log, {"log-level": None, "l": "log-level", "debug": "bool", **_FORMAT}
    ),
    "juju-reboot": _tool(unittools.juju_reboot, {"now": "bool"}),
    "network-get": _show(
        unittools.network_get,
        {
            **_RELATION,
            "bind-address": "bool",
            "ingress-address": "bool",
            "egress-subnets": "bool",
            "primary-address": "bool",
        },
    ),
    "open-port": _tool(unittools.open_port, {"endpoints": None, **_FORMAT}),
    "opened-ports": _show(unittools.opened_ports, {"endpoints": "bool"}),
    "relation-get": _show(relationtools.relation_get, {**_RELATION, "app": "bool"}),
    "relation-ids": _show(relationtools.relation_ids),
    "relation-list": _show(relationtools.relation_list, {**_RELATION, "app": "bool"}),
    "relation-model-get": _show(relationtools.relation_model_get, _RELATION),
    "relation-set": _tool(
        relationtools.relation_set, {**_RELATION, "app": "bool", "file": None, **_FORMAT}
    ),
    "resource-get": _show(unittools.resource_get),
    "secret-add": _tool(secrettools.secret_add, _SECRET),
    "secret-get": _show(secrettools.secret_get, {"label": None, "peek": "bool", "refresh": "bool"}),
    "secret-grant": _tool(
        secrettools.secret_grant, {"relation": None, "r": "relation", "unit": None}
    ),
    "secret-ids": _show(secrettools.secret_ids),
    "secret-info-get": _show(secrettools.secret_info_get, {"label": None}),
    "secret-remove": _tool(secrettools.secret_remove, {"revision": None}),
    "secret-revoke": _tool(
        secrettools.secret_revoke,
        {"relation": None, "r": "relation", "app": None, "application": "app", "unit": None},
    ),
    "secret-set": _tool(secrettools.secret_set, _SECRET),
    "state-delete": _tool(unittools.state_delete),
    "state-get": _show(unittools.state_get, {"strict": "bool"}),
    "state-set": _tool(unittools.state_set, {"file": None}),
    "status-get": _show(
        statustools.status_get,
        {"include-data": "bool", "application": "bool", "service": "application"},
    ),
    "status-set": _tool(statustools.status_set, {"application": "bool", "service": "application"}),
    "storage-add": _tool(unittools.storage_add),
    "storage-get": _show(unittools.storage_get, {"s": None}),
    "storage-list": _show(unittools.storage_list),
    "unit-get": _show(unittools.unit_get),
}


def handle(
    context: HookContext,
    tool: str,
    args: Sequence[str],
    stdin: str | None = None,
    files: Mapping[str, str] | None = None,
) -> tuple[int, str, str]:
    """Run one call of a tool; return exit code, stdout and stderr. Never raises for bad input.

    Args:
        context: Of the running hook.
        tool: Name, such as `relation-get`.
        args: Without the name.
        stdin: What was sent for `--file -`.
        files: Contents of the files that the arguments name, by path.
    """
    known = TOOLS.get(tool)
    if known is None:
        return 1, "", f"ERROR unknown command {tool!r}\n"
    try:
        parsed = parse(args, known.flags)
        kind = parsed.get("format") or "smart"
        if known.formatted and kind not in output.FORMATS:
            output.render(None, kind)
        value = known.run(context, parsed, Inputs(stdin, files or {}))
        return 0, output.render(value, kind if known.formatted else "smart"), ""
    except ToolError as error:
        return error.code, "", f"ERROR {error.message}\n"
    except errors.EngineError as error:
        return 1, "", f"ERROR {error.message}\n"
