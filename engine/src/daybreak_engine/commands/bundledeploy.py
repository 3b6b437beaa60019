"""`juju deploy BUNDLE`: reads, plans, and carries the plan out in one transaction."""

import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from daybreak_engine import charmfile, errors
from daybreak_engine.charmfile import CharmMeta
from daybreak_engine.model import applications, charms, config, models, relations, rows
from daybreak_engine.model.store import Transaction

from . import bundle, bundleplan, installing, relating
from .bundle import Bundle, Source
from .command import Call
from .deps import Deps, Err, Out, Output, StoredCharm
from .failures import CommandError, UsageError


def is_bundle(path: Path) -> bool:
    """Tell whether a path is a bundle: YAML, or a directory or zip with `bundle.yaml`."""
    if path.is_dir():
        return (path / "bundle.yaml").is_file()
    if not path.is_file():
        return path.suffix in (".yaml", ".yml")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return "bundle.yaml" in archive.namelist()
    return path.suffix != ".charm"


def _source(path: Path) -> Source:
    if path.is_dir():
        path /= "bundle.yaml"
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return Source(archive.read("bundle.yaml").decode(), path.parent)
        return Source(path.read_text(), path.parent)
    except UnicodeDecodeError as error:
        raise CommandError(f"cannot deploy bundle: {path} is not a text file") from error


async def deploy(call: Call, path: Path) -> AsyncIterator[Output]:
    """Deploy the bundle at `path`."""
    wanted = _read(call, path)
    if wanted.warnings:
        lines = "".join(f"  {line.partition(': ')[2]}\n" for line in wanted.warnings)
        yield Err(
            "WARNING These fields\n unmarshal document 0: yaml: unmarshal errors:\n"
            f"{lines}will be ignored during deployment\n"
        )
    deps = call.model()
    changes = _planned(call, wanted, summary(deps.store.read()))
    if call.parsed.on("dry-run"):
        text = "".join(f"- {change}\n" for change in changes)
        yield Out(f"Changes to deploy bundle:\n{text}" if text else "No changes to apply.\n")
        return
    if not changes:
        yield Err("No changes to apply.\n")
        return
    archives, values = await _stored(changes, deps)
    # All or nothing: a bundle that fails in the middle would leave a model nobody asked for.
    with deps.store.transaction() as tx:
        uploaded: dict[Path, rows.Charm] = {}
        for change in changes:
            _apply(tx, change, archives, values, uploaded)
    deps.wake()
    yield Out("Executing changes:\n" + "".join(f"- {change}\n" for change in changes))
    for change in changes:
        if isinstance(change, bundleplan.Deploy):
            names = values[change.application.name]
            yield Err("".join(f"  added resource {name}\n" for name in names))
    pictures = [value for group in values.values() for value in group.values()]
    for reference in await installing.absent_images(deps, pictures):
        yield Err(installing.image_warning(reference))
    yield Err("Deploy of bundle completed.\n")


def _read(call: Call, path: Path) -> Bundle:
    """Return the bundle with its overlays.

    Raises:
        CommandError: flags or files that make no bundle, or one that only real Juju can have.
    """
    for flag in ("num-units", "config", "storage", "resource", "constraints", "to"):
        if flag in call.parsed.given:
            raise UsageError(
                f"options provided but not supported when deploying a bundle: --{flag}",
                remedy="write it in the bundle, or in an overlay",
            )
    if not path.exists():
        raise CommandError(f'no charm or bundle was found at "{call.args[0]}"')
    overlays: list[Source] = []
    for written in call.parsed.items("overlay"):
        overlay = call.path(written)
        if not overlay.is_file():
            raise CommandError(
                f'cannot deploy bundle: unable to process overlays: "{written}" not found'
            )
        overlays.append(_source(overlay))
    wanted = bundle.read(_source(path), overlays)
    if wanted.unsupported:
        raise CommandError(
            f"cannot deploy bundle: it has {', '.join(wanted.unsupported)}, which this engine "
            "does not do",
            remedy="deploy it with a real Juju controller",
        )
    return wanted


def _planned(call: Call, wanted: Bundle, present: bundleplan.Summary) -> list[bundleplan.Change]:
    """Return what is to be done.

    Raises:
        CommandError: with everything that is wrong, or with what has to be trusted.
    """
    metas, missing = _metas(wanted)
    found = [*missing, *bundleplan.problems(wanted, metas, present)]
    if found:
        raise CommandError(
            "cannot deploy bundle: the provided bundle has the following errors:\n"
            + "\n".join(found)
        )
    _require_trust(call, wanted)
    return bundleplan.plan(wanted, metas, present)


def _require_trust(call: Call, wanted: Bundle) -> None:
    names = bundleplan.untrusted(wanted)
    if names and not call.parsed.on("trust"):
        raise CommandError(
            "Bundle cannot be deployed without trusting applications with your cloud "
            "credentials.\nPlease repeat the deploy command with the --trust argument if you "
            "consent to trust the following application(s):\n"
            + "\n".join(f"  - {name}" for name in names)
        )


def _metas(wanted: Bundle) -> tuple[dict[str, CharmMeta], list[str]]:
    """Return what the local charms declare, and what is wrong with their files."""
    metas: dict[str, CharmMeta] = {}
    found: list[str] = []
    for name, app in wanted.applications.items():
        if app.path is None:
            continue
        if not app.path.exists():
            found.append(f'charm path in application "{name}" does not exist: {app.path}')
            continue
        try:
            installing.check_archive(app.path, str(app.path))
            metas[name] = charmfile.read(app.path)
        except errors.EngineError as error:
            found.append(f'charm of application "{name}": {error}')
    return metas, found


def summary(tx: Transaction) -> bundleplan.Summary:
    """Return what the model has of what a bundle can ask for."""
    return bundleplan.Summary(
        applications={
            app.name: bundleplan.Deployed(
                meta=charms.meta(tx, app.charm_id),
                scale=app.scale,
                trust=app.trust,
                exposed=app.exposed,
                options=config.explicit(tx, app.name),
                constraints=app.constraints,
                dying=app.life != "alive",
            )
            for app in applications.all_(tx)
        },
        relations=frozenset(
            frozenset(str(side) for side in relation.endpoints)
            for relation in relations.all_(tx)
            if relation.life == "alive" and not relation.peer
        ),
        constraints=models.get(tx).constraints,
    )


_Values = Mapping[str, Mapping[str, Mapping[str, str]]]


async def _stored(
    changes: Sequence[bundleplan.Change], deps: Deps
) -> tuple[dict[Path, StoredCharm], _Values]:
    """Copy charms and files into the store; return them by path and by application."""
    archives: dict[Path, StoredCharm] = {}
    values: dict[str, dict[str, dict[str, str]]] = {}
    for change in changes:
        if not isinstance(change, bundleplan.Deploy):
            continue
        app = change.application
        assert app.path is not None
        if app.path not in archives:
            archives[app.path] = await deps.store_charm(app.path)
        values[app.name] = await installing.resource_values(
            app.base_directory, change.meta, app.resources, deps
        )
    return archives, values


def _apply(
    tx: Transaction,
    change: bundleplan.Change,
    archives: Mapping[Path, StoredCharm],
    values: _Values,
    uploaded: dict[Path, rows.Charm],
) -> None:
    match change:
        case bundleplan.Upload(application=app, meta=meta):
            assert app.path is not None
            uploaded[app.path] = installing.upload(tx, meta, archives[app.path])
        case bundleplan.Deploy(application=app, meta=meta):
            assert app.path is not None
            installing.add(
                tx,
                installing.Plan(
                    name=app.name,
                    meta=meta,
                    archive=archives[app.path],
                    scale=change.scale,
                    trust=bool(app.trust),
                    options=change.options,
                    resources=values[app.name],
                    constraints=change.constraints,
                    storage=change.storage,
                ),
                uploaded[app.path],
            )
        case bundleplan.SetOptions(name=name):
            config.put(tx, name, change.options)
            if change.trust is not None:
                applications.set_trust(tx, name, change.trust)
        case bundleplan.SetConstraints(name=name):
            applications.set_constraints(tx, name, change.constraints)
        case bundleplan.Scale(name=name):
            applications.set_scale(tx, name, change.scale)
        case bundleplan.Expose(name=name):
            applications.set_exposed(tx, name, True)
        case bundleplan.Relate():
            relating.relate(tx, change.first, change.second)
