"""The agent of one unit: asks what is due, runs it in the charm container, stores the result."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daybreak_engine import errors
from daybreak_engine.hooktools import environment, lifecycle
from daybreak_engine.hooktools.context import Services
from daybreak_engine.model import applications, tasks, units
from daybreak_engine.substrate import dispatch, podspec, waiting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Protocol

    from daybreak_engine.hooktools.context import HookContext
    from daybreak_engine.hooktools.server import HookToolServer, Usage
    from daybreak_engine.instance import Instance
    from daybreak_engine.model import Store, rows
    from daybreak_engine.model.operation import Operation, WorkloadEvent
    from daybreak_engine.resolver import Timing

    class Pod(Protocol):
        """What an agent sees of its unit's pod."""

        charm_pid: int
        pebbles: dict[str, str]
        events: list[WorkloadEvent]

        @property
        def present(self) -> bool:
            """Whether the charm container runs."""
            ...

        def heard(self, container: str, at: int) -> None:
            """Forget the notices of a container up to a time."""
            ...

        def changed(self) -> None:
            """Look at the unit again."""
            ...

    class Surroundings(Protocol):
        """What an agent needs of its cluster."""

        instance: Instance
        store: Store
        tools: HookToolServer
        timing: Timing
        seed: int

        def log(self, entity: str, level: str, logger: str, message: str) -> None:
            """Write to the model's log."""
            ...

        @property
        def api_environment(self) -> Mapping[str, str]:
            """The variables by which a hook finds the Kubernetes API."""
            ...

        @property
        def credential(self) -> Mapping[str, Any]:
            """What credential-get shows."""
            ...

        def record_hook(self, line: str) -> None:
            """Append a line to the record of hooks."""
            ...


_USERS = {"root": 0, "sudoer": 171, "non-root": podspec.JUJU_UID}


@dataclass(slots=True)
class _Output:
    """Lines of a process, kept for tasks."""

    stdout: list[str] = field(default_factory=list[str])
    stderr: list[str] = field(default_factory=list[str])


class Agent:
    """Runs the operations of one unit, one at a time. `run` it as a task.

    Args:
        cluster: Where it lives.
        unit: Name.
        pod: The unit's pod.
    """

    def __init__(self, cluster: Surroundings, unit: str, pod: Pod) -> None:
        self.unit = unit
        self._cluster = cluster
        self._pod = pod
        self._woken = asyncio.Event()
        self._served = ""

    def wake(self) -> None:
        """Something changed: decide again."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._woken.clear()
            store = self._cluster.store
            row = units.find(store.read(), self.unit)
            if row is None:
                await self._woken.wait()
                continue
            decision = lifecycle.decide(
                store,
                self.unit,
                pebbles=self._pod.pebbles,
                workload=tuple(self._pod.events),
                seed=self._cluster.seed,
                timing=self._cluster.timing,
            )
            if decision.operation is None or not self._may_run(row, decision):
                lifecycle.rest(store, self.unit, present=self._pod.present)
                if decision.finished:
                    self._pod.changed()
                await self._rest(decision.wake_at)
                continue
            if decision.remote.boot != self._served:
                await self._serve()
                self._served = decision.remote.boot
            await self._perform(decision)

    def _may_run(self, row: rows.Unit, decision: lifecycle.Decision) -> bool:
        """Tell whether the pod's charm is the one that its unit must run.

        Seen on Juju: a pod below the partition that had to be made again has the old template, while the
        application's charm is the new one; its agent says so and runs no hook until the roll reaches it.
        """
        if decision.local.pod_generation in (0, row.pod_generation) or row.stopping:
            return True
        wanted = applications.get(self._cluster.store.read(), row.application)
        return row.life != "alive" or row.charm_modified_version == wanted.charm_modified_version

    async def _rest(self, until: float | None) -> None:
        pause = None if until is None else max(0.0, until - self._cluster.store.read().now)
        await waiting.is_set(self._woken, pause)

    async def _serve(self) -> None:
        """Offer the hook tools to a charm container that has just started."""
        name = environment.tag(self.unit)
        path = self._cluster.instance.pod(self.unit) / "var/lib/juju/agents" / name / "agent.socket"
        await self._cluster.tools.listen(self.unit, path)
        if self._pod.charm_pid:
            await dispatch.kill_strays(self._pod.charm_pid)

    async def _perform(self, decision: lifecycle.Decision) -> None:
        store, operation = self._cluster.store, decision.operation
        assert operation is not None
        context = lifecycle.begin(store, decision, self._services())
        if operation.skip:
            lifecycle.finish(store, context, 0)
        else:
            await self._dispatch(context)
        if operation.is_workload and operation.at:
            self._pod.heard(operation.container, operation.at)

    async def _dispatch(self, context: HookContext) -> None:
        operation, store = context.operation, self._cluster.store
        output = _Output()
        logger = f"unit.{self.unit}.{operation.name or operation.action}"

        def on_line(stream: dispatch.Stream, line: str) -> None:
            (output.stdout if stream == "stdout" else output.stderr).append(line)
            self._cluster.log(self.unit, "DEBUG" if stream == "stdout" else "WARNING", logger, line)

        tools = self._cluster.tools
        tools.register(context)
        cancelled = False
        try:
            ended, cancelled = await self._execute(context, on_line)
        except errors.EngineError as error:
            # The container went away before the process began: the same operation is decided again.
            tools.unregister(context)
            self._cluster.log(self.unit, "INFO", "juju.worker.uniter", error.message)
            lifecycle.interrupted(store, context)
            await self._woken.wait()
            return
        usage = tools.unregister(context)
        self._record(operation, ended, usage)
        if ended.code is None and not cancelled and not ended.timed_out:
            lifecycle.interrupted(store, context)
            # Until its container is known to be gone the unit would run the same again.
            await self._woken.wait()
            return
        outcome = lifecycle.finish(
            store,
            context,
            ended.code if ended.code is not None else 128 + (ended.signal or 9),
            stdout="".join(f"{line}\n" for line in output.stdout) if operation.is_task else "",
            stderr="".join(f"{line}\n" for line in output.stderr) if operation.is_task else "",
            task_error="timed out" if ended.timed_out else "",
            cancelled=cancelled,
            seed=self._cluster.seed,
            timing=self._cluster.timing,
        )
        if outcome.error and not operation.is_task:
            what = f'hook "{operation.name}" (via hook dispatching script: dispatch) failed'
            self._cluster.log(
                self.unit, "ERROR", "juju.worker.uniter.operation", f"{what}: {outcome.error}"
            )

    async def _execute(
        self, context: HookContext, on_line: dispatch.OnLine
    ) -> tuple[dispatch.Outcome, bool]:
        """Run the process to its end; also tell whether it was cancelled."""
        operation = context.operation
        timeout = None
        argv: tuple[str, ...] = (f"{environment.charm_dir(self.unit)}/dispatch",)
        if operation.kind == "exec":
            argv = ("/bin/bash", "-c", str(context.parameters["command"]))
            timeout = context.parameters.get("timeout")
        user = _USERS.get(context.meta.charm_user, 0)
        process = dispatch.Process(
            argv=argv,
            env=environment.environment(context, kubernetes=self._cluster.api_environment),
            cwd=environment.charm_dir(self.unit),
            uid=user,
            gid=user,
        )
        running = asyncio.create_task(
            dispatch.execute(self._pod.charm_pid, process, on_line, timeout=timeout)
        )
        try:
            while operation.is_task and not running.done():
                woken = asyncio.create_task(self._woken.wait())
                await asyncio.wait({running, woken}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                self._woken.clear()
                if tasks.get(self._cluster.store.read(), operation.task_id).cancel:
                    running.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await running
                    return dispatch.Outcome(None, 15, timed_out=False, cpu=0.0, wall=0.0), True
            return await running, False
        finally:
            if not running.done():
                running.cancel()

    def _services(self) -> Services:
        return Services(
            log=lambda level, logger, message: self._cluster.log(self.unit, level, logger, message),
            resource_path=self._place_resource,
            credential=self._cluster.credential,
        )

    def _place_resource(self, resource: rows.Resource) -> str:
        """Write what resource-get shows into the pod; return its path there."""
        inside = f"/var/lib/juju/agents/{environment.tag(self.unit)}/resources"
        directory: Path = self._cluster.instance.pod(self.unit) / inside.lstrip("/")
        directory.mkdir(parents=True, exist_ok=True)
        if resource.type == "oci-image":
            path = directory / "content.yaml"
            value = resource.value
            path.touch(mode=0o600)
            path.write_text(
                "".join(
                    f"{key}: {json.dumps(value.get(key, ''))}\n"
                    for key in ("registrypath", "username", "password")
                )
            )
            return f"{inside}/content.yaml"
        target = directory / resource.name
        shutil.copyfile(resource.value["path"], target)
        return f"{inside}/{resource.name}"

    def _record(self, operation: Operation, ended: dispatch.Outcome, usage: Usage) -> None:
        line = {
            "time": round(self._cluster.store.read().now, 3),
            "unit": self.unit,
            "hook": operation.name or operation.action,
            "seconds": round(ended.wall, 4),
            "cpu": round(ended.cpu + usage.cpu, 4),
            "tools": usage.calls.total(),
            "tool_seconds": round(usage.seconds, 4),
            "calls": dict(sorted(usage.calls.items())),
            "exit": ended.code,
        }
        self._cluster.record_hook(json.dumps(line))
