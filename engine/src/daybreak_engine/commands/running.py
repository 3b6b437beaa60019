"""`juju run` and `juju exec`: queue tasks for units and wait for their results."""

import functools
import re
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

from daybreak_engine import errors
from daybreak_engine.model import applications, charms, rows, tasks, units
from daybreak_engine.model.store import Transaction

from . import output, parameters, queries, taskview
from .command import Call, Command, format_flag
from .deps import Deps, Err, Exit, Out, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind

_UNIT = re.compile(r"[a-z][a-z0-9-]*/(\d+|leader)")


def unit_named(tx: Transaction, written: str) -> str:
    """Return a unit's name; `app/leader` becomes the leader.

    Raises:
        errors.NotFoundError: the application has no leader, or does not exist.
    """
    application, _, number = written.partition("/")
    if number != "leader":
        return written
    leader = queries.leaders(tx).get(application)
    if leader is None:
        if applications.find(tx, application) is None:
            raise errors.NotFoundError(
                f"getting leader unit for {application}: application "
                f'"{application}" not found in leases (not found)'
            )
        raise errors.NotFoundError(
            f"could not determine leader for {application}",
            remedy="wait until its first unit has started",
        )
    return leader


async def run(call: Call) -> AsyncIterator[Output]:
    """Run an action on units."""
    targets: list[str] = []
    words = list(call.args)
    while words and _UNIT.fullmatch(words[0]):
        targets.append(words.pop(0))
    if not targets:
        raise UsageError("no unit specified")
    if not words:
        raise UsageError("no action specified")
    action, *pairs = words
    given: dict[str, object] = {}
    if call.parsed.text("params"):
        written = call.parsed.text("params")
        given |= parameters.from_file(call.read_file(written), written)
    for pair in pairs:
        if call.parsed.on("string-args"):
            key, _, value = pair.partition("=")
            parameters.put(given, key.split("."), value)
        else:
            for key, value in _leaves(parameters.from_arguments([pair])):
                parameters.put(given, key, value)
    deps = call.model()
    tx = deps.store.read()
    names = [unit_named(tx, target) for target in dict.fromkeys(targets)]
    for name in names:
        _check_action(tx, name, action)
    queued = _queue(deps, f'action "{action}"', names, action, given)
    async for part in _follow(call, deps, queued, progress=True):
        yield part


def _leaves(
    tree: Mapping[str, object], prefix: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], object]]:
    # One argument sets one place, so each mapping on the way has one key.
    found: list[tuple[tuple[str, ...], object]] = []
    for key, value in tree.items():
        found.append(((*prefix, key), value))
    if len(found) == 1 and isinstance(found[0][1], dict):
        return _leaves(found[0][1], found[0][0]) or found  # pyright: ignore[reportUnknownArgumentType] - YAML
    return found


def _check_action(tx: Transaction, unit: str, action: str) -> None:
    application = unit.partition("/")[0]
    app = applications.find(tx, application)
    if app is None:
        raise errors.NotFoundError(
            "adding action operation: adding action operation: getting charm UUID for "
            f'application "{application}": application "{application}" not found'
        )
    declared = charms.meta(tx, app.charm_id).actions
    if action not in declared:
        raise errors.NotFoundError(
            f'action "{action}" not defined for unit "{unit}". (not found)',
            remedy=f"the charm has: {', '.join(sorted(declared)) or 'no actions'}",
        )


def _queue(
    deps: Deps, summary: str, names: Sequence[str], action: str, given: Mapping[str, object]
) -> tuple[int, tuple[int, ...], tuple[str, ...]]:
    """Queue one task for each unit; return operation, tasks, and what could not be queued."""
    strangers: list[str] = []
    numbers: list[int] = []
    with deps.store.transaction() as tx:
        operation = tasks.add_operation(tx, summary)
        for name in names:
            unit = units.find(tx, name)
            if unit is None:
                strangers.append(
                    f'linking task to unit: getting unit UUID for "{name}": unit "{name}" not found'
                )
                continue
            numbers.append(_add_task(tx, operation, unit, action, given))
    deps.wake()
    return operation, tuple(numbers), tuple(strangers)


def _add_task(
    tx: Transaction, operation: int, unit: rows.Unit, action: str, given: Mapping[str, object]
) -> int:
    if action == tasks.EXEC:
        return tasks.add(tx, operation, unit.name, action, given).id
    schema = applications.meta(tx, unit.application).actions[action].schema
    problem = parameters.problems(schema, given)
    values = given if problem else parameters.with_defaults(schema, given)
    task = tasks.add(tx, operation, unit.name, action, values)
    if problem:
        text = f'cannot run "{action}" action: validation failed: {problem}'
        tasks.finish(tx, task.id, "error", text, {})
    return task.id


async def _follow(
    call: Call,
    deps: Deps,
    queued: tuple[int, tuple[int, ...], tuple[str, ...]],
    *,
    progress: bool,
) -> AsyncIterator[Output]:
    """Yield what to say of queued tasks until they end, or until the time is over."""
    operation, numbers, strangers = queued
    if not numbers:
        lead = "\n" if progress else ""
        text = "\n".join(strangers)
        yield Err(f"{lead}Operation {operation} failed to schedule any tasks:\n{text}\n")
        return
    for stranger in strangers:
        yield Err(f"{stranger}\n")
    if call.parsed.on("background"):
        yield Err(_scheduled(operation, numbers))
        return
    found = _tasks(deps, numbers)
    if progress:
        yield Err(_began(operation, found))
    limit = call.parsed.seconds("wait")
    deadline = None if limit is None else deps.now().timestamp() + limit
    shown = 0
    while not all(task.status in taskview.DONE for task in found):
        left = None if deadline is None else max(0.0, deadline - deps.now().timestamp())
        news = await deps.wait(functools.partial(_news, deps, numbers, shown), left)
        found = _tasks(deps, numbers)
        if news is None:
            break
        if progress and len(found) == 1:
            for seconds, message in found[0].log[shown:]:
                yield Err(f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S} {message}\n")
            shown = len(found[0].log)
    late = [f"unit {task.unit}" for task in found if task.status not in taskview.DONE]
    if late:
        if progress:
            yield Err("\n")
        raise CommandError(f"timed out waiting for results from: {', '.join(late)}")
    yield _results(call, found)
    text = taskview.failures(found)
    if text:
        yield Err(f"ERROR {text}\n")
        yield Exit(1)


def _tasks(deps: Deps, numbers: Sequence[int]) -> list[rows.Task]:
    tx = deps.store.read()
    return [tasks.get(tx, number) for number in numbers]


def _began(operation: int, found: Sequence[rows.Task]) -> str:
    noun = "task" if len(found) == 1 else "tasks"
    listed = "".join(f"  - task {t.id} on unit-{t.unit.replace('/', '-')}\n" for t in found)
    waits = "".join(f"Waiting for task {t.id}...\n" for t in found)
    return f"Running operation {operation} with {len(found)} {noun}\n{listed}\n{waits}"


def _scheduled(operation: int, numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, numbers))
    noun = "task" if len(numbers) == 1 else "tasks"
    checks = "".join(f"Check task status with 'juju show-task {n}'\n" for n in numbers)
    return (
        f"Scheduled operation {operation} with {noun} {listed}\n"
        f"Check operation status with 'juju show-operation {operation}'\n{checks}"
    )


def _news(deps: Deps, numbers: Sequence[int], shown: int) -> bool | None:
    """Return True once all are done, or the only one has logged more."""
    found = _tasks(deps, numbers)
    done = all(task.status in taskview.DONE for task in found)
    return True if done or (len(found) == 1 and len(found[0].log) > shown) else None


def _results(call: Call, found: Sequence[rows.Task]) -> Out:
    if call.parsed.text("format") == "plain":
        return Out(taskview.plain_all(found))
    return call.formatted({task.unit: taskview.task_tree(task) for task in found})


async def execute(call: Call) -> AsyncIterator[Output]:
    """Run a command in the charm containers of units, with hook tools."""
    if not call.args:
        raise UsageError("no commands specified")
    if call.parsed.items("machine"):
        raise CommandError("unable to target machines with a k8s controller")
    deps = call.model()
    tx = deps.store.read()
    names = [unit_named(tx, written) for written in call.parsed.items("unit")]
    for name in call.parsed.items("application"):
        applications.get(tx, name)
        names += [unit.name for unit in units.of(tx, name)]
    if call.parsed.on("all"):
        names += [unit.name for unit in units.all_(tx)]
    if not names:
        raise UsageError(
            "You must specify a target, either through --all, --machine, --application or --unit"
        )
    # One argument is a script of its own; several are a command and its arguments.
    script = call.args[0] if len(call.args) == 1 else shlex.join(call.args)
    given = {"command": script, "timeout": call.parsed.seconds("wait")}
    queued = _queue(deps, f"{tasks.EXEC} {script}", list(dict.fromkeys(names)), tasks.EXEC, given)
    async for part in _follow(call, deps, queued, progress=False):
        yield part


async def list_actions(call: Call) -> AsyncIterator[Output]:
    """List the actions of an application."""
    if len(call.args) != 1:
        raise UsageError("no application name specified")
    tx = call.model().store.read()
    declared = applications.meta(tx, call.args[0]).actions
    if call.parsed.on("schema"):
        yield call.formatted({name: dict(declared[name].schema) for name in sorted(declared)})
        return
    if call.parsed.text("format") != "default":
        yield call.formatted({name: declared[name].description for name in sorted(declared)})
        return
    if not declared:
        yield Err(f"No actions defined for {call.args[0]}.\n")
        return
    lines = [(name, declared[name].description.partition("\n")[0]) for name in sorted(declared)]
    yield Out(output.table([("Action", "Description"), *lines]))


async def show_action(call: Call) -> AsyncIterator[Output]:
    """Show one action and its parameters."""
    if len(call.args) != 2:
        raise UsageError("no action name specified" if call.args else "no application specified")
    name, action = call.args
    declared = applications.meta(call.model().store.read(), name).actions
    if action not in declared:
        raise errors.NotFoundError(f'unknown action "{action}"')
    properties: object = declared[action].schema.get("properties")
    text = output.to_yaml(properties) if properties else ""
    yield Out(f"{declared[action].description}\n\nArguments\n{text}\n")


_RUN_FLAGS = (
    Flag("background", Kind.BOOL, "Do not wait for the results"),
    Flag("color", Kind.BOOL, "Accepted and ignored"),
    Flag("no-color", Kind.BOOL, "Accepted and ignored"),
    Flag("utc", Kind.BOOL, "Accepted; times are UTC"),
)

COMMANDS = (
    Command(
        "run",
        run,
        "<unit> [<unit> ...] <action> [<key>=<value> ...]",
        "Run an action of a charm and show its results.",
        """\
A unit is named like keystone/0, or keystone/leader. Values are read as YAML, dots in a
key make nested ones.

    juju run keystone/leader get-admin-account
    juju run keystone/0 slow seconds=20 --wait 1m
    juju run keystone/0 keystone/1 check --params params.yaml --format json
    juju run keystone/0 slow --background
""",
        flags=(
            format_flag("plain"),
            Flag("wait", Kind.SECONDS, "How long to wait", default=60.0),
            Flag("params", Kind.TEXT, "YAML file with parameters"),
            Flag("string-args", Kind.BOOL, "Take values as texts"),
            *_RUN_FLAGS,
        ),
        braces=True,
    ),
    Command(
        "exec",
        execute,
        "--unit <unit> -- <command> ...",
        "Run a command in the charm container of units.",
        """\
The command runs as a hook does: in the charm's directory, with its environment and the
hook tools, when no hook of the unit runs. One argument is taken as a shell script.

    juju exec --unit keystone/0 -- relation-ids database
    juju exec --application keystone 'is-leader && hostname'
""",
        flags=(
            format_flag("plain"),
            Flag("wait", Kind.SECONDS, "How long to wait", default=300.0),
            Flag("unit", Kind.CSV, "Units, or an application's leader", short="u"),
            Flag("application", Kind.CSV, "All units of these applications", short="a"),
            Flag("all", Kind.BOOL, "All units"),
            Flag("machine", Kind.CSV, "Not on Kubernetes"),
            Flag("parallel", Kind.TEXT, "Accepted and ignored"),
            Flag("execution-group", Kind.TEXT, "Accepted and ignored"),
            *_RUN_FLAGS,
        ),
        braces=True,
    ),
    Command(
        "actions",
        list_actions,
        "<application>",
        "List the actions of an application.",
        flags=(format_flag("default", "tabular"), Flag("schema", Kind.BOOL, "Show the parameters")),
        aliases=("list-actions",),
    ),
    Command(
        "show-action",
        show_action,
        "<application> <action>",
        "Show an action with its parameters.",
    ),
)
