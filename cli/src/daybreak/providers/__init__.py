"""Where a cloud runs: one small interface, and how the provider of an instance is found again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from .. import records, users
from ..errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import jubilant

    from ..bootstrap import Run, Step
    from ..cloud import Removal
    from ..logs import Source
    from ..output import Reporter
    from ..places import Home, Instance
    from ..preflight import Finding

NAMES = ("embedded", "microk8s", "juju")


class Provider(Protocol):
    """What a bootstrap, and its undoing, have to know of the place where a cloud runs.

    A bootstrap looks at all findings first, then takes the steps; then comes what is the same
    everywhere: the model, the bundle, the wait, the token.
    """

    @property
    def name(self) -> str:
        """One of `NAMES`."""
        ...

    @property
    def bundle(self) -> str:
        """Name of the bundle that is deployed where none is asked for."""
        ...

    def findings(self, run: Run) -> Iterator[Finding]:
        """Yield what has to be true before anything is made; changes nothing."""
        ...

    def steps(self, run: Run) -> Iterator[tuple[str, Step]]:
        """Yield what is made before the bundle, by title; each step looks before it acts."""
        ...

    def juju(self) -> jubilant.Juju:
        """Return the cloud's model."""
        ...

    def reachable(self) -> bool:
        """Whether there is anything that a model can be asked of; only a dry run has to know."""
        ...

    def add_model(self, run: Run) -> None:
        """Make the model.

        Raises:
            jubilant.CLIError: Juju refuses.
        """
        ...

    def deployed(self, run: Run) -> tuple[Path, tuple[Path, ...]]:
        """Return the bundle file to deploy and the overlays on it."""
        ...

    def close(self) -> None:
        """End what runs beside the steps."""
        ...

    def archive(self, charm: str) -> Path:
        """Return where the packed charm is that applications are refreshed to; it need not exist."""
        ...

    def pack(self, charm: str, report: Reporter) -> None:
        """See that the packed charm is there, and new.

        Raises:
            DaybreakError: It is not, and cannot be packed.
        """
        ...

    def release_images(self, application: str, images: Mapping[str, str]) -> Mapping[str, str]:
        """Return the images of a release under the names by which the cloud's units find them.

        Args:
            application: Whose.
            images: By resource, as the charm names them.
        """
        ...

    def bring_images(self, images: tuple[str, ...], report: Reporter) -> tuple[str, str]:
        """See that images are where the units find them; return the mark and detail of the step.

        Raises:
            DaybreakError: One is not, and cannot be brought.
        """
        ...

    def logs(self) -> tuple[Source, ...]:
        """Return the logs of all containers.

        Raises:
            DaybreakError: They cannot be had.
        """
        ...

    def removal(self, *, purge: bool) -> Removal:
        """Return what :meth:`destroy` would do."""
        ...

    def destroy(self, report: Reporter, *, purge: bool) -> tuple[str, ...]:
        """Undo what bootstrap made; return notes about what did not go the ordinary way.

        Raises:
            DaybreakError: Something is left over.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line says about a cluster; empty where it says nothing."""

    juju: str = ""
    controller: str = ""
    cloud: str = ""
    model: str = ""
    metallb: str = ""
    microk8s_channel: str = ""
    juju_channel: str = ""
    overlay: Path | None = None
    """Which images a cluster pulls, as `daybreak images push` writes it."""
    images: Path | None = None
    """Images to import, as an OCI layout."""


def choose(
    name: str, instance: Instance, home: Home, environ: Mapping[str, str], options: Options
) -> tuple[Provider, Instance]:
    """Return the provider of that name, and the instance with the place that it gives it.

    Raises:
        DaybreakError: The instance is there already, on another provider.
    """
    provider, there = of(instance, home, environ, options)
    if provider.name == name:
        return provider, there
    if there.exists:
        raise DaybreakError(
            f"instance {instance.name} is there already, on {provider.name}",
            remedy=f"Give the new one another name (--instance NAME), or go on with that one:"
            f" --provider {provider.name}",
        )
    if name == "embedded":
        return _embedded(instance, home), instance
    return _cluster(name, instance, home, users.invoking(environ), options)


def of(
    instance: Instance, home: Home, environ: Mapping[str, str], options: Options | None = None
) -> tuple[Provider, Instance]:
    """Return the provider of an instance, as its record tells; `embedded` when nothing does.

    Raises:
        DaybreakError: A record cannot be read.
        UsageError: The options say something else than the record.
    """
    options = options or Options()
    made = records.load(instance.kept)
    if made is not None:
        return _cluster(made.provider, instance, home, users.named(made.user), options)
    user = users.invoking(environ)
    made = records.load(place(instance, user))
    if made is not None:
        return _cluster(made.provider, instance, home, user, options)
    return _embedded(instance, home), instance


def place(instance: Instance, user: users.User) -> Path:
    """Return where a cluster's cloud keeps its files.

    It is visible, below the user's home: the snap of Juju can read neither hidden directories nor
    those of other snaps.
    """
    return user.home / "daybreak" / instance.name


def _embedded(instance: Instance, home: Home) -> Provider:
    from .embedded import Embedded

    return Embedded(instance, home)


def _cluster(
    name: str, instance: Instance, home: Home, user: users.User, options: Options
) -> tuple[Provider, Instance]:
    from .juju import ExistingJuju
    from .microk8s import MicroK8s

    there = dataclasses.replace(instance, place=place(instance, user))
    kind = MicroK8s if name == "microk8s" else ExistingJuju
    provider = kind(there, home, user, options)
    made = provider.record()
    for what in ("controller", "model") if made else ():
        kept, wanted = getattr(made, what), getattr(options, what)
        if wanted not in ("", kept):
            raise UsageError(
                f"instance {instance.name} is in {what} {kept}, not in {wanted}",
                remedy="Give the cloud there another name: --instance NAME",
            )
    return provider, there
