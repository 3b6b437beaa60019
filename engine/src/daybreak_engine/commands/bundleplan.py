"""From a bundle and a model to the list of changes. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from daybreak_engine import errors
from daybreak_engine.charmfile import CharmMeta, OptionValue
from daybreak_engine.model import config, constraints

from . import endpoints, installing, queries
from .bundle import Bundle, BundleApplication
from .failures import CommandError


@dataclass(frozen=True)
class Deployed:
    """What the model has of an application."""

    meta: CharmMeta
    scale: int
    trust: bool
    exposed: bool
    options: Mapping[str, OptionValue]
    """Only what was set."""
    constraints: Mapping[str, str]
    dying: bool = False


@dataclass(frozen=True)
class Summary:
    """What the model has that a bundle can ask for."""

    applications: Mapping[str, Deployed] = field(default_factory=dict[str, Deployed])
    relations: frozenset[frozenset[str]] = frozenset()
    """Each the two `application:endpoint` of a relation that is not dying."""
    constraints: Mapping[str, str] = field(default_factory=dict[str, str])
    """The model's, which hold for what an application's own do not name."""


@dataclass(frozen=True)
class Upload:
    """Take a charm into the store."""

    application: BundleApplication
    meta: CharmMeta

    def __str__(self) -> str:
        return f"upload charm {self.application.path} for base {_base(self.meta)}"


@dataclass(frozen=True)
class Deploy:
    """Make an application."""

    application: BundleApplication
    meta: CharmMeta
    options: Mapping[str, OptionValue]
    constraints: Mapping[str, str]
    storage: Mapping[str, str]
    scale: int

    def __str__(self) -> str:
        units = "1 unit" if self.scale == 1 else f"{self.scale} units"
        return f"deploy application {self.application.name} with {units} on {_base(self.meta)}"


@dataclass(frozen=True)
class SetOptions:
    """Change options of an application that is there."""

    name: str
    options: Mapping[str, OptionValue]
    trust: bool | None = None

    def __str__(self) -> str:
        return f"set application options for {self.name}"


@dataclass(frozen=True)
class SetConstraints:
    """Replace the constraints of an application that is there."""

    name: str
    constraints: Mapping[str, str]

    def __str__(self) -> str:
        return f'set constraints for {self.name} to "{constraints.text(self.constraints)}"'


@dataclass(frozen=True)
class Scale:
    """Change the number of units."""

    name: str
    scale: int

    def __str__(self) -> str:
        units = "1 unit" if self.scale == 1 else f"{self.scale} units"
        return f"scale {self.name} to {units}"


@dataclass(frozen=True)
class Expose:
    """Mark an application exposed."""

    name: str

    def __str__(self) -> str:
        return f"expose all endpoints of {self.name} and allow access from CIDRs 0.0.0.0/0 and ::/0"


@dataclass(frozen=True)
class Relate:
    """Add a relation."""

    first: endpoints.Side
    second: endpoints.Side

    def __str__(self) -> str:
        return f"add relation {self.first} - {self.second}"


Change = Upload | Deploy | SetOptions | SetConstraints | Scale | Expose | Relate


def _base(meta: CharmMeta) -> str:
    return "@".join(queries.base_of(meta)) + "/stable"


def plan(bundle: Bundle, metas: Mapping[str, CharmMeta], present: Summary) -> list[Change]:
    """Return the changes that bring the model to what the bundle says; nothing is removed.

    Args:
        bundle: checked by `problems`.
        metas: what the charm of each of the bundle's applications declares.
        present: the model.
    """
    changes: list[Change] = []
    uploaded: set[object] = set()
    for name, app in bundle.applications.items():
        old = present.applications.get(name)
        meta = old.meta if old else metas[name]
        options = config.parse(meta, app.options)
        if old is None:
            if app.path not in uploaded:
                uploaded.add(app.path)
                changes.append(Upload(app, meta))
            storage = installing.checked_storage(name, meta, app.storage)
            scale = 1 if app.scale is None else app.scale
            asked = constraints.parse(app.constraints or "")
            changes.append(Deploy(app, meta, options, asked, storage, scale))
        else:
            changes += _differences(app, old, options, present.constraints)
        if app.expose and not (old and old.exposed):
            changes.append(Expose(name))
    known = _known(bundle, metas, present)
    for first, second in bundle.relations:
        one, other = endpoints.infer(first, second, known)
        if frozenset((str(one), str(other))) not in present.relations:
            changes.append(Relate(one, other))
    return changes


def _known(
    bundle: Bundle, metas: Mapping[str, CharmMeta], present: Summary
) -> dict[str, CharmMeta]:
    # An application that is there keeps its charm, whatever file the bundle names.
    deployed = {name: present.applications[name].meta for name in present.applications}
    return {**{name: metas[name] for name in bundle.applications if name in metas}, **deployed}


def _differences(
    app: BundleApplication,
    old: Deployed,
    options: Mapping[str, OptionValue],
    defaults: Mapping[str, str],
) -> list[Change]:
    changes: list[Change] = []
    effective = {
        **{key: o.default for key, o in old.meta.options.items() if o.default is not None},
        **old.options,
    }
    new = {key: value for key, value in options.items() if effective.get(key) != value}
    trust = app.trust if app.trust is not None and app.trust != old.trust else None
    if new or trust is not None:
        changes.append(SetOptions(app.name, new, trust))
    if app.constraints is not None:
        asked = constraints.parse(app.constraints)
        if constraints.values({**defaults, **asked}) != constraints.values(old.constraints):
            changes.append(SetConstraints(app.name, asked))
    if app.scale is not None and app.scale != old.scale:
        changes.append(Scale(app.name, app.scale))
    return changes


def problems(bundle: Bundle, metas: Mapping[str, CharmMeta], present: Summary) -> list[str]:
    """Return everything that is wrong with a bundle, all at once."""
    found: list[str] = []
    for name, app in bundle.applications.items():
        found += _application_problems(app, metas.get(name), present.applications.get(name))
    known = _known(bundle, metas, present)
    for first, second in bundle.relations:
        strangers = [
            side
            for side in dict.fromkeys((first.partition(":")[0], second.partition(":")[0]))
            if side not in bundle.applications
        ]
        if strangers:
            found += [
                f'relation ["{first}" "{second}"] refers to application "{side}" '
                "not defined in this bundle"
                for side in strangers
            ]
            continue
        if all(side.partition(":")[0] in known for side in (first, second)):
            try:
                endpoints.infer(first, second, known)
            except CommandError as error:
                found.append(f'relation ["{first}" "{second}"]: {error.message}')
    return found


def _application_problems(
    app: BundleApplication, meta: CharmMeta | None, old: Deployed | None
) -> list[str]:
    found: list[str] = []
    name = app.name

    def check(what: Callable[[], object]) -> None:
        try:
            what()
        except errors.EngineError as error:
            text = f"{error.message} ({error.remedy})" if error.remedy else error.message
            found.append(f'application "{name}": {text}')

    check(lambda: installing.check_name(name))
    check(lambda: constraints.parse(app.constraints or ""))
    if app.scale is not None and app.scale < 0:
        found.append(f'negative number of units specified on application "{name}"')
    if app.path is None:
        charm = app.charm or "none"
        found.append(
            f'application "{name}" names the charm "{charm}", which is no path: '
            "this engine deploys packed charms only (charm: ./name.charm)"
        )
    elif app.channel or app.revision is not None:
        found.append(f'application "{name}": channel and revision are not for a local charm')
    if meta is None:
        return found
    if old and old.dying:
        found.append(f'application "{name}" is being removed: deploy again when it is gone')
    declared = old.meta if old else meta
    check(lambda: config.parse(declared, app.options))
    if old is None:
        check(lambda: installing.check_resource_names(meta, app.resources))
        check(lambda: installing.checked_storage(name, meta, app.storage))
    return found


def untrusted(bundle: Bundle) -> list[str]:
    """Return the applications that ask for trust."""
    return [name for name, app in bundle.applications.items() if app.trust]
