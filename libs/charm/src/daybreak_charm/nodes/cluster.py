"""What is asked of the Kubernetes API so that its nodes run components."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import yaml

from daybreak_charm import kube
from daybreak_charm.nodes import objects
from daybreak_charm.outcome import Blocked, Outcome, Ready, Waiting

if TYPE_CHECKING:
    from daybreak_charm.context import Context

logger = logging.getLogger(__name__)

PATHS = {
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps/{name}",
    "Secret": "/api/v1/namespaces/{namespace}/secrets/{name}",
    "DaemonSet": "/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}",
}


def labels(text: str) -> dict[str, str] | None:
    """Read LABEL=VALUE[,LABEL=VALUE]; None when it is something else."""
    pairs = [word.partition("=") for word in text.split(",")]
    if not all(key.strip() and equals for key, equals, _ in pairs):
        return None
    return {key.strip(): value.strip() for key, _, value in pairs}


def labelled(context: "Context", wanted: Mapping[str, str]) -> list[objects.Object]:
    """Return the nodes that have all these labels.

    Raises:
        KubernetesError: The API refused or did not answer.
    """
    query = quote(",".join(f"{key}={value}" for key, value in sorted(wanted.items())), safe=",/")
    return context.effects.kubernetes("GET", f"/api/v1/nodes?labelSelector={query}")["items"]


def images(context: "Context", names: Sequence[str]) -> dict[str, str]:
    """References of images, by the name of their resource.

    Juju gives all of them in one file, one after the other, and ops remembers the file's name alone: so each is read
    at once, and only once in a dispatch.
    """
    if "images" not in context.memo:
        found: dict[str, str] = {}
        for name in names:
            path = context.charm.model.resources.fetch(name)
            found[name] = str(yaml.safe_load(path.read_text(encoding="utf-8"))["registrypath"])
        context.memo["images"] = found
    return cast("dict[str, str]", context.memo["images"])


def run(
    context: "Context",
    owner: objects.Owner,
    components: Sequence[objects.Component],
    references: Mapping[str, str],
) -> Outcome:
    """Whether the nodes run components as they are described; the leader has them do it when the loop runs.

    Args:
        context: This dispatch.
        owner: Whose they are.
        components: In the order in which they need each other.
        references: Of their images, by the name of the resource.
    """
    if not context.leader:
        return Ready()
    try:
        _apply(context, objects.programs(owner))
        late: list[str] = []
        owed: list[str] = []
        for component in components:
            _apply(context, objects.secret(owner, component))
            item = objects.daemonset(owner, component, references[component.image])
            present = _apply(context, item)
            if why := objects.lacking(present):
                late.append(f"{component.name}: {why}")
            elif why := objects.outdated(present):
                replace = f"juju run {context.app}/leader replace-pods component={component.name}"
                owed.append(f"{component.name}: {why}: {replace}")
    except kube.KubernetesError as error:
        return refused(context, error)
    return Waiting("; ".join(late), "retry") if late else Ready("; ".join(owed))


def replace(context: "Context", component: str, node: str) -> list[str]:
    """Delete the pods of a component; the cluster makes new ones by the description that is there now.

    Args:
        context: This dispatch.
        component: Its name.
        node: The node whose pod is meant, empty for those of all nodes.

    Returns:
        Names of the pods and their nodes.

    Raises:
        KubernetesError: The API refused or did not answer.
    """
    pods = f"/api/v1/namespaces/{context.model}/pods"
    query = quote(f"{objects.NAME}={context.app}-{component}", safe="=/")
    replaced: list[str] = []
    for pod in context.effects.kubernetes("GET", f"{pods}?labelSelector={query}")["items"]:
        name, place = pod["metadata"]["name"], pod["spec"].get("nodeName", "")
        if node in ("", place):
            context.effects.kubernetes("DELETE", f"{pods}/{name}")
            replaced.append(f"{name} on {place}")
    return replaced


def refused(context: "Context", error: kube.KubernetesError) -> Waiting | Blocked:
    """What it means that the API has not done as asked."""
    if error.status in (401, 403):
        remedy = f"juju trust {context.app} --scope=cluster"
        return Blocked("it may not use the Kubernetes API", remedy)
    return Waiting(f"the Kubernetes API says {error}", "retry")


def remove(context: "Context", names: Sequence[str]) -> None:
    """Take components and programs of the application out of the cluster, as far as it lets itself be asked.

    Args:
        context: This dispatch.
        names: Of the components, the first one to go first.
    """
    for kind in ("DaemonSet", "Secret", "ConfigMap"):
        for name in (*names, "programs"):
            path = PATHS[kind].format(namespace=context.model, name=f"{context.app}-{name}")
            try:
                context.effects.kubernetes("DELETE", path)
            except kube.KubernetesError as error:
                if error.status != 404:
                    logger.warning("%s %s stays: %s", kind, name, error)


def _apply(context: "Context", item: objects.Object) -> dict[str, Any]:
    """Make an object as it is wanted, if it is not and the loop runs; return it as it is now."""
    path = PATHS[item["kind"]].format(**item["metadata"])
    try:
        present = context.effects.kubernetes("GET", path)
    except kube.KubernetesError as error:
        if error.status != 404:
            raise
        present = {}
    if objects.is_applied(present, item) or not context.acting:
        return present
    logger.info("applying %s %s", item["kind"], item["metadata"]["name"])
    query = f"?fieldManager={context.app}&force=true"
    return context.effects.kubernetes("PATCH", path + query, item, kube.APPLY)
