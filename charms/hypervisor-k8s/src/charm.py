#!/usr/bin/env python3
"""Hypervisors: the nodes of a Kubernetes that run a cloud's servers."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import agents
import components
import objects
import ops
import yaml

from daybreak_charm import (
    Blocked,
    Context,
    DaybreakCharm,
    Description,
    Need,
    Tls,
    Waiting,
    catalogue,
    ini,
    kube,
)
from daybreak_charm.openstack import needs, service
from daybreak_interfaces import (
    NotReady,
    certificate_transfer,
    keystone,
    keystone_credentials,
    nova,
    ovsdb_cms,
)

logger = logging.getLogger(__name__)

CONTAINER = "nova"
"""A container of the unit with the agents' image: it says which release that is, and runs nothing."""
CREDENTIALS = "identity-credentials"
OVN = "ovsdb-cms"
NOVA = "nova-service"
NODES = "nodes"
"""Key in the application's peer databag: names and addresses of the nodes, separated by blanks."""
CATALOGUE = Path(__file__).parent / "catalogue"
PATHS = {
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps/{name}",
    "Secret": "/api/v1/namespaces/{namespace}/secrets/{name}",
    "DaemonSet": "/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}",
}
IMAGES = ("libvirt-image", "openvswitch-image", "nova-image", "neutron-image")


@dataclass(frozen=True)
class Inputs:
    """Everything that decides what runs on the nodes."""

    owner: objects.Owner
    chosen: agents.Settings
    cloud: agents.Cloud
    tls: agents.Tls
    folder: str
    images: dict[str, str]
    version: str
    overrides: ini.Options = field(repr=False)


# --- relations --------------------------------------------------------------------------------


def _ask_credentials(context: Context, relation: ops.Relation) -> None:
    if context.leader:
        request = keystone_credentials.Request(context.app)
        keystone_credentials.write_request(relation.data[context.charm.app], request)


def _credentials(context: Context, relation: ops.Relation) -> keystone.Answer | NotReady:
    found = keystone_credentials.read_answer(context.remote_app(relation), context.secret)
    if isinstance(found, NotReady):
        return found
    return keystone.Answer(
        found.internal_url,
        found.public_url,
        found.username,
        found.password,
        user_domain=found.user_domain,
        project=found.project,
        project_domain=found.project_domain,
        region=found.region,
    )


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
    pairs = [word.partition("=") for word in str(context.config["node-selector"]).split(",")]
    if not all(key.strip() and equals for key, equals, _ in pairs):
        return None
    return {key.strip(): value.strip() for key, _, value in pairs}


def node_names(context: Context) -> tuple[str, ...]:
    """Names and addresses of the nodes, for their certificate; the last ones known while nobody can be asked."""
    known = tuple(context.peer_app.get(NODES, "").split())
    labels = selector(context)
    if not context.leader or not labels:
        return known
    query = ",".join(f"{key}%3D{value}" for key, value in sorted(labels.items()))
    try:
        found = context.effects.kubernetes("GET", f"/api/v1/nodes?labelSelector={query}")
    except kube.KubernetesError as error:
        logger.warning("the nodes are not known: %s", error)
        return known
    names = {
        entry["address"]
        for node in found["items"]
        for entry in node["status"]["addresses"]
        if entry["type"] in ("InternalIP", "Hostname")
    }
    context.put_peer_app(**{NODES: " ".join(sorted(names))})
    return tuple(sorted(names))


def images(context: Context) -> dict[str, str]:
    """References of the images, by the name of their resource.

    Juju gives all of them in one file, one after the other, and ops remembers the file's name alone: so each is read
    at once, and only once in a dispatch.
    """
    found = context.memo.get("images")
    if not isinstance(found, dict):
        found = {}
        for name in IMAGES:
            path = context.charm.model.resources.fetch(name)
            found[name] = str(yaml.safe_load(path.read_text(encoding="utf-8"))["registrypath"])
        context.memo["images"] = found
    return dict(found)


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
        identity=context.needs[CREDENTIALS],
        databases=context.needs[OVN][0],
        addresses=context.needs[OVN][1],
        nova=context.needs[NOVA],
    )
    certificate = context.certificate
    assert certificate is not None  # its gate is open
    fault = known.check(overrides) or known.check(agents.nova_options(chosen, cloud))
    neutron = catalogue.load(CATALOGUE / "neutron", layout.release)
    if neutron is not None:
        fault = fault or neutron.check(agents.neutron_options(chosen, cloud))
    if fault:
        return Blocked(fault, "correct the option config-overrides, or refresh the charm")
    authorities = [
        certificate.ca,
        cloud.messaging.ca,
        *(pem for answer in needs.answers(context.needs) for pem in answer.certificates),
    ]
    return Inputs(
        owner=objects.Owner(context.app, context.model, labels),
        chosen=chosen,
        cloud=cloud,
        tls=agents.Tls(
            certificate.certificate, certificate.key, certificate_transfer.bundle(*authorities)
        ),
        folder=layout.bin,
        images=images(context),
        version=layout.version,
        overrides=overrides,
    )


def wanted(inputs: Inputs) -> tuple[objects.Component, ...]:
    """Return the components, in the order in which they need each other."""
    chosen, cloud, tls = inputs.chosen, inputs.cloud, inputs.tls
    return (
        components.openvswitch(),
        # The certificate's subject is a unit of this application.
        components.libvirt(tls.files, f"{inputs.owner.app}-"),
        agents.ovn_controller(chosen, cloud, tls),
        agents.nova_compute(chosen, cloud, tls, inputs.folder, inputs.overrides),
        agents.neutron_agent(chosen, cloud, tls, inputs.folder),
    )


def publish(context: Context, inputs: Inputs) -> Waiting | Blocked | None:
    """Have the nodes run it; the leader does that, and looks how far they are."""
    if not context.leader:
        return None
    try:
        _apply(context, objects.programs(inputs.owner))
        late: list[str] = []
        for component in wanted(inputs):
            _apply(context, objects.secret(inputs.owner, component))
            item = objects.daemonset(inputs.owner, component, inputs.images[component.image])
            if why := objects.lacking(_apply(context, item)):
                late.append(f"{component.name}: {why}")
    except kube.KubernetesError as error:
        if error.status in (401, 403):
            return Blocked(
                "it may not use the Kubernetes API", f"juju trust {context.app} --scope=cluster"
            )
        return Waiting(f"the Kubernetes API says {error}", "retry")
    return Waiting("; ".join(late), "retry") if late else None


def _path(item: objects.Object) -> str:
    return PATHS[item["kind"]].format(**item["metadata"])


def _apply(context: Context, item: objects.Object) -> objects.Object:
    """Make an object as it is wanted, if it is not; return it as it is now."""
    path = _path(item)
    try:
        present = context.effects.kubernetes("GET", path)
    except kube.KubernetesError as error:
        if error.status != 404:
            raise
        present = {}
    if objects.is_applied(present, item):
        return present
    logger.info("applying %s %s", item["kind"], item["metadata"]["name"])
    query = f"?fieldManager={context.app}&force=true"
    return context.effects.kubernetes("PATCH", path + query, item, kube.APPLY)


class HypervisorCharm(DaybreakCharm):
    """The charm."""

    description = Description(
        containers=(CONTAINER,),
        needs=(
            needs.messaging("nova-compute"),
            Need(CREDENTIALS, _credentials, _ask_credentials),
            Need(OVN, _databases, _ask_databases),
            Need(NOVA, _nova),
            needs.trusted(),
        ),
        tls=Tls(names=node_names),
        read=read,
        render=lambda _: (),
        processes=lambda _: (),
        publish=publish,
        version=lambda inputs: inputs.version,
    )

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.remove, self._on_remove)

    def _on_remove(self, _: ops.RemoveEvent) -> None:
        """With the last unit the agents go; servers and their network stay as they are."""
        if self.context.planned:
            return
        for kind in ("DaemonSet", "Secret", "ConfigMap"):
            for name in (*NAMES, "programs"):
                self._delete(kind, f"{self.context.app}-{name}")

    def _delete(self, kind: str, name: str) -> None:
        path = PATHS[kind].format(namespace=self.context.model, name=name)
        try:
            self.effects.kubernetes("DELETE", path)
        except kube.KubernetesError as error:
            if error.status != 404:
                logger.warning("%s %s stays: %s", kind, name, error)


NAMES = ("neutron-ovn-agent", "nova-compute", "ovn-controller", "libvirt", "openvswitch")
"""Names of the components, the last one first."""


if __name__ == "__main__":  # pragma: no cover
    ops.main(HypervisorCharm)
