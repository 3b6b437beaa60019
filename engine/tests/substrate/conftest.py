"""A real instance for the tests of the substrate, and the proof that it leaves nothing behind.

Tests marked `pods` need root, podman, Pebble, a C compiler (or a built hooktool) and a static busybox.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from daybreak_engine.instance import Instance, instance_from
from daybreak_engine.substrate import addresses, network, podman, podspec, specs
from daybreak_engine.substrate.files import remove_tree
from daybreak_engine.substrate.pods import Pods

IMAGE = "localhost/daybreak/test:busybox"
MODEL = "testing"
TOOLS = Path(__file__).parents[3] / "tools"


@dataclass(frozen=True)
class Site:
    """An instance with its network made."""

    instance: Instance
    podman: podman.Podman
    pods: Pods
    plan: addresses.Plan


def program(name: str, candidates: tuple[Path | str | None, ...], remedy: str) -> Path:
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    pytest.fail(f"{name} is missing: {remedy}")


@pytest.fixture(scope="session")
def hooktool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        return program(
            "hooktool", (instance_from().hooktool,), "run ./daybreak bootstrap or get a C compiler"
        )
    target = tmp_path_factory.mktemp("hooktool") / "hooktool"
    flags = ("-O2", "-static", "-s", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
    subprocess.run([compiler, *flags, "-o", target, *(TOOLS / "hooktool").glob("*.c")], check=True)
    return target


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, hooktool: Path) -> Iterator[Site]:
    pebble = program(
        "pebble",
        (os.environ.get("DAYBREAK_PEBBLE"), instance_from().pebble),
        "set DAYBREAK_PEBBLE to a Pebble of Canonical's",
    )
    instance = Instance(f"sub{os.getpid()}", tmp_path_factory.mktemp("root"))
    before = leftovers(instance)
    instance.pebble.parent.mkdir(parents=True)
    shutil.copy(pebble, instance.pebble)
    shutil.copy(hooktool, instance.hooktool)
    runner = podman.podman_for(instance)
    made = asyncio.run(_make(runner, tmp_path_factory.mktemp("image")))
    try:
        yield made
    finally:
        asyncio.run(_unmake(made))
        after = leftovers(instance)
        assert after == before == set()


@pytest.fixture
def clean(site: Site) -> Iterator[Site]:
    """The site, without pods before and after the test."""
    yield site

    async def remove() -> None:
        for unit in await site.pods.observe():
            await site.pods.remove(unit)

    asyncio.run(remove())


async def _make(runner: podman.Podman, directory: Path) -> Site:
    instance = runner.instance
    busybox = program(
        "a static busybox", (shutil.which("busybox"),), "apt-get install busybox-static"
    )
    root = directory / "rootfs"
    for name in ("bin", "etc", "tmp", "var/lib", "run", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for applet in subprocess.check_output([busybox, "--list"], text=True).split():
        if not (root / "bin" / applet).exists():
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    archive = directory / "image.tar"
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
    await runner("import", "--quiet", str(archive), IMAGE)
    plan = await network.reserve_subnet(instance)
    await network.ensure_router(instance, plan)
    instance.storage.mkdir(parents=True)
    return Site(instance, runner, Pods(runner), plan)


async def _unmake(made: Site) -> None:
    await made.pods.remove_all()
    await network.remove_router(made.instance)
    assert await podman.release(made.podman)
    remove_tree(made.instance.root)


def leftovers(instance: Instance) -> set[str]:
    """What of the instance the machine still has."""

    def lines(*argv: str) -> list[str]:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()

    marks = (
        str(instance.root),
        instance.netns,
        instance.host_interface,
        str(instance.podman_runroot),
    )
    seen = [
        *lines("ip", "netns", "list"),
        *lines("ip", "-oneline", "link"),
        *lines("ip", "route", "show", "table", "all"),
        *Path("/proc/self/mountinfo").read_text().splitlines(),
        *lines("ps", "-ewwo", "args"),
    ]
    found = {line for line in seen if any(mark in line for mark in marks)}
    found.update(str(path) for path in Path("/sys/fs/cgroup").glob(f"*{instance.cgroup}"))
    found.update(str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{instance.cgroup[1:]}"))
    if instance.podman_runroot.exists():
        found.add(str(instance.podman_runroot))
    return {line for line in found if "pytest" not in line or "/pytest-" in line}


def spec(
    site: Site,
    unit: str,
    address: IPv4Address,
    *workloads: podspec.Workload,
    storages: dict[str, Path] | None = None,
    charm_user: str = "root",
) -> specs.PodSpec:
    return podspec.pod_spec(
        site.instance,
        site.plan,
        unit=unit,
        model=MODEL,
        address=address,
        charm_image=IMAGE,
        workloads=workloads or (podspec.Workload("app", IMAGE),),
        account=podspec.ServiceAccount("secret-token", "ca", MODEL),
        tools=("relation-get", "status-set"),
        storages=storages or {},
        charm_user=charm_user,
    )


async def start(
    site: Site,
    unit: str,
    *workloads: podspec.Workload,
    used: tuple[IPv4Address, ...] = (),
) -> tuple[specs.PodSpec, specs.PodState]:
    """Start a pod on the first address that `used` leaves."""
    address = site.plan.free_pod(used)
    await network.ensure_pod(site.instance, site.plan, unit, address)
    wanted = spec(site, unit, address, *workloads)
    return wanted, await site.pods.ensure(wanted)


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 10) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)
