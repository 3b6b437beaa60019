"""Arguments of secret tools: URIs, keys and values, times. No content ever gets into a message."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime

from daybreak_engine.hooktools.flags import Arguments, ToolError
from daybreak_engine.hooktools.inputs import Inputs, settings_of
from daybreak_engine.model import secrets, snapshot

_URI = re.compile(r"(?:secret:(?://)?(?:[0-9a-f-]{36}/)?)?(?P<id>[0-9a-v]{20})")
_KEY = re.compile(r"[a-z](?:-?[a-z0-9]){2,}")
_LIMIT = 1024 * 1024


def secret_id(text: str) -> str:
    """Return the bare id of any spelling of a secret's URI.

    Raises:
        ToolError: It is none (code 2).
    """
    match = _URI.fullmatch(text)
    if match is None:
        raise ToolError(f'secret URI "{text}" not valid', 2)
    return match["id"]


def content(args: Arguments, skip: int, inputs: Inputs) -> dict[str, str]:
    """Return the content that `key=value`, `key#file=path`, `key#base64=text` and --file give.

    Args:
        args: The command line.
        skip: Number of positional arguments before the content.
        inputs: Files that the client sent along.
    """
    given: dict[str, str] = {}
    path = args.get("file")
    if path is not None:
        given.update(settings_of(Arguments({"file": path}, {}, ()), inputs))
    for argument in args.rest[skip:]:
        key, equals, value = argument.partition("=")
        if not equals:
            raise ToolError(f'key value "{key}" not valid', 2)
        key, _, form = key.partition("#")
        if not value:
            raise ToolError(f'key value "{key}=" not valid', 2)
        if form == "file":
            value = inputs.read(value)
        elif form == "base64":
            value = _decoded(key, value)
        elif form:
            raise ToolError(f'key "{key}#{form}" not valid', 2)
        given[key] = value
    for key in given:
        if not _KEY.fullmatch(key):
            raise ToolError(f'key "{key}" not valid', 2)
    if sum(len(value.encode()) for value in given.values()) > _LIMIT:
        raise ToolError("secret content is larger than 1 MiB", 2)
    return given


def rotation(text: str | None) -> str | None:
    """Return a valid rotate policy, None when not given."""
    if text is not None and text not in secrets.ROTATE_POLICIES:
        raise ToolError(f'rotate policy "{text}" not valid', 2)
    return text


def expiry(text: str | None, now: float) -> float | None:
    """Return a time of expiry, given as RFC 3339 or as a duration from now."""
    if text is None:
        return None
    seconds = snapshot.duration(text)
    if seconds is not None:
        return now + seconds
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ToolError(f'expire time or duration "{text}" not valid', 2) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def shown_time(seconds: float) -> str:
    """Return a time as secret-info-get shows it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _decoded(key: str, value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ToolError(f'the value of key "{key}" is not base64 of a text', 2) from None
