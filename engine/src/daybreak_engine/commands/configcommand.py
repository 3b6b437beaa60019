"""`juju config` and `juju trust`."""

from collections.abc import AsyncIterator, Iterable

from daybreak_engine import errors
from daybreak_engine.charmfile import Option, OptionValue
from daybreak_engine.model import applications, charms, config
from daybreak_engine.model.store import Transaction

from . import settings
from .command import Call, Command, format_flag
from .deps import Out, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind

_TRUST = {
    "default": False,
    "description": "Does this application have access to trusted credentials",
}


async def configure(call: Call) -> AsyncIterator[Output]:
    """Show or change the options of an application."""
    if not call.args:
        raise UsageError("no application name specified")
    name, *words = call.args
    sets = [word for word in words if "=" in word]
    keys = [word for word in words if "=" not in word]
    reset = call.parsed.items("reset")
    file = call.parsed.text("file")
    if keys and (sets or reset or file):
        raise UsageError("cannot set and retrieve values simultaneously")
    if len(keys) > 1:
        raise UsageError("can only retrieve a single value, or all values")
    deps = call.model()
    if sets or reset or file:
        values: dict[str, object] = {}
        if file:
            values |= settings.from_yaml(call.read_file(file), name, file)
        for word in sets:
            key, _, value = word.partition("=")
            values[key] = call.read_file(value[1:]) if value.startswith("@") else value
        with deps.store.transaction() as tx:
            _change(tx, name, values, reset)
        deps.wake()
        return
    tx = deps.store.read()
    if applications.find(tx, name) is None:
        raise errors.NotFoundError(f"application {name} not found (not found)")
    if keys:
        yield Out(_value(tx, name, keys[0]) + "\n")
    else:
        yield call.formatted(_tree(tx, name))


def _change(tx: Transaction, name: str, values: dict[str, object], reset: tuple[str, ...]) -> None:
    meta = charms.meta(tx, applications.get(tx, name).charm_id)
    both = sorted(set(values) & set(reset))
    if both:
        raise UsageError(f'cannot set and reset key "{both[0]}" simultaneously')
    if "trust" in reset:
        applications.set_trust(tx, name, False)
    if "trust" in values:
        applications.set_trust(tx, name, settings.truth(values.pop("trust")))
    config.put(tx, name, config.parse(meta, values))
    config.reset(tx, name, reset)


def _shown(value: OptionValue | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(tx: Transaction, name: str, key: str) -> str:
    app = applications.get(tx, name)
    if key == "trust":
        return _shown(app.trust)
    if key not in charms.meta(tx, app.charm_id).options:
        raise CommandError(
            f'key "{key}" not found in "{name}" application config or charm settings.'
        )
    value = config.settings(tx, name).get(key)
    return "" if value is None else _shown(value)


def _tree(tx: Transaction, name: str) -> dict[str, object]:
    app = applications.get(tx, name)
    explicit = config.explicit(tx, name)
    options = charms.meta(tx, app.charm_id).options
    return {
        "application": name,
        "application-config": {
            "trust": {
                **_TRUST,
                "source": "user" if app.trust else "default",
                "type": "bool",
                "value": app.trust,
            }
        },
        "charm": charms.get(tx, app.charm_id).name,
        "settings": {key: _setting(options[key], explicit) for key in sorted(options)},
    }


def _setting(option: Option, explicit: dict[str, OptionValue]) -> dict[str, object]:
    tree: dict[str, object] = {}
    if option.default is not None:
        tree["default"] = option.default
    tree["description"] = option.description
    value = explicit.get(option.name, option.default)
    source = "unset" if option.default is None else "default"
    if option.name in explicit and explicit[option.name] != option.default:
        source = "user"
    tree["source"] = source
    tree["type"] = option.type
    if value is not None:
        tree["value"] = value
    return tree


async def trust(call: Call) -> Iterable[Output]:
    """Give an application access to the cluster, or take it away."""
    if len(call.args) != 1:
        raise UsageError("no application name specified")
    if call.parsed.text("scope") != "cluster" and not call.parsed.on("remove"):
        raise CommandError(
            "'juju trust' currently grants full access to the cluster itself.\n"
            "Set the scope to 'cluster' using '--scope=cluster' to confirm this choice."
        )
    deps = call.model()
    with deps.store.transaction() as tx:
        applications.get(tx, call.args[0])
        applications.set_trust(tx, call.args[0], not call.parsed.on("remove"))
    deps.wake()
    return ()


COMMANDS = (
    Command(
        "config",
        configure,
        "<application> [<option>[=<value>] ...]",
        "Show or change the options of an application.",
        """\
Without an option all are shown, with their types, values and where these come from.
A value that begins with @ is read from that file.

    juju config keystone
    juju config keystone debug
    juju config keystone debug=true cert=@cert.pem
    juju config keystone --reset debug,cert
""",
        flags=(
            format_flag("yaml"),
            Flag("reset", Kind.CSV, "Set these options back to the charm's defaults"),
            Flag("file", Kind.TEXT, "YAML file of options, by application name"),
            Flag("color", Kind.BOOL, "Accepted and ignored"),
            Flag("no-color", Kind.BOOL, "Accepted and ignored"),
        ),
        braces=True,
    ),
    Command(
        "trust",
        trust,
        "<application> --scope cluster",
        "Let an application use the cluster's API.",
        """\
A trusted charm may change everything of this model's small Kubernetes API; others may
only look at pods and services. Its units get config-changed, not new pods.
""",
        flags=(
            Flag("scope", Kind.TEXT, "Must be cluster"),
            Flag("remove", Kind.BOOL, "Take the access away again"),
        ),
    ),
)
