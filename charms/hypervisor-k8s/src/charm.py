#!/usr/bin/env python3
"""Hypervisors: the nodes of a Kubernetes that run a cloud's servers."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import agents
import components
import ops

from daybreak_charm import (
    Blocked,
    Context,
    Description,
    Need,
    Outcome,
    Step,
    Tls,
    Waiting,
    catalogue,
    events,
    ini,
    kube,
    nodes,
)
from daybreak_charm.nodes import cluster
from daybreak_charm.nodes.charm import NodesCharm
from daybreak_charm.openstack import needs, service
from daybreak_interfaces import (
    NotReady,
    certificate_transfer,
    nova,
    ovsdb_cms,
)

logger = logging.getLogger(__name__)

CONTAINER = "nova"
"""A container of the unit with the agents' image: it says which release that is, and runs nothing."""
OVN = "ovsdb-cms"
NOVA = "nova-service"
NODES = "nodes"
"""Key in the application's peer databag: names and addresses of the nodes, separated by blanks."""
CATALOGUE = Path(__file__).parent / "catalogue"
IMAGES = ("libvirt-image", "openvswitch-image", "nova-image", "neutron-image")


@dataclass(frozen=True)
class Inputs:
    """Everything that decides what runs on the nodes; what Nova says of itself is the last to come."""

    owner: nodes.Owner
    chosen: agents.Settings
    cloud: agents.Cloud
    told: nova.Answer | None
    tls: agents.Tls
    folder: str
    images: dict[str, str]
    version: str
    overrides: ini.Options = field(repr=False)


# --- relations --------------------------------------------------------------------------------


def _ask_databases(context: Context, relation: ops.Relation) -> None:
    if context.leader:
        # The nodes are in the cluster: they resolve its names and reach its addresses.
        ovsdb_cms.write_request(relation.data[context.charm.app], external=False)


def _databases(
    context: Context, relation: ops.Relation
) -> tuple[ovsdb_cms.Answer, ovsdb_cms.Answer] | NotReady:
    """OVN's databases by the names of their servers, and by their addresses."""
    app, units = context.remote_app(relation), context.remote_units(relation)
    named = ovsdb_cms.read_answer(app, units)
    addressed = ovsdb_cms.read_answer(app, units, names=False)
    if isinstance(named, NotReady):
        return named
    return addressed if isinstance(addressed, NotReady) else (named, addressed)


def _nova(context: Context, relation: ops.Relation) -> nova.Answer | NotReady:
    found = nova.read_answer(context.remote_app(relation), context.secret)
    if isinstance(found, nova.Answer) and not (found.facts.metadata_url and found.metadata_secret):
        return NotReady("Nova's metadata API is not known yet")
    return found


# --- nodes ------------------------------------------------------------------------------------


def selector(context: Context) -> dict[str, str] | None:
    """Labels of the nodes that are chosen; None when the option cannot be read."""
    return cluster.labels(str(context.config["node-selector"]))


def node_names(context: Context) -> tuple[str, ...]:
    """Names and addresses of the nodes, for their certificate; the last ones known while nobody can be asked."""
    known = tuple(context.peer_app.get(NODES, "").split())
    labels = selector(context)
    if not context.leader or not labels:
        return known
    try:
        found = cluster.labelled(context, labels)
    except kube.KubernetesError as error:
        logger.warning("the nodes are not known: %s", error)
        return known
    names = {
        entry["address"]
        for node in found
        for entry in node["status"]["addresses"]
        if entry["type"] in ("InternalIP", "Hostname")
    }
    context.put_peer_app(**{NODES: " ".join(sorted(names))})
    return tuple(sorted(names))


# --- what runs --------------------------------------------------------------------------------


def read(context: Context) -> Inputs | Waiting | Blocked:
    """Collect what decides what runs on the nodes."""
    found = service.read_release(context, CONTAINER, CATALOGUE / "nova")
    if isinstance(found, Blocked):
        return found
    layout, known = found
    labels = selector(context)
    if not labels:
        return Blocked("node-selector is not LABEL=VALUE[,LABEL=VALUE]", "correct the option")
    try:
        chosen = agents.settings(context.config)
        overrides = ini.parse_overrides(str(context.config["config-overrides"]))
    except (agents.InvalidError, ini.OverridesError) as error:
        return Blocked(str(error), "correct the option")
    cloud = agents.Cloud(
        messaging=context.needs[needs.AMQP],
        identity=context.needs[needs.CREDENTIALS],
        databases=context.needs[OVN][0],
        addresses=context.needs[OVN][1],
    )
    told: nova.Answer | None = context.needs[NOVA]
    certificate = context.certificate
    assert certificate is not None  # its gate is open
    fault = known.check(overrides)
    neutron = catalogue.load(CATALOGUE / "neutron", layout.release)
    if told:
        fault = fault or known.check(agents.nova_options(chosen, cloud, told))
        if neutron is not None:
            fault = fault or neutron.check(agents.neutron_options(chosen, cloud, told))
    if fault:
        return Blocked(fault, "correct the option config-overrides, or refresh the charm")
    authorities = [
        certificate.ca,
        cloud.messaging.ca,
        *(pem for answer in needs.answers(context.needs) for pem in answer.certificates),
    ]
    return Inputs(
        owner=nodes.Owner(
            context.app, context.model, labels, components.SCRIPTS, components.HOST_PATHS
        ),
        chosen=chosen,
        cloud=cloud,
        told=told,
        tls=agents.Tls(
            certificate.certificate, certificate.key, certificate_transfer.bundle(*authorities)
        ),
        folder=layout.bin,
        images=cluster.images(context, IMAGES),
        version=layout.version,
        overrides=overrides,
    )


def wanted(inputs: Inputs) -> tuple[nodes.Component, ...]:
    """Return the components that can run, in the order in which they need each other."""
    chosen, cloud, tls, told = inputs.chosen, inputs.cloud, inputs.tls, inputs.told
    early = (
        components.openvswitch(),
        # The certificate's subject is a unit of this application.
        components.libvirt(tls.files, f"{inputs.owner.app}-"),
        agents.ovn_controller(chosen, cloud, tls),
    )
    if told is None:
        return early
    return (
        *early,
        agents.nova_compute(chosen, cloud, told, tls, inputs.folder, inputs.overrides),
        agents.neutron_agent(chosen, cloud, told, tls, inputs.folder),
    )


def run(context: Context, inputs: Inputs) -> Outcome:
    """Have the nodes run it, and look how far they are."""
    return cluster.run(context, inputs.owner, wanted(inputs), inputs.images)


class HypervisorCharm(NodesCharm):
    """The charm."""

    components = ("neutron-ovn-agent", "nova-compute", "ovn-controller", "libvirt", "openvswitch")
    roll = Step(
        "replace",
        "roll",
        "replace the agents, one node after the other; servers and their network go on",
    )

    description = Description(
        containers=(CONTAINER,),
        needs=(
            needs.messaging("nova-compute"),
            needs.account(),
            Need(OVN, _databases, _ask_databases),
            Need(NOVA, _nova, late=True),
            needs.trusted(),
        ),
        tls=Tls(names=node_names),
        read=read,
        render=lambda _: (),
        processes=lambda _: (),
        # The switch and libvirt take their time, and Nova is the last of the control plane.
        early=run,
        after=run,
        version=lambda inputs: inputs.version,
    )


if __name__ == "__main__":  # pragma: no cover
    events.main(HypervisorCharm)
