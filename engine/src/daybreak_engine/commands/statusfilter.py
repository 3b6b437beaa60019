"""The patterns of `juju status PATTERN ...`."""

import fnmatch
from collections.abc import Sequence
from dataclasses import replace

from . import views


def select(model: views.ModelView, patterns: Sequence[str]) -> views.ModelView:
    """Return what the patterns match, with the applications that hold it.

    A pattern names an application (all its units follow), a unit, a workload or agent
    status, or `exposed`; `*` stands for any text. Relations stay when both sides do.
    """
    if not patterns:
        return model
    kept: dict[str, views.ApplicationView] = {}
    for app in model.applications.values():
        whole = any(_matches_application(app, pattern) for pattern in patterns)
        units = tuple(
            unit for unit in app.units if whole or any(_matches_unit(unit, p) for p in patterns)
        )
        if whole or units:
            kept[app.name] = replace(app, units=units)
    kept = {
        name: replace(app, relations=tuple(r for r in app.relations if r.other in kept))
        for name, app in kept.items()
    }
    units = {unit.name for app in kept.values() for unit in app.units}
    return replace(
        model,
        applications=kept,
        relations=tuple(
            relation
            for relation in model.relations
            if all(end.split(":")[0] in kept for end in (relation.provider, relation.requirer))
        ),
        storage=tuple(item for item in model.storage if item.unit in units),
    )


def _matches_application(app: views.ApplicationView, pattern: str) -> bool:
    return fnmatch.fnmatchcase(app.name, pattern) or (pattern == "exposed" and app.exposed)


def _matches_unit(unit: views.UnitView, pattern: str) -> bool:
    name = pattern.removesuffix("/leader") + "/"
    if pattern.endswith("/leader") and unit.leader and unit.name.startswith(name):
        return True
    return fnmatch.fnmatchcase(unit.name, pattern) or pattern in (
        unit.workload.current,
        unit.agent.current,
    )
