"""Build what is asked and not there yet."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import base
from .spec import ROOT, Image, ImageError
from .store import KEY_LABEL, Store

Say = Callable[[str], None]
BASE_NAME = "localhost/daybreak/base"
# The bundle of any Debian machine is a superset of what an image would have, so passing it is always safe.
HOST_CA = Path("/etc/ssl/certs/ca-certificates.crt")
# The base with its intermediate files, and a large image before it is committed.
BASE_BYTES, IMAGE_BYTES = 10**9, 7 * 10**8


@dataclass(frozen=True)
class Plan:
    """What there is and what has to be made.

    Args:
        sources: Where the base's packages come from.
        base: Reference of the base.
        base_key: Its content key.
        base_missing: Whether the base has to be made.
        missing: Images to build, with their keys.
        present: Images that are up to date.
    """

    sources: tuple[base.Source, ...]
    base: str
    base_key: str
    base_missing: bool
    missing: tuple[tuple[Image, str], ...]
    present: tuple[Image, ...]


def plan(images: Sequence[Image], sources: tuple[base.Source, ...], keys: dict[str, str]) -> Plan:
    """Compare the content keys of ``images`` with those in the store (reference -> key)."""
    base_key = base.key(sources)
    reference = f"{BASE_NAME}:{base_key[:12]}"
    wanted = [(image, image.key(base_key)) for image in images]
    missing = tuple((image, key) for image, key in wanted if keys.get(image.reference) != key)
    present = tuple(image for image, key in wanted if keys.get(image.reference) == key)
    return Plan(
        sources,
        reference,
        base_key,
        bool(missing) and keys.get(reference) != base_key,
        missing,
        present,
    )


def build(store: Store, images: Sequence[Image], say: Say) -> None:
    """Make ``images`` exist in the store; what is there with the same content is left alone.

    Raises:
        ImageError: A build failed; images that were finished before stay.
    """
    release, sources = base.machine_sources()
    todo = plan(images, base.sources_for(release, sources), store.keys())
    for image in todo.present:
        say(f"{image.short}: up to date")
    if not todo.missing:
        return
    with _alone(store, say):
        # Somebody else may have built them while this one waited.
        todo = plan(images, todo.sources, store.keys())
        _check_space(store.cache, len(todo.missing))
        if todo.base_missing:
            _make_base(store, todo, say)
        # Two at a time: one build is bound by the network while the other is bound by the processor.
        with ThreadPoolExecutor(max_workers=2) as pool:
            order = sorted(todo.missing, key=lambda item: -_weight(item[0]))
            jobs = [pool.submit(_make, store, todo.base, image, key, say) for image, key in order]
            failures = [job.exception() for job in jobs]
    for failure in failures:
        if failure is not None:
            raise failure


def _weight(image: Image) -> int:
    """Longest first, so that two at a time end together."""
    return {"openstack.Containerfile": 2, "mariadb.Containerfile": 1}.get(
        image.containerfile.name, 0
    )


@contextlib.contextmanager
def _alone(store: Store, say: Say) -> Iterator[None]:
    """Hold the lock that lets one builder work at a time on this store."""
    store.cache.mkdir(parents=True, exist_ok=True)
    with (store.cache / "images.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build on this machine")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _check_space(cache: Path, missing: int) -> None:
    free, needed = shutil.disk_usage(cache).free, BASE_BYTES + missing * IMAGE_BYTES
    if free < needed:
        raise ImageError(
            f"{cache} has {free / 1e9:.1f} GB free, {missing} images need {needed / 1e9:.1f} GB: "
            "make room and try again"
        )


def _make_base(store: Store, todo: Plan, say: Say) -> None:
    suite = min((source.suite for source in todo.sources), key=len)
    say(f"base: installing a minimal {suite} from this machine's mirror (about 40 s)")
    start = time.monotonic()
    lists = store.cache / "build/lists"
    shutil.rmtree(lists, ignore_errors=True)
    lists.mkdir(parents=True)
    proxy = (
        store.run(["apt-config", "shell", "P", "Acquire::http::Proxy"])
        .strip()
        .removeprefix("P=")
        .strip("'")
    )
    with tempfile.TemporaryDirectory(dir=_scratch(store)) as directory:
        tar = f"{directory}/base.tar"
        command = base.mmdebstrap(todo.sources, tar, os.fspath(lists), proxy)
        # mmdebstrap unpacks below TMPDIR as another user would see it.
        Path(directory).chmod(0o755)
        scratch = Store({**store.env, "TMPDIR": directory}, store.cache)
        scratch.run(command, log=store.cache / "logs/base.log")
        changes = [f"LABEL {KEY_LABEL}={todo.base_key}", "ENV LANG=C.UTF-8"]
        options = [word for change in changes for word in ("--change", change)]
        store.run(["podman", "import", "--quiet", *options, tar, todo.base])
    say(f"base: done in {time.monotonic() - start:.0f} s")


def _scratch(store: Store) -> Path:
    """Where big intermediate files go: where the caller says, else beside the store."""
    path = Path(store.env["TMPDIR"]) if "TMPDIR" in store.env else store.cache / "build/tmp"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _make(store: Store, base_image: str, image: Image, key: str, say: Say) -> None:
    say(f"{image.short}: building")
    start = time.monotonic()
    wheels = store.cache / "build/wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    mounts = [f"{ROOT}:/build:ro", f"{store.cache / 'build/lists'}:/var/lib/apt/lists:O"]
    if any(source.suffix == ".txt" for source in image.sources):
        mounts += [f"{_uv()}:/usr/local/bin/uv:ro", f"{wheels}:/root/.cache/uv"]
    arguments = {"BASE": base_image, **dict(image.arguments)}
    command = ["podman", "build", "--pull=never", "--network=host", "--layers=false", "--force-rm"]
    command += [f"--volume={mount}" for mount in mounts]
    command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
    if HOST_CA.exists():
        command.append(f"--secret=id=ca,src={HOST_CA}")
    replaced = store.image_id(image.reference)
    with tempfile.TemporaryDirectory() as context:
        command += [
            f"--label={KEY_LABEL}={key}",
            f"--tag={image.reference}",
            f"--file={image.containerfile}",
        ]
        store.run([*command, context], log=store.cache / f"logs/{image.name}-{image.tag}.log")
    if replaced:
        store.forget(replaced)
    say(f"{image.short}: built in {time.monotonic() - start:.0f} s")


def _uv() -> str:
    """The uv of our own environment, else of the machine; it is mounted into the build."""
    found = shutil.which("uv", path=os.fspath(Path(sys.executable).parent)) or shutil.which("uv")
    if found is None:
        raise ImageError("uv is not installed; ./daybreak installs it in its own environment")
    return found
