"""What a command is, and what it is called with."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from daybreak_engine import errors
from daybreak_engine.model import models

from . import output, views
from .deps import Deps, Engine, Out, Output, Request
from .failures import CommandError
from .flags import Flag, Kind, Parsed


@dataclass(frozen=True)
class Call:
    """One call of a command, its line taken apart."""

    request: Request
    parsed: Parsed
    engine: Engine

    @property
    def args(self) -> tuple[str, ...]:
        """The positional arguments."""
        return self.parsed.args

    def path(self, written: str) -> Path:
        """Return a path of the command line, seen from the caller's directory."""
        return (self.request.cwd / Path(written).expanduser()).resolve()

    def read_file(self, written: str) -> str:
        """Return the text of a file of the command line; `-` is standard input.

        Raises:
            CommandError: it cannot be read.
        """
        if written == "-":
            return self.request.stdin or ""
        try:
            return self.path(written).read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise CommandError(f"cannot read {written}: {reason}") from error

    def model(self) -> Deps:
        """Return the model that `--model`, `JUJU_MODEL` or the switch names.

        Raises:
            errors.NotFoundError: there is no such model, or none at all.
        """
        written = self.parsed.text("model") or self.request.env.get("JUJU_MODEL", "")
        present = self.engine.models()
        if written:
            return model_named(self.engine, written)
        if not present:
            raise errors.NotFoundError(
                "No model in focus.", remedy='make a model with "juju add-model NAME"'
            )
        if len(present) > 1:
            raise CommandError(
                "No model in focus.", remedy="name one of: " + ", ".join(sorted(present))
            )
        return next(iter(present.values()))

    def formatted(self, value: object) -> Out:
        """Return a value in the format asked for: JSON, otherwise YAML."""
        if self.parsed.text("format") == "json":
            return Out(output.to_json(value))
        return Out(output.to_yaml(value))


def short_name(written: str) -> str:
    """Return the bare name of `controller:user/model`, `user/model` or `model`."""
    return written.rpartition(":")[2].rpartition("/")[2]


def model_named(engine: Engine, written: str) -> Deps:
    """Return a model by name, qualified name or UUID.

    Raises:
        errors.NotFoundError: there is none.
    """
    name = short_name(written)
    present = engine.models()
    if name in present:
        return present[name]
    for deps in present.values():
        if models.get(deps.store.read()).uuid == name:
            return deps
    raise errors.NotFoundError(
        f"model {views.CONTROLLER}:{name} not found",
        remedy="models there are: " + (", ".join(sorted(present)) or "none"),
    )


Handler = Callable[[Call], AsyncIterator[Output] | Awaitable[Iterable[Output]]]
"""Yields outputs as they come, or returns them all; raises EngineError."""


@dataclass(frozen=True)
class Command:
    """An entry of the table of commands."""

    name: str
    handler: Handler
    usage: str
    """The line after `juju NAME [options]`."""
    summary: str
    """One sentence."""
    details: str = ""
    """What the help says beyond the summary, with examples."""
    flags: tuple[Flag, ...] = ()
    aliases: tuple[str, ...] = ()
    on_model: bool = True
    """Whether it takes `--model`."""
    interspersed: bool = True
    """False: what follows the first argument belongs to another program."""
    braces: bool = False
    """Whether a failure prints `{}` beside the error when JSON or YAML is due."""

    @property
    def all_flags(self) -> tuple[Flag, ...]:
        """Own flags and those that every command has."""
        return (*self.flags, *(MODEL_FLAGS if self.on_model else CONTROLLER_FLAGS), *GLOBAL_FLAGS)


GLOBAL_FLAGS = (
    Flag("help", Kind.BOOL, "Show this help", short="h"),
    Flag("debug", Kind.BOOL, "Accepted and ignored"),
    Flag("verbose", Kind.BOOL, "Accepted and ignored", short="v"),
    Flag("quiet", Kind.BOOL, "Show no progress", short="q"),
    Flag("show-log", Kind.BOOL, "Accepted and ignored"),
    Flag("logging-config", Kind.TEXT, "Accepted and ignored"),
    Flag("no-browser-login", Kind.BOOL, "Accepted and ignored", short="B"),
)
MODEL_FLAGS = (Flag("model", Kind.TEXT, "Model to operate in", short="m"),)
CONTROLLER_FLAGS = (Flag("controller", Kind.TEXT, "Accepted; there is one controller", short="c"),)


def format_flag(default: str, *more: str) -> Flag:
    """Return the `--format` flag: `default` first, always with json and yaml."""
    choices = tuple(dict.fromkeys((default, "json", "yaml", *more)))
    help_text = "Output format: " + ", ".join(sorted(choices))
    return Flag("format", Kind.TEXT, help_text, default=default, choices=choices)
