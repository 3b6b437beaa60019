"""A charm whose work is done by pods on nodes."""

from typing import ClassVar

import ops

from daybreak_charm import kube
from daybreak_charm.loop import DaybreakCharm
from daybreak_charm.nodes import cluster


class NodesCharm(DaybreakCharm):
    """A charm whose components run on nodes; its metadata have the action `replace-pods`.

    Attributes:
        components: Names of all its components, the first one to go first.
    """

    components: ClassVar[tuple[str, ...]]

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.remove, self._on_remove)
        framework.observe(self.on["replace_pods"].action, self._on_replace_pods)

    def _on_remove(self, _: ops.RemoveEvent) -> None:
        """With the last unit the components go; what they started stays as it is."""
        if not self.context.planned:
            cluster.remove(self.context, self.components)

    def _on_replace_pods(self, event: ops.ActionEvent) -> None:
        component, node = str(event.params["component"]), str(event.params.get("node", ""))
        if component not in self.components:
            names = ", ".join(sorted(self.components))
            event.fail(f"there is no component {component!r}: take one of {names}")
            return
        try:
            replaced = cluster.replace(self.context, component, node)
        except kube.KubernetesError as error:
            refused = cluster.refused(self.context, error)
            event.fail(self.explain([("cluster", refused)]))
            return
        if not replaced:
            event.fail(f"{component} has no pod" + (f" on node {node!r}" if node else ""))
            return
        event.set_results({"pods": "\n".join(replaced)})
