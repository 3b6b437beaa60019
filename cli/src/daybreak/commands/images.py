"""The command `images`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__, output, places
from .common import add_format

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ..bundles import Bundle
    from ..oci import Layout
    from ..places import Home, Instance

SUMMARY = "build images, and bring them to a cluster"
DESCRIPTION = """\
Build container images, and bring them to where a cluster finds them: into one archive with charms
and bundles, for a site without internet; or to a registry, with an overlay that pins each image by
its digest. On MicroK8s without a registry, `bootstrap` imports them itself.

Accounts for a registry come from `podman login` or `docker login`, or from the variables
DAYBREAK_REGISTRY_USER and DAYBREAK_REGISTRY_PASSWORD.
"""
EPILOG = """\
Examples:
  daybreak images list
  daybreak images build keystone:2026.1
  daybreak images export daybreak.tar                       charms, images and all bundles
  daybreak images export daybreak.tar --bundle identity     one bundle with what it needs
  daybreak images push registry.example.com/openstack --overlay images.yaml
  daybreak images push registry.local:5000 --from daybreak.tar --overlay images.yaml

What a registry has already is not sent again, so an interrupted push goes on where it was.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="build what is missing or has changed")
    listed = actions.add_parser("list", help="list images and whether they are there")
    for action in (build, listed):
        action.add_argument(
            "names", metavar="NAME", nargs="*", help="keystone, keystone:2025.1 (default: all)"
        )
    export = actions.add_parser("export", help="write charms, images and bundles into one archive")
    export.add_argument("archive", metavar="FILE", type=Path, help="the archive to write")
    push = actions.add_parser("push", help="bring a bundle's images to a registry")
    push.add_argument("registry", metavar="REGISTRY", help="host[:port][/path]")
    push.add_argument(
        "--overlay", metavar="FILE", type=Path, help="write an overlay that pins the images"
    )
    push.add_argument(
        "--from", metavar="ARCHIVE", dest="archive", type=Path, help="take the images from there"
    )
    push.add_argument("--ca-file", metavar="FILE", type=Path, help="authority of the registry")
    push.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    push.add_argument(
        "--bundle",
        metavar="NAME|FILE",
        default="openstack",
        help="whose images (default: openstack)",
    )
    export.add_argument(
        "--bundle",
        metavar="NAME|FILE",
        action="append",
        default=[],
        help="a bundle to put in, may be given again (default: all)",
    )
    add_format(push)


def run(options: argparse.Namespace, instance: Instance) -> int:
    """Do it, print the result and return the exit code."""
    home = places.home(os.environ)
    return _ACTIONS[options.action](options, instance, home)


def _builder(options: argparse.Namespace, instance: Instance, home: Home) -> int:
    from .. import images, programs

    del instance
    images.require_sources(home)
    programs.follow(
        [home.program("python"), "-m", "daybreak_images", options.action, *options.names],
        print,
        what=f"{options.action} images",
        remedy="Correct what the lines above name and run the command again; finished images are kept.",
        cwd=home.path,
    )
    return 0


def _export(options: argparse.Namespace, instance: Instance, home: Home) -> int:
    from .. import archive, images, tools

    chosen = archive.load_bundles(options.bundle, home.bundles)
    charms = sorted({name for bundle in chosen.values() for name in bundle.own_charms(home.path)})
    if charms:
        tools.pack_charms(home, charms, print)
    names = images.choose(bundle.path for bundle in chosen.values())
    layout = images.layout_of(home, instance.cache, names, None, print)
    archive.write(options.archive, chosen, layout, __version__)
    size = options.archive.stat().st_size / 1e6
    print(
        f"{options.archive}: {size:.0f} MB, bundles {', '.join(chosen)}, {len(names)} images.\n"
        f"There: daybreak bootstrap --from {options.archive.name} --provider microk8s, or\n"
        f"       daybreak images push REGISTRY --from {options.archive.name} --overlay images.yaml"
    )
    return 0


def _push(options: argparse.Namespace, instance: Instance, home: Home) -> int:
    from .. import archive, bundles, images, registry

    target = registry.parse(options.registry, plain=options.plain_http)
    say: Callable[[str], Any] = print if options.format == "text" else lambda line: None
    layout: Path | None = None
    if options.archive is not None:
        unpacked = archive.unpack(options.archive, archive.cache(os.environ, instance.cache), say)
        home, layout = places.Home(unpacked, home.programs), unpacked / "images"
    bundle = bundles.load(bundles.find(options.bundle, home.bundles))
    source = images.layout_of(home, instance.cache, bundle.own_images, layout, say)
    client = registry.Client(target, registry.account(target.host, os.environ), options.ca_file)
    pushed = _pushed(client, source, bundle, say)
    text = images.overlay(bundle, pushed)
    if options.overlay is not None:
        images.write_file(options.overlay, text)
    if options.format == "json":
        output.show_json({"images": pushed, "overlay": str(options.overlay or "")})
    elif options.overlay is None:
        print(text, end="")
    else:
        print(f"{len(pushed)} images pushed; the overlay is {options.overlay}")
    return 0


def _pushed(
    client: Any, source: Layout, bundle: Bundle, say: Callable[[str], Any]
) -> dict[str, str]:
    digests = source.digests()
    pushed: dict[str, str] = {}
    for image in bundle.own_images:
        pushed[image] = client.push(source, image, digests[image], say)
        say(f"{image.rpartition('/')[2]}: {pushed[image]}")
    return pushed


_ACTIONS = {"build": _builder, "list": _builder, "export": _export, "push": _push}
