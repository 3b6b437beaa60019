"""The test guest: a disk that a build made, copied out of its image."""

from __future__ import annotations

import os
from pathlib import Path

from .build import Say, build
from .spec import Image, ImageError
from .store import Store

DISK = "/guest.qcow2"


def write_guest(store: Store, image: Image, output: Path, say: Say) -> None:
    """Write the disk to ``output``, made first if its sources have changed.

    The file is whole or it is not there.

    Raises:
        ImageError: The build failed, or the file cannot be written.
    """
    build(store, [image], say)
    # No container ever runs from it: the image has no program.
    container = store.run(["podman", "create", "--pull=never", image.reference, "none"]).strip()
    part = output.with_name(f".{output.name}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        store.run(["podman", "cp", f"{container}:{DISK}", os.fspath(part)])
        part.replace(output)
    except OSError as error:
        raise ImageError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
        store.run(["podman", "rm", container])
    say(f"{output}: written")
