"""From a command line to its outputs: finds the command, parses, turns failures into text."""

import difflib
from collections.abc import AsyncIterator, Mapping

from daybreak_engine import errors

from . import flags, helptext, views
from .command import GLOBAL_FLAGS, Call, Command
from .deps import Engine, Err, Exit, Out, Output, Request
from .table import COMMANDS, ELSEWHERE


def _by_name() -> Mapping[str, Command]:
    return {name: command for command in COMMANDS for name in (command.name, *command.aliases)}


async def execute(request: Request, engine: Engine) -> AsyncIterator[Output]:
    """Run one command line; yields its outputs, the last of them an `Exit`.

    Closing the iterator early (the caller pressed Ctrl-C) ends what the command waits for;
    what it has started goes on.
    """
    argv = list(request.argv)
    if not argv or argv[0] in ("help", "-h", "--help"):
        for output in _help(argv[1:]):
            yield output
        return
    if argv[0] == "--version":
        argv[0] = "version"
    while argv and argv[0].startswith("-") and _is_global(argv[0]):
        argv.pop(0)
    name = argv[0] if argv else ""
    command = _by_name().get(name)
    if command is None:
        for output in _unknown(name):
            yield output
        return
    braces = False
    try:
        parsed = flags.parse(command.all_flags, argv[1:], interspersed=command.interspersed)
        if parsed.on("help"):
            yield Out(helptext.of(command))
            yield Exit(0)
            return
        braces = command.braces and parsed.text("format") in ("json", "yaml")
        code = 0
        async for output in _outputs(command, Call(request, parsed, engine)):
            if isinstance(output, Exit):
                code = output.code
                break
            yield output
    except errors.EngineError as error:
        if braces and error.code != 2:
            yield Out("{}\n")
        yield Err(f"ERROR {error.message}\n" + (f"{error.remedy}\n" if error.remedy else ""))
        code = error.code
    yield Exit(code)


async def _outputs(command: Command, call: Call) -> AsyncIterator[Output]:
    result = command.handler(call)
    if isinstance(result, AsyncIterator):
        async for output in result:
            yield output
    else:
        for output in await result:
            yield output


def _is_global(word: str) -> bool:
    name = word.lstrip("-")
    return any(name in (flag.name, flag.short) for flag in GLOBAL_FLAGS)


def _unknown(name: str) -> list[Output]:
    if name in ELSEWHERE:
        text = (
            f"ERROR juju {name} is not part of this engine: {ELSEWHERE[name]}\n"
            "Use a real Juju controller for it: https://documentation.ubuntu.com/juju/\n"
        )
        return [Err(text), Exit(1)]
    near = difflib.get_close_matches(name, list(_by_name()), n=5, cutoff=0.6)
    text = f'ERROR juju: "{name}" is not a juju command. See "juju --help".\n'
    if near:
        text += "\nDid you mean:\n" + "".join(f"\t{word}\n" for word in near)
    return [Err(text), Exit(1)]


def _help(names: list[str]) -> list[Output]:
    if not names or names[0].startswith("-"):
        return [Out(helptext.overview(COMMANDS, views.VERSION)), Exit(0)]
    if names[0] in ("commands", "topics"):
        return [Out(helptext.listing(COMMANDS)), Exit(0)]
    command = _by_name().get(names[0])
    return _unknown(names[0]) if command is None else [Out(helptext.of(command)), Exit(0)]
