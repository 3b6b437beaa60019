"""Failures of the substrate; each says what to do when something can be done."""

from __future__ import annotations

from ..errors import EngineError


class SubstrateError(EngineError):
    """podman, the network or a container did not do what was asked."""


class CommandError(SubstrateError):
    """A program ended with an error.

    Args:
        argv: What was run; never contains secrets.
        code: Exit status of the program.
        stderr: What it said.
        remedy: What to do about it; empty when nothing is known.
    """

    def __init__(self, argv: tuple[str, ...], code: int, stderr: str, *, remedy: str = "") -> None:
        detail = stderr.strip() or "it said nothing"
        super().__init__(f"`{' '.join(argv)}` failed with status {code}: {detail}", remedy=remedy)
        self.argv = argv
        self.status = code
        self.stderr = stderr


class MissingProgramError(SubstrateError):
    """A program that the substrate needs is not installed."""


class ImageMissingError(SubstrateError):
    """An image is neither in the local store nor can it be pulled (Kubernetes: ImagePullBackOff).

    Args:
        image: Reference of the image.
        reason: What podman said.
        remedy: What to do about it.
    """

    def __init__(self, image: str, reason: str, *, remedy: str = "") -> None:
        super().__init__(f"image {image!r} is not available: {reason}", remedy=remedy)
        self.image = image
        self.reason = reason


class PebbleError(SubstrateError):
    """Pebble answered with an error, or not at all.

    Args:
        message: Pebble's own message or why there was no answer.
        status: HTTP status, or 0 when there was no answer.
        kind: Pebble's kind of error, often empty.
    """

    def __init__(self, message: str, *, status: int = 0, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
