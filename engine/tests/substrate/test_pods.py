from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from daybreak_engine.substrate import dispatch, network, pebble, podspec, specs
from daybreak_engine.substrate.errors import ImageMissingError
from daybreak_engine.substrate.pods import Exit, Pods, Watcher

from .conftest import IMAGE, Site, leftovers, spec, start

pytestmark = pytest.mark.pods


async def shell(pid: int, script: str) -> tuple[dispatch.Outcome, list[str]]:
    lines: list[str] = []
    outcome = await dispatch.execute(
        pid,
        dispatch.Process(("/bin/sh", "-c", script), {"PATH": "/bin"}, "/"),
        lambda _, line: lines.append(line),
        timeout=20,
    )
    return outcome, lines


def test_a_pod_has_jujus_layout(clean: Site, tmp_path: Path) -> None:
    async def main() -> None:
        data = tmp_path / "data"
        data.mkdir()
        address = clean.plan.free_pod(())
        await network.ensure_pod(clean.instance, clean.plan, "alpha/0", address)
        wanted = spec(
            clean,
            "alpha/0",
            address,
            podspec.Workload("app", IMAGE, mounts=(("data/0", "/srv/data"),)),
            podspec.Workload("side", IMAGE, uid=10001, gid=10001),
            storages={"data/0": data},
        )
        state = await clean.pods.ensure(wanted)
        assert state.running
        assert set(state.containers) == {"charm", "app", "side"}
        for name in ("app", "side", "charm"):
            await pebble.wait_until_up(
                podspec.pebble_socket(clean.instance, "alpha/0", name), timeout=10
            )
        charm, app = state.containers["charm"].pid, state.containers["app"].pid
        outcome, lines = await shell(
            charm,
            "set -e; hostname; cat /etc/hostname; echo $(($(ls -l /proc/1/exe | wc -l)));"
            "readlink /proc/1/exe; touch /var/lib/juju/storage/data-0/made;"
            "ls -l /var/lib/juju/tools/unit-alpha-0/relation-get | sed 's/.*-> //';"
            "stat -c '%a %g' /var/lib/juju/agents/unit-alpha-0 /charm/containers/side;"
            "test -S /charm/containers/app/pebble.socket; test -S /charm/containers/side/pebble.socket;"
            "cat /var/run/secrets/kubernetes.io/serviceaccount/token;echo;"
            "stat -c '%a %g' /var/run/secrets/kubernetes.io/serviceaccount/token;"
            "! touch /charm/bin/x 2>/dev/null; cat /etc/resolv.conf",
        )
        assert outcome.ok, lines
        assert lines == [
            *("alpha-0", "alpha-0", "1", "/charm/bin/pebble", "/charm/bin/hooktool"),
            *("2777 170", "2777 170", "secret-token", "640 170"),
            f"nameserver {clean.plan.gateway}",
            "search testing.svc.cluster.local svc.cluster.local cluster.local",
            "options ndots:5",
        ]
        outcome, lines = await shell(
            app,
            "ls /srv/data /charm/bin; readlink /proc/1/exe; test -S $PEBBLE_SOCKET;"
            "tr '\\0' '\\n' < /proc/1/environ | grep -E '^(PEBBLE|JUJU|KUBERNETES_SERVICE_HOST)' | sort;"
            "tr '\\0' ' ' < /proc/1/cmdline; echo; ls /var/lib/juju 2>&1 | wc -l",
        )
        assert lines == [
            *("/charm/bin:", "pebble", "", "/srv/data:", "made", "/charm/bin/pebble"),
            "JUJU_CONTAINER_NAME=app",
            f"KUBERNETES_SERVICE_HOST={clean.plan.gateway}",
            "PEBBLE=/charm/container/pebble",
            "PEBBLE_COPY_ONCE=/var/lib/pebble/default",
            "PEBBLE_SOCKET=/charm/container/pebble.socket",
            "/charm/bin/pebble run --create-dirs --hold --http :38813 --verbose ",
            "1",
        ]
        side = Path(f"/proc/{state.containers['side'].pid}/status").read_text()
        assert "Uid:\t10001\t10001" in side
        assert "Groups:\t170" in side

    asyncio.run(main())


def test_no_secret_is_visible_in_arguments_or_labels(clean: Site) -> None:
    async def main() -> None:
        wanted, _ = await start(clean, "alpha/0")
        shown = await clean.podman("inspect", clean.instance.container("alpha/0", "charm"))
        assert "secret-token" not in shown.stdout
        assert "secret-token" not in repr(wanted)

    asyncio.run(main())


def test_ensure_starts_only_what_is_missing(clean: Site) -> None:
    async def main() -> None:
        wanted, first = await start(clean, "alpha/0")
        os.kill(first.containers["app"].pid, signal.SIGKILL)
        second = await until_exited(clean.pods, "app")
        assert second.containers["app"].status == "exited"
        third = await clean.pods.ensure(wanted)
        assert third.running
        assert third.containers["charm"].id == first.containers["charm"].id
        assert third.containers["app"].id != first.containers["app"].id
        assert third.containers["app"].digest == wanted.container("app").digest

    asyncio.run(main())


async def until_exited(pods: Pods, name: str) -> specs.PodState:
    async with asyncio.timeout(5):
        while True:
            state = (await pods.observe())["alpha-0"]
            if state.containers[name].status == "exited":
                return state


def test_pods_weigh_as_much_as_a_process_for_each_processor(clean: Site) -> None:
    asyncio.run(start(clean, "alpha/0"))
    base, name = Path("/sys/fs/cgroup"), clean.instance.cgroup.lstrip("/")
    files = [*base.glob(f"*/{name}/cpu.shares"), *base.glob(f"{name}/cpu.weight")]
    single = {"cpu.shares": 1024, "cpu.weight": 100}
    assert [int(file.read_text()) for file in files] == [
        single[file.name] * (os.cpu_count() or 1) for file in files
    ]
    assert files, "there is no controller of processors"


def test_an_exit_is_reported_at_once_also_after_the_daemon_came_again(clean: Site) -> None:
    async def main() -> None:
        _, state = await start(clean, "alpha/0")
        exits: asyncio.Queue[tuple[Exit, float]] = asyncio.Queue()
        # A second engine knows nothing but what podman says.
        pods = Pods(clean.podman)
        watcher = Watcher(lambda ending: exits.put_nowait((ending, time.monotonic())))
        watcher.watch(await pods.observe())
        watcher.watch(await pods.observe())
        killed = time.monotonic()
        os.kill(state.containers["app"].pid, signal.SIGKILL)
        async with asyncio.timeout(2):
            ending, seen = await exits.get()
        assert (ending.unit, ending.container) == ("alpha-0", "app")
        assert ending.id == state.containers["app"].id
        assert seen - killed < 0.1
        after = (await pods.observe())["alpha-0"].containers
        assert after["app"].status == "exited"
        assert after["charm"].status == "running"
        watcher.watch(await pods.observe())
        watcher.close()
        assert exits.empty()

    asyncio.run(main())


def test_a_container_whose_supervisor_was_killed_is_still_seen_to_end(clean: Site) -> None:
    async def main() -> None:
        wanted, state = await start(clean, "alpha/0")
        pid = state.containers["app"].pid
        conmon = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(conmon, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        assert (await until_exited(clean.pods, "app")).containers["app"].pid == 0
        assert (await clean.pods.ensure(wanted)).running

    asyncio.run(main())


def test_stop_signals_all_containers_at_once_and_kills_after_the_grace(clean: Site) -> None:
    async def main() -> None:
        address = clean.plan.free_pod(())
        await network.ensure_pod(clean.instance, clean.plan, "alpha/0", address)
        wanted = spec(clean, "alpha/0", address)
        stubborn = specs.ContainerSpec(
            "app",
            IMAGE,
            (
                "/bin/sh",
                "-c",
                "trap 'date +%s.%N >> /tmp/term; true' TERM; while :; do sleep 0.05; done",
            ),
        )
        wanted = specs.PodSpec(
            wanted.unit,
            wanted.hostname,
            wanted.netns,
            (wanted.containers[0], stubborn),
            wanted.layout,
        )
        await clean.pods.ensure(wanted)
        started = time.monotonic()
        await clean.pods.stop("alpha/0", 1.0)
        took = time.monotonic() - started
        state = (await clean.pods.observe())["alpha-0"]
        assert {container.status for container in state.containers.values()} == {"exited"}
        assert 1.0 <= took < 3.0

    asyncio.run(main())


def test_restart_gives_a_new_root_file_system_and_another_boot(clean: Site) -> None:
    async def main() -> None:
        wanted, state = await start(clean, "alpha/0")
        socket = podspec.pebble_socket(clean.instance, "alpha/0", "app")
        before = await pebble.wait_until_up(socket, timeout=10)
        await shell(state.containers["app"].pid, "touch /etc/made")
        await clean.pods.restart_container(wanted, "app", grace=5)
        async with asyncio.timeout(10):
            while (await pebble.wait_until_up(socket, timeout=10)).boot_id == before.boot_id:
                await asyncio.sleep(0.02)
        again = (await clean.pods.observe())["alpha-0"]
        outcome, _ = await shell(again.containers["app"].pid, "test ! -e /etc/made")
        assert outcome.ok
        assert again.containers["charm"].id == state.containers["charm"].id

    asyncio.run(main())


def test_removal_is_complete_and_repeatable(clean: Site) -> None:
    async def main() -> None:
        await start(clean, "alpha/0")
        seen = " ".join(leftovers(clean.instance))
        for trace in (
            "sys/fs/cgroup",
            clean.instance.host_interface,
            "conmon",
            "alpha-0",
            "overlay",
        ):
            assert trace in seen
        await clean.pods.remove("alpha/0")
        await clean.pods.remove("alpha/0")
        assert await clean.pods.observe() == {}
        assert not clean.instance.pod("alpha/0").exists()
        assert not Path("/run/netns", clean.instance.pod_netns("alpha/0")).exists()

    asyncio.run(main())


def test_a_missing_image_is_said_at_once(clean: Site) -> None:
    async def main() -> None:
        started = time.monotonic()
        with pytest.raises(ImageMissingError) as caught:
            await start(clean, "alpha/0", podspec.Workload("app", "localhost/daybreak/none:1"))
        assert time.monotonic() - started < 5
        assert "localhost/daybreak/none:1" in str(caught.value)
        assert "podman pull" in caught.value.remedy

    asyncio.run(main())


def test_non_root_charm(clean: Site) -> None:
    async def main() -> None:
        address = clean.plan.free_pod(())
        await network.ensure_pod(clean.instance, clean.plan, "alpha/0", address)
        state = await clean.pods.ensure(spec(clean, "alpha/0", address, charm_user="non-root"))
        for name in ("charm", "app"):
            await pebble.wait_until_up(
                podspec.pebble_socket(clean.instance, "alpha/0", name), timeout=10
            )
        status = Path(f"/proc/{state.containers['charm'].pid}/status").read_text()
        assert "Uid:\t170\t170" in status
        lines: list[str] = []
        outcome = await dispatch.execute(
            state.containers["charm"].pid,
            dispatch.Process(
                ("/charm/bin/pebble", "identities"),
                {"PEBBLE_SOCKET": "/charm/containers/app/pebble.socket"},
                "/var/lib/juju",
                uid=170,
                gid=170,
            ),
            lambda _, line: lines.append(line),
        )
        assert outcome.ok, lines

    asyncio.run(main())
