"""A charm whose work is done by pods on nodes."""

import json
from typing import ClassVar

import ops

from daybreak_charm import kube, upgrade
from daybreak_charm.loop import DaybreakCharm
from daybreak_charm.nodes import cluster
from daybreak_charm.outcome import Ready


class NodesCharm(DaybreakCharm):
    """A charm whose components run on nodes; its metadata have the actions `replace-pods` and `upgrade-status`.

    Attributes:
        components: Names of all its components, the first one to go first.
        roll: How another release comes to the nodes.
    """

    components: ClassVar[tuple[str, ...]]
    roll: ClassVar[upgrade.Step]

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

    def _on_upgrade_status(self, event: ops.ActionEvent) -> None:
        """What `migration.report` tells, of a charm without a schema: the nodes run the release of its image.

        No unit of it is missed while it is replaced, and the way back is as open as the way on.
        """
        outcomes = self.ask()
        layout = self.context.layout(self._place(None))
        release = layout.release if layout else ""
        wanted = str(event.params.get("release", "")) or release
        served = release if isinstance(outcomes[-1][1], Ready) else ""
        planned = self.context.planned
        report = {
            "running": release,
            "target": release,
            "phase": "",
            "units": {f"{self.context.app}/{number}": served for number in range(planned)},
            "planned": planned,
            "refused": upgrade.refusal(*sorted((release, wanted))),
            "missed": False,
            "steps": [upgrade.as_report(self.roll)],
        }
        event.set_results({"report": json.dumps(report)})
