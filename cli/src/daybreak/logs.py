"""What the containers of a service say: chosen by name, read from their end, in the order of time."""

from __future__ import annotations

import contextlib
import heapq
import json
import queue
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from . import programs
from .errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

POLL_SECONDS = 0.3
BLOCK = 1 << 16
"""Bytes that a file is read by, from its end."""
MANY = 10000
"""Lines in which the names of services are looked for."""
CHARM = "charm"
"""The container of the charm itself: what it says is in `juju debug-log`."""
_CRI = re.compile(r"(\S+) (?:stdout|stderr) ([FP]) ?(.*)")
"""A line in a container's log file (Kubernetes' CRI format)."""
_SERVICE = re.compile(r"(?:\S+Z )?\[([\w.-]+)\] ")
"""How Pebble marks what a service says."""
_NOISE = re.compile(r"(?:\S+Z )?\[pebble\] (GET|POST|PUT|DELETE|PATCH) /v1/")
"""Requests to Pebble itself: one every few seconds."""


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        time: When it was said, ISO 8601.
        pod: Who said it: a unit (`nova/0`) or a pod of a DaemonSet.
        container: The container.
        text: What was said.
    """

    time: str
    pod: str
    container: str
    text: str

    @property
    def service(self) -> str:
        """The Pebble service that said it; empty when no Pebble stands between."""
        found = _SERVICE.match(self.text)
        return found[1] if found else ""


class Source(Protocol):
    """The log of one container."""

    @property
    def application(self) -> str:
        """Whose it is."""
        ...

    @property
    def pod(self) -> str:
        """Unit, or pod of a DaemonSet."""
        ...

    @property
    def container(self) -> str:
        """The container's name."""
        ...

    def last(self, count: int, service: str = "") -> list[Line]:
        """Return the last lines, oldest first.

        Args:
            count: How many at most.
            service: Only what this Pebble service says; all when empty.

        Raises:
            DaybreakError: They cannot be had.
        """
        ...

    def follow(self, after: str, say: Callable[[Line], None], over: threading.Event) -> None:
        """Hand over every line that is later than a time, until the event is set."""
        ...


def parse(pod: str, container: str, text: str) -> Line | None:
    """Return a line of a container's log file; None for one that only tells of Pebble's own requests."""
    found = _CRI.match(text)
    said = Line(found[1], pod, container, found[3]) if found else timed(pod, container, text)
    return None if _NOISE.match(said.text) else said


def timed(pod: str, container: str, text: str) -> Line:
    """Return a line that begins with its time, as `kubectl logs --timestamps` and Pebble write it."""
    first, _, rest = text.partition(" ")
    if re.match(r"\d{4}-\d\d-\d\dT", first):
        return Line(first, pod, container, text if rest.startswith("[") else rest)
    return Line("", pod, container, text)


# --- choosing ---------------------------------------------------------------------------------


def choose(sources: Sequence[Source], name: str) -> tuple[list[Source], str]:
    """Return the sources that a name means, and the service in them if it means one.

    Args:
        sources: All of the cloud.
        name: `nova`, `nova/0`, or `nova/WHAT` with a container or a service of its units.

    Raises:
        UsageError: There is nothing of that name; lists what there is.
    """
    application, slash, rest = name.partition("/")
    mine = [source for source in sources if source.application == application]
    if not mine:
        names = ", ".join(sorted({source.application for source in sources})) or "none"
        raise UsageError(f"there is no application {application}", remedy=f"There are: {names}.")
    workloads = [source for source in mine if source.container != CHARM]
    if not slash:
        return workloads or mine, ""
    if rest.isdigit():
        found = [source for source in workloads or mine if source.pod == name]
        if not found:
            pods = ", ".join(sorted({source.pod for source in mine}))
            raise UsageError(f"there is no unit {name}", remedy=f"There are: {pods}.")
        return found, ""
    found = [source for source in mine if rest in (source.container, source.pod)]
    return (found, "") if found else (workloads, rest)


def last(sources: Sequence[Source], service: str, count: int) -> list[Line]:
    """Return the last lines of all sources together, in the order of time.

    Args:
        sources: Where.
        service: Only what this Pebble service says; all when empty.
        count: How many.

    Raises:
        UsageError: No source knows that service; lists those that were heard.
    """
    found = [source.last(count, service) for source in sources]
    if service and not any(found):
        heard = {line.service for source in sources for line in source.last(MANY)}
        names = sorted(heard - {"", "pebble"} | {source.container for source in sources} - {CHARM})
        raise UsageError(
            f"there is no container {service}, and no service of that name has said anything",
            remedy=f"There are: {', '.join(names) or 'none'}.",
        )
    lines = list(heapq.merge(*found, key=lambda line: line.time))
    return lines[-count:] if count else []


def only(lines: list[Line], service: str) -> list[Line]:
    """Return what a service said of these lines; all of them when it is empty."""
    return [line for line in lines if line.service == service] if service else lines


def follow(sources: Sequence[Source], service: str, after: str) -> Iterator[Line]:
    """Yield what is said, for ever.

    Args:
        sources: Where.
        service: Only what this Pebble service says; all when empty.
        after: Time of the last line that is known, ISO 8601.
    """
    said: queue.Queue[Line] = queue.Queue()
    over = threading.Event()
    threads = [
        threading.Thread(target=source.follow, args=(after, said.put, over), daemon=True)
        for source in sources
    ]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) or not said.empty():
            try:
                line = said.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if not service or line.service == service:
                yield line
    finally:
        over.set()


# --- where they are ---------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """A container's log in a file."""

    application: str
    pod: str
    container: str
    path: Path

    def last(self, count: int, service: str = "") -> list[Line]:
        """Return the last lines, oldest first; see `Source`.

        Raises:
            DaybreakError: The file cannot be read.
        """
        try:
            with self.path.open("rb") as stream:
                place = stream.seek(0, 2)
                content = b""
                while True:
                    step = min(place, max(BLOCK, len(content)))
                    place -= step
                    stream.seek(place)
                    content = stream.read(step) + content
                    # the first line of a block is a half one, unless the block is at the start
                    whole = content.split(b"\n", 1)[-1] if place else content
                    lines = only(self._lines(whole), service)
                    if len(lines) >= count or not place:
                        return lines[-count:] if count else []
        except OSError as error:
            raise DaybreakError(
                f"cannot read {self.path}: {error.strerror}", remedy="Run the command as root."
            ) from error

    def follow(self, after: str, say: Callable[[Line], None], over: threading.Event) -> None:
        """Hand over every line that is later than a time, until the event is set."""
        # what was written since the last look is among the last lines
        place, rest, half = max(0, self._size() - BLOCK), b"", True
        while True:
            size = self._size()
            if size < place:  # begun anew
                place, rest, half = 0, b"", False
            if size > place:
                with self.path.open("rb") as stream:
                    stream.seek(place)
                    content = rest + stream.read()
                    half = half and place > 0
                    place = stream.tell()
                whole, newline, rest = content.rpartition(b"\n")
                lines = self._lines(whole + newline)[1 if half else 0 :]
                half = False
                for line in lines:
                    if line.time > after:
                        say(line)
            if over.wait(POLL_SECONDS):
                return

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def _lines(self, content: bytes) -> list[Line]:
        texts = content.decode(errors="replace").splitlines()
        return [line for text in texts if (line := parse(self.pod, self.container, text))]


@dataclass(frozen=True)
class Pod:
    """A container's log that Kubernetes keeps.

    Attributes:
        tail: Program and arguments of `kubectl logs`; `{lines}` stands for the number of lines.
    """

    application: str
    pod: str
    container: str
    tail: tuple[str, ...]

    def _words(self, count: int) -> list[str]:
        return [word.replace("{lines}", str(count)) for word in self.tail]

    def last(self, count: int, service: str = "") -> list[Line]:
        """Return the last lines, oldest first; see `Source`.

        Raises:
            DaybreakError: The program failed.
        """
        # what one service says may be anywhere in it
        output = programs.capture(self._words(MANY if service else count), timeout=60)
        if not output.ok:
            raise DaybreakError(
                f"the log of {self.pod} {self.container} cannot be read",
                details=tuple(output.stderr.strip().splitlines()[-5:]),
                remedy="See `daybreak status`: a container that does not run has no log of Pebble's.",
            )
        lines = [timed(self.pod, self.container, text) for text in output.stdout.splitlines()]
        found = only([line for line in lines if not _NOISE.match(line.text)], service)
        return found[-count:] if count else []

    def follow(self, after: str, say: Callable[[Line], None], over: threading.Event) -> None:
        """Hand over every line that is later than a time, until the program ends."""
        del over  # the program ends with this one: by the terminal's signal, or its closed pipe

        def look(text: str) -> None:
            line = timed(self.pod, self.container, text)
            if line.time > after and not _NOISE.match(line.text):
                say(line)

        # what ends it is told by its last lines
        with contextlib.suppress(DaybreakError):
            # seconds are what it understands; the lines of the same second are known
            words = [*self._words(-1), "-f", f"--since-time={after[:19]}Z"]
            programs.follow(words, look, what="follow the log", remedy="")


def files(directory: Path) -> tuple[Source, ...]:
    """Return the logs that the engine keeps in a directory: a folder for each pod, a file for each container.

    Raises:
        DaybreakError: The directory cannot be read.
    """
    try:
        pods = {
            path.name: sorted(path.glob("*.log")) for path in directory.iterdir() if path.is_dir()
        }
    except OSError as error:
        raise DaybreakError(
            f"cannot read {directory}: {error.strerror}", remedy="Run the command as root."
        ) from error
    units = re.compile(r"([a-z0-9-]+)-(\d+)")
    applications = {found[1] for name in pods if (found := units.fullmatch(name))}
    return tuple(
        File(application, pod, path.stem, path)
        for name, paths in sorted(pods.items())
        for application, pod in [_owner(name, applications)]
        if application
        for path in paths
    )


def _owner(name: str, applications: set[str]) -> tuple[str, str]:
    """Return the application and the unit, or the name of the pod, that a folder is of."""
    before, _, number = name.rpartition("-")
    if before in applications and number.isdigit():
        return before, f"{before}/{number}"
    longest = max((app for app in applications if name.startswith(f"{app}-")), key=len, default="")
    return longest, name


def pods(kubectl: tuple[str, ...], namespace: str) -> tuple[Source, ...]:
    """Return the logs of a model's pods, by `kubectl`.

    Raises:
        DaybreakError: It is not there, or does not see the model.
    """
    output = programs.capture([*kubectl, "get", "pods", "-n", namespace, "-o", "json"], timeout=30)
    found = in_pods(kubectl, namespace, json.loads(output.stdout)["items"]) if output.ok else ()
    if not found:
        raise DaybreakError(
            f"{' '.join(kubectl)} sees no pods of model {namespace}",
            details=tuple(output.stderr.strip().splitlines()[-5:]),
            remedy="Logs are read by kubectl: it has to be on PATH, and its current context has to be the cluster"
            " of the model. Without it, for each container: juju ssh --container CONTAINER UNIT"
            " /charm/bin/pebble logs",
        )
    return found


def in_pods(
    kubectl: tuple[str, ...], namespace: str, items: Iterable[dict[str, Any]]
) -> tuple[Source, ...]:
    """Return the logs of pods, as Kubernetes lists them: of units, and of DaemonSets that charms made."""
    named = [
        (item["metadata"]["name"], item["metadata"].get("labels", {}), item["spec"]["containers"])
        for item in items
    ]
    label = "app.kubernetes.io/name"
    units = {name: labels.get(label, "") for name, labels, _ in named}
    applications = {
        app for name, app in units.items() if re.fullmatch(rf"{re.escape(app)}-\d+", name) and app
    }
    return tuple(
        Pod(
            application,
            pod,
            container["name"],
            (
                *kubectl,
                "logs",
                "-n",
                namespace,
                name,
                "-c",
                container["name"],
                "--timestamps",
                "--tail={lines}",
            ),
        )
        for name, _, containers in sorted(named, key=lambda entry: entry[0])
        for application, pod in [_owner(name, applications)]
        if application
        for container in containers
    )
