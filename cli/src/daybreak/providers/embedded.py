"""Daybreak's own engine: images built, charms packed and the engine started on this machine."""

from __future__ import annotations

from concurrent import futures
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jubilant

from .. import bundles, cloud, logs, preflight, tools
from ..places import MODEL
from ..preflight import Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ..bootstrap import Run, Step
    from ..output import Reporter
    from ..places import Home, Instance
    from ..preflight import Finding

BASE_MEMORY = 512 << 20
"""Bytes for the engine and this program."""
HYPERVISOR = "hypervisor-k8s"
UNIT_MEMORY = 192 << 20
"""Bytes for one unit: its hooks, its Pebbles and a small service."""


@dataclass
class Embedded:
    """The engine, for one bootstrap: what was started ahead, and what it found."""

    instance: Instance
    home: Home
    to_build: tuple[str, ...] = ()
    ahead: dict[str, futures.Future[Any]] = field(default_factory=dict[str, futures.Future[Any]])
    there: bool = False

    name = "embedded"
    bundle = bundles.DEFAULT

    def juju(self) -> jubilant.Juju:
        """Return the engine's `juju`, for the cloud's model."""
        return jubilant.Juju(model=MODEL, cli_binary=self.home.program("juju"))

    def reachable(self) -> bool:
        """Whether the engine runs."""
        return (self.instance.run / "engine.sock").exists()

    def add_model(self, run: Run) -> None:
        """Make the model."""
        run.juju.cli("add-model", MODEL, include_model=False)

    def deployed(self, run: Run) -> tuple[Path, tuple[Path, ...]]:
        """Return the bundle and its overlays as they lie in the checkout."""
        return run.bundle.path, run.sizes

    def findings(self, run: Run) -> Iterator[Finding]:
        """Yield what running and, where images are missing, building them needs of the machine."""
        good = True
        memory = BASE_MEMORY + UNIT_MEMORY * run.units
        tunnels = [preflight.tunnels()] if HYPERVISOR in _charms(run) else []
        for finding in (*preflight.machine(self.instance, self.home, memory), *tunnels):
            good = good and finding.level is not Level.ERROR
            yield finding
        if good:
            self.to_build = tools.missing_images(self.home, _images(run))
            if self.to_build:
                yield from preflight.building(self.instance, len(self.to_build))

    def steps(self, run: Run) -> Iterator[tuple[str, Step]]:
        """Yield images, charms and engine."""
        # Waiting for programs, not computing: on two cores the next ones fit beside the first.
        if not run.dry_run:
            self._go_ahead(run)
        yield "Build images", self._build
        yield "Pack charms", self._pack
        yield "Start engine", self._start

    def close(self) -> None:
        """Wait for what was started ahead: a step that failed leaves no program running."""
        futures.wait(self.ahead.values())

    def _go_ahead(self, run: Run) -> None:
        """Start what does not depend on images; the steps take the result when it is their turn."""
        pool = futures.ThreadPoolExecutor(max_workers=2)
        charms = run.bundle.own_charms(self.home.path)
        if charms:
            self.ahead["charms"] = pool.submit(
                tools.pack_charms, self.home, charms, run.report.line
            )
        if not self.to_build:  # a failed build would leave an engine without a cloud
            self.there = self.reachable()
            self.ahead["engine"] = pool.submit(tools.start_engine, self.instance, self.home)
        pool.shutdown(wait=False)

    def _build(self, run: Run) -> tuple[str, str]:
        images = _images(run)
        if run.dry_run:
            names = ", ".join(image.rpartition("/")[2] for image in self.to_build)
            return ("would", names) if names else ("there", f"{len(images)} images")
        # The builder also sees images whose sources have changed since.
        built = tools.build_images(self.home, images, run.report.line)
        return ("done", f"{built} built") if built else ("there", f"{len(images)} images")

    def _pack(self, run: Run) -> tuple[str, str]:
        charms = run.bundle.own_charms(self.home.path)
        if not charms:
            return "there", "the bundle names no charm of this checkout"
        if run.dry_run:
            return "would", ", ".join(charms)
        packed = self.ahead["charms"].result()
        if packed:
            return "done", f"{packed} packed"
        return "there", f"{len(charms)} charms in dist/"

    def _start(self, run: Run) -> tuple[str, str]:
        there = self.reachable()
        if run.dry_run:
            return ("there" if there else "would"), f"instance {self.instance.name}"
        if "engine" in self.ahead:
            self.ahead["engine"].result()
            there = self.there
        else:
            tools.start_engine(self.instance, self.home)
        return ("there" if there else "done"), f"instance {self.instance.name}"

    def archive(self, charm: str) -> Path:
        """Return where the packer puts it."""
        return self.home.path / "dist" / f"{charm}.charm"

    def pack(self, charm: str, report: Reporter) -> None:
        """Pack the charm where its sources are."""
        if self.home.sources:
            tools.pack_charms(self.home, (charm,), report.line)

    def release_images(self, application: str, images: Mapping[str, str]) -> Mapping[str, str]:
        """Return them as they are: they are built under the names that charms give them."""
        del application
        return images

    def bring_images(self, images: tuple[str, ...], report: Reporter) -> tuple[str, str]:
        """Build those of ours that are missing."""
        wanted = tuple(image for image in images if image.startswith(bundles.IMAGE_PREFIX))
        if wanted and tools.missing_images(self.home, wanted):
            return "done", f"{tools.build_images(self.home, wanted, report.line)} built"
        return "there", ", ".join(image.rpartition("/")[2] for image in images)

    def logs(self) -> tuple[logs.Source, ...]:
        """Return the files that the engine keeps; it need not run."""
        return logs.files(self.instance.state / "logs")

    def removal(self, *, purge: bool) -> cloud.Removal:
        """Return what :meth:`destroy` would do."""
        return cloud.removal(self.instance, purge=purge)

    def destroy(self, report: Reporter, *, purge: bool) -> tuple[str, ...]:
        """Remove the instance."""
        return cloud.destroy(self.instance, self.home, report, purge=purge)


def _charms(run: Run) -> set[str]:
    return {app.charm_name for app in run.bundle.applications}


def _images(run: Run) -> tuple[str, ...]:
    return (tools.CHARM_BASE, *run.bundle.own_images)
