"""`juju status` and the smaller commands that show the state of things."""

import asyncio
import json
from collections.abc import AsyncIterator

from daybreak_engine.model import applications, statuses, units

from . import output, queries, statusfilter, statusjson, tabular, views
from .command import Call, Command, format_flag
from .deps import Err, Out, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind


async def status(call: Call) -> AsyncIterator[Output]:
    """Show the model, or what the patterns match; with --watch again and again."""
    deps = call.model()
    period = call.parsed.seconds("watch")
    while True:
        whole = queries.model_view(deps.store.read())
        model = statusfilter.select(whole, call.args)
        if period is not None:
            yield Out("\x1b[H\x1b[2J" if call.request.tty else "")
        yield _shown(call, model)
        if call.args and not model.applications:
            yield Err("Nothing matched specified filter.\n")
        elif not whole.applications and call.parsed.text("format") == "tabular":
            yield Err(f'\nModel "{model.name}" is empty.\n')
        if period is None:
            return
        await asyncio.sleep(max(period, 0.1))


def _shown(call: Call, model: views.ModelView) -> Out:
    match call.parsed.text("format"):
        case "json" | "yaml":
            return call.formatted(statusjson.status_tree(model))
        case "oneline" | "line" | "short":
            return Out(tabular.oneline(model))
        case "summary":
            return Out(tabular.summary(model))
        case _:
            return Out(
                tabular.tables(
                    model,
                    relations=call.parsed.on("relations"),
                    storage=call.parsed.on("storage"),
                    utc=call.parsed.on("utc"),
                )
            )


async def storage(call: Call) -> AsyncIterator[Output]:
    """List storage instances or filesystems."""
    model = queries.model_view(call.model().store.read())
    if call.parsed.text("format") != "tabular":
        yield call.formatted(statusjson.storage_tree(model))
        return
    if not model.storage:
        yield Err("No storage to display.\n")
        return
    yield Out(_filesystems(model) if call.parsed.on("filesystem") else _instances(model))


def _instances(model: views.ModelView) -> str:
    heads = ("Unit", "Storage ID", "Type", "Pool", "Size", "Status", "Message")
    return output.table(
        [
            heads,
            *(
                (
                    item.unit,
                    item.id,
                    "filesystem",
                    "kubernetes",
                    tabular.size(item.size),
                    item.status.current,
                    item.status.message,
                )
                for item in sorted(model.storage, key=lambda s: (s.unit, s.id))
            ),
        ]
    )


def _filesystems(model: views.ModelView) -> str:
    heads = ("Unit", "Storage ID", "ID", "Provider ID", "Mountpoint", "Size", "State", "Message")
    return output.table(
        [
            heads,
            *(
                (
                    item.unit,
                    item.id,
                    item.id.split("/")[1],
                    item.provider_id,
                    item.location,
                    tabular.size(item.size),
                    item.status.current,
                    item.status.message,
                )
                for item in sorted(model.storage, key=lambda s: (s.unit, s.id))
            ),
        ]
    )


async def show_storage(call: Call) -> AsyncIterator[Output]:
    """Show storage instances by id."""
    if not call.args:
        raise UsageError("must specify storage id(s)")
    present = {item.id: item for item in queries.storage_views(call.model().store.read())}
    for name in call.args:
        if name not in present:
            raise CommandError(f'storage instance "{name}" not found')
    yield call.formatted({name: statusjson.storage_instance(present[name]) for name in call.args})


async def show_status_log(call: Call) -> AsyncIterator[Output]:
    """Show the past statuses of a unit or an application."""
    if len(call.args) != 1:
        raise UsageError("no entity name specified" if not call.args else "only one entity name")
    name = call.args[0]
    tx = call.model().store.read()
    if "/" in name:
        units.get(tx, name)
    else:
        applications.get(tx, name)
    limit = call.parsed.number("n") or 20
    words = {"agent": "juju-unit", "workload": "workload", "application": "application"}
    wanted = {
        "unit": ("agent", "workload"),
        "juju-unit": ("agent",),
        "workload": ("workload",),
        "application": ("application",),
    }.get(call.parsed.text("type") or ("unit" if "/" in name else "application"))
    if wanted is None:
        raise UsageError(f'unexpected status type "{call.parsed.text("type")}"')
    history = [h for h in statuses.history(tx, name, limit=1000) if h[0] in wanted][-limit:]
    if call.parsed.text("format") == "tabular":
        rows = [
            (statusjson.when(since), words[kind], word, message)
            for kind, word, message, since in history
        ]
        yield Out(output.table([("Time", "Type", "Status", "Message"), *rows]))
        return
    yield call.formatted(
        [
            {
                "status": word,
                **({"message": message} if message else {}),
                "since": statusjson.when(since),
                "type": words[kind],
            }
            for kind, word, message, since in history
        ]
    )


async def version(call: Call) -> AsyncIterator[Output]:
    """Show the Juju version that the engine stands for."""
    text = f"{views.VERSION}-ubuntu-amd64"
    form = call.parsed.text("format")
    if call.parsed.on("all"):
        tree = {
            "version": text,
            "git-commit": "",
            "git-tree-state": "clean",
            "compiler": "daybreak",
        }
        yield call.formatted(tree) if form != "smart" else Out(output.to_yaml(tree))
        return
    yield Out(json.dumps(text) + "\n" if form == "json" else f"{text}\n")


COMMANDS = (
    Command(
        "status",
        status,
        "[<selector> [...]]",
        "Report the status of the model, its applications and units.",
        """\
A selector is the name of an application or a unit, a status such as "blocked", or
"exposed"; * stands for any text. With selectors only what they match is shown.

The Agent column says what the unit's agent does ("executing" a hook, "idle"), the
Workload column what the charm says of its service. An application's status is what
its leader set, otherwise that of its worst unit.

    juju status
    juju status --relations --storage
    juju status --watch 2s
    juju status keystone --format json
""",
        flags=(
            format_flag("tabular", "oneline", "line", "short", "summary"),
            Flag("relations", Kind.BOOL, "Show the relations too"),
            Flag("integrations", Kind.BOOL, "Accepted and ignored"),
            Flag("storage", Kind.BOOL, "Show the storage too"),
            Flag("watch", Kind.SECONDS, "Show it again after each such time, until Ctrl-C"),
            Flag("utc", Kind.BOOL, "Show times without their zone (they are always UTC)"),
            Flag("color", Kind.BOOL, "Accepted and ignored"),
            Flag("no-color", Kind.BOOL, "Accepted and ignored"),
            Flag("o", Kind.TEXT, "Accepted and ignored"),
        ),
        braces=True,
    ),
    Command(
        "storage",
        storage,
        "[list]",
        "List the storage of the model.",
        "Storage of a removed unit stays, detached, until its application or model goes.",
        flags=(
            format_flag("tabular"),
            Flag("filesystem", Kind.BOOL, "Show filesystems with their mount points"),
        ),
        aliases=("list-storage",),
    ),
    Command(
        "show-storage",
        show_storage,
        "<storage id> [...]",
        "Show storage instances.",
        "    juju show-storage data/0",
        flags=(format_flag("yaml"),),
        braces=True,
    ),
    Command(
        "show-status-log",
        show_status_log,
        "<unit or application>",
        "Show past statuses of a unit or an application.",
        "    juju show-status-log keystone/0 -n 50",
        flags=(
            format_flag("tabular"),
            Flag("n", Kind.INT, "How many of the latest entries", default=20),
            Flag("type", Kind.TEXT, "unit, juju-unit, workload or application"),
            Flag("days", Kind.INT, "Accepted and ignored"),
            Flag("utc", Kind.BOOL, "Accepted; times are UTC"),
        ),
    ),
    Command(
        "version",
        version,
        "",
        "Print the Juju version that this engine stands for.",
        flags=(
            format_flag("smart"),
            Flag("all", Kind.BOOL, "Print all that is known of the build"),
        ),
        on_model=False,
    ),
)
