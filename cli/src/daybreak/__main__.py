"""The command line: parses, calls a service, prints its result."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

from . import __version__, output, places
from .errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .places import Instance

_MAIN_EPILOG = """\
First steps:
  ./daybreak bootstrap                  a cloud on this machine, up to its first token
  eval "$(./daybreak env)"              juju and openstack on PATH
  eval "$(./daybreak openrc)"           the administrator's account
  openstack token issue
  ./daybreak destroy                    leaves the machine as it was

Environment: DAYBREAK_INSTANCE is the default of --instance; NO_COLOR keeps the output plain.
Exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted.
"""

_BOOTSTRAP = """\
Make an instance: check the machine, build the images, pack the charms, start the engine, deploy
the bundle, wait until everything is active, and issue a token through the gateway.

Each step is skipped when its result is there already, so the command can be interrupted and run
again at any time: it goes on where it was. It never undoes what you have changed since; scaled
applications keep their scale.
"""

_BOOTSTRAP_EPILOG = """\
Examples:
  daybreak bootstrap                          the identity bundle, instance "daybreak"
  daybreak bootstrap --dry-run                what would be done, changing nothing
  daybreak bootstrap --bundle ./mine.yaml     a bundle of your own
  daybreak bootstrap --instance test-1        a second cloud beside the first
  daybreak bootstrap --format json            durations of the steps, for programs
"""

_STATUS = """\
Show the services as users see them: the API is asked over its public URL, through the gateway,
with its certificate verified; then the units, and what waits for what.
"""

_STATUS_EPILOG = """\
Examples:
  daybreak status
  daybreak status --format json | jq '.services[] | {name, state}'

The exit code is 0 when everything works and 1 when not.
"""

_ENV = """\
Print shell commands that put the engine's `juju` and the `openstack` client on PATH and choose
the instance for both. For bash, dash, zsh and other POSIX shells.
"""

_ENV_EPILOG = """\
Examples:
  eval "$(./daybreak env)"
  eval "$(./daybreak env --instance test-1)"; juju status
"""

_OPENRC = """\
Print the variables with which the `openstack` client, and every OpenStack SDK, reaches the cloud
as its administrator: OS_AUTH_URL, OS_PASSWORD, OS_CACERT and the rest. The password comes from
Keystone's action get-admin-account; the certificate is written beside the instance's state.
"""

_OPENRC_EPILOG = """\
Examples:
  eval "$(./daybreak openrc)"; openstack token issue
  (umask 077; ./daybreak openrc > admin-openrc)
"""

_DESTROY = """\
Remove an instance: units, containers, networks, firewall rules, volumes and all its data. Works
on half-made instances too. Images stay for the next bootstrap, unless --purge is given.
"""

_DESTROY_EPILOG = """\
Examples:
  daybreak destroy                    asks first
  daybreak destroy --yes --purge      no question, and nothing stays but the checkout
"""

_SCALE = """\
Give an application a number of units, and wait until they serve. Units that are removed finish
their requests first. An application that is on its way to another release is not scaled.
"""

_SCALE_EPILOG = """\
Examples:
  daybreak scale keystone 3
  daybreak scale gateway 2
  daybreak scale keystone 1
"""

_PLAN = """\
Show the steps of a change, the impact of each on users, and what is owed of it; changes nothing.
Without --to: what is left of an upgrade that was begun.
"""

_PLAN_EPILOG = """\
Examples:
  daybreak plan upgrade keystone --to 2026.1
  daybreak plan upgrade --to 2026.1             every service, in its order
  daybreak plan upgrade keystone                how far it is

Impact: none: users notice nothing; minor: slower, or a retry; major: an outage.
"""

_UPGRADE = """\
Bring services to another OpenStack release while they serve: look whether that is possible, build
the image, refresh the charm, and follow what the charm does: its first new unit asks the new
release's own upgrade check and expands the schema before it serves, the units are replaced one by
one, the last one contracts the schema. A lone unit gets a second one for the time of the change.

Interrupted or failed, it goes on where it was when it is run again; the charm goes on without it,
too. Until the last unit is replaced, the release before is the way back: --to that.
"""

_UPGRADE_EPILOG = """\
Examples:
  daybreak upgrade keystone --to 2026.1 --dry-run     the plan, changing nothing
  daybreak upgrade keystone --to 2026.1
  daybreak upgrade keystone --to 2025.1               back, before the contract
  daybreak upgrade --to 2026.1                        every service, in its order
"""


def _help_format(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="daybreak",
        description="Run an OpenStack control plane made of Juju charms.",
        epilog=_MAIN_EPILOG,
        formatter_class=_help_format,
    )
    parser.add_argument("--version", action="version", version=f"daybreak {__version__}")
    parser.add_argument("--instance", metavar="NAME", dest="early_instance", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    bootstrap = _add(commands, "bootstrap", "make a cloud, up to its first token", _BOOTSTRAP,
                     _BOOTSTRAP_EPILOG)  # fmt: skip
    bootstrap.add_argument(
        "--bundle",
        metavar="NAME|FILE",
        default="identity",
        help="a bundle of the checkout by name, or a file (default: identity)",
    )
    bootstrap.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=900.0,
        help="how long the applications may take to become active (default: 900)",
    )
    bootstrap.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and change nothing"
    )
    _add_format(bootstrap)

    _add_format(_add(commands, "status", "show services and units", _STATUS, _STATUS_EPILOG))
    _add(commands, "env", "print PATH for a shell", _ENV, _ENV_EPILOG)
    _add_format(_add(commands, "openrc", "print the account for a shell", _OPENRC, _OPENRC_EPILOG))

    scaled = _add(commands, "scale", "give an application more or fewer units", _SCALE,
                  _SCALE_EPILOG)  # fmt: skip
    scaled.add_argument("application", metavar="APP")
    scaled.add_argument("units", metavar="N", type=int, help="number of units")
    _add_timeout(scaled)
    _add_format(scaled)

    planned = _add(commands, "plan", "show the steps of a change", _PLAN, _PLAN_EPILOG)
    planned.add_argument("change", choices=("upgrade",), help="the change to plan")
    planned.add_argument("application", metavar="APP", nargs="?", help="one service (default: all)")
    planned.add_argument("--to", metavar="RELEASE", help="OpenStack release, such as 2026.1")
    _add_format(planned)

    upgraded = _add(commands, "upgrade", "go to another release", _UPGRADE, _UPGRADE_EPILOG)
    upgraded.add_argument(
        "application", metavar="APP", nargs="?", help="one service (default: all)"
    )
    upgraded.add_argument(
        "--to", metavar="RELEASE", required=True, help="OpenStack release, such as 2026.1"
    )
    upgraded.add_argument(
        "--dry-run", action="store_true", help="print the plan, and change nothing"
    )
    _add_timeout(upgraded)
    _add_format(upgraded)

    destroy = _add(commands, "destroy", "remove a cloud", _DESTROY, _DESTROY_EPILOG)
    destroy.add_argument("--yes", action="store_true", help="do not ask")
    destroy.add_argument(
        "--purge", action="store_true", help="also remove images and binaries of all instances"
    )
    _add_format(destroy)
    return parser


def _add(
    commands: Any, name: str, summary: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=_help_format,
    )
    parser.add_argument(
        "--instance",
        metavar="NAME",
        help="which cloud of this machine (default: $DAYBREAK_INSTANCE, else daybreak)",
    )
    return parser


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text for people (default) or json for programs",
    )


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=1800.0,
        help="how long to follow it (default: 1800); the cloud goes on without",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = build_parser().parse_args(argv)
    try:
        instance = places.instance(options.instance or options.early_instance, os.environ)
        # juju and the engine find their instance here
        os.environ["DAYBREAK_INSTANCE"] = instance.name
        return _COMMANDS[options.command](options, instance)
    except DaybreakError as trouble:
        _complain(trouble)
        return trouble.exit_code
    except KeyboardInterrupt:
        text = "daybreak: interrupted"
        if options.command in ("bootstrap", "destroy", "upgrade", "scale"):
            text += f"; run `daybreak {options.command}` again to go on from here"
        print(text, file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader has gone (daybreak status | head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _complain(trouble: DaybreakError) -> None:
    print(f"daybreak: {trouble.message}", file=sys.stderr)
    for line in trouble.details:
        print(f"  {line}", file=sys.stderr)
    for line in trouble.remedy.splitlines():
        print(f"-> {line}", file=sys.stderr)


def _bootstrap(options: argparse.Namespace, instance: Instance) -> int:
    from . import bootstrap, bundles

    home = places.home(os.environ)
    bundle = bundles.load(bundles.find(options.bundle, home.bundles))
    reporter = output.reporter(options.format)
    if options.format == "text":
        print(f"daybreak: bundle {bundle.path.stem}, instance {instance.name}", flush=True)
    run = bootstrap.Run(bundle, instance, home, reporter, options.timeout, options.dry_run)
    result = bootstrap.bootstrap(run)
    if options.format == "json":
        _print_json({"instance": instance.name, **dataclasses.asdict(result)})
    elif options.dry_run:
        print("Nothing was changed.")
    else:
        print(_next_steps(instance, result))
    return 1 if any(step.mark == "failed" for step in result.steps) else 0


def _next_steps(instance: Instance, result: Any) -> str:
    import_name = "" if instance.name == places.DEFAULT_INSTANCE else f" --instance {instance.name}"
    lines = [f"Ready after {result.seconds:.1f} s."]
    if result.auth_url:
        lines[0] += f" Keystone answers at {result.auth_url}"
    lines += [
        "",
        "Try next:",
        f'  eval "$(./daybreak env{import_name})"',
        f'  eval "$(./daybreak openrc{import_name})"',
        "  openstack token issue",
        "  openstack catalog list",
        "  juju status --relations",
        f"  ./daybreak status{import_name}",
        f"  ./daybreak destroy{import_name}",
    ]
    return "\n".join(lines)


def _status(options: argparse.Namespace, instance: Instance) -> int:
    from . import cloud

    overview = cloud.overview(instance, places.home(os.environ))
    if options.format == "json":
        _print_json(dataclasses.asdict(overview) | {"healthy": overview.healthy})
        return 0 if overview.healthy else 1
    services = [
        (s.name, s.state, s.detail + (f", {s.seconds * 1000:.0f} ms" if s.seconds else ""), s.url)
        for s in overview.services
    ]
    units = [(unit.name, unit.state, unit.agent, unit.message) for unit in overview.units]
    output.show(
        output.table(("service", "state", "detail", "url"), services)
        if services
        else "No services are deployed."
    )
    print()
    output.show(
        output.table(("unit", "state", "agent", "message"), units) if units else "No units."
    )
    return 0 if overview.healthy else 1


def _env(options: argparse.Namespace, instance: Instance) -> int:
    directory = places.operator_path(places.home(os.environ))
    inherited = [
        part for part in os.environ.get("PATH", "").split(":") if part and part != str(directory)
    ]
    print(f"export PATH={shlex.quote(':'.join([str(directory), *inherited]))}")
    print(f"export DAYBREAK_INSTANCE={shlex.quote(instance.name)}")
    return 0


def _openrc(options: argparse.Namespace, instance: Instance) -> int:
    import jubilant

    from . import access, bootstrap, cloud

    cloud.require(instance)
    home = places.home(os.environ)
    juju = jubilant.Juju(model=places.MODEL, cli_binary=home.program("juju"))
    try:
        account = bootstrap.fetch_access(juju, juju.status())
    except jubilant.CLIError as error:
        raise DaybreakError(
            "the account could not be asked for",
            details=tuple((error.stderr or "").strip().splitlines()),
            remedy="See `daybreak status`.",
        ) from error
    variables = account.variables(bootstrap.write_authority(instance, account))
    if options.format == "json":
        _print_json(variables)
    else:
        print(access.exports(variables), end="")
    return 0


def _destroy(options: argparse.Namespace, instance: Instance) -> int:
    from . import cloud, preflight

    if not options.purge:
        cloud.require(instance)
    removal = cloud.removal(instance, purge=options.purge)
    text = options.format == "text"
    if text:
        print("This removes:\n" + "".join(f"  {line}\n" for line in removal.removes), end="")
        print("This stays:\n" + "".join(f"  {line}\n" for line in removal.keeps), end="")
    if not options.yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "destroy asks before it removes, and there is no terminal to ask on",
                remedy="Add --yes to remove without a question.",
            )
        if input(f"Remove instance {instance.name}? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was removed.")
            return 1
    if not preflight.is_root():
        raise DaybreakError(
            "containers and networks need root", remedy="Run the command as root, or with sudo."
        )
    notes = cloud.destroy(
        instance,
        places.home(os.environ),
        output.reporter(options.format),
        purge=options.purge,
    )
    if text:
        for note in notes:
            print(f"note: {note}")
        print(f"Instance {instance.name} is removed.")
    else:
        _print_json(dataclasses.asdict(removal) | {"notes": notes})
    return 0


def _work(options: argparse.Namespace, instance: Instance) -> Any:
    from . import upgrading

    timeout = getattr(options, "timeout", 0.0)
    home = places.home(os.environ)
    return upgrading.Work(instance, home, output.reporter(options.format), timeout)


def _scale(options: argparse.Namespace, instance: Instance) -> int:
    from . import upgrading

    work = _work(options, instance)
    upgrading.scale(work, options.application, options.units)
    if options.format == "json":
        _print_json({"steps": [dataclasses.asdict(step) for step in work.steps]})
    return 0


def _plan(options: argparse.Namespace, instance: Instance) -> int:
    from . import upgrading

    plans = upgrading.plan(_work(options, instance), options.application, options.to)
    if options.format == "json":
        _print_json({"plans": [dataclasses.asdict(plan) for plan in plans]})
    else:
        print("\n\n".join(_plan_text(plan) for plan in plans))
    return 0


def _plan_text(plan: Any) -> str:
    units = f"{plan.scale} unit{'s' if plan.scale > 1 else ''}"
    if plan.way == "none":
        return f"{plan.application} runs {plan.to} with {units}; nothing is owed."
    word = "back to" if plan.way == "back" else "to"
    lines = [f"{plan.application}: {word} {plan.to} from {plan.running or 'unknown'}, {units}"]
    if plan.way == "back":
        lines[0] = f"{plan.application}: back to {plan.to}, {units}"
    rows = [(step.name, step.impact, step.owed, step.what) for step in plan.steps]
    if plan.doubled:
        rows.insert(0, ("double", "none", "yes", "add a second unit for the time of the change"))
        rows.append(("undouble", "none", "yes", "remove it again"))
    lines += ["", output.table(("step", "impact", "owed", "what"), rows)]
    commands = [(step.name, step.command) for step in plan.steps if step.command]
    if commands:
        lines += ["", "Commands, run by the charm in the new image:"]
        lines += [f"  {name:<9} {command}" for name, command in commands]
    return "\n".join(lines)


def _upgrade(options: argparse.Namespace, instance: Instance) -> int:
    from . import upgrading

    if options.dry_run:
        code = _plan(options, instance)
        if options.format == "text":
            print("\nNothing was changed.")
        return code
    work = _work(options, instance)
    plans = upgrading.upgrade(work, options.application, options.to)
    if options.format == "json":
        report = {
            "plans": [dataclasses.asdict(plan) for plan in plans],
            "steps": [dataclasses.asdict(step) for step in work.steps],
        }
        _print_json(report)
    return 0


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


_COMMANDS = {
    "bootstrap": _bootstrap,
    "status": _status,
    "env": _env,
    "openrc": _openrc,
    "scale": _scale,
    "plan": _plan,
    "upgrade": _upgrade,
    "destroy": _destroy,
}


if __name__ == "__main__":
    sys.exit(main())
