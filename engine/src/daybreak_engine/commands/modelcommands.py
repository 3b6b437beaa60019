"""Models: add, destroy, list, show, configure."""

import functools
import re
from collections.abc import AsyncIterator, Iterable, Mapping

from daybreak_engine import errors
from daybreak_engine.model import applications, models, units
from daybreak_engine.model.store import Transaction

from . import output, scaling, settings, views
from .command import Call, Command, format_flag, model_named, short_name
from .deps import Deps, Err, Out, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind, parse_duration

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
    config = _parsed_config(_pairs(call.parsed.items("config"), call))
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


def _pairs(written: tuple[str, ...], call: Call) -> dict[str, object]:
    """Return `k=v` settings, and those of YAML files, in the order given."""
    result: dict[str, object] = {}
    for item in written:
        key, equals, value = item.partition("=")
        if equals:
            result[key] = value
        else:
            result |= settings.from_plain_yaml(call.read_file(item), item)
    return result


def _parsed_config(values: Mapping[str, object]) -> dict[str, object]:
    """Return model settings in their types.

    Raises:
        CommandError: a value that its key cannot have.
    """
    result: dict[str, object] = {}
    for key, value in values.items():
        default = DEFAULTS.get(key)
        parsed = value
        if isinstance(default, bool) and isinstance(value, str):
            if value.lower() not in ("true", "false"):
                raise CommandError(f'{key}: expected bool, got string("{value}")')
            parsed = value.lower() == "true"
        elif isinstance(default, int) and not isinstance(default, bool):
            if not re.fullmatch(r"-?\d+", str(value)):
                raise CommandError(f'{key}: expected number, got string("{value}")')
            parsed = int(str(value))
        if key in ("name", "uuid", "agent-version", "type"):
            raise CommandError(f'cannot change "{key}" of a model')
        if key == "update-status-hook-interval":
            _check_interval(str(value))
        result[key] = parsed
    return result


def _check_interval(text: str) -> None:
    prefix = "invalid update status hook interval in model configuration: "
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise CommandError(f"making updated model configuration: {prefix}{error}") from error
    if seconds <= 0:
        raise CommandError(f"making updated model configuration: {prefix}must be positive")


# What `juju model-config` shows; the engine acts on the keys of models.DEFAULTS.
DEFAULTS: Mapping[str, object] = dict(
    sorted(
        {
            "agent-stream": "released",
            "charmhub-url": "https://api.charmhub.io",
            "default-base": "",
            "development": False,
            "egress-subnets": "",
            "ftp-proxy": "",
            "http-proxy": "",
            "https-proxy": "",
            "max-action-results-age": "336h",
            "max-action-results-size": "5G",
            "no-proxy": "127.0.0.1,localhost,::1",
            "test-mode": False,
            **{key: value for key, value in models.DEFAULTS.items() if key != "type"},
        }.items()
    )
)


async def model_config(call: Call) -> AsyncIterator[Output]:
    """Show or change the model's configuration."""
    deps = call.model()
    sets = [arg for arg in call.args if "=" in arg]
    keys = [arg for arg in call.args if "=" not in arg and not _is_file(call, arg)]
    files = [arg for arg in call.args if "=" not in arg and _is_file(call, arg)]
    reset = call.parsed.items("reset")
    tx = deps.store.read()
    model = models.get(tx)
    if keys:
        if len(call.args) > 1 or reset:
            raise UsageError("can only retrieve a single value, or all values")
        known = {**DEFAULTS, **model.config}
        if keys[0] not in known:
            raise CommandError(
                f'"{keys[0]}" is not a key of the currently targeted model: "{model.name}"'
            )
        yield Out(f"{_shown(known[keys[0]])}\n")
        return
    if not sets and not files and not reset:
        yield _config_listing(call, model.config)
        return
    changes = _parsed_config(_pairs((*files, *sets), call))
    for key in changes:
        if key not in DEFAULTS:
            yield Err(
                f'WARNING key "{key}" is not defined in the current model configuration: '
                "possible misspelling\n"
            )
    with deps.store.transaction() as write:
        models.set_config(write, {**changes, **dict.fromkeys(reset)})
    deps.wake()


def _is_file(call: Call, written: str) -> bool:
    return written.endswith((".yaml", ".yml")) and call.path(written).is_file()


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _config_listing(call: Call, own: Mapping[str, object]) -> Out:
    known = dict(sorted({**DEFAULTS, **own}.items()))
    source = {key: "model" if key in own else "default" for key in known}
    if call.parsed.text("format") != "tabular":
        return call.formatted(
            {key: {"Value": value, "Source": source[key]} for key, value in known.items()}
        )
    rows = [(key, source[key], _shown(value) or '""') for key, value in known.items()]
    return Out(output.table([("Attribute", "From", "Value"), *rows]))


async def model_constraints(call: Call) -> AsyncIterator[Output]:
    """Show the model's constraints."""
    constraints = models.get(call.model().store.read()).constraints
    if call.parsed.text("format") == "constraints":
        yield Out(" ".join(f"{key}={value}" for key, value in constraints.items()) + "\n")
    else:
        yield call.formatted(dict(constraints))


async def set_model_constraints(call: Call) -> Iterable[Output]:
    """Store the model's constraints."""
    deps = call.model()
    with deps.store.transaction() as tx:
        models.set_constraints(tx, constraints_of(" ".join(call.args)))
    return ()


def constraints_of(text: str) -> dict[str, str]:
    """Return `k=v k=v` as a mapping.

    Raises:
        UsageError: a word without `=`.
    """
    result: dict[str, str] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f'malformed constraint "{word}"')
        result[key] = value
    return result


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
        "model-config",
        model_config,
        "[<key>[=<value>] ...]",
        "Show or change the settings of the model.",
        """\
The engine acts on update-status-hook-interval, automatically-retry-hooks,
logging-config and the juju-*-proxy settings; the others are kept and shown.

    juju model-config update-status-hook-interval=1h
    juju model-config --reset update-status-hook-interval
""",
        flags=(
            format_flag("tabular"),
            Flag("reset", Kind.CSV, "Set these keys back to their defaults"),
            Flag("ignore-read-only-fields", Kind.BOOL, "Accepted and ignored"),
            Flag("color", Kind.BOOL, "Accepted and ignored"),
            Flag("no-color", Kind.BOOL, "Accepted and ignored"),
        ),
    ),
    Command(
        "model-constraints",
        model_constraints,
        "",
        "Show the model's constraints.",
        "They are kept and shown; one machine has nothing to choose by them.",
        flags=(format_flag("constraints"),),
        aliases=("get-model-constraints",),
    ),
    Command(
        "set-model-constraints",
        set_model_constraints,
        "<constraint>=<value> ...",
        "Store the model's constraints.",
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
