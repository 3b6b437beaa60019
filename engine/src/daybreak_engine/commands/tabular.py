"""`juju status` for people: tables, and the short forms `oneline` and `summary`."""

import re
from collections import Counter
from collections.abc import Sequence

from . import views
from .output import Cell, Right, table
from .statusjson import clock

_HOOK = re.compile(r"running (\S+) hook")
_ACTION = re.compile(r"running action (.*)")


def tables(
    model: views.ModelView, *, relations: bool = False, storage: bool = False, utc: bool = False
) -> str:
    """Return the tables of `juju status`.

    Args:
        model: what to show, already filtered.
        relations: with the table of relations.
        storage: with the table of storage.
        utc: write the time without its zone.
    """
    time = clock(model.now)
    parts: list[Sequence[Sequence[Cell]]] = [
        [
            ("Model", "Controller", "Cloud/Region", "Version", "Timestamp"),
            (
                model.name,
                views.CONTROLLER,
                f"{views.CLOUD}/{views.REGION}",
                views.VERSION,
                time.removesuffix("Z") if utc else time,
            ),
        ]
    ]
    if model.applications:
        parts.append(_applications(model))
    units = [unit for app in model.applications.values() for unit in app.units]
    if units:
        parts.append(_units(units))
    if relations and model.relations:
        parts.append(relation_rows(model))
    if storage and model.storage:
        parts.append(_storage(model))
    return "\n".join(table(rows) for rows in parts)


def _applications(model: views.ModelView) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = [
        (
            "App",
            "Version",
            "Status",
            Right("Scale"),
            "Charm",
            "Channel",
            Right("Rev"),
            "Address",
            "Exposed",
            "Message",
        )
    ]
    rows += [
        (
            app.name,
            _shortened(app.workload_version),
            app.status.current,
            Right(_scale(app)),
            app.charm,
            "",
            Right(str(app.revision)),
            app.address,
            "yes" if app.exposed else "no",
            _first_line(app.status.message),
        )
        for app in model.applications.values()
    ]
    return rows


def _shortened(version: str) -> str:
    # A long version must not push the other columns away.
    return version if len(version) <= 20 else version[:17] + "..."


def _first_line(message: str) -> str:
    return message.partition("\n")[0]


def _scale(app: views.ApplicationView) -> str:
    """Return the number of units at work, and the wanted number where it differs."""
    working = sum(unit.agent.current in ("idle", "executing", "running") for unit in app.units)
    return str(working) if working == app.scale else f"{working}/{app.scale}"


def _units(units: Sequence[views.UnitView]) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = [("Unit", "Workload", "Agent", "Address", "Ports", "Message")]
    rows += [
        (
            unit.name + ("*" if unit.leader else ""),
            unit.workload.current,
            unit.agent.current,
            unit.address,
            ports(unit.ports),
            _doing(unit.agent) + _first_line(unit.workload.message),
        )
        for unit in units
    ]
    return rows


def ports(opened: Sequence[str]) -> str:
    """Return opened ports in short: `80,443/tcp 53/udp`."""
    by_protocol: dict[str, list[str]] = {}
    for port in opened:
        number, slash, protocol = port.partition("/")
        by_protocol.setdefault(protocol if slash else "", []).append(number)
    return " ".join(
        ",".join(numbers) + (f"/{protocol}" if protocol else "")
        for protocol, numbers in by_protocol.items()
    )


def _doing(agent: views.StatusView) -> str:
    if agent.current != "executing":
        return ""
    match = _HOOK.match(agent.message) or _ACTION.match(agent.message)
    return f"({match[1]}) " if match else ""


def relation_rows(model: views.ModelView) -> list[Sequence[Cell]]:
    """Return the table of relations."""
    rows: list[Sequence[Cell]] = [("Relation provider", "Requirer", "Interface", "Type", "Message")]
    for relation in sorted(model.relations, key=lambda r: (r.provider, r.requirer)):
        kind = "peer" if relation.peer else "regular"
        row = [relation.provider, relation.requirer, relation.interface, kind]
        rows.append([*row, *([relation.message] if relation.message else []), ""])
    return rows


def size(mebibytes: int) -> str:
    """Return a size as Juju writes it; empty while nothing is provisioned."""
    if not mebibytes:
        return ""
    value, unit = float(mebibytes), "MiB"
    for larger in ("GiB", "TiB", "PiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def _storage(model: views.ModelView) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = [
        (
            "Storage Unit",
            "Storage ID",
            "Type",
            "Pool",
            "Mountpoint",
            "Size",
            "Status",
            "Message",
        )
    ]
    rows += [
        (
            item.unit,
            item.id,
            "filesystem",
            "kubernetes",
            item.location,
            size(item.size),
            item.status.current,
            item.status.message,
        )
        for item in sorted(model.storage, key=lambda s: (s.unit, s.id))
    ]
    return rows


def oneline(model: views.ModelView) -> str:
    """Return one line for each unit."""
    lines = [
        f"- {unit.name}: {unit.address} (agent:{unit.agent.current}, "
        f"workload:{unit.workload.current}) {ports(unit.ports)}".rstrip()
        for app in model.applications.values()
        for unit in app.units
    ]
    return "\n".join(lines) + "\n"


def summary(model: views.ModelView) -> str:
    """Return numbers of units by status, and what is exposed."""
    units = [unit for app in model.applications.values() for unit in app.units]
    opened = sorted({port for unit in units for port in unit.ports})
    states = Counter(unit.workload.current for unit in units)
    rows: list[tuple[str, str]] = [
        ("Running on subnets:", "<nil>"),
        ("Utilizing ports:", ports(opened)),
        ("# Machines:", "(0)"),
        ("", ""),
        ("# Units:", f"({len(units)})"),
        *((f"{state}:", f"  {count}") for state, count in sorted(states.items())),
        ("", ""),
        ("# Applications:", f"({len(model.applications)})"),
        *((name, f"{int(app.exposed)}/1  exposed") for name, app in model.applications.items()),
        ("", ""),
        ("# Remote:", "(0)"),
    ]
    width = max(len(label) for label, _ in rows)
    return "".join(f"{label.rjust(width)}  {value}".rstrip() + "\n" for label, value in rows)
