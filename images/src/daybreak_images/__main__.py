"""The program: ``python -m daybreak_images``."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from . import base, spec
from .build import build
from .spec import ImageError
from .store import open_store

_EPILOG = """\
Images are built once per content: a second build does nothing. They are kept in the engine's own podman store
(see `daybreak-engine paths`), never in the machine's.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="daybreak-images",
        description="Build the container images of Daybreak.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("build", "build images, or all of them"),
        ("list", "list images and whether they are there"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "names",
            nargs="*",
            metavar="NAME",
            help="keystone, keystone:2025.1 or a whole reference as in a bundle",
        )
    layout = commands.add_parser(
        "layout", help="write images, or all of them, as an OCI image layout"
    )
    layout.add_argument("directory", metavar="DIRECTORY", type=Path)
    layout.add_argument("names", nargs="*", metavar="NAME", help="as for build")
    catalogue = commands.add_parser(
        "catalogue", help="print the option and policy catalogue of an OpenStack image"
    )
    catalogue.add_argument("names", nargs=1, metavar="NAME")
    guest = commands.add_parser(
        "guest",
        help="write the disk of a small Linux that boots in seconds without KVM",
        description="Write the disk of a small Linux for tests of a cloud, as qcow2.",
    )
    guest.add_argument("--output", type=Path, required=True, metavar="FILE")
    guest.set_defaults(names=["guest"])
    options = parser.parse_args(argv)
    lock = threading.Lock()

    def say(line: str) -> None:
        with lock:
            print(line, flush=True)

    try:
        known = spec.load()
        chosen = spec.choose(known, options.names) if options.names else known
        if options.command == "build":
            build(open_store(), chosen, say)
        elif options.command == "layout":
            from .layout import write

            write(open_store(), chosen, options.directory, say)
        elif options.command == "guest":
            from .guest import write_guest

            write_guest(open_store(), chosen[0], options.output, say)
        elif options.command == "catalogue":
            from .catalogue import catalogue as make

            print(make(open_store(), chosen[0]), end="")
        else:
            _list(chosen)
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was finished stays", file=sys.stderr)
        return 130
    return 0


def _list(images: Sequence[spec.Image]) -> None:
    """Print one line per image: "outdated" is built from other sources than those of today."""
    there = open_store().keys()
    base_key = base.key(base.sources_for(*base.machine_sources()))
    width = max(len(image.short) for image in images)
    for image in images:
        key = there.get(image.reference)
        state = "-" if key is None else "built" if key == image.key(base_key) else "outdated"
        print(f"{image.short:<{width}}  {state:<8}  {image.reference}")


if __name__ == "__main__":
    sys.exit(main())
