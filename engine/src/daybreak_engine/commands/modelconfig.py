"""Settings of a model."""

import re
from collections.abc import AsyncIterator, Mapping

from daybreak_engine.model import models

from . import output, settings
from .command import Call, Command, format_flag
from .deps import Err, Out, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind, parse_duration


def pairs(written: tuple[str, ...], call: Call) -> dict[str, object]:
    """Return `k=v` settings, and those of YAML files, in the order given."""
    result: dict[str, object] = {}
    for item in written:
        key, equals, value = item.partition("=")
        if equals:
            result[key] = value
        else:
            result |= settings.from_plain_yaml(call.read_file(item), item)
    return result


def parsed(values: Mapping[str, object]) -> dict[str, object]:
    """Return model settings in their types.

    Raises:
        CommandError: a value that its key cannot have.
    """
    result: dict[str, object] = {}
    for key, value in values.items():
        default = DEFAULTS.get(key)
        typed = value
        if isinstance(default, bool) and isinstance(value, str):
            if value.lower() not in ("true", "false"):
                raise CommandError(f'{key}: expected bool, got string("{value}")')
            typed = value.lower() == "true"
        elif isinstance(default, int) and not isinstance(default, bool):
            if not re.fullmatch(r"-?\d+", str(value)):
                raise CommandError(f'{key}: expected number, got string("{value}")')
            typed = int(str(value))
        if key in ("name", "uuid", "agent-version", "type"):
            raise CommandError(f'cannot change "{key}" of a model')
        if key == "update-status-hook-interval":
            _check_interval(str(value))
        result[key] = typed
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
    changes = parsed(pairs((*files, *sets), call))
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


COMMANDS = (
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
)
