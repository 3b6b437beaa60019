"""From the plan to the first request: processes, tasks, and the wait for `online`."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from ops import pebble

from daybreak_charm import containers, roll, room
from daybreak_charm.description import Check, File, Process, Task
from daybreak_charm.outcome import Outcome, Ready, Waiter, Waiting

if TYPE_CHECKING:
    import ops

    from daybreak_charm.context import Context

logger = logging.getLogger(__name__)

IN_HOOK = 5.0
"""Seconds that the hook itself waits for a process that it has just started."""
STEP = 0.1


def stop(context: "Context", names: Sequence[str]) -> None:
    """Stop the charm's services in all these containers."""
    for name in names:
        container = context.container(name)
        services = container.get_plan().services
        active = containers.running(container)
        ours = [
            key
            for key, value in services.items()
            if containers.DIGEST in value.environment and active.get(key)
        ]
        if ours:
            container.stop(*ours)


def bring(
    context: "Context", name: str, files: Sequence[File], processes: Sequence[Process]
) -> bool | Waiting:
    """Bring the processes of a container to the plan.

    Args:
        context: This dispatch.
        name: The container.
        files: Its files.
        processes: What should run in it.

    Returns:
        Whether one starts now whose answer is worth waiting for; or that another unit's turn is first.
    """
    container = context.container(name)
    mine = {process.name: process for process in processes}
    services = {key: containers.service_dict(p, files) for key, p in mine.items()}
    checks = containers.checks(mine.values()) | room.checks(context, name)
    plan = container.get_plan()
    active = containers.running(container)
    stale = containers.stale(plan, services)
    gone = containers.gone(plan, services)
    if any(active.get(key) for key in stale):
        if not roll.holds(context):
            roll.ask(context)
            return Waiting("waits for its turn to restart", "peers-relation-changed")
        roll.begin(context)
    idle = {key for key in services if not active.get(key)}
    if stale or idle:
        containers.write_drain(container, mine.values(), context.effects)
    wrong = {k for k, v in checks.items() if not containers.same_check(plan.checks.get(k), v)}
    containers.mark_alone(container, mine.values(), alone=context.planned <= 1)
    if stale or gone or wrong:
        disabled: dict[str, Any] = {
            key: {"override": "merge", "startup": "disabled"} for key in gone
        }
        layer: Any = {"services": {**services, **disabled}, "checks": checks}
        container.add_layer(containers.LAYER, layer, combine=True)
    if stopping := [key for key in gone if active.get(key)]:
        container.stop(*stopping)
    if stale or idle:
        # Without waiting: Pebble takes a second to believe a start, and the gates ask the
        # service itself.
        container.pebble.replan_services(timeout=0)
    leaving = [key for key in stale if active.get(key) and mine[key].drain]
    containers.await_stopping(container, leaving, context.effects)
    for key, process in mine.items():
        what = containers.reload_digest(process, files)
        if not what or containers.loaded(container, process) == what:
            continue
        if key in stale or key in idle or containers.reload(container, process):
            containers.mark_loaded(container, process, what)
    # One that has to leave traffic first takes longer than a hook should.
    return bool(stale or idle) and not leaving


def run_tasks(context: "Context", main: str, tasks: Sequence[Task]) -> Outcome:
    """Run the tasks that are owed, one after the other."""
    for task in tasks:
        if not task.owed():
            continue
        if not context.acting:
            return Waiting(f"{task.name} is owed", "")
        container = context.container(task.container or main)
        process = container.exec(
            list(task.command),
            environment=dict(task.environment),
            user=task.user,
            timeout=task.timeout,
        )
        try:
            process.wait_output()
        # An except clause cannot say what a generic exception holds; the next line does.
        except pebble.ExecError as failure:  # pyright: ignore[reportUnknownVariableType]
            error = cast("pebble.ExecError[str]", failure)
            # Standard error may be long, and is the program's: its last line names the fault.
            lines = str(error.stderr or "").strip().splitlines()
            logger.warning("%s ended with %d: %s", task.name, error.exit_code, lines[-1:])
            return Waiting(f"{task.name} failed, will be tried again", "retry")
        except (pebble.ChangeError, TimeoutError):
            return Waiting(f"{task.name} took too long, will be tried again", "retry")
        logger.info("%s done", task.name)
    return Ready()


def wait_online(
    context: "Context", main: str, processes: Sequence[Process], *, fresh: bool
) -> Outcome:
    """Whether every process answers its `ready` check, the one that was started last.

    While Pebble still ends the process before, that one answers: who believed it would say that
    this unit has moved to new credentials, and the old ones would be revoked under its requests.

    Args:
        context: This dispatch.
        main: Name of the main container.
        processes: What should run.
        fresh: Whether one of them has just been started: then its answer is waited for.
    """
    for process in processes:
        container = context.container(process.container or main)
        settled = _patient(
            context, lambda c=container, p=process: context.effects.settled(c, p.name), fresh=fresh
        )
        for check in (check for check in process.checks if check.level == "ready"):
            if not settled or not _answers(context, container, check, fresh=fresh):
                tcp = f"127.0.0.1:{check.tcp}" if check.tcp else None
                waiter = Waiter(check.name, check.http, tcp, check.command, container.name)
                return Waiting(f"{process.name} does not answer yet", waiter)
    return Ready()


def _answers(context: "Context", container: "ops.Container", check: Check, *, fresh: bool) -> bool:
    if not fresh:
        info = container.get_checks(check.name).get(check.name)
        if info and info.status is pebble.CheckStatus.UP and info.successes and not info.failures:
            return True
    return _patient(context, lambda: context.effects.probe(check, container), fresh=fresh)


def _patient(context: "Context", condition: Callable[[], bool], *, fresh: bool) -> bool:
    waited, since = 0.0, context.effects.now()
    while not condition():
        waited += STEP
        # A question may take longer than the step to the next one.
        spent = max(waited, context.effects.now() - since)
        if not fresh or not context.acting or spent > IN_HOOK:
            return False
        context.effects.sleep(STEP)
    return True
