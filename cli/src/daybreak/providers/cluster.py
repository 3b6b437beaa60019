"""What MicroK8s and any other Kubernetes have in common: a real Juju, and files that it can read."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jubilant
import yaml

from .. import bundles, cloud, logs, programs, records, users
from ..errors import DaybreakError
from ..places import MODEL
from . import checks
from .steps import Call, Change, take
from .undoing import Undo, undo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..bootstrap import Run
    from ..output import Reporter
    from ..places import Home, Instance
    from ..preflight import Finding
    from ..users import User
    from . import Options


END_SECONDS = 600
"""How long a model may take to end."""


@dataclass
class Cluster:
    """A cloud on a Kubernetes, for one command.

    Attributes:
        user: Whose Juju client it is; what is the user's is done as the user.
        group: A group that the client needs, empty when none.
    """

    instance: Instance
    home: Home
    user: User
    options: Options

    name = ""
    bundle = bundles.DEFAULT
    group = ""
    kubectl = ("kubectl",)

    @property
    def place(self) -> Path:
        """The directory of this cloud's files, which the user owns."""
        assert self.instance.place is not None
        return self.instance.place

    @property
    def overlay(self) -> Path:
        """The kept overlay that says which images the cluster pulls; it need not exist."""
        return self.place / bundles.OVERLAY

    @property
    def kept(self) -> Path:
        """The directory of the record, owned by whoever makes the changes."""
        return self.place

    def record(self) -> records.Record | None:
        """Return what was made so far; None when nothing was."""
        return records.load(self.kept)

    @property
    def binary(self) -> str | None:
        """Path of the `juju` command; None when there is none."""
        made = self.record()
        given = self.options.juju or (made.juju if made else "")
        return given or _found("juju")

    @property
    def controller(self) -> str:
        """The controller that was named, that of the record, else the provider's own choice."""
        made = self.record()
        return self.options.controller or (made.controller if made else self.usual_controller())

    def usual_controller(self) -> str:
        """Return the controller when nobody named one; empty when there is none."""
        raise NotImplementedError

    @property
    def model(self) -> str:
        """The model's name."""
        made = self.record()
        return self.options.model or (made.model if made else MODEL)

    def juju(self) -> jubilant.Juju:
        """Return the cloud's model, reached as its user."""
        users.become(self.user)
        return jubilant.Juju(
            model=f"{self.controller}:{self.model}", cli_binary=self.binary or "juju"
        )

    def call(self, *words: str) -> Call:
        """Return a call of the user's `juju`."""
        return Call((self.binary or "juju", *words), self.user, self.group)

    def made(self, what: str) -> None:
        """Record something as made by this bootstrap."""
        record = self.record() or records.Record(
            self.name, self.user.name, self.options.juju, self.controller, self.model
        )
        records.save(self.kept, record.with_made(what))

    def took(self, run: Run, change: Change) -> tuple[str, str]:
        """Take a step."""
        return take(change, run.report, dry_run=run.dry_run, record=self.made)

    def models(self) -> dict[str, Any] | None:
        """Return the controller's models by short name; None when it does not answer."""
        if self.binary is None or not self.controller:
            return None
        output = checks.ask(self.call("models", "-c", self.controller, "--format", "json"))
        if not output.ok:
            return None
        listed: list[dict[str, Any]] = json.loads(output.stdout or "{}").get("models") or []
        return {model["short-name"]: model for model in listed}

    def reachable(self) -> bool:
        """Whether there is a model to ask."""
        return self.model in (self.models() or {})

    def add_model(self, run: Run) -> None:
        """Do nothing: the model is a step of its own here, and was there."""

    # --- steps

    def model_step(self, run: Run) -> tuple[str, str]:
        """Make the model, or see that the one that is there is ours to use.

        Raises:
            DaybreakError: It has applications of somebody else.
        """
        if self.reachable():
            self._claim(run)
        cloud_of_model = (self.options.cloud,) if self.options.cloud else ()
        words = ("add-model", "--no-switch", "-c", self.controller, self.model, *cloud_of_model)
        return self.took(
            run,
            Change(
                "Make the model",
                lambda: f"{self.controller}:{self.model}" if self.reachable() else None,
                (self.call(*words),),
                "Correct what the lines above name and run the command again.",
                makes="model",
                limit=run.timeout,
            ),
        )

    def _claim(self, run: Run) -> None:
        """Record what will be ours in a model of somebody else's: the applications that it lacks.

        Raises:
            DaybreakError: It has applications that are none of the bundle's.
        """
        made = self.record()
        if made is not None and "model" in made.made:
            return
        output = checks.ask(
            self.call("status", "-m", f"{self.controller}:{self.model}", "--format", "json")
        )
        there = json.loads(output.stdout or "{}").get("applications") or {} if output.ok else {}
        others = sorted(set(there) - set(run.bundle.names))
        if others:
            raise DaybreakError(
                f"model {self.model} has other applications: {', '.join(others)}",
                remedy="Choose another model: --model NAME. A model that does not exist is made.",
            )
        for name in run.bundle.names if not run.dry_run else ():
            if name not in there:
                self.made(f"application:{name}")

    def stage_step(self, run: Run) -> tuple[str, str]:
        """Put the bundle and its charms where Juju's snap can read them; from here on as the user.

        Raises:
            DaybreakError: A charm is missing, or the disk does not take them.
        """
        wanted = dict(self._staged(run))
        same = [name for name, content in wanted.items() if _same(self.place / name, content)]
        charms = [name for name in wanted if name.endswith(".charm")]
        detail = f"the bundle and {len(charms)} charms in {self.place}"
        if run.dry_run:
            return "there" if len(same) == len(wanted) else "would", detail
        # nothing that follows needs root, and what follows belongs to the user
        users.become(self.user)
        if len(same) == len(wanted):
            return "there", detail
        try:
            for name, content in wanted.items():
                if name not in same:
                    _put(self.place / name, content)
        except OSError as error:
            raise DaybreakError(
                f"cannot write in {self.place}: {error.strerror}",
                remedy="Free some space in that home directory; then run the command again.",
            ) from error
        return "done", detail

    def _staged(self, run: Run) -> Iterator[tuple[str, bytes | Path]]:
        """Yield (name, content or file) of what is staged; charms stand beside the bundle."""
        documents = list(yaml.safe_load_all(run.bundle.path.read_text(encoding="utf-8")))
        charms: dict[str, Path] = {}
        for document in documents:
            for fields in cast("dict[str, Any]", document).get("applications", {}).values():
                charm = str((fields or {}).get("charm", ""))
                if charm.startswith((".", "/")):
                    file = (run.bundle.path.parent / charm).resolve()
                    charms[file.name] = file
                    fields["charm"] = f"./{file.name}"
        missing = [name for name, file in charms.items() if not file.is_file()]
        if missing and not run.dry_run:
            raise DaybreakError(
                f"charms of the bundle are not packed: {', '.join(sorted(missing))}",
                remedy="In a checkout: tools/pack. Elsewhere take the charms from an archive of"
                " `daybreak images export`: --from ARCHIVE",
            )
        yield "bundle.yaml", yaml.safe_dump_all(documents, sort_keys=False).encode()
        for overlay in run.sizes:
            yield _size_name(overlay), overlay
        if self.options.overlay is not None:
            yield bundles.OVERLAY, self.options.overlay
        yield from charms.items()

    def deployed(self, run: Run) -> tuple[Path, tuple[Path, ...]]:
        """Return the staged bundle and the overlays: the size, then the one that names its images."""
        given = self.options.overlay is not None or self.overlay.exists()
        sizes = tuple(self.place / _size_name(overlay) for overlay in run.sizes)
        return self.place / "bundle.yaml", (*sizes, *((self.overlay,) if given else ()))

    def close(self) -> None:
        """Do nothing: nothing runs beside the steps."""

    # --- another release

    def archive(self, charm: str) -> Path:
        """Return the staged one: what the last bootstrap has put where Juju can read it."""
        return self.place / f"{charm}.charm"

    def pack(self, charm: str, report: Reporter) -> None:
        """See that it is staged.

        Raises:
            DaybreakError: It is not.
        """
        del report
        if not self.archive(charm).is_file():
            raise DaybreakError(
                f"there is no {self.archive(charm)}",
                remedy="Run `daybreak bootstrap` again: it puts bundle and charms there, and leaves the cloud as"
                " it is.",
            )

    def release_images(self, application: str, images: Mapping[str, str]) -> Mapping[str, str]:
        """Return them by the registry that the application's images come from.

        The overlay pins the images that the staged bundle names; another release is beside them, under its tag.
        """
        bundle = bundles.load(self.place / "bundle.yaml")
        named = next((app.resources for app in bundle.applications if app.name == application), {})
        pinned = bundles.resources(self.overlay, application) if self.overlay.exists() else {}
        return {
            key: _of_release(image, named.get(key, ""), pinned.get(key, ""))
            for key, image in images.items()
        }

    def bring_images(self, images: tuple[str, ...], report: Reporter) -> tuple[str, str]:
        """Leave it to the cluster, which pulls them."""
        del report
        return "there", f"pulled by the cluster: {', '.join(images)}"

    def logs(self) -> tuple[logs.Source, ...]:
        """Return the logs of the model's pods."""
        return logs.pods(self.kubectl, self.model)

    # --- findings

    def juju_findings(self) -> Iterator[Finding]:
        """Yield whether the client, and the controller if it is there, can be used."""
        output = checks.ask(self.call("version")) if self.binary else None
        yield checks.juju_client(self.binary, output)
        if output is not None and output.ok and self.controller:
            listed = checks.ask(self.call("controllers", "--format", "json"))
            known = _controllers(listed.stdout) if listed.ok else ()
            if self.controller in known:
                words = ("models", "-c", self.controller, "--format", "json")
                yield from checks.controller(
                    self.controller, output.stdout, checks.ask(self.call(*words))
                )
            else:
                yield from self.unknown_controller(known)

    def unknown_controller(self, known: tuple[str, ...]) -> Iterator[Finding]:
        """Yield what it means that the client does not know the controller: here nothing, it is made."""
        del known
        yield from ()

    # --- destroy

    def undo(self, what: str) -> Undo:
        """Return how a recorded thing is undone."""
        model = f"{self.controller}:{self.model}"
        words = ("--no-prompt", "--destroy-storage", "--force")
        if what == "model":
            limit = ("--timeout", f"{END_SECONDS}s")
            return Undo(
                f"model {model} with its units and data",
                (self.call("destroy-model", model, *words, *limit),),
            )
        kind, _, name = what.partition(":")
        assert kind == "application", what
        return Undo(
            f"application {name} in model {model}, with its data",
            (self.call("remove-application", "-m", model, *words, name),),
        )

    def foreign(self) -> dict[str, str]:
        """Return what stays because bootstrap found it, in words, by its name in the record."""
        return {"model": f"model {self.controller}:{self.model}"}

    def removal(self, *, purge: bool) -> cloud.Removal:
        """Return what :meth:`destroy` would do."""
        del purge  # nothing here is shared by instances
        made = self.record()
        names = made.made if made else ()
        removes = [self.undo(name).what for name in reversed(names)]
        keeps = [text for name, text in self.foreign().items() if name not in names]
        return cloud.Removal(self.instance.name, (*removes, str(self.place)), tuple(keeps))

    def destroy(self, report: Reporter, *, purge: bool) -> tuple[str, ...]:
        """Undo what bootstrap made.

        Raises:
            DaybreakError: Something is left over.
        """
        del purge
        undo(self.kept, (self.place, self.kept), self.undo, report)
        return ()


def _found(program: str) -> str | None:
    return shutil.which(program, path=programs.search_path())


def _controllers(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text or "{}").get("controllers") or {})


def _of_release(image: str, named: str, pinned: str) -> str:
    """Return an image where the cluster finds it.

    Args:
        image: As the charm names it, with the release as its tag.
        named: What the bundle has in its place; empty when nothing.
        pinned: What an overlay has in that one's place; empty when nothing.
    """
    tag = image.rpartition(":")[2]
    if pinned and named.rpartition(":")[2] == tag:
        return pinned
    place, slash, name = (pinned or named or image).partition("@")[0].rpartition("/")
    return f"{place}{slash}{name.partition(':')[0]}:{tag}"


def _size_name(overlay: Path) -> str:
    return f"size-{overlay.stem}.yaml"


def _same(path: Path, wanted: bytes | Path) -> bool:
    content = wanted.read_bytes() if isinstance(wanted, Path) and wanted.is_file() else wanted
    return path.is_file() and path.read_bytes() == content


def _put(path: Path, content: bytes | Path) -> None:
    """Write a file; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    try:
        scratch.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
