"""Options of an application: parsed by type, stored only where set."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from daybreak_engine import charmfile, errors
from daybreak_engine.model import charms
from daybreak_engine.model.store import Transaction, dump, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from daybreak_engine.charmfile import OptionValue

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_SECRET = re.compile(r"secret:(//)?([0-9a-f-]{36}/)?[0-9a-v]{20}")


def parse(meta: charmfile.CharmMeta, values: Mapping[str, object]) -> dict[str, OptionValue]:
    """Return options as typed values, from text (command line) or YAML values (bundle).

    Raises:
        errors.InvalidError: An option the charm does not have, or a value of another type.
    """
    parsed: dict[str, OptionValue] = {}
    for key, value in values.items():
        option = meta.options.get(key)
        if option is None:
            raise errors.InvalidError(
                f'invalid application config: unknown option "{key}"',
                remedy=f"the charm has: {', '.join(sorted(meta.options)) or 'no options'}",
            )
        parsed[key] = _parse(option, value)
    return parsed


def put(tx: Transaction, application: str, values: Mapping[str, OptionValue]) -> None:
    """Set options to parsed values."""
    for key, value in values.items():
        tx.run(
            "INSERT OR REPLACE INTO options (application, key, value_json) VALUES (?, ?, ?)",
            application,
            key,
            dump(value),
        )


def reset(tx: Transaction, application: str, keys: Iterable[str]) -> None:
    """Set options back to the charm's defaults; unknown keys are nothing."""
    for key in keys:
        tx.run("DELETE FROM options WHERE application = ? AND key = ?", application, key)


def explicit(tx: Transaction, application: str) -> dict[str, OptionValue]:
    """Return what was set."""
    found = tx.all("SELECT key, value_json FROM options WHERE application = ?", application)
    return {row["key"]: load(row["value_json"]) for row in found}


def settings(tx: Transaction, application: str) -> dict[str, OptionValue]:
    """Return what `config-get` shows: defaults and set values, without unset options."""
    row = tx.one("SELECT charm_id FROM applications WHERE name = ?", application)
    if row is None:
        raise errors.NotFoundError(f'application "{application}" not found')
    options = charms.meta(tx, row["charm_id"]).options
    defaults = {key: o.default for key, o in options.items() if o.default is not None}
    return {**defaults, **explicit(tx, application)}


def drop_unknown(tx: Transaction, application: str, meta: charmfile.CharmMeta) -> None:
    """Drop what was set for options that the charm no longer has, or has with another type."""
    for key, value in explicit(tx, application).items():
        option = meta.options.get(key)
        try:
            kept = option is not None and _parse(option, value) == value
        except errors.InvalidError:
            kept = False
        if not kept:
            reset(tx, application, [key])


def _parse(option: charmfile.Option, value: object) -> OptionValue:
    kind = option.type
    if kind in ("string", "secret"):
        if not isinstance(value, str):
            raise _wrong(option, value)
        if kind == "secret" and value and not _SECRET.fullmatch(value):
            raise _wrong(option, value)
        return value
    if kind == "boolean":
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value in _TRUE | _FALSE:
            return value in _TRUE
        raise _wrong(option, value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _wrong(option, value)
    if kind == "int" and isinstance(value, float):
        raise _wrong(option, value)
    try:
        return int(value) if kind == "int" else float(value)
    except ValueError as error:
        raise _wrong(option, value) from error


def _wrong(option: charmfile.Option, value: object) -> errors.InvalidError:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return errors.InvalidError(f'option "{option.name}" expected {option.type}, got {shown}')
