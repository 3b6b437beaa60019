"""`juju deploy`: one charm. Bundles: `bundledeploy`."""

from collections.abc import AsyncIterator

from daybreak_engine import charmfile
from daybreak_engine.model import constraints

from . import bundledeploy, installing, queries, settings
from .command import Call, Command
from .deps import Err, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind


async def deploy(call: Call) -> AsyncIterator[Output]:
    """Deploy a charm or a bundle."""
    if not call.args:
        raise UsageError("no charm or bundle specified")
    written = call.args[0]
    path = call.path(written)
    if bundledeploy.is_bundle(path):
        async for output in bundledeploy.deploy(call, path):
            yield output
        return
    if not written.startswith((".", "/", "~")) and not path.exists():
        raise CommandError(
            f'"{written}" would come from Charmhub, which this engine does not use',
            remedy="give the path of a packed charm or of a bundle, such as ./keystone-k8s.charm",
        )
    if call.parsed.on("dry-run") or call.parsed.items("overlay"):
        raise UsageError("--dry-run and --overlay are for bundles only")
    for flag in ("channel", "revision"):
        if flag in call.parsed.given:
            raise UsageError(f"--{flag} is for charms from Charmhub, not for a local charm")
    installing.check_archive(path, written)
    meta = charmfile.read(path)
    name = call.args[1] if len(call.args) > 1 else meta.name
    installing.check_name(name)
    deps = call.model()
    given = installing.named(call.parsed.items("resource"), "resource")
    values, trust = _config(call, name)
    wanted = await installing.resource_values(call.request.cwd, meta, given, deps)
    plan = installing.Plan(
        name=name,
        meta=meta,
        archive=await deps.store_charm(path),
        scale=_units(call),
        trust=call.parsed.on("trust") or trust,
        options=installing.checked_options(name, meta, values),
        resources=wanted,
        constraints=constraints.parse(" ".join(call.parsed.items("constraints"))),
        storage=installing.checked_storage(
            name, meta, installing.named(call.parsed.items("storage"), "storage")
        ),
    )
    with deps.store.transaction() as tx:
        charm = installing.add(tx, plan)
    deps.wake()
    base = "@".join(queries.base_of(meta))
    yield Err(
        f'Located local charm "{meta.name}", revision {charm.revision}\n'
        f'Deploying "{name}" from local charm "{meta.name}", revision {charm.revision} '
        f"on {base}/stable\n"
    )
    for reference in await installing.absent_images(deps, plan.resources.values()):
        yield Err(installing.image_warning(reference))


def _units(call: Call) -> int:
    count = call.parsed.number("num-units")
    if count is not None and count < 0:
        raise UsageError("--num-units must be a positive integer")
    return 1 if count is None else count


def _config(call: Call, name: str) -> tuple[dict[str, object], bool]:
    """Return the values of all `--config`, in order, and what they say about trust."""
    values: dict[str, object] = {}
    for item in call.parsed.items("config"):
        key, equals, value = item.partition("=")
        if not equals:
            values |= settings.from_yaml(call.read_file(item), name, item)
        else:
            values[key] = call.read_file(value[1:]) if value.startswith("@") else value
    trust = settings.truth(values.pop("trust")) if "trust" in values else False
    return values, trust


COMMANDS = (
    Command(
        "deploy",
        deploy,
        "<charm or bundle> [<application name>]",
        "Deploy a packed charm, or a bundle of them.",
        """\
The charm is a path to a .charm file (begin it with ./ or /). Every oci-image resource
has to be named; the image must be known to the engine's podman, or pullable.

A bundle is a YAML file; paths in it are relative to the bundle itself. Deploying the
same bundle again adds what is missing and changes options, constraints and scale; it
removes nothing. Applications with "trust: true" need --trust.

    juju deploy ./keystone-k8s.charm keystone --resource keystone-image=localhost/x:1 \\
        --config debug=true --config cert=@cert.pem --storage keys=5M --num-units 3 --trust
    juju deploy ./bundle.yaml --trust --overlay ha.yaml
    juju deploy ./bundle.yaml --dry-run
""",
        flags=(
            Flag("resource", Kind.LIST, "Resource NAME=IMAGE or NAME=FILE"),
            Flag("config", Kind.LIST, "Option k=v, k=@FILE, or a YAML file"),
            Flag("num-units", Kind.INT, "Number of units", short="n"),
            Flag("storage", Kind.LIST, "Storage NAME=SIZE"),
            Flag("trust", Kind.BOOL, "Give the application access to the cluster"),
            Flag("constraints", Kind.LIST, "Limits of its containers: mem=2G cpu-power=500"),
            Flag("overlay", Kind.LIST, "Bundle that is laid over the first"),
            Flag("dry-run", Kind.BOOL, "Show what a bundle would change"),
            Flag("channel", Kind.TEXT, "For charms from Charmhub only"),
            Flag("revision", Kind.INT, "For charms from Charmhub only"),
            Flag("base", Kind.TEXT, "Accepted: the charm container has one base"),
            Flag("series", Kind.TEXT, "Accepted and ignored"),
            Flag("bind", Kind.TEXT, "Accepted: there is one network space"),
            Flag("to", Kind.TEXT, "Accepted: there is one node"),
            Flag("device", Kind.LIST, "Accepted and ignored"),
            Flag("attach-storage", Kind.LIST, "Accepted and ignored"),
            Flag("map-machines", Kind.TEXT, "Accepted and ignored"),
            Flag("force", Kind.BOOL, "Accepted and ignored"),
        ),
    ),
)
