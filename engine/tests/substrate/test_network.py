from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from daybreak_engine.substrate import dispatch, netns, network, services, specs

from .conftest import MODEL, Site, start

pytestmark = pytest.mark.pods


def server(site: Site, unit: str, address: IPv4Address, tag: str) -> Iterator[None]:
    """Serve in a pod's network on 8080: each connection is told the tag and its own address."""
    netns_path = network.NETNS_DIRECTORY / site.instance.pod_netns(unit)
    listener = netns.listen(netns_path, address, 8080)

    def serve() -> None:
        while True:
            try:
                connection, peer = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(f"{tag} {peer[0]}\n".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


serving = contextlib.contextmanager(server)


def connect(site: Site, unit: str | None, address: IPv4Address, port: int) -> socket.socket:
    """Connect from a pod, or from the machine."""

    def make() -> socket.socket:
        return socket.create_connection((str(address), port), timeout=5)

    if unit is None:
        return make()
    return netns.inside(network.NETNS_DIRECTORY / site.instance.pod_netns(unit), make)


def ask(site: Site, unit: str | None, address: IPv4Address, port: int = 8080) -> list[str]:
    """Return the tag of who answers and the client's address as seen there."""
    with connect(site, unit, address, port) as connection, connection.makefile() as lines:
        return lines.readline().split()


async def two_pods(site: Site) -> tuple[tuple[IPv4Address, int], tuple[IPv4Address, int]]:
    first = site.plan.free_pod(())
    second = site.plan.free_pod((first,))
    (_, one), (_, two) = await asyncio.gather(
        start(site, "web/0"), start(site, "web/1", used=(first,))
    )
    return (first, pid(one)), (second, pid(two))


def pid(state: specs.PodState) -> int:
    return state.containers["app"].pid


def test_a_service_spreads_over_ready_pods_and_shows_real_clients(clean: Site) -> None:
    async def main() -> None:
        (one, _), (two, _) = await two_pods(clean)
        inner, outer = clean.plan.free_service(()), clean.plan.free_load_balancer(())

        async def lead_to(*ready: IPv4Address) -> None:
            port = (services.ServicePort(80, 8080),)
            table = [services.Service("web", (inner, outer), port, ready)]
            await services.apply(clean.instance, services.ruleset(table, clean.plan))

        with serving(clean, "web/0", one, "one"), serving(clean, "web/1", two, "two"):
            assert ask(clean, "web/0", two) == ["two", str(one)]
            await lead_to(one, two)
            answers = sorted(ask(clean, "web/0", inner, 80) for _ in range(4))
            # The last one reached itself, which only works with another source address.
            itself, other = ["one", str(clean.plan.gateway)], ["two", str(one)]
            assert answers == [itself, itself, other, other]
            # The machine reaches all three kinds of address, with its own.
            for address, port in ((inner, 80), (outer, 80), (two, 8080)):
                assert ask(clean, None, address, port)[1] == str(clean.plan.host)
            await lead_to(two)
            assert {ask(clean, "web/0", inner, 80)[0] for _ in range(3)} == {"two"}

    asyncio.run(main())


def test_what_leads_nowhere_is_refused_at_once(clean: Site) -> None:
    async def main() -> None:
        await two_pods(clean)
        inner = clean.plan.free_service(())
        outer = clean.plan.free_load_balancer(())
        nobody = clean.plan.free_pod(clean.plan.pods[i] for i in range(64))
        table = [services.Service("web", (inner, outer), (services.ServicePort(80, 8080),), ())]
        await services.apply(clean.instance, services.ruleset(table, clean.plan))
        for client in (None, "web/0"):
            for address, port in ((inner, 80), (inner, 81), (outer, 80), (nobody, 80)):
                started = time.monotonic()
                with pytest.raises(ConnectionRefusedError):
                    connect(clean, client, address, port)
                assert time.monotonic() - started < 1

    asyncio.run(main())


def test_idle_connections_end_when_their_pod_is_removed(clean: Site) -> None:
    async def main() -> None:
        (one, inside), _ = await two_pods(clean)
        inner = clean.plan.free_service(())
        port = (services.ServicePort(80, 8080),)
        table = [services.Service("web", (inner,), port, (one,))]
        await services.apply(clean.instance, services.ruleset(table, clean.plan))
        holding = asyncio.create_task(
            dispatch.execute(
                inside,
                dispatch.Process(("/bin/nc", "-ll", "-p", "8080", "-e", "/bin/cat"), {}, "/"),
                lambda *_: None,
            )
        )
        held = await until_connected(clean, inner)
        with held:
            await clean.pods.remove("web/0")
            with contextlib.suppress(ConnectionResetError):
                assert held.recv(1) == b""
        assert (await holding).signal is not None

    asyncio.run(main())


async def until_connected(site: Site, address: IPv4Address) -> socket.socket:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                return connect(site, None, address, 80)
            await asyncio.sleep(0.02)


def test_a_packet_to_a_pod_that_is_gone_is_answered(clean: Site) -> None:
    async def main() -> None:
        (one, _), _ = await two_pods(clean)
        inner = clean.plan.free_service(())
        port = (services.ServicePort(80, 8080),)
        table = [services.Service("web", (inner,), port, (one,))]
        await services.apply(clean.instance, services.ruleset(table, clean.plan))
        path = network.NETNS_DIRECTORY / clean.instance.pod_netns("web/0")
        with netns.listen(path, one, 8080), connect(clean, None, inner, 80) as held:
            # The network goes first: nobody can say goodbye.
            await network.remove_pod(clean.instance, "web/0")
            await services.apply(clean.instance, services.ruleset([], clean.plan))
            held.send(b"still there?")
            with pytest.raises(ConnectionResetError):
                held.recv(1)

    asyncio.run(main())


def test_names_are_answered_and_follow_changes(clean: Site) -> None:
    async def main() -> None:
        (one, client), (two, _) = await two_pods(clean)
        names = [network.PodName("web/0", "web", one)]
        zone = f"{MODEL}.svc.cluster.local"
        service = clean.plan.free_service(())
        network.write_hosts(clean.instance, network.cluster_hosts(MODEL, names, {"web": service}))
        with dnsmasq(clean):
            assert await lookup(client, f"web-0.web-endpoints.{zone}") == {str(one)}
            assert await lookup(client, "web") == {str(service)}
            assert await lookup(client, "none") == set()
            names.append(network.PodName("web/1", "web", two))
            hosts = network.cluster_hosts(MODEL, names, {"web": service})
            assert network.write_hosts(clean.instance, hosts)
            assert not network.write_hosts(clean.instance, hosts)
            deadline = time.monotonic() + 5
            while await lookup(client, "web-endpoints") != {str(one), str(two)}:
                assert time.monotonic() < deadline
            out: list[str] = []
            await dispatch.execute(
                client,
                dispatch.Process(("/bin/nslookup", str(two)), {"PATH": "/bin"}, "/"),
                lambda _, line: out.append(line),
            )
            assert f"name = web-1.web-endpoints.{zone}" in "\n".join(out)

    asyncio.run(main())


@contextlib.contextmanager
def dnsmasq(site: Site) -> Iterator[None]:
    process = subprocess.Popen(
        network.dnsmasq_command(site.instance, site.plan),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "read" not in process.stderr.readline():
        assert process.poll() is None
    drain = threading.Thread(target=process.stderr.read)
    drain.start()
    try:
        yield
    finally:
        process.terminate()
        process.wait()
        drain.join()
        process.stderr.close()


async def lookup(client: int, name: str) -> set[str]:
    lines: list[str] = []
    await dispatch.execute(
        client,
        dispatch.Process(("/bin/sh", "-c", f"nslookup -type=a {name}"), {"PATH": "/bin"}, "/"),
        lambda _, line: lines.append(line),
    )
    return {
        line.split(": ")[1]
        for line in lines
        if line.startswith("Address") and "#53" not in line and ":53" not in line
    }


def test_the_router_is_repaired_and_the_pods_stay_reachable(clean: Site) -> None:
    async def main() -> None:
        (one, _), _ = await two_pods(clean)
        subprocess.run(["ip", "link", "delete", clean.instance.host_interface], check=True)
        await network.ensure_router(clean.instance, clean.plan)
        await network.ensure_pod(clean.instance, clean.plan, "web/0", one)
        with serving(clean, "web/0", one, "one"):
            assert ask(clean, "web/1", one)[0] == "one"
            assert ask(clean, None, one)[0] == "one"

    asyncio.run(main())


def test_a_half_made_namespace_is_no_obstacle(clean: Site) -> None:
    async def main() -> None:
        path = network.NETNS_DIRECTORY / clean.instance.pod_netns("half/0")
        path.touch()
        address = clean.plan.free_pod(())
        await network.ensure_pod(clean.instance, clean.plan, "half/0", address)
        await network.ensure_pod(clean.instance, clean.plan, "half/0", address)
        await network.remove_pod(clean.instance, "half/0")
        await network.remove_pod(clean.instance, "half/0")
        assert not path.exists()

    asyncio.run(main())


def test_the_machine_keeps_its_forwarding_and_firewall(site: Site) -> None:
    async def main() -> None:
        def machine() -> tuple[str, str]:
            rules = subprocess.run(
                ["nft", "list", "tables"], capture_output=True, text=True, check=True
            )
            return rules.stdout, Path("/proc/sys/net/ipv4/conf/all/forwarding").read_text()

        before = machine()
        await network.ensure_router(site.instance, site.plan)
        await services.apply(site.instance, services.ruleset([], site.plan))
        assert machine() == before

    asyncio.run(main())
