"""Looking at tasks and operations afterwards, and cancelling them."""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime

from daybreak_engine import errors
from daybreak_engine.model import rows, tasks
from daybreak_engine.model.store import Transaction

from . import output, taskview
from .command import Call, Command, format_flag
from .deps import Deps, Err, Out, Output
from .failures import UsageError
from .flags import Flag, Kind


def _number(call: Call, what: str) -> int:
    if len(call.args) != 1:
        raise UsageError(f"no {what} ID specified" if not call.args else f"only one {what} ID")
    if not call.args[0].isdigit():
        raise UsageError(f'{what} ID "{call.args[0]}" not valid')
    return int(call.args[0])


def _task(tx: Transaction, number: int) -> rows.Task:
    try:
        return tasks.get(tx, number)
    except errors.NotFoundError as error:
        raise errors.NotFoundError("id not found") from error


async def show_task(call: Call) -> AsyncIterator[Output]:
    """Show the results of a task."""
    number = _number(call, "task")
    deps = call.model()
    task = _task(deps.store.read(), number)
    if "wait" in call.parsed.given:
        await deps.wait(lambda: _done(deps, number), call.parsed.seconds("wait"))
        task = _task(deps.store.read(), number)
    if call.parsed.text("format") == "plain":
        yield Out(taskview.plain(task))
    else:
        yield call.formatted(taskview.task_tree(task))


def _done(deps: Deps, number: int) -> bool | None:
    return True if _task(deps.store.read(), number).status in taskview.DONE else None


async def show_operation(call: Call) -> AsyncIterator[Output]:
    """Show an operation with its tasks."""
    number = _number(call, "operation")
    deps = call.model()
    if "wait" in call.parsed.given:
        await deps.wait(lambda: _finished(deps, number), call.parsed.seconds("wait"))
    tx = deps.store.read()
    for found, summary, created in tasks.operations(tx):
        if found == number:
            yield call.formatted(
                taskview.operation_tree(summary, created, tasks.of_operation(tx, number))
            )
            return
    raise errors.NotFoundError("id not found")


def _finished(deps: Deps, number: int) -> bool | None:
    found = tasks.of_operation(deps.store.read(), number)
    return True if all(task.status in taskview.DONE for task in found) else None


async def list_operations(call: Call) -> AsyncIterator[Output]:
    """List operations."""
    tx = call.model().store.read()
    found = [(o, tasks.of_operation(tx, o[0])) for o in tasks.operations(tx)]
    wanted = call.parsed.items("status")
    names = call.parsed.items("actions")
    hosts = call.parsed.items("units")
    applications = call.parsed.items("applications")
    kept = [
        (operation, members)
        for operation, members in found
        if (not wanted or taskview.operation_status(members) in wanted)
        and (not names or any(t.action in names for t in members))
        and (not hosts or any(t.unit in hosts for t in members))
        and (not applications or any(t.unit.partition("/")[0] in applications for t in members))
    ]
    kept = kept[call.parsed.number("offset") or 0 :][: call.parsed.number("limit") or 50]
    if call.parsed.text("format") != "plain":
        yield call.formatted(
            {
                str(number): taskview.operation_tree(summary, created, members)
                for (number, summary, created), members in kept
            }
        )
        return
    if not kept:
        yield Err("no matching operations\n")
        return
    lines: list[tuple[output.Cell, ...]] = [
        (
            output.Right(str(number)),
            taskview.operation_status(members),
            _short(min((t.started for t in members if t.started), default=None)),
            _short(_end(members)),
            ",".join(str(t.id) for t in members),
            summary,
        )
        for (number, summary, _), members in kept
    ]
    heads = (output.Right("ID"), "Status", "Started", "Finished", "Task IDs", "Summary")
    yield Out(output.table([heads, *lines]))


def _end(members: list[rows.Task]) -> float | None:
    times = [task.completed for task in members if task.completed is not None]
    return max(times) if times and len(times) == len(members) else None


def _short(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


async def cancel_task(call: Call) -> Iterable[Output]:
    """Cancel tasks: what waits is dropped, what runs is ended."""
    if not call.args:
        raise UsageError("no task IDs specified")
    deps = call.model()
    refused: list[str] = []
    with deps.store.transaction() as tx:
        for written in call.args:
            try:
                task = tasks.get(tx, int(written))
            except (ValueError, errors.NotFoundError):
                refused.append(f"task: {written}, error: not found\n")
                continue
            if task.status in taskview.DONE:
                refused.append(f"task: {written}, error: it is {task.status}\n")
            else:
                tasks.cancel(tx, task.id)
    deps.wake()
    if not refused:
        return ()
    return (Err("WARNING The following tasks could not be canceled:\n" + "".join(refused)),)


_WAIT = Flag("wait", Kind.SECONDS, "Wait this long for the end", default=None)
_MORE = (
    Flag("utc", Kind.BOOL, "Accepted; times are UTC"),
    Flag("watch", Kind.BOOL, "Accepted and ignored"),
)

COMMANDS = (
    Command(
        "show-task",
        show_task,
        "<task id>",
        "Show the results of a task.",
        "    juju show-task 3 --wait 1m --format json",
        flags=(format_flag("plain"), _WAIT, *_MORE),
        braces=True,
    ),
    Command(
        "show-operation",
        show_operation,
        "<operation id>",
        "Show an operation with its tasks.",
        flags=(format_flag("yaml"), _WAIT, *_MORE),
        braces=True,
    ),
    Command(
        "operations",
        list_operations,
        "",
        "List operations, oldest first.",
        flags=(
            format_flag("plain"),
            Flag("limit", Kind.INT, "How many", default=50),
            Flag("offset", Kind.INT, "How many to skip", default=0),
            Flag("status", Kind.CSV, "Only with these statuses"),
            Flag("actions", Kind.CSV, "Only of these actions"),
            Flag("units", Kind.CSV, "Only on these units"),
            Flag("applications", Kind.CSV, "Only on these applications"),
            Flag("utc", Kind.BOOL, "Accepted; times are UTC"),
        ),
        aliases=("list-operations",),
    ),
    Command(
        "cancel-task",
        cancel_task,
        "<task id> [...]",
        "Cancel tasks.",
        "A task that waits is dropped; one that runs gets SIGTERM, then SIGKILL.",
        flags=(format_flag("yaml"),),
    ),
)
