"""Constraints of applications and of the model."""

from collections.abc import Iterable, Mapping

from daybreak_engine.model import applications, constraints, models

from . import installing
from .command import Call, Command, format_flag
from .deps import Out, Output
from .failures import CommandError, UsageError


async def show(call: Call) -> Iterable[Output]:
    """Show an application's constraints."""
    if len(call.args) != 1:
        raise UsageError("no application name specified")
    return _shown(call, applications.get(call.model().store.read(), call.args[0]).constraints)


async def show_model(call: Call) -> Iterable[Output]:
    """Show the model's constraints."""
    return _shown(call, models.get(call.model().store.read()).constraints)


def _shown(call: Call, kept: Mapping[str, str]) -> Iterable[Output]:
    if call.parsed.text("format") == "constraints":
        return (Out(f"{constraints.text(kept)}\n"),)
    return (call.formatted(dict(kept)),)


async def set_application(call: Call) -> Iterable[Output]:
    """Replace an application's constraints; its pods are replaced one by one."""
    if not call.args:
        raise UsageError("no application name specified")
    name, *given = call.args
    installing.check_name(name)
    wanted = constraints.parse(" ".join(given))
    deps = call.model()
    with deps.store.transaction() as tx:
        if applications.get(tx, name).life != "alive":
            raise CommandError(f'application "{name}" is being removed')
        applications.set_constraints(tx, name, wanted)
    deps.wake()
    return ()


async def set_model(call: Call) -> Iterable[Output]:
    """Replace the model's constraints."""
    wanted = constraints.parse(" ".join(call.args))
    with call.model().store.transaction() as tx:
        models.set_constraints(tx, wanted)
    return ()


COMMANDS = (
    Command(
        "constraints",
        show,
        "<application>",
        "Show an application's constraints.",
        flags=(format_flag("constraints"),),
        aliases=("get-constraints",),
    ),
    Command(
        "set-constraints",
        set_application,
        "<application> [<constraint>=<value> ...]",
        "Replace an application's constraints.",
        """\
The engine acts on mem, the memory of each container (in MiB, or with M, G, T, P), and
cpu-power, thousandths of a processor for each workload container; 0 is no limit. The
others are kept and shown. What is not named has the model's value, or none.

Other limits replace the pods one at a time, as juju refresh does.

    juju set-constraints keystone mem=2G cpu-power=1500
    juju set-constraints keystone
""",
    ),
    Command(
        "model-constraints",
        show_model,
        "",
        "Show the model's constraints.",
        flags=(format_flag("constraints"),),
        aliases=("get-model-constraints",),
    ),
    Command(
        "set-model-constraints",
        set_model,
        "[<constraint>=<value> ...]",
        "Replace the model's constraints.",
        """\
They hold for what is deployed, or given constraints of its own, from now on: what an
application does not name itself. See juju set-constraints for what they do.

    juju set-model-constraints mem=2G
""",
    ),
)
