"""Tasks and operations as values to print. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from daybreak_engine.model import rows

from . import output

DONE = ("completed", "failed", "aborted", "error")


def timestamp(seconds: float) -> str:
    """Return a time as Go prints it: `2026-11-22 16:33:35.4376 +0000 UTC`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    fraction = f".{moment.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def timing(task: rows.Task) -> dict[str, str]:
    """Return the times of a task that are known."""
    times = (
        ("enqueued", task.enqueued),
        ("started", task.started),
        ("completed", task.completed),
    )
    return {name: timestamp(value) for name, value in times if value is not None}


def log_lines(task: rows.Task) -> list[str]:
    """Return a task's progress messages with their times."""
    return [f"{timestamp(seconds)} {message}" for seconds, message in task.log]


def task_tree(task: rows.Task) -> dict[str, object]:
    """Return a task as `juju run --format json` shows it, keys sorted."""
    tree: dict[str, object] = {"id": str(task.id)}
    if task.log:
        tree["log"] = log_lines(task)
    if task.message:
        tree["message"] = task.message
    if task.results:
        tree["results"] = _sorted(task.results)
    return {**tree, "status": task.status, "timing": timing(task), "unit": task.unit}


def _sorted(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value)}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON from the model
    return value


def return_code(task: rows.Task) -> int:
    """Return the exit code of a task's process; 0 where none ran."""
    code = task.results.get("return-code", 0)
    return int(code) if isinstance(code, int | str) else 0


def failures(tasks: Sequence[rows.Task]) -> str:
    """Return the text about tasks whose process failed; "" when none did."""
    bad = [task for task in tasks if return_code(task)]
    if not bad:
        return ""
    noun = "task" if len(bad) == 1 else "tasks"
    lines = "\n".join(f' - id "{t.id}" with return code {return_code(t)}' for t in bad)
    return f"the following {noun} failed:\n{lines}\n\nuse 'juju show-task' to inspect the failure"


def plain(task: rows.Task) -> str:
    """Return a task's results for people: its output as it is, the rest as YAML."""
    text = ""
    if task.status in ("failed", "error", "aborted") and not return_code(task):
        text += f"Action id {task.id} {task.status}: {task.message}\n"
    results = dict(task.results)
    texts = [str(results.pop(stream, "")) for stream in ("stdout", "stderr")]
    results.pop("return-code", None)
    if results:
        text += output.to_yaml(_sorted(results)) + "\n"
    return text + "".join(texts)


def plain_all(tasks: Sequence[rows.Task]) -> str:
    """Return the results of one task, or of several under their units' names."""
    if len(tasks) == 1:
        return plain(tasks[0])
    parts = [
        f"{task.unit}:\n" + "".join(f"  {line}\n" for line in plain(task).rstrip().split("\n"))
        for task in tasks
    ]
    return "".join(parts)


def operation_status(tasks: Sequence[rows.Task]) -> str:
    """Return the status of an operation: that of its worst task; `error` without any."""
    order = ("running", "pending", "error", "failed", "aborted", "completed")
    present = {task.status for task in tasks}
    return next((status for status in order if status in present), "error")


def operation_tree(summary: str, created: float, tasks: Sequence[rows.Task]) -> dict[str, object]:
    """Return an operation as `juju show-operation` shows it."""
    tree: dict[str, object] = {"summary": summary, "status": operation_status(tasks)}
    if tasks:
        tree["action"] = {"name": tasks[0].action, "parameters": dict(tasks[0].parameters)}
    times = {"enqueued": timestamp(created)}
    if tasks and all(task.completed is not None for task in tasks):
        times["completed"] = timestamp(max(task.completed or 0.0 for task in tasks))
    tree["timing"] = times
    tree["tasks"] = {str(task.id): _task_of_operation(task) for task in tasks}
    return tree


def _task_of_operation(task: rows.Task) -> dict[str, object]:
    times = timing(task)
    times.pop("completed", None)
    tree: dict[str, object] = {"host": task.unit, "status": task.status, "timing": times}
    if task.log:
        tree["log"] = log_lines(task)
    if task.message:
        tree["message"] = task.message
    return tree
