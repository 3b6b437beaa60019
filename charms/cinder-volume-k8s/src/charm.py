#!/usr/bin/env python3
"""Cinder's volume service, on a node of the Kubernetes: it mounts what keeps the volumes."""

from dataclasses import dataclass, field
from pathlib import Path

import backends
import ops
import volume

from daybreak_charm import (
    Blocked,
    Context,
    Description,
    Gate,
    Need,
    Outcome,
    Ready,
    Step,
    Waiting,
    events,
    ini,
    kube,
    nodes,
    sizing,
)
from daybreak_charm import schema as schemas
from daybreak_charm.description import Schema
from daybreak_charm.effects import DatabaseUnreachableError
from daybreak_charm.nodes import cluster, objects
from daybreak_charm.nodes.charm import NodesCharm
from daybreak_charm.openstack import needs, service
from daybreak_interfaces import NotReady, certificate_transfer, readiness

CONTAINER = "cinder"
"""A container of the unit with the service's image: it says which release that is, and runs nothing."""
DATABASE = "database"
CINDER = "storage-backend"
NODE = "node"
"""Key in the application's peer databag: the node that the service runs on."""
CATALOGUE = Path(__file__).parent / "catalogue"


@dataclass(frozen=True)
class Inputs:
    """Everything that decides what runs.

    Attributes:
        labels: Of the nodes that may have it.
        backend: What keeps the volumes.
        component: The service.
        images: References of images by the name of their resource.
        version: Of the service.
    """

    labels: dict[str, str]
    backend: backends.Backend
    component: nodes.Component = field(repr=False)
    images: dict[str, str]
    version: str


def _cinder(context: Context, relation: ops.Relation) -> bool | NotReady:
    return readiness.read_answer(context.remote_app(relation))


def schema_gate(context: Context) -> Outcome:
    """Whether the database is as new as the image: Cinder's other charm brings it there."""
    layout = context.layout(CONTAINER)
    if layout is None:
        return Ready()  # `read` says so
    schema = Schema("cinder", service.database_address(context.needs[DATABASE]), ())
    try:
        with context.effects.connect(schema.connect) as connection:
            found = schemas.heads(connection, schema.table)
    except DatabaseUnreachableError:
        return Waiting("the database does not answer", "retry")
    if schemas.compare(found, schema, layout) in ("empty", "behind"):
        return Waiting(f"the database is older than {layout.release}: Cinder goes first", "retry")
    return Ready()


def read(context: Context) -> Inputs | Waiting | Blocked:
    """Collect what decides what runs."""
    found = service.read_release(context, CONTAINER, CATALOGUE)
    if isinstance(found, Blocked):
        return found
    layout, known = found
    labels = cluster.labels(str(context.config["node-selector"]))
    if not labels:
        return Blocked("node-selector is not LABEL=VALUE[,LABEL=VALUE]", "correct the option")
    try:
        backend = backends.choose(context.app, context.config)
        overrides = ini.parse_overrides(str(context.config["config-overrides"]))
    except (backends.InvalidError, ini.OverridesError) as error:
        return Blocked(str(error), "correct the option")
    database, messaging = context.needs[DATABASE], context.needs[needs.AMQP]
    authorities = [
        database.tls_ca or "",
        messaging.ca,
        *(pem for answer in needs.answers(context.needs) for pem in answer.certificates),
    ]
    cloud = volume.Cloud(
        database,
        messaging,
        context.needs[needs.CREDENTIALS],
        certificate_transfer.bundle(*authorities),
    )
    debug = bool(context.config["debug"])
    size = sizing.api(context.machine(CONTAINER))
    ours = volume.all_options(context.app, backend, cloud, size, debug=debug)
    known = known.extended({backend.name: "backend_defaults"})
    if fault := known.check(overrides) or known.check(ours):
        return Blocked(fault, "correct the option config-overrides, or refresh the charm")
    conf = ini.render(ini.merge(ours, overrides))
    return Inputs(
        labels=labels,
        backend=backend,
        component=volume.component(conf, backend, cloud, layout.bin),
        images=cluster.images(context, (volume.IMAGE,)),
        version=layout.version,
    )


def run(context: Context, inputs: Inputs) -> Outcome:
    """Have one node run the service, and look how far it is (leader only)."""
    if not context.leader:
        return Ready()
    try:
        candidates = cluster.labelled(context, inputs.labels)
    except kube.KubernetesError as error:
        return cluster.refused(context, error)
    node = volume.place(candidates, context.peer_app.get(NODE, ""), inputs.backend, context.app)
    if not isinstance(node, str):
        return node
    if context.acting:
        context.put_peer_app(**{NODE: node})
    labels = {objects.HOSTNAME: node}
    owner = nodes.Owner(context.app, context.model, labels, volume.SCRIPTS, volume.HOST_PATHS)
    return cluster.run(context, owner, (inputs.component,), inputs.images)


class CinderVolumeCharm(NodesCharm):
    """The charm."""

    components = (volume.NAME,)
    roll = Step(
        "replace",
        "roll",
        "replace the service; volumes of servers go on, requests wait",
        (),
        "minor",
    )

    description = Description(
        containers=(CONTAINER,),
        needs=(
            needs.database("cinder", DATABASE),
            needs.messaging("cinder-volume"),
            needs.account(),
            Need(CINDER, _cinder),
            needs.trusted(),
        ),
        gates=(Gate("schema", schema_gate),),
        read=read,
        render=lambda _: (),
        processes=lambda _: (),
        after=run,
        version=lambda inputs: inputs.version,
    )


if __name__ == "__main__":  # pragma: no cover
    events.main(CinderVolumeCharm)
