"""Files, processes and checks of a container: bring what is to what is wanted, and no more."""

import hashlib
import json
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import ops
from ops import pebble

from daybreak_charm import drain
from daybreak_charm.description import Check, File, Folder, Process
from daybreak_charm.effects import Effects
from daybreak_charm.outcome import Waiter

logger = logging.getLogger(__name__)

LAYER = "daybreak"
WAITERS = "daybreak-waiters"
DIGEST = "DAYBREAK_DIGEST"
"""Environment variable of every process: what it must be restarted for. It lives in Pebble's plan,
so that
a restart that is owed is never forgotten, whatever happened to the hook that wrote the files."""
WAIT = "wait-"
STARTING = "starting"
"""Check that keeps a pod out of its service addresses until its processes have answered for the first time.

A Pebble whose plan has no check says that all is well. The check cannot succeed, and while it is red Pebble logs it
once in each period: so the period is long, and the first look is asked for.
"""
_STARTING_LAYER = "daybreak-starting"
_QUIET, _LOUD, _FIRST = "5m", "500ms", "100ms"
PEBBLE_FOLDER = "/charm/container/pebble"
"""Where Pebble has its layers since Juju 3.5: a volume of the pod, which outlives the container."""
_LAYER_FILE = f"{PEBBLE_FOLDER}/layers/900-{_STARTING_LAYER}.yaml"


def digest(*parts: object) -> str:
    """A short digest of values that JSON can hold."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def read_text(container: ops.Container, path: str) -> str:
    """Content of a text file.

    Raises:
        ops.pebble.PathError: It is not there.
    """
    with container.pull(path) as stream:
        return stream.read()


def write_file(container: ops.Container, file: File, effects: Effects) -> bool:
    """Write a file when its content, mode or owner differ; Pebble replaces it in one step.

    Returns:
        Whether it was written.
    """
    try:
        info = container.list_files(file.path, itself=True)[0]
        user, group = effects.owner(info)
        same = (
            (info.permissions, user or file.user, group or file.group)
            == (file.mode, file.user, file.group)
            and info.size == len(file.content.encode())
            and read_text(container, file.path) == file.content
        )
    except (pebble.PathError, pebble.APIError) as error:
        if not _missing(error):
            raise
        same = False
    if same:
        return False
    container.push(
        file.path,
        file.content,
        make_dirs=True,
        permissions=file.mode,
        user=file.user,
        group=file.group,
    )
    return True


def make_folder(
    container: ops.Container, folder: Folder, files: Iterable[str], effects: Effects
) -> bool:
    """Make a folder, and remove files from it that are not rendered if it is exclusive.

    Returns:
        Whether anything changed.
    """
    changed = False
    try:
        info = container.list_files(folder.path, itself=True)[0]
        user, group = effects.owner(info)
        wrong = (info.permissions, user or folder.user, group or folder.group) != (
            folder.mode,
            folder.user,
            folder.group,
        )
        if wrong:
            # Pebble changes nothing about a folder that exists.
            container.exec(["chown", f"{folder.user}:{folder.group}", folder.path]).wait()
            container.exec(["chmod", f"{folder.mode:o}", folder.path]).wait()
            changed = True
    except (pebble.PathError, pebble.APIError) as error:
        if not _missing(error):
            raise
        container.make_dir(
            folder.path,
            make_parents=True,
            permissions=folder.mode,
            user=folder.user,
            group=folder.group,
        )
        changed = True
    if folder.exclusive:
        wanted = set(files)
        for info in container.list_files(folder.path):
            if info.type is pebble.FileType.FILE and info.path not in wanted:
                container.remove_path(info.path)
                changed = True
    return changed


def write_all(container: ops.Container, items: Sequence[File | Folder], effects: Effects) -> bool:
    """Write the files and folders of one container, folders first: no file is ever exposed.

    Returns:
        Whether anything changed.
    """
    files = [item for item in items if isinstance(item, File)]
    changed = False
    for folder in (item for item in items if isinstance(item, Folder)):
        inside = [f.path for f in files if str(PurePosixPath(f.path).parent) == folder.path]
        changed |= make_folder(container, folder, inside, effects)
    for file in files:
        changed |= write_file(container, file, effects)
    return changed


def _missing(error: pebble.PathError | pebble.APIError) -> bool:
    return error.kind == "not-found" if isinstance(error, pebble.PathError) else error.code == 404


def check_dict(check: Check | Waiter) -> dict[str, Any]:
    """A check as Pebble's plan has it."""
    value: dict[str, Any] = {"override": "replace", "startup": "enabled", "period": check.period}
    if isinstance(check, Waiter):
        value |= {"threshold": 1, "timeout": "1s"}
        if check.period != "1s":
            value["timeout"] = "3s"
    else:
        value |= {"threshold": check.threshold, "timeout": min_time(check.timeout, check.period)}
        if check.level:
            value["level"] = check.level
    if check.http:
        value["http"] = {"url": check.http}
    elif check.tcp:
        host, _, port = str(check.tcp).rpartition(":")
        value["tcp"] = {"host": host.strip("[]") or "127.0.0.1", "port": int(port)}
    else:
        value["exec"] = {"command": check.command}
    return value


def min_time(one: str, other: str) -> str:
    """The shorter of two times such as `3s`; Pebble wants a timeout below the period."""
    return one if seconds(one) < seconds(other) else f"{max(seconds(other) - 0.5, 0.5):g}s"


def seconds(time: str) -> float:
    """Seconds of a time as Pebble writes it (`1m30s`, `500ms`)."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(n) * units[u] for n, u in re.findall(r"([\d.]+)(h|ms|m|s)", time))


def service_dict(process: Process, files: Iterable[File]) -> dict[str, Any]:
    """A process as Pebble's plan has it."""
    value: dict[str, Any] = {
        "override": "replace",
        "summary": process.name,
        "command": drain.command(process),
        "startup": "enabled",
        "kill-delay": drain.kill_delay(process),
        "environment": dict(process.environment),
    }
    for key in ("user", "group", "working_dir"):
        if text := getattr(process, key):
            value[key.replace("_", "-")] = text
    on_failure = {check.name: "restart" for check in process.checks if check.restart}
    if on_failure:
        value["on-check-failure"] = on_failure
    owed_for = sorted(
        (file.path, file.content)
        for file in files
        if file.on_change == "restart" or (file.on_change == "reload" and not process.reload)
    )
    value["environment"][DIGEST] = digest(value, owed_for)
    return value


def stale(plan: pebble.Plan, services: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Names of services that are not in the plan as wanted."""
    return {
        name
        for name, value in services.items()
        if name not in plan.services
        or plan.services[name].environment.get(DIGEST) != value["environment"][DIGEST]
    }


def gone(plan: pebble.Plan, services: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Names of our services that are in the plan but not wanted any more."""
    return {
        name
        for name, service in plan.services.items()
        if DIGEST in service.environment and service.startup == "enabled" and name not in services
    }


def same_check(check: pebble.Check | None, wanted: Mapping[str, Any]) -> bool:
    """Whether a check of the plan is as wanted, whatever defaults Pebble has filled in."""
    if check is None:
        return False
    have: dict[str, Any] = dict(check.to_dict())
    have.setdefault("startup", "enabled")
    for key, value in wanted.items():
        if key == "override":
            continue
        if key in ("period", "timeout"):
            if seconds(str(have.get(key, "0s"))) != seconds(str(value)):
                return False
        elif have.get(key) != value:
            return False
    return True


def reload_digest(process: Process, files: Iterable[File]) -> str:
    """What the process must have read; "" when it reads nothing again in place."""
    if not process.reload:
        return ""
    return digest(sorted((f.path, f.content) for f in files if f.on_change == "reload"))


def reload(container: ops.Container, process: Process) -> bool:
    """Have a running process read its files again.

    Returns:
        Whether it was told; if not, it is owed to the next run.
    """
    if isinstance(process.reload, str):
        container.send_signal(process.reload, process.name)
        return True
    try:
        container.exec(list(process.reload or ()), timeout=10).wait_output()
    except (pebble.ExecError, pebble.ChangeError, TimeoutError):
        # What the program said may name what it read: it stays in the container.
        logger.warning("%s did not reload, it will be told again", process.name)
        return False
    return True


def loaded(container: ops.Container, process: Process) -> str:
    """What the process has read, by the marker that `mark_loaded` left."""
    try:
        return read_text(container, f"{drain.RUN}/{process.name}.loaded")
    except pebble.PathError:
        return ""


def mark_loaded(container: ops.Container, process: Process, what: str) -> None:
    """Remember in the container what the process has read; the memory ends with the container."""
    if what:
        container.push(f"{drain.RUN}/{process.name}.loaded", what, make_dirs=True)


def checks(processes: Collection[Process]) -> dict[str, dict[str, Any]]:
    """The checks of processes as Pebble's plan has them."""
    found = [check for process in processes for check in process.checks]
    found += [drain.check(process) for process in processes if process.drain]
    return {check.name: check_dict(check) for check in found}


def write_drain(container: ops.Container, processes: Iterable[Process], effects: Effects) -> None:
    """Put the drain program and the folders of the flags where processes are going to start."""
    drained = [process for process in processes if process.drain]
    if drained:
        program = File(drain.PROGRAM, drain.SCRIPT)
        write_all(container, [program, *map(drain.folder, drained)], effects)


def mark_alone(container: ops.Container, processes: Iterable[Process], *, alone: bool) -> None:
    """Say whether nobody is beside the processes with a drain who takes their requests."""
    for process in (process for process in processes if process.drain):
        path = drain.alone(process.name)
        if container.exists(path) == alone:
            continue
        if alone:
            container.push(path, "")
        else:
            container.remove_path(path)


def running(container: ops.Container) -> dict[str, bool]:
    """Whether each service of the container runs."""
    return {name: info.is_running() for name, info in container.get_services().items()}


def await_stopping(container: ops.Container, names: Collection[str], effects: Effects) -> None:
    """Wait a moment until Pebble has begun to stop processes that it was told to restart.

    Until then they look as if they ran already as wanted.
    """
    for _ in range(20):
        active = running(container) if names else {}
        if not any(active.get(name) for name in names):
            return
        effects.sleep(0.05)


def set_waiters(container: ops.Container, waiters: Sequence[Waiter], plan: pebble.Plan) -> bool:
    """Make exactly these waiters active in the container.

    Returns:
        Whether anything changed.
    """
    wanted = {WAIT + w.name: check_dict(w) for w in waiters}
    layer: dict[str, Any] = {
        name: value
        for name, value in wanted.items()
        if not same_check(plan.checks.get(name), value)
    }
    over = [
        name
        for name, check in plan.checks.items()
        if name.startswith(WAIT) and name not in wanted and _enabled(check)
    ]
    for name in over:
        layer[name] = {**_raw(plan.checks[name]), "override": "replace", "startup": "disabled"}
    if not layer:
        return False
    container.add_layer(WAITERS, {"checks": layer}, combine=True)
    active = [
        name for name, info in container.get_checks().items() if is_active(info) and name in over
    ]
    if active:
        container.stop_checks(*active)
    return True


def is_planned(plan: pebble.Plan) -> bool:
    """Whether a plan has one of the charm's services already."""
    return any(DIGEST in service.environment for service in plan.services.values())


def hold_back(container: ops.Container, effects: Effects) -> bool:
    """Keep a container that is new out of traffic, and once more whenever it starts again.

    Returns:
        Whether it is kept out.
    """
    info = container.get_checks(STARTING).get(STARTING)
    if info is not None and not is_active(info):
        return False
    plan = container.get_plan()
    if info is None and is_planned(plan):
        return False
    if info is not None and seconds(str(plan.checks[STARTING].period)) != seconds(_FIRST):
        return True
    _set_starting(container, _starting("enabled", _QUIET))
    if not effects.look_now(container, STARTING):
        _set_starting(container, _starting("enabled", _LOUD))
    if container.exists(PEBBLE_FOLDER):
        # A container that ends alone is started again with an empty plan, and no hook knows that in time.
        layer = {"checks": {STARTING: _starting("enabled", _FIRST)}}
        container.push(_LAYER_FILE, json.dumps(layer), make_dirs=True)
    return True


def let_in(container: ops.Container) -> None:
    """Leave it to the checks of the processes whether a container gets traffic."""
    _set_starting(container, _starting("disabled", _QUIET))
    container.stop_checks(STARTING)


def _starting(startup: str, period: str) -> pebble.CheckDict:
    check: Any = {"override": "replace", "level": "ready", "threshold": 1, "startup": startup}
    # Nobody listens there, and a refusal costs less than a program; no answer would do as well.
    return check | {"tcp": {"host": "127.0.0.1", "port": 1}, "period": period, "timeout": "50ms"}


def _set_starting(container: ops.Container, check: pebble.CheckDict) -> None:
    layer: pebble.LayerDict = {"checks": {STARTING: check}}
    container.add_layer(_STARTING_LAYER, layer, combine=True)


def _enabled(check: pebble.Check) -> bool:
    # ops.testing hands the text out where Pebble's client has the word.
    return str(getattr(check.startup, "value", check.startup)) != "disabled"


def is_active(info: pebble.CheckInfo) -> bool:
    """Whether a check runs; one that was stopped keeps the failures that it had."""
    return info.status is not pebble.CheckStatus.INACTIVE


def _raw(check: pebble.Check) -> dict[str, Any]:
    return dict(check.to_dict())
