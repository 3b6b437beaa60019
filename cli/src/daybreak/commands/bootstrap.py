"""The command `bootstrap`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import output, places, providers
from ..errors import DaybreakError, UsageError
from .common import add_format, seconds

if TYPE_CHECKING:
    import argparse

    from ..places import Instance

SUMMARY = "make a cloud, up to its first token"
DESCRIPTION = """\
Make an instance: check the machine, prepare what carries the cloud, deploy the bundle, wait until
everything is active, and issue a token through the gateway. What carries it is chosen by
--provider:

  embedded   Daybreak's own engine on this machine: images are built, charms packed
  microk8s   MicroK8s and Juju from the snap store, installed here where they are missing
  juju       a Juju controller that is there already, on any Kubernetes

Each step is skipped when its result is there already, so the command can be interrupted and run
again at any time: it goes on where it was. It never undoes what you have changed since; scaled
applications keep their scale.
"""
EPILOG = """\
Examples:
  daybreak bootstrap                          a whole cloud, instance "daybreak"
  daybreak bootstrap --bundle identity        its identity service alone
  daybreak bootstrap --dry-run                what would be done, changing nothing
  daybreak bootstrap --bundle ./mine.yaml     a bundle of your own
  daybreak bootstrap --bundle openstack --size ha   three units where a loss must not be seen
  daybreak bootstrap --instance test-1        a second cloud beside the first
  daybreak bootstrap --format json            durations of the steps, for programs
  sudo daybreak bootstrap --provider microk8s --metallb 192.168.1.240-192.168.1.250
  daybreak bootstrap --provider juju --controller prod --overlay images.yaml
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--bundle",
        metavar="NAME|FILE",
        help="a bundle by name, or a file (default: the one that the instance is made of; for a new"
        " one, openstack, and identity on microk8s, which can run no servers)",
    )
    parser.add_argument(
        "--size",
        metavar="NAME|FILE",
        help="an overlay on the bundle that is deployed with it: `single` or `ha`, or a file of your"
        " own (default: one unit of each application; --bundle openstack)",
    )
    parser.add_argument(
        "--provider",
        choices=providers.NAMES,
        help="what carries the cloud (default: what carries the instance; for a new one, embedded"
        " in a checkout and microk8s from the snap)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        help="how long each wait may take (default: 900; 1800 on a cluster)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and change nothing"
    )
    add_format(parser)
    cluster = parser.add_argument_group("on a cluster (microk8s, juju)")
    cluster.add_argument(
        "--from",
        metavar="ARCHIVE",
        dest="archive",
        type=Path,
        help="take bundle, charms and images from what `daybreak images export` wrote",
    )
    cluster.add_argument(
        "--overlay",
        metavar="FILE",
        type=Path,
        help="which images are pulled, as `daybreak images push` wrote it",
    )
    cluster.add_argument("--model", metavar="NAME", help="Juju model (default: openstack)")
    cluster.add_argument(
        "--controller", metavar="NAME", help="Juju controller (juju: the current one by default)"
    )
    cluster.add_argument("--juju", metavar="PATH", help="the juju command (default: on PATH)")
    cluster.add_argument(
        "--cloud",
        metavar="NAME",
        help="juju: the Kubernetes that the controller knows by this name",
    )
    cluster.add_argument(
        "--metallb",
        metavar="RANGE",
        help="microk8s: addresses for public APIs, such as 192.168.1.240-192.168.1.250; asked for"
        " when missing",
    )
    cluster.add_argument(
        "--microk8s-channel",
        metavar="CHANNEL",
        help="microk8s: a strict one (default: 1.34-strict/stable)",
    )
    cluster.add_argument(
        "--juju-channel", metavar="CHANNEL", help="microk8s: Juju's (default: 3.6/stable)"
    )


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    from .. import bootstrap, bundles

    home = places.home(os.environ)
    reporter = output.reporter(options.format)
    archive_home = _unpacked(options, instance, home, reporter)
    provider, instance = _provider(options, instance, home, archive_home)
    home = archive_home or home
    name = options.bundle or bundles.chosen(instance.state) or provider.bundle
    bundle = bundles.load(bundles.find(name, home.bundles))
    sizes = [bundles.find(options.size, home.overlays, "overlay")] if options.size else []
    if options.format == "text":
        print(
            f"daybreak: bundle {bundle.path.stem}, instance {instance.name}, on {provider.name}",
            flush=True,
        )
    timeout = options.timeout or (900.0 if provider.name == "embedded" else 1800.0)
    work = bootstrap.Run(
        bundle, instance, home, provider, reporter, timeout, options.dry_run, tuple(sizes)
    )
    result = bootstrap.bootstrap(work)
    if options.format == "json":
        said = {"instance": instance.name, "provider": provider.name}
        output.show_json(said | dataclasses.asdict(result))
    elif options.dry_run:
        print("Nothing was changed.")
    else:
        print(_next_steps(instance, provider, result))
    return 1 if any(step.mark == "failed" for step in result.steps) else 0


def _unpacked(
    options: argparse.Namespace, instance: Instance, home: places.Home, reporter: output.Reporter
) -> places.Home | None:
    if options.archive is None:
        return None
    from .. import archive

    directory = archive.cache(os.environ, instance.cache)
    return places.Home(archive.unpack(options.archive, directory, reporter.line), home.programs)


def _provider(
    options: argparse.Namespace,
    instance: Instance,
    home: places.Home,
    archive_home: places.Home | None,
) -> tuple[providers.Provider, Instance]:
    overlay = options.overlay
    if overlay is not None and not overlay.is_file():
        raise DaybreakError(
            f"the overlay {overlay} does not exist",
            remedy="daybreak images push REGISTRY --overlay FILE writes it.",
        )
    wishes = providers.Options(
        juju=options.juju or "",
        controller=options.controller or "",
        cloud=options.cloud or "",
        model=options.model or "",
        metallb=options.metallb or "",
        microk8s_channel=options.microk8s_channel or "",
        juju_channel=options.juju_channel or "",
        overlay=overlay.resolve() if overlay else None,
        images=archive_home.path / "images" if archive_home else None,
    )
    name = options.provider
    if name is None:
        found, there = providers.of(instance, home, os.environ, wishes)
        name = found.name if there.exists or home.sources else "microk8s"
    if name == "embedded":
        given = [option for option in ON_CLUSTER if getattr(options, option)]
        if given:
            words = ", ".join(
                "--" + _OPTION.get(option, option.replace("_", "-")) for option in given
            )
            raise UsageError(
                f"{words} is for a cluster, and this cloud is embedded",
                remedy="Add --provider microk8s or --provider juju, or leave it out.",
            )
    return providers.choose(name, instance, home, os.environ, wishes)


ON_CLUSTER = (
    *("archive", "overlay", "model", "controller", "juju", "cloud"),
    *("metallb", "microk8s_channel", "juju_channel"),
)
_OPTION = {"archive": "from"}


def _next_steps(instance: Instance, provider: providers.Provider, result: Any) -> str:
    named = "" if instance.name == places.DEFAULT_INSTANCE else f" --instance {instance.name}"
    program = places.command(os.environ)
    lines = [f"Ready after {result.seconds:.1f} s."]
    if result.auth_url:
        lines[0] += f" Keystone answers at {result.auth_url}"
    lines += [
        "",
        "Try next:",
        f'  eval "$({program} env{named})"',
        f'  eval "$({program} openrc{named})"',
        "  openstack token issue",
        "  openstack catalog list",
    ]
    model = provider.juju().model
    if provider.name != "embedded":
        lines.append(f"  juju switch {model}")
    lines += [
        "  juju status --relations",
        f"  {program} status{named}",
        f"  {program} destroy{named}",
    ]
    return "\n".join(lines)
