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
        if options.command in ("bootstrap", "destroy"):
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


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


_COMMANDS = {
    "bootstrap": _bootstrap,
    "status": _status,
    "env": _env,
    "openrc": _openrc,
    "destroy": _destroy,
}


if __name__ == "__main__":
    sys.exit(main())
