"""How the hook tools' client (`tools/hooktool`) and the agent talk.

A message is a sequence of fields; a field is a letter, the length of its value in decimal, a colon, and the
value. Each side ends its message by closing that direction of the connection. So the client, which a hook
starts up to 200 times, needs no parser.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_LONGEST = 9
"""Digits of a length: far more than a message may have."""


class WireError(ValueError):
    """These bytes are no message."""


@dataclass(frozen=True, slots=True)
class Question:
    """One call of a tool.

    Attributes:
        context: Identifier of the hook's context.
        tool: Name of the tool.
        args: Its arguments.
        stdin: Standard input, None when no argument asks for it.
        files: Contents of the files that arguments name, by path.
    """

    context: str
    tool: str
    args: tuple[str, ...] = ()
    stdin: str | None = field(default=None, repr=False)
    files: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client prints, and the code that it exits with."""

    code: int
    stdout: str = field(default="", repr=False)
    stderr: str = ""


def encode(fields: Iterator[tuple[str, str]]) -> bytes:
    """Return a message."""
    parts: list[bytes] = []
    for kind, value in fields:
        raw = value.encode(errors="replace")
        parts += [b"%b%d:" % (kind.encode(), len(raw)), raw]
    return b"".join(parts)


def decode(message: bytes) -> Iterator[tuple[str, str]]:
    """Yield the fields of a message.

    Raises:
        WireError: It is not one.
    """
    at = 0
    while at < len(message):
        colon = message.find(b":", at, at + _LONGEST + 2)
        digits = message[at + 1 : colon]
        if colon < 0 or not digits.isdigit() or colon + 1 + int(digits) > len(message):
            raise WireError("not a sequence of fields")
        end = colon + 1 + int(digits)
        yield chr(message[at]), message[colon + 1 : end].decode(errors="replace")
        at = end


def question(message: bytes) -> Question:
    """Return the question that a client sent.

    Raises:
        WireError: It is none.
    """
    context = tool = path = ""
    stdin: str | None = None
    args: list[str] = []
    files: dict[str, str] = {}
    for kind, value in decode(message):
        match kind:
            case "c":
                context = value
            case "t":
                tool = value
            case "a":
                args.append(value)
            case "i":
                stdin = value
            case "p":
                path = value
            case "f":
                files[path] = value
            case _:
                raise WireError(f"unknown field {kind!r}")
    if not tool:
        raise WireError("no tool is named")
    return Question(context, tool, tuple(args), stdin, files)


def answer_bytes(answer: Answer) -> bytes:
    """Return an answer as the client reads it."""
    return encode(iter((("o", answer.stdout), ("e", answer.stderr), ("x", str(answer.code)))))
