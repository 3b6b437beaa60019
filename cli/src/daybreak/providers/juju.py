"""Any Kubernetes that a Juju controller of the operator's runs on, or knows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import users
from ..bundles import IMAGE_PREFIX
from ..preflight import GIB, Finding, Level
from . import checks
from .cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..bootstrap import Run, Step


@dataclass
class ExistingJuju(Cluster):
    """A controller that is there, and stays."""

    name = "juju"

    def usual_controller(self) -> str:
        """Return the client's current controller."""
        if self.binary is None:
            return ""
        output = checks.ask(self.call("controllers", "--format", "json"))
        return str(json.loads(output.stdout or "{}").get("current-controller") or "")

    def findings(self, run: Run) -> Iterator[Finding]:
        """Yield what deploying to a cluster needs; nothing of it needs root."""
        users.become(self.user)
        if self.binary is None:
            yield Finding(
                "Juju",
                Level.ERROR,
                "there is no juju command",
                "snap install juju --channel=3.6/stable; or name one: --juju PATH; or let Daybreak make"
                " a Kubernetes and a controller: --provider microk8s",
            )
            return
        yield from self.juju_findings()
        if not self.controller:
            yield Finding(
                "controller",
                Level.ERROR,
                "juju knows no controller",
                "Make one on the cluster (juju add-k8s NAME; juju bootstrap NAME), or log in to one"
                " (juju login), and name it: --controller NAME",
            )
        yield checks.nodes(run.bundle.applications)
        yield checks.disk(self.place, GIB)
        yield self._images(run)

    def unknown_controller(self, known: tuple[str, ...]) -> Iterator[Finding]:
        """Yield that it is not there."""
        yield Finding(
            "controller",
            Level.ERROR,
            f"juju does not know {self.controller}",
            f"It knows {', '.join(known)}; name one: --controller NAME. Or log in to it: juju login"
            if known
            else "Log in to it (juju login), or make one on the cluster: juju add-k8s NAME; juju bootstrap NAME",
        )

    def _images(self, run: Run) -> Finding:
        local = [image for image in run.bundle.images if image.startswith(IMAGE_PREFIX)]
        if not local or self.options.overlay or self.overlay.exists():
            return Finding("images", Level.OK, "pulled from where the bundle or its overlay says")
        return Finding(
            "images",
            Level.ERROR,
            f"{len(local)} images of the bundle are on no registry that the cluster knows",
            "Put them on one: daybreak images push REGISTRY --overlay images.yaml (with --from ARCHIVE"
            " where nothing can be built); then add --overlay images.yaml here",
        )

    def steps(self, run: Run) -> Iterator[tuple[str, Step]]:
        """Yield the model and the files."""
        del run
        yield "Make the model", self.model_step
        yield "Stage the bundle", self.stage_step
