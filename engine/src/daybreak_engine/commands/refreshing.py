"""`juju refresh`, `juju attach-resource`, `juju resources`."""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime

from daybreak_engine import charmfile, errors
from daybreak_engine.charmfile import CharmMeta
from daybreak_engine.model import applications, charms, config, relations, resources, rows
from daybreak_engine.model.store import Transaction

from . import installing, output, settings, views
from .command import Call, Command, format_flag
from .deps import Err, Out, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind


async def refresh(call: Call) -> AsyncIterator[Output]:
    """Give an application another charm."""
    if len(call.args) != 1:
        raise UsageError(
            "application name required" if not call.args else "only one application at a time"
        )
    given = call.parsed.given
    for flag in ("revision", "switch", "channel"):
        if "path" in given and flag in given:
            raise UsageError(f"--path and --{flag} are mutually exclusive")
    name = call.args[0]
    deps = call.model()
    if "path" not in given:
        raise CommandError(
            "refreshing a local charm requires either --path or --switch",
            remedy="for a new image alone: juju attach-resource APPLICATION NAME=IMAGE",
        )
    written = call.parsed.text("path")
    path = call.path(written)
    if not path.exists():
        raise CommandError(f'"{written}": file does not exist')
    installing.check_archive(path, written)
    meta = charmfile.read(path)
    tx = deps.store.read()
    app = applications.find(tx, name)
    if app is None:
        raise errors.NotFoundError(
            f'"{name}" deploy incomplete, please try refresh again in a little bit.',
            remedy=f'there is no application "{name}" in this model',
        )
    _check_fits(tx, app, meta)
    written_resources = installing.named(call.parsed.items("resource"), "resource")
    old = {resource.name: resource for resource in resources.of(tx, name)}
    kept = {n: "" for n in meta.resources if n in old and old[n].type == meta.resources[n].type}
    installing.check_resource_names(meta, {**kept, **written_resources})
    values = {
        n: await installing.resource_value(call.request.cwd, meta, n, value, deps)
        for n, value in written_resources.items()
    }
    wanted = _config(call, name)
    archive = await deps.store_charm(path)
    with deps.store.transaction() as write:
        charm = installing.upload(write, meta, archive)
        applications.set_charm(write, name, charm.id)
        trust = settings.truth(wanted.pop("trust")) if "trust" in wanted else None
        if trust or call.parsed.on("trust"):
            applications.set_trust(write, name, True)
        elif trust is False:
            applications.set_trust(write, name, False)
        config.put(write, name, config.parse(meta, wanted))
        for resource, value in values.items():
            resources.put(write, name, resource, meta.resources[resource].type, value)
    deps.wake()
    spaces = ", ".join(sorted({*meta.endpoints, "juju-info"}))
    yield Err(
        f'Added local charm "{meta.name}", revision {charm.revision}, to the model\n'
        f'no change to endpoints in space "{views.SPACE}": {spaces}\n'
    )
    for reference in await installing.absent_images(deps, values.values()):
        yield Err(installing.image_warning(reference))


def _check_fits(tx: Transaction, app: rows.Application, meta: CharmMeta) -> None:
    """Refuse a charm that the application cannot become.

    Raises:
        CommandError: another charm, or one that lacks what is in use.
    """
    present = charms.get(tx, app.charm_id)
    if present.name != meta.name:
        raise CommandError(f'cannot refresh "{present.name}" to "{meta.name}"')
    for relation in relations.of(tx, app.name):
        side = relation.of(app.name)
        endpoint = meta.endpoints.get(side.endpoint)
        if relation.peer and endpoint is None:
            continue
        if endpoint is None or endpoint.interface != relation.interface:
            raise CommandError(
                f'cannot upgrade application "{app.name}" to charm "local:{meta.name}": '
                f'would break relation "{" ".join(map(str, relation.endpoints))}"',
                remedy="remove the relation first",
            )
    old = charms.meta(tx, app.charm_id)
    for storage in old.storage:
        if storage not in meta.storage:
            raise CommandError(
                f'cannot upgrade application "{app.name}" to charm "local:{meta.name}": '
                f'in-use storage "{storage}" removed'
            )


def _config(call: Call, name: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for item in call.parsed.items("config"):
        key, equals, value = item.partition("=")
        if not equals:
            values |= settings.from_yaml(call.read_file(item), name, item)
        else:
            values[key] = call.read_file(value[1:]) if value.startswith("@") else value
    return values


async def attach_resource(call: Call) -> Iterable[Output]:
    """Replace a resource of an application; its pods are replaced one by one."""
    if len(call.args) != 2:
        raise UsageError("expected an application and <resource name>=<image or file>")
    name = call.args[0]
    ((resource, value),) = installing.named(call.args[1:], "resource").items()
    deps = call.model()
    tx = deps.store.read()
    meta = charms.meta(tx, applications.get(tx, name).charm_id)
    if resource not in meta.resources:
        raise CommandError(
            f'failed to upload resource "{resource}": the charm of "{name}" has none of that name',
            remedy=f"it has: {', '.join(sorted(meta.resources)) or 'no resources'}",
        )
    content = await installing.resource_value(call.request.cwd, meta, resource, value, deps)
    with deps.store.transaction() as write:
        if resources.put(write, name, resource, meta.resources[resource].type, content):
            applications.touch_charm(write, name)
    deps.wake()
    absent = await installing.absent_images(deps, [content])
    return tuple(Err(installing.image_warning(reference)) for reference in absent)


async def list_resources(call: Call) -> Iterable[Output]:
    """List the resources of an application."""
    if len(call.args) != 1:
        raise UsageError("missing application or unit name")
    name = call.args[0].partition("/")[0]
    tx = call.model().store.read()
    meta = charms.meta(tx, applications.get(tx, name).charm_id)
    found = [
        (r, datetime.fromtimestamp(r.created, UTC).strftime("%Y-%m-%dT%H:%M"))
        for r in resources.of(tx, name)
    ]
    if call.parsed.text("format") == "tabular":
        if not found:
            return (Err("No resources to display.\n"),)
        lines = [(r.name, "admin", time) for r, time in found]
        return (Out(output.table([("Resource", "Supplied by", "Revision"), *lines])),)
    return (
        call.formatted(
            {
                "resources": [
                    {
                        "name": r.name,
                        "type": r.type,
                        "description": meta.resources[r.name].description
                        if r.name in meta.resources
                        else "",
                        "origin": "upload",
                        "timestamp": time,
                        "value": r.value.get("registrypath", ""),
                    }
                    for r, time in found
                ]
            }
        ),
    )


COMMANDS = (
    Command(
        "refresh",
        refresh,
        "<application> --path <charm>",
        "Give an application another revision of its charm.",
        """\
Pods are replaced one at a time, the highest number first; a charm that manages the
StatefulSet's partition decides when the next one goes. Options, relations, storage and
resources stay; new images can be given at the same time.

    juju refresh keystone --path ./keystone-k8s.charm
    juju refresh keystone --path ./keystone-k8s.charm --resource keystone-image=localhost/x:2
""",
        flags=(
            Flag("path", Kind.TEXT, "The packed charm"),
            Flag("resource", Kind.LIST, "Resource NAME=IMAGE or NAME=FILE"),
            Flag("config", Kind.LIST, "Option k=v, k=@FILE, or a YAML file"),
            Flag("trust", Kind.BOOL, "Give the application access to the cluster"),
            Flag("storage", Kind.LIST, "Accepted and ignored"),
            Flag("revision", Kind.INT, "For charms from Charmhub only"),
            Flag("channel", Kind.TEXT, "For charms from Charmhub only"),
            Flag("switch", Kind.TEXT, "For charms from Charmhub only"),
            Flag("base", Kind.TEXT, "Accepted and ignored"),
            Flag("bind", Kind.TEXT, "Accepted and ignored"),
            Flag("force", Kind.BOOL, "Accepted and ignored"),
            Flag("force-base", Kind.BOOL, "Accepted and ignored"),
            Flag("force-units", Kind.BOOL, "Accepted and ignored"),
        ),
        aliases=("upgrade-charm",),
    ),
    Command(
        "attach-resource",
        attach_resource,
        "<application> <resource>=<image or file>",
        "Replace a resource of an application.",
        """\
A different image replaces the pods one at a time, as juju refresh does.

    juju attach-resource keystone keystone-image=localhost:32000/daybreak/keystone:2026.1
""",
        aliases=("attach",),
    ),
    Command(
        "resources",
        list_resources,
        "<application>",
        "List the resources of an application.",
        flags=(format_flag("tabular"), Flag("details", Kind.BOOL, "Accepted and ignored")),
        aliases=("list-resources",),
    ),
)
