"""Models: add, destroy, list, show."""

import functools
import re
from collections.abc import AsyncIterator

from daybreak_engine import errors
from daybreak_engine.model import applications, models, units
from daybreak_engine.model.store import Transaction

from . import modelconfig, output, scaling, views
from .command import Call, Command, format_flag, model_named, short_name
from .deps import Deps, Err, Out, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CLOUDS = (views.CLOUD, f"{views.CLOUD}/{views.REGION}", "localhost")


async def add_model(call: Call) -> AsyncIterator[Output]:
    """Make an empty model."""
    if not call.args:
        raise UsageError("model name is required")
    name, *cloud = call.args
    if not _NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" is not a valid name: model names may only contain lowercase letters, '
            "digits and hyphens"
        )
    if cloud and cloud[0] not in _CLOUDS:
        raise CommandError(
            f"cloud {cloud[0]} not found", remedy=f'the one cloud here is "{views.CLOUD}"'
        )
    present = call.engine.models()
    if name in present:
        raise errors.ExistsError(f"model admin/{name} already exists (already exists)")
    config = modelconfig.parsed(modelconfig.pairs(call.parsed.items("config"), call))
    try:
        deps = await call.engine.add_model(name)
    except errors.ExistsError as error:
        # Callers take "already exists" for "it is there": here another one is in the way.
        raise CommandError(
            f'cannot add model "{name}": this instance of the engine keeps the model '
            f'"{", ".join(present)}"',
            remedy="choose another instance (DAYBREAK_INSTANCE=name), or juju destroy-model it",
        ) from error
    if config:
        with deps.store.transaction() as tx:
            models.set_config(tx, config)
    yield Err(f"Added '{name}' model with credential '{views.CLOUD}' for user 'admin'\n")


async def destroy_model(call: Call) -> AsyncIterator[Output]:
    """Remove a model with all that is in it; returns when it is gone."""
    if len(call.args) != 1:
        raise UsageError("no model specified" if not call.args else "only one model at a time")
    name = short_name(call.args[0])
    deps = model_named(call.engine, name)
    if not call.parsed.on("no-prompt") and call.request.tty:
        raise UsageError(
            "this removes all applications and their data",
            remedy=f"run it again with --no-prompt: juju destroy-model {name} --no-prompt",
        )
    yield Err("Destroying model\n")
    with deps.store.transaction() as tx:
        models.set_life(tx, "dying")
        for app in applications.all_(tx):
            if app.life == "alive":
                applications.destroy(tx, app.name)
    deps.wake()
    force = call.parsed.on("force")
    timeout = call.parsed.seconds("timeout")
    if force and timeout is None:
        # Without an answer the last hooks of a broken charm must not keep the model for ever.
        timeout = 60.0
    deadline = None if timeout is None else deps.now().timestamp() + timeout
    left = len(applications.all_(deps.store.read()))
    while left:
        yield Err(f"\nWaiting for model to be removed, {left} application(s)...")
        rest = None if deadline is None else max(0.0, deadline - deps.now().timestamp())
        if await deps.wait(functools.partial(_moved, deps, left, force), rest) is None:
            break
        if force:
            with deps.store.transaction() as tx:
                scaling.pass_over_failures(tx, units.all_(tx))
        left = len(applications.all_(deps.store.read()))
    if left and not force:
        names = ", ".join(unit.name for unit in units.all_(deps.store.read()))
        raise CommandError(
            f"timed out waiting for the model to be removed; left: {names}",
            remedy='see "juju status", or repeat with --force',
        )
    await call.engine.remove_model(name, keep_storage=call.parsed.on("release-storage"))
    yield Err("\nModel destroyed.\n")


def _moved(deps: Deps, before: int, force: bool) -> bool | None:
    """Return True when an application is gone, or (with --force) a hook has failed."""
    tx = deps.store.read()
    gone = len(applications.all_(tx)) < before
    return True if gone or (force and scaling.stuck(tx, units.all_(tx))) else None


async def list_models(call: Call) -> AsyncIterator[Output]:
    """List the models."""
    present = call.engine.models()
    trees = {name: _summary(deps.store.read()) for name, deps in sorted(present.items())}
    current = next(iter(trees), "") if len(trees) == 1 else ""
    if call.parsed.text("format") != "tabular":
        tree: dict[str, object] = {"models": list(trees.values())}
        yield call.formatted({**tree, **({"current-model": current} if current else {})})
        return
    yield Out(f"Controller: {views.CONTROLLER}\n\n")
    heads = (
        "Model",
        "Cloud/Region",
        "Type",
        "Status",
        output.Right("Units"),
        "Access",
        "Last connection",
    )
    rows: list[tuple[output.Cell, ...]] = [heads]
    for name, deps in sorted(present.items()):
        tx = deps.store.read()
        count = len(units.all_(tx))
        life = models.get(tx).life
        rows.append(
            (
                name + ("*" if name == current else ""),
                f"{views.CLOUD}/{views.REGION}",
                "kubernetes",
                "available" if life == "alive" else "destroying",
                output.Right(str(count) if count else "-"),
                "admin",
                "just now",
            )
        )
    yield Out(output.table(rows))


def _summary(tx: Transaction) -> dict[str, object]:
    model = models.get(tx)
    status = {"current": "available", "since": "just now"}
    if model.life != "alive":
        status = {
            "current": "destroying",
            "message": "the model is being destroyed",
            "since": "just now",
        }
    return {
        "name": f"admin/{model.name}",
        "short-name": model.name,
        "model-uuid": model.uuid,
        "model-type": "caas",
        # One controller for each model file: its identity follows from the model's.
        "controller-uuid": model.uuid,
        "controller-name": views.CONTROLLER,
        "is-controller": False,
        "cloud": views.CLOUD,
        "region": views.REGION,
        "type": "kubernetes",
        "life": model.life,
        "status": status,
        "access": "admin",
        "last-connection": "just now",
        "agent-version": views.VERSION,
    }


async def show_model(call: Call) -> AsyncIterator[Output]:
    """Show one model."""
    deps = model_named(call.engine, call.args[0]) if call.args else call.model()
    tree = _summary(deps.store.read())
    last = tree.pop("last-connection"), tree.pop("access")
    version = tree.pop("agent-version")
    count = deps.store.read().one("SELECT count(*) FROM secrets")
    tree |= {
        "users": {
            "admin": {"display-name": "admin", "access": last[1], "last-connection": last[0]}
        },
        "secret-backends": {
            "internal": {"num-secrets": count[0] if count else 0, "status": "active"}
        },
        "agent-version": version,
        "credential": {
            "name": views.CLOUD,
            "owner": "admin",
            "cloud": views.CLOUD,
            "validity-check": "valid",
        },
        "supported-features": [
            {
                "name": "juju",
                "description": "the version of Juju used by the model",
                "version": views.VERSION,
            },
            {
                "name": "k8s-api",
                "description": "the Kubernetes API lets charms query and manipulate the state of "
                "API objects in a Kubernetes cluster",
                "version": "1.31.0",
            },
        ],
    }
    yield call.formatted({str(tree["short-name"]): tree})


async def switch(call: Call) -> AsyncIterator[Output]:
    """Show or check the model in focus."""
    present = sorted(call.engine.models())
    if not call.args:
        if not present:
            raise errors.NotFoundError("no current model", remedy="juju add-model NAME")
        yield Out(f"{views.CONTROLLER}:admin/{present[0]}\n")
        return
    name = short_name(call.args[0])
    if name not in present and call.args[0] != views.CONTROLLER:
        raise CommandError(
            f'cannot determine if "{name}" is a valid model: "{views.CONTROLLER}:{name}" is not '
            "the name of a model or controller"
        )
    yield Err(f"{views.CONTROLLER}:admin/{present[0]} -> {views.CONTROLLER}:admin/{name}\n")


async def whoami(call: Call) -> AsyncIterator[Output]:
    """Show controller, model and user."""
    present = sorted(call.engine.models())
    model = present[0] if present else "<no-current-model>"
    yield Out(f"Controller:  {views.CONTROLLER}\nModel:       {model}\nUser:        admin\n")


_STORAGE_FLAGS = (
    Flag("destroy-storage", Kind.BOOL, "Remove all storage (the default of this engine)"),
    Flag("release-storage", Kind.BOOL, "Keep the volumes on disk"),
)

COMMANDS = (
    Command(
        "add-model",
        add_model,
        "<model name> [cloud]",
        "Add a model: an empty place for applications.",
        "    juju add-model openstack --config update-status-hook-interval=1h",
        flags=(
            Flag("config", Kind.LIST, "Model setting k=v, or a YAML file of settings"),
            Flag("no-switch", Kind.BOOL, "Accepted and ignored"),
            Flag("credential", Kind.TEXT, "Accepted and ignored"),
            Flag("owner", Kind.TEXT, "Accepted and ignored"),
        ),
        on_model=False,
    ),
    Command(
        "destroy-model",
        destroy_model,
        "<model name>",
        "Remove a model with its applications, pods and data.",
        """\
Every unit runs its last hooks first. The command returns when all is gone. With
--force it does so after --timeout (60 s unless said) whatever the charms do.

    juju destroy-model openstack --no-prompt --destroy-storage
""",
        flags=(
            Flag("no-prompt", Kind.BOOL, "Do not ask"),
            Flag("yes", Kind.BOOL, "Accepted and ignored", short="y"),
            *_STORAGE_FLAGS,
            Flag("force", Kind.BOOL, "Go on although charms fail"),
            Flag("no-wait", Kind.BOOL, "Accepted and ignored"),
            Flag(
                "timeout",
                Kind.SECONDS,
                "Give up (or, with --force, go on) after this time",
                short="t",
            ),
        ),
        on_model=False,
    ),
    Command(
        "models",
        list_models,
        "",
        "List the models.",
        flags=(
            format_flag("tabular"),
            Flag("all", Kind.BOOL, "Accepted and ignored"),
            Flag("uuid", Kind.BOOL, "Accepted and ignored"),
        ),
        aliases=("list-models",),
        on_model=False,
    ),
    Command(
        "show-model",
        show_model,
        "[<model name>]",
        "Show a model.",
        flags=(format_flag("yaml"), Flag("model", Kind.TEXT, "The model", short="m")),
        on_model=False,
        braces=True,
    ),
    Command(
        "switch",
        switch,
        "[<model name>]",
        "Show the model in focus, or check a name.",
        "An instance of the engine has one model, which is always in focus.",
        on_model=False,
    ),
    Command("whoami", whoami, "", "Show controller, model and user.", on_model=False),
)
