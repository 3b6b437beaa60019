"""Units and applications: more, fewer, none; exposing, resolving errors."""

import re
from collections.abc import AsyncIterator, Iterable

from daybreak_engine import errors
from daybreak_engine.model import applications, rows, statuses, units
from daybreak_engine.model.store import Transaction

from .command import Call, Command
from .deps import Err, Out, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind


async def scale_application(call: Call) -> Iterable[Output]:
    """Set the number of units."""
    if len(call.args) != 2:
        raise UsageError(
            "no application specified" if not call.args else "need an application and its scale"
        )
    name, text = call.args
    if not re.fullmatch(r"[+-]?\d+", text):
        raise UsageError(f'invalid scale "{text}": strconv.Atoi: parsing "{text}": invalid syntax')
    scale = int(text)
    if scale < 0:
        raise UsageError("scale must be a positive integer")
    deps = call.model()
    with deps.store.transaction() as tx:
        if applications.find(tx, name) is None:
            raise errors.NotFoundError(
                f'could not scale application "{name}": getting application "{name}" not found'
            )
        _set_scale(tx, name, scale)
    deps.wake()
    return (Err(f"{name} scaled to {scale} units\n"),)


def _set_scale(tx: Transaction, name: str, scale: int) -> None:
    if applications.get(tx, name).life != "alive":
        raise CommandError(f'application "{name}" is being removed')
    applications.set_scale(tx, name, scale)


async def add_unit(call: Call) -> Iterable[Output]:
    """Add units."""
    if len(call.args) != 1:
        raise UsageError("no application specified" if not call.args else "only one application")
    if {"to", "attach-storage"} & call.parsed.given:
        raise UsageError("k8s models do not support placement directives")
    count = call.parsed.number("num-units") or 0
    if count < 1:
        raise UsageError("--num-units must be a positive integer")
    name = call.args[0]
    deps = call.model()
    with deps.store.transaction() as tx:
        app = applications.find(tx, name)
        if app is None:
            raise errors.NotFoundError(f'getting application "{name}" not found')
        _set_scale(tx, name, app.scale + count)
    deps.wake()
    return ()


async def remove_unit(call: Call) -> Iterable[Output]:
    """Remove the units with the highest numbers."""
    if not call.args:
        raise UsageError("no application specified")
    if any("/" in name for name in call.args):
        raise UsageError(
            "k8s models do not support removing named units.\n"
            "Instead specify an application with --num-units."
        )
    if len(call.args) > 1:
        raise UsageError("only single application supported")
    if call.parsed.on("destroy-storage"):
        raise UsageError("k8s models only support --num-units")
    count = call.parsed.number("num-units") or 0
    if count < 1:
        raise UsageError("specify the number of units (> 0) to remove using --num-units")
    name = next(iter(call.args))
    deps = call.model()
    with deps.store.transaction() as tx:
        app = applications.get(tx, name)
        if count > app.scale:
            raise CommandError(
                f'changing scaling state for "{name}": scale change invalid: '
                "cannot remove more units than currently exist"
            )
        _set_scale(tx, name, app.scale - count)
        if call.parsed.on("force"):
            pass_over_failures(tx, units.of(tx, name))
    deps.wake()
    return (Err(f"scaling down to {app.scale - count} units\n"),)


def stuck(tx: Transaction, members: Iterable[rows.Unit]) -> list[str]:
    """Return the dying units that a failed hook keeps from going on."""
    return [
        unit.name
        for unit in members
        if unit.life == "dying" and not unit.resolved and statuses.find(tx, unit.name, "error")
    ]


def pass_over_failures(tx: Transaction, members: Iterable[rows.Unit]) -> None:
    """Take the failed hooks of dying units as done, so that they can go on to their end."""
    for name in stuck(tx, members):
        units.set_resolved(tx, name, "no-retry")


async def remove_application(call: Call) -> AsyncIterator[Output]:
    """Remove applications."""
    if not call.args:
        raise UsageError("no application specified")
    deps = call.model()
    shown: list[str] = []
    with deps.store.transaction() as tx:
        for name in call.args:
            if applications.find(tx, name) is None:
                raise errors.NotFoundError(
                    f'removing application {name} failed: application "{name}" not found'
                )
        for name in call.args:
            shown.append(f"will remove application {name}\n")
            shown += [f"- will remove unit {unit.name}\n" for unit in units.of(tx, name)]
            if not call.parsed.on("dry-run"):
                applications.destroy(tx, name)
                if call.parsed.on("force"):
                    pass_over_failures(tx, units.of(tx, name))
    deps.wake()
    yield Out("".join(shown))


async def expose(call: Call) -> Iterable[Output]:
    """Mark an application exposed."""
    return _set_exposed(call, True)


async def unexpose(call: Call) -> Iterable[Output]:
    """Mark an application not exposed."""
    return _set_exposed(call, False)


def _set_exposed(call: Call, exposed: bool) -> Iterable[Output]:
    if len(call.args) != 1:
        raise UsageError("no application name specified")
    deps = call.model()
    with deps.store.transaction() as tx:
        applications.get(tx, call.args[0])
        applications.set_exposed(tx, call.args[0], exposed)
    deps.wake()
    return ()


async def resolved(call: Call) -> Iterable[Output]:
    """Answer failed hooks: run them again, or take them as done."""
    if not call.args and not call.parsed.on("all"):
        raise UsageError("no unit specified")
    deps = call.model()
    answer = "no-retry" if call.parsed.on("no-retry") else "retry"
    with deps.store.transaction() as tx:
        failed = [u.name for u in units.all_(tx) if statuses.find(tx, u.name, "error")]
        for name in failed if call.parsed.on("all") else call.args:
            units.get(tx, name)
            if name not in failed:
                raise errors.RefusedError(
                    f'resolving unit: checking unit "{name}" status: unit is not in error state'
                )
            units.set_resolved(tx, name, answer)
    deps.wake()
    return ()


_COUNT = Flag("num-units", Kind.INT, "Number of units", short="n", default=0)
_REMOVE_FLAGS = (
    Flag("no-prompt", Kind.BOOL, "Accepted; the engine never asks"),
    Flag("destroy-storage", Kind.BOOL, "Accepted for applications"),
    Flag("force", Kind.BOOL, "Take failed hooks of the units that go as done"),
    Flag("no-wait", Kind.BOOL, "Accepted and ignored"),
    Flag("dry-run", Kind.BOOL, "Show what would be removed"),
)

COMMANDS = (
    Command(
        "scale-application",
        scale_application,
        "<application> <scale>",
        "Set the number of an application's units.",
        """\
New units take the lowest free numbers; when units go, those with the highest numbers
do. 0 is allowed: configuration and relations stay.

    juju scale-application keystone 3
""",
    ),
    Command(
        "add-unit",
        add_unit,
        "<application>",
        "Add units to an application.",
        "    juju add-unit keystone --num-units 2",
        flags=(
            Flag("num-units", Kind.INT, "How many", short="n", default=1),
            Flag("to", Kind.TEXT, "Not for Kubernetes models"),
            Flag("attach-storage", Kind.LIST, "Not for Kubernetes models"),
        ),
    ),
    Command(
        "remove-unit",
        remove_unit,
        "<application> --num-units <n>",
        "Remove the units with the highest numbers.",
        "    juju remove-unit keystone --num-units 1",
        flags=(_COUNT, *_REMOVE_FLAGS),
    ),
    Command(
        "remove-application",
        remove_application,
        "<application> [...]",
        "Remove applications with their units and relations.",
        "Returns at once; juju status shows how far it is.",
        flags=_REMOVE_FLAGS,
    ),
    Command(
        "expose",
        expose,
        "<application>",
        "Mark an application exposed.",
        "Only a mark here: traffic from outside goes through the gateway's LoadBalancer address.",
        flags=(
            Flag("endpoints", Kind.TEXT, "Accepted and ignored"),
            Flag("to-cidrs", Kind.TEXT, "Accepted and ignored"),
            Flag("to-spaces", Kind.TEXT, "Accepted and ignored"),
        ),
    ),
    Command(
        "unexpose",
        unexpose,
        "<application>",
        "Take the mark of expose away.",
        flags=(Flag("endpoints", Kind.TEXT, "Accepted and ignored"),),
    ),
    Command(
        "resolved",
        resolved,
        "<unit> [...]",
        "Answer a failed hook.",
        """\
The hook runs again now, without waiting for its next automatic retry. With --no-retry
it counts as done although it failed.

    juju resolved keystone/0
""",
        flags=(
            Flag("no-retry", Kind.BOOL, "Take the failed hook as done"),
            Flag("all", Kind.BOOL, "All units in error"),
        ),
        aliases=("resolve",),
    ),
)
