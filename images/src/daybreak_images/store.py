"""podman, with the engine's own configuration, as far as building needs it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .spec import ImageError

KEY_LABEL = "daybreak.key"
LISTINGS = 5
"""How often podman is asked for its images while another process removes some."""


@dataclass(frozen=True)
class Store:
    """The place images are kept in.

    Args:
        env: Whole environment of podman and of builds.
        cache: Directory for what builds share; the store lies below it.
    """

    env: Mapping[str, str]
    cache: Path

    def run(self, command: Sequence[str], log: Path | None = None) -> str:
        """Run ``command`` and return its output.

        Args:
            command: Program and arguments.
            log: File that gets all output instead.

        Raises:
            ImageError: It failed; the message has its last lines and, with ``log``, where the rest is.
        """
        if log is None:
            done = subprocess.run(
                command, env=dict(self.env), capture_output=True, text=True, check=False
            )
            said, output = done.stderr, done.stdout
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w") as file:
                done = subprocess.run(
                    command, env=dict(self.env), stdout=file, stderr=subprocess.STDOUT, check=False
                )
            said, output = log.read_text(errors="replace"), ""
        if done.returncode:
            last = "\n  ".join(said.strip().splitlines()[-12:])
            where = f"\n  all of it: {log}" if log else ""
            raise ImageError(
                f"{' '.join(command[:2])} failed ({done.returncode}):\n  {last}{where}"
            )
        return output

    def image_id(self, reference: str) -> str:
        """Return the id of an image, or an empty string when there is none."""
        return self.run(["podman", "images", "--quiet", "--no-trunc", reference]).strip()

    def forget(self, image_id: str) -> None:
        """Remove an image that lost its name, unless a container still runs from it."""
        command = ["podman", "rmi", image_id]
        subprocess.run(command, env=dict(self.env), capture_output=True, check=False)

    def _images(self) -> str:
        """List the images; podman fails when one goes while it looks at them, so it is asked again."""
        command = ["podman", "images", "--format", "json"]
        for _ in range(LISTINGS - 1):
            try:
                return self.run(command)
            except ImageError as error:
                if "image not known" not in str(error):
                    raise
        return self.run(command)

    def keys(self) -> dict[str, str]:
        """Return reference -> content key of every image that a builder made."""
        listed = json.loads(self._images() or "[]")
        return {
            name: image["Labels"][KEY_LABEL]
            for image in listed
            if KEY_LABEL in (image.get("Labels") or {})
            for name in image.get("Names") or ()
        }


def open_store(environ: Mapping[str, str] = os.environ) -> Store:
    """Ask the engine which podman configuration to use.

    Raises:
        ImageError: podman is missing, or the engine does not answer.
    """
    if os.geteuid() != 0:
        raise ImageError("images are built as root; become root and try again")
    for program in ("podman", "mmdebstrap"):
        if shutil.which(program) is None:
            raise ImageError(
                f"{program} is not installed; ./daybreak bootstrap installs it, or: apt install {program}"
            )
    asked = [sys.executable, "-m", "daybreak_engine", "podman-env"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImageError(f"the engine does not say how to run podman: {done.stderr.strip()}")
    # Compiled bytecode is the point of the images: the setting of a development machine must not reach them.
    env = {key: value for key, value in environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    for line in done.stdout.splitlines():
        for word in shlex.split(line.removeprefix("export ")):
            name, _, value = word.partition("=")
            env[name] = value
    return Store(env, Path(env["CONTAINERS_STORAGE_CONF"]).parent.parent)
