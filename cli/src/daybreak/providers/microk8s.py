"""A MicroK8s of this machine with a Juju controller in it, both made here where they are missing."""

from __future__ import annotations

import grp
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import images, nodes, programs
from ..errors import DaybreakError
from ..preflight import GIB, Finding, Level
from . import checks
from .cluster import Cluster
from .steps import Call, Change
from .undoing import Undo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..bootstrap import Run, Step
    from ..output import Reporter

CHANNEL = "1.34-strict/stable"
"""Juju's snap works with a strictly confined MicroK8s only."""
JUJU_CHANNEL = "3.6/stable"
GROUP = "snap_microk8s"
"""Whose members may use a strict MicroK8s."""
CLOUD = "microk8s"
"""The name under which Juju finds a MicroK8s of the same machine by itself."""
ADDONS = ("dns", "rbac", "hostpath-storage", "metallb")
"""In this order: Juju asks for the first and the third, charms' trust means something with the second."""
PROCESSORS = 4
BASE_MEMORY = 4 * GIB
"""Kubernetes, the controller and its database."""
DISK = 20 * GIB
SHARED = Path("/var/snap/microk8s/common/daybreak-images.tar")
"""A place that the confined `microk8s` can read."""


@dataclass
class MicroK8s(Cluster):
    """MicroK8s and Juju from the snap store."""

    metallb: str = ""

    name = "microk8s"
    # Its strict confinement gives no container what hypervisors need (checks.shared_mounts).
    bundle = "identity"
    group = GROUP
    kubectl = nodes.KUBECTL

    def __post_init__(self):
        self.metallb = self.options.metallb

    @property
    def kept(self) -> Path:
        """The record is root's: it says which snaps go."""
        return self.instance.kept

    def usual_controller(self) -> str:
        """Return the instance's name."""
        return self.instance.name

    @property
    def channel(self) -> str:
        """MicroK8s' channel."""
        return self.options.microk8s_channel or CHANNEL

    @property
    def juju_channel(self) -> str:
        """Juju's channel."""
        return self.options.juju_channel or JUJU_CHANNEL

    # --- findings

    def findings(self, run: Run) -> Iterator[Finding]:
        """Yield what MicroK8s, Juju and the bundle need of the machine."""
        yield checks.root("daybreak bootstrap --provider microk8s")
        yield checks.processors(PROCESSORS)
        yield checks.memory(BASE_MEMORY + run.memory)
        yield checks.disk(Path("/var/snap"), DISK)
        yield checks.confinement()
        yield checks.modules({app.name: app.modules for app in run.bundle.applications})
        yield checks.devices({app.name: app.devices for app in run.bundle.applications})
        yield checks.shared_mounts(app.name for app in run.bundle.applications if app.shares_mounts)
        snapd = checks.snapd()
        yield snapd
        if snapd.level is Level.OK:
            yield from self._snaps(run)
        yield images.finding(run.home, run.bundle, self.options.images, self.options.overlay)

    def _snaps(self, run: Run) -> Iterator[Finding]:
        there = checks.snaps()
        yield checks.microk8s(there.get("microk8s"))
        if "microk8s" not in there:
            yield checks.ports()
            yield checks.store("microk8s", self.channel)
        if "juju" not in there:
            yield checks.store("juju", self.juju_channel)
        yield from self.juju_findings()
        needed = not ("microk8s" in there and self._addon("metallb"))
        if needed and not self.metallb and not run.dry_run and sys.stdin.isatty():
            self.metallb = input(
                "Addresses of this network for the cloud's public APIs, used by nothing else\n"
                "(such as 192.168.1.240-192.168.1.250): "
            ).strip()
        yield checks.addresses(self.metallb, needed=needed, dry_run=run.dry_run)

    def _addon(self, name: str) -> str | None:
        output = programs.capture(["microk8s", "status", "-a", name], timeout=checks.SECONDS)
        return "enabled" if output.ok and output.stdout.strip() == "enabled" else None

    # --- steps

    def steps(self, run: Run) -> Iterator[tuple[str, Step]]:
        """Yield MicroK8s, its add-ons, Juju, the controller, then the model and the files."""
        changes = [
            self._snap("MicroK8s", "microk8s", self.channel, run.timeout),
            self._ready(run.timeout),
            *(self._enabled(name, run.timeout) for name in ADDONS),
            *self._member(),
            self._snap("Juju", "juju", self.juju_channel, run.timeout),
            self._directory(),
        ]
        for change in changes:
            yield change.title, self._step(change)
        yield "Import images", self._import
        # only now: where juju is, is known when it is installed
        yield "Make the controller", lambda run: self.took(run, self._made_controller(run.timeout))
        yield "Make the model", self.model_step
        yield "Stage the bundle", self.stage_step

    def _step(self, change: Change) -> Step:
        return lambda run: self.took(run, change)

    def _snap(self, title: str, name: str, channel: str, limit: float) -> Change:
        def look() -> str | None:
            there = checks.snaps().get(name)
            return f"{there['version']} from {there['tracking']}" if there else None

        return Change(
            f"Install {title}",
            look,
            (Call(("snap", "install", name, f"--channel={channel}")),),
            f"See `snap changes` and the network, then run the command again. Another channel:"
            f" --{name}-channel",
            makes=f"snap:{name}",
            limit=limit,
        )

    def _ready(self, limit: float) -> Change:
        def look() -> str | None:
            output = programs.capture(["microk8s", "status"], timeout=checks.SECONDS)
            running = output.ok and "microk8s is running" in output.stdout
            return "its API answers" if running else None

        return Change(
            "Wait for MicroK8s",
            look,
            (Call(("microk8s", "status", "--wait-ready", "--timeout", f"{limit:.0f}")),),
            "`microk8s inspect` says what is wrong; a machine that is short of memory or disk is slow."
            " Then run the command again, with a longer --timeout.",
            limit=limit,
        )

    def _enabled(self, name: str, limit: float) -> Change:
        argument = f"metallb:{self.metallb or '<--metallb>'}" if name == "metallb" else name
        return Change(
            f"Add-on {name.partition('-')[0]}",
            lambda: self._addon(name),
            (
                Call(("microk8s", "enable", argument)),
                Call(("microk8s", "status", "--wait-ready", "--timeout", f"{limit:.0f}")),
            ),
            f"`microk8s kubectl get pods -A` shows what does not start. Then run the command again;"
            f" by hand: microk8s enable {argument}",
            makes=f"addon:{name}",
            limit=limit,
        )

    def _member(self) -> Iterator[Change]:
        if self.user.uid == 0:
            return

        def look() -> str | None:
            try:
                return GROUP if self.user.name in grp.getgrnam(GROUP).gr_mem else None
            except KeyError:
                return None

        yield Change(
            f"Let {self.user.name} use it",
            look,
            (Call(("usermod", "--append", "--groups", GROUP, self.user.name)),),
            f"By hand, as root: usermod --append --groups {GROUP} {self.user.name}",
            makes="group",
        )

    def _directory(self) -> Change:
        # The confined juju may not make it.
        path = self.user.home / ".local/share/juju"
        return Change(
            "Juju's directory",
            lambda: str(path) if path.is_dir() else None,
            (Call(("mkdir", "-p", str(path)), self.user),),
            f"Make it by hand, as {self.user.name}: mkdir -p {path}",
        )

    def _import(self, run: Run) -> tuple[str, str]:
        if self.options.overlay is not None:
            return "there", f"pulled as {self.options.overlay} says"
        names = run.bundle.own_images
        call = Call(("microk8s", "images", "import", str(SHARED)))
        layout = self.options.images
        if run.dry_run and layout is None:
            return "would", f"{call}, with {', '.join(names)}"
        found = images.layout_of(run.home, self.instance.cache, names, layout, run.report.line)
        wanted = {name: found.digests()[name] for name in names}
        there = self._stored()
        missing = [name for name, digest in wanted.items() if (there or {}).get(name) != digest]
        everywhere = nodes.images_everywhere() if there is not None and not missing else None
        if everywhere is not None:
            # a machine that has joined since has none of them
            missing = [name for name in wanted if name not in everywhere]
        detail = f"{len(wanted)} images"
        if not missing:
            return "there", detail
        if run.dry_run:
            return "would", f"{call}, with {', '.join(missing)}"
        self.made("images")
        try:
            images.tar(found, missing, SHARED)
            programs.follow(
                call.argv,
                run.report.line,
                what="import the images",
                remedy="See that /var/snap has space, then run the command again.",
                timeout=run.timeout,
            )
        except OSError as error:
            raise DaybreakError(
                f"cannot write {SHARED}: {error.strerror}",
                remedy="Free some space below /var/snap, then run the command again.",
            ) from error
        finally:
            SHARED.unlink(missing_ok=True)
        return "done", f"{len(missing)} of {detail}"

    def bring_images(self, images: tuple[str, ...], report: Reporter) -> tuple[str, str]:
        """See that MicroK8s' own store has those that no registry is asked for.

        Raises:
            DaybreakError: One is not there.
        """
        if self.overlay.exists():
            return super().bring_images(images, report)
        there = self._stored()
        missing = [image for image in images if there is not None and image not in there]
        if missing:
            raise DaybreakError(
                f"not in MicroK8s' store: {', '.join(missing)}",
                remedy="Nothing was changed. Bootstrap imports the images of its bundle, and leaves the cloud as"
                " it is: sudo daybreak bootstrap --from ARCHIVE, with one that has this release"
                " (daybreak images export)",
            )
        return "there", ", ".join(image.rpartition("/")[2] for image in images)

    def _stored(self) -> dict[str, str] | None:
        """Return digests of the images in MicroK8s' store, by name; None when it does not tell."""
        listed = programs.capture(["microk8s", "ctr", "images", "ls"], timeout=checks.SECONDS)
        if not listed.ok:
            return None
        return dict(line.split()[0:3:2] for line in listed.stdout.splitlines()[1:] if line)

    def _made_controller(self, limit: float) -> Change:
        def look() -> str | None:
            if self.binary is None:
                return None
            known = checks.ask(self.call("show-controller", self.controller, "--format", "json"))
            return self.controller if known.ok else None

        wait = ("--config", f"bootstrap-timeout={limit:.0f}")
        return Change(
            "Make the controller",
            look,
            (self.call("bootstrap", CLOUD, self.controller, *wait),),
            "`microk8s kubectl get pods -A` shows what does not start (often an image that could not be"
            f" pulled). If half of it stays: juju kill-controller {self.controller}; then run the"
            " command again.",
            makes="controller",
            limit=limit,
        )

    # --- destroy

    def undo(self, what: str) -> Undo:
        """Return how a recorded thing is undone."""
        made = self.record()
        whole = made is not None and "snap:microk8s" in made.made
        kind, _, name = what.partition(":")
        if kind == "controller":
            words = ("--no-prompt", "--destroy-all-models", "--destroy-storage", "--force")
            return Undo(
                f"controller {self.controller} with all its models and their data",
                (self.call("destroy-controller", self.controller, *words),),
            )
        if kind == "snap":
            return Undo(
                f"the snap {name} and its data", (Call(("snap", "remove", "--purge", name)),)
            )
        if kind == "group":
            words = ("gpasswd", "--delete", self.user.name, GROUP)
            return Undo(f"{self.user.name} from the group {GROUP}", (Call(words),))
        if kind == "addon":
            # they go with the snap
            calls = () if whole else (Call(("microk8s", "disable", name)),)
            return Undo(f"MicroK8s' add-on {name}", calls)
        if kind == "images":
            names = images.of_bundle(self.place / "bundle.yaml")
            words = ("microk8s", "ctr", "images", "rm", *names)
            return Undo("the imported images", () if whole or not names else (Call(words),))
        return super().undo(what)

    def foreign(self) -> dict[str, str]:
        """Return what stays because bootstrap found it."""
        return {
            **super().foreign(),
            "controller": f"controller {self.controller}",
            "snap:juju": "the snap juju",
            "snap:microk8s": "the snap microk8s",
        }
