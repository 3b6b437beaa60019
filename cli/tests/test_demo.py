"""The demo: what a file is, which addresses are taken, why there is no host, and all of its steps."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import subprocess
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

import pytest
from openstack.exceptions import HttpException

from daybreak import __main__, api, bootstrap, output, places, work
from daybreak.demo import (
    EXTERNAL,
    MARK,
    Demo,
    Wanted,
    addresses,
    causes,
    disk,
    keys,
    making,
    running,
)
from daybreak.errors import DaybreakError, UsageError

from .cloud import Cloud

if TYPE_CHECKING:
    from pathlib import Path

OWN = IPv4Network("10.9.15.0/24"), IPv4Address("10.9.15.1")


def qcow2(size: int, *, backing: int = 0, features: int = 0) -> bytes:
    head = bytearray(112)
    head[:4] = b"QFI\xfb"
    head[4:8] = (3).to_bytes(4, "big")
    head[8:16] = backing.to_bytes(8, "big")
    head[24:32] = size.to_bytes(8, "big")
    head[40:48] = (64).to_bytes(8, "big")
    head[72:80] = features.to_bytes(8, "big")
    return bytes(head)


def boot_sector(length: int = 4096) -> bytes:
    content = bytearray(length)
    content[510:512] = b"\x55\xaa"
    return bytes(content)


# --- image files


@pytest.mark.parametrize(
    ("content", "kind", "gigabytes"),
    [
        (qcow2(3 << 30), "qcow2", 3),
        (qcow2((3 << 30) + 1), "qcow2", 4),
        (qcow2(34 << 20), "qcow2", 1),
        (boot_sector(), "raw", 1),
    ],
)
def test_a_disk_says_what_it_is(tmp_path: Path, content: bytes, kind: str, gigabytes: int):
    (tmp_path / "disk").write_bytes(content)

    found = disk.look(tmp_path / "disk")

    assert (found.format, found.gigabytes) == (kind, gigabytes)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"hello\n" * 200, "neither qcow2 nor"),
        (b"\x1f\x8b" + bytes(600), "gunzip"),
        (b"\xfd7zXZ\x00" + bytes(600), "unxz"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"KDMV" + bytes(600), "qemu-img convert"),
        (qcow2(1 << 30, backing=200), "needs another file"),
        (qcow2(1 << 30, features=4), "needs another file"),
        (qcow2(1 << 30)[:64], "ends within its header"),
        (boot_sector(0x8001) + b"CD001", "installation CD"),
    ],
)
def test_a_wrong_file_says_what_it_is_instead(tmp_path: Path, content: bytes, says: str):
    (tmp_path / "disk").write_bytes(content)

    with pytest.raises(DaybreakError) as caught:
        disk.look(tmp_path / "disk")

    assert says in caught.value.message + caught.value.remedy


def test_no_file_and_a_directory_are_no_images(tmp_path: Path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(DaybreakError, match="cannot be read"):
            disk.look(path)


# --- addresses


def test_the_machines_own_network_is_the_default():
    found = addresses.external("", "", "", OWN)

    assert found.cidr == OWN[0]
    assert found.gateway == OWN[1]
    assert (str(found.first), str(found.last)) == ("10.9.15.2", "10.9.15.254")


def test_options_describe_another_network():
    found = addresses.external("203.0.113.0/24", "203.0.113.254", "", None)

    assert (str(found.first), str(found.last)) == ("203.0.113.1", "203.0.113.253")


@pytest.mark.parametrize(
    ("cidr", "gateway", "pool", "own", "says"),
    [
        ("", "", "", None, "--cidr 203"),
        ("203.0.113.1/24", "", "", None, "host bits"),
        ("203.0.113.0/30", "", "", None, "too small"),
        ("203.0.113.0/24", "10.0.0.1", "", None, "not in"),
        ("203.0.113.0/24", "here", "", None, "--gateway"),
        ("203.0.113.0/24", "", "203.0.113.7", None, "no range"),
        ("203.0.113.0/24", "", "203.0.113.9-203.0.113.7", None, "not in"),
        ("203.0.113.0/24", "", "203.0.113.1-203.0.113.7", None, "the gateway"),
        ("203.0.113.0/24", "", "", OWN, "alone"),
    ],
)  # fmt: skip
def test_addresses_that_cannot_be(cidr: str, gateway: str, pool: str, own: Any, says: str):
    with pytest.raises(UsageError) as caught:
        addresses.external(cidr, gateway, pool, own)

    assert says in caught.value.message + caught.value.remedy


def test_the_projects_network_leaves_the_others_alone():
    assert addresses.project([IPv4Network("10.0.0.0/8")]) == addresses.PROJECT[0]
    assert addresses.project([IPv4Network("192.168.0.0/16")]) == addresses.PROJECT[1]


# --- why there is no host


def host(**more: Any) -> causes.Host:
    fields = {"name": "node-0", "up": True, "enabled": True, "free": {"MEMORY_MB": 64, "VCPU": 8}}
    return causes.Host(**(fields | more))


@pytest.mark.parametrize(
    ("hosts", "says"),
    [
        ([], "no hypervisor"),
        ([host(up=False)], "node-0 is down"),
        ([host(enabled=False)], "node-0 is disabled"),
        ([host()], "needs 128 MB of memory, and node-0 has 64 left"),
        ([host(free={"MEMORY_MB": 512, "VCPU": 0})], "1 processors"),
        ([host(free={"MEMORY_MB": 512, "VCPU": 1})], "filter"),
        ([host(free={})], "node-0 has 0 left"),
    ],
)
def test_the_cause_of_no_valid_host(hosts: list[causes.Host], says: str):
    cause, remedy = causes.why_no_host(hosts, {"MEMORY_MB": 128, "VCPU": 1})

    assert says in cause
    assert remedy


# --- key


def test_the_key_is_its_owners_and_ssh_can_read_it(tmp_path: Path):
    mine = keys.Keys(tmp_path / "demo")
    assert mine.public() == ""

    public = mine.make()
    mine.write_config("10.9.15.2", "root")

    assert mine.private.stat().st_mode & 0o777 == 0o600
    assert public.startswith("ssh-ed25519 ")
    assert mine.public() == public
    assert f"IdentityFile {mine.private}" in mine.config.read_text()
    assert mine.remove()
    assert not mine.remove()


def test_a_key_that_is_none_is_named(tmp_path: Path):
    mine = keys.Keys(tmp_path)
    mine.private.write_text("nothing")

    with pytest.raises(DaybreakError, match="cannot be read"):
        mine.public()


# --- all of it


TYPES = frozenset({"identity", "image", "placement", "network", "compute", "block-storage"})


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def demo(
    home: places.Home,
    instance: places.Instance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: io.StringIO,
) -> Demo:
    image = tmp_path / "disk.qcow2"
    image.write_bytes(qcow2(34 << 20))
    time = iter(range(10**6))
    clock = bootstrap.Clock(now=lambda: next(time), sleep=lambda seconds: None)
    provider: Any = None
    task = work.Work(instance, home, provider, output.Plain(said), 60.0, clock)
    wanted = Wanted(image, "root", addresses.external("", "", "", OWN), "", "physnet1", 128)
    monkeypatch.setattr(
        running.socket, "create_connection", lambda *a, **k: contextlib.nullcontext()
    )
    # what the image is, is asked of Glance
    monkeypatch.setattr(making, "_digest", lambda path, algorithm: None)
    return Demo(task, Cloud(), wanted, TYPES)


def again(demo: Demo, **wanted: Any) -> Demo:
    task = dataclasses.replace(demo.work, steps=[])
    return Demo(task, demo.cloud, dataclasses.replace(demo.wanted, **wanted), demo.types)


def marks(demo: Demo) -> set[str]:
    return {step.mark for step in demo.work.steps[1:-1]}


def test_a_server_with_all_that_belongs_to_it(demo: Demo, said: io.StringIO):
    result = running.make(demo)

    assert result.address == "10.9.15.2"
    assert result.reached
    assert result.ssh == f"ssh -F {demo.keys.config} demo"
    assert marks(demo) == {"done"}
    (external,) = demo.cloud.all("network", name=EXTERNAL)
    assert (external.provider_network_type, external.provider_physical_network) == (
        "flat",
        "physnet1",
    )
    (volume,) = demo.cloud.all("volume")
    assert volume.attachments[0]["server_id"] == result.server
    assert "10.9.15.2" in said.getvalue()


def test_a_hypervisor_that_is_new_is_waited_for(demo: Demo, said: io.StringIO):
    demo.cloud.unmapped = 3
    assert running.make(demo).reached
    assert "Nova knows no hypervisor yet" in said.getvalue()


def test_a_second_run_makes_nothing(demo: Demo):
    first = running.make(demo)
    before = {kind: len(items) for kind, items in demo.cloud.kinds.items()}

    more = again(demo)
    assert running.make(more) == first

    assert marks(more) == {"there"}
    assert {kind: len(items) for kind, items in demo.cloud.kinds.items()} == before


@pytest.mark.parametrize("place", range(1, len(running.STEPS)))
def test_an_interrupted_run_goes_on(demo: Demo, place: int, monkeypatch: pytest.MonkeyPatch):
    def interrupt(demo: Demo) -> Any:
        raise KeyboardInterrupt

    steps = running.STEPS
    title, _ = steps[place]
    monkeypatch.setattr(running, "STEPS", (*steps[:place], (title, interrupt)))
    with pytest.raises(KeyboardInterrupt):
        running.make(demo)
    monkeypatch.setattr(running, "STEPS", steps)

    running.make(again(demo))

    for kind in ("server", "ip", "router", "image", "volume", "key"):
        assert len(demo.cloud.all(kind)) == 1, kind


def test_clean_up_removes_what_the_demo_made_and_nothing_else(demo: Demo):
    for kind in ("network", "router", "group", "flavour", "volume", "ip", "server", "image"):
        name = "other" if kind == "flavour" else "demo"
        demo.cloud.add(
            kind, name=name, description="mine", status="in-use" if kind == "volume" else ""
        )
    before = {kind: [item.id for item in items] for kind, items in demo.cloud.kinds.items()}
    running.make(demo)

    removed = running.clean_up(again(demo))

    left = {kind: [item.id for item in items] for kind, items in demo.cloud.kinds.items()}
    assert {kind: left[kind] for kind in before} == before
    assert not left["key"]
    assert not left["subnet"]
    assert "server" in removed
    assert not demo.keys.directory.exists()


def test_clean_up_of_nothing(demo: Demo):
    assert running.clean_up(demo) == ()


def test_what_others_use_stays_and_is_named(demo: Demo):
    running.make(demo)
    (external,) = demo.cloud.all("network", name=EXTERNAL)
    demo.cloud.add("router", name="theirs", external_gateway_info={"network_id": external.id})

    with pytest.raises(DaybreakError) as caught:
        running.clean_up(again(demo))

    assert "external network" in caught.value.details[0]
    assert not demo.cloud.all("server")


def test_a_volume_of_a_server_that_stays_is_not_waited_for(demo: Demo, monkeypatch):
    running.make(demo)
    remove = Cloud.remove

    def away(self: Cloud, kind: str, what: Any) -> None:
        if kind == "server":
            raise HttpException("the API is being replaced")
        remove(self, kind, what)

    monkeypatch.setattr(Cloud, "remove", away)
    with pytest.raises(DaybreakError) as caught:
        running.clean_up(again(demo))
    assert "server" in caught.value.details[0]
    assert "still at a server after 10 s" in caught.value.details[1]


def test_no_memory_for_the_server_says_so_and_can_be_corrected(demo: Demo):
    demo.cloud.fault = "No valid host was found. There are not enough hosts available."
    with pytest.raises(DaybreakError) as caught:
        running.make(again(demo, ram=9999))
    assert "it needs 9999 MB of memory, and node-0 has 512 left" in caught.value.message
    assert "--ram" in caught.value.remedy

    demo.cloud.fault = ""
    assert running.make(again(demo)).server

    assert len(demo.cloud.all("server")) == 1
    (flavour,) = demo.cloud.all("flavour")
    assert flavour.ram == 128


@pytest.mark.parametrize(
    ("lacking", "says"),
    [("network", "neutron-k8s"), ("compute", "nova-k8s"), ("image", "glance-k8s")],
)
def test_a_missing_service_is_named_before_anything_is_made(demo: Demo, lacking: str, says: str):
    less = Demo(demo.work, demo.cloud, demo.wanted, TYPES - {lacking})

    with pytest.raises(DaybreakError) as caught:
        running.make(less)

    assert says in caught.value.remedy
    assert not demo.cloud.kinds


def test_a_cloud_without_volumes_is_enough(demo: Demo, said: io.StringIO):
    demo.cloud.backend = False
    assert running.make(demo).volume == ""
    assert "has no back end" in said.getvalue()

    less = Demo(demo.work, demo.cloud, demo.wanted, TYPES - {"block-storage"})
    assert running.make(less).volume == ""
    assert "no volume service" in said.getvalue()


def test_a_full_back_end_says_so_and_the_server_stays(demo: Demo):
    demo.cloud.volume_fault = (
        "schedule allocate volume: Could not find any available weighted backend."
    )
    with pytest.raises(DaybreakError) as caught:
        running.make(demo)
    assert "Could not find any available weighted backend" in caught.value.message
    assert "more room" in caught.value.remedy

    demo.cloud.volume_fault = ""
    assert running.make(again(demo)).volume

    assert len(demo.cloud.all("volume")) == 1
    assert len(demo.cloud.all("server")) == 1


def test_a_taken_subnet_names_whose_it_is(demo: Demo):
    theirs = demo.cloud.add("network", name="public", is_router_external=True)
    demo.cloud.add("subnet", name="s1", network_id=theirs.id, ip_version=4, cidr="10.9.15.0/25")

    with pytest.raises(
        DaybreakError, match=r"10\.9\.15\.0/24 is taken: s1 of public has 10\.9\.15\.0/25"
    ):
        running.make(demo)


def test_a_taken_physical_network_can_be_used(demo: Demo):
    theirs = demo.cloud.add(
        "network",
        name="public",
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="physnet1",
    )
    with pytest.raises(DaybreakError) as caught:
        running.make(demo)
    assert "--external-network public" in caught.value.remedy

    running.make(again(demo, use_external="public"))

    (ip,) = demo.cloud.all("ip")
    assert ip.floating_network_id == theirs.id
    assert running.make(again(demo)).address == ip.floating_ip_address
    running.clean_up(again(demo))
    assert demo.cloud.all("network") == [theirs]


def test_an_external_network_that_is_not_there(demo: Demo):
    with pytest.raises(DaybreakError, match="no external network nowhere"):
        running.make(again(demo, use_external="nowhere"))


def test_a_physical_network_that_no_hypervisor_has(demo: Demo):
    with pytest.raises(DaybreakError) as caught:
        running.make(again(demo, physical="physnet2"))
    assert "they know: physnet1" in caught.value.message
    assert "bridges=physnet2:br-ex" in caught.value.remedy


def test_a_flavour_of_somebody_elses_is_not_touched(demo: Demo):
    theirs = demo.cloud.add("flavour", name="demo", description=None, ram=64)

    with pytest.raises(DaybreakError, match="has not made"):
        running.make(demo)

    assert demo.cloud.all("flavour") == [theirs]


def test_a_key_whose_file_is_gone_is_named(demo: Demo):
    running.make(demo)
    demo.keys.remove()

    with pytest.raises(DaybreakError, match="a key demo in the cloud, but not in"):
        running.make(again(demo))


def test_a_server_that_does_not_answer_shows_its_console(
    demo: Demo, monkeypatch, said: io.StringIO
):
    def refuse(*words: Any, **more: Any) -> Any:
        raise TimeoutError("timed out")

    monkeypatch.setattr(running.socket, "create_connection", refuse)

    assert not running.make(demo).reached

    out = said.getvalue()
    assert "is not reached yet" in out
    assert "console: guest: started" in out


def test_everything_is_marked(demo: Demo):
    running.make(demo)

    for kind in ("network", "subnet", "router", "group", "flavour", "volume", "ip"):
        assert {item.description for item in demo.cloud.all(kind)} == {MARK}, kind


# --- the command


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--user", "debian"], "--image"),
        (["--ram", "8"], "64"),
        (["--external-network", "public", "--cidr", "203.0.113.0/24"], "--external-network"),
        (["--image", "/nowhere"], "cannot be read"),
    ],
)
def test_words_that_do_not_fit_are_refused(
    words: list[str], says: str, home: places.Home, instance: places.Instance, monkeypatch, capsys
):
    instance.state.mkdir(parents=True)

    def start(*argv: Any, **more: Any) -> Any:
        pytest.fail("nothing is started for it")

    monkeypatch.setattr(subprocess, "run", start)

    assert __main__.main(["demo", *words]) in (1, 2)
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "cause", "remedy"),
    [
        (413, "there is no room for it (Request Entity Too Large)", "`daybreak status`"),
        (415, "its content is not of the format that it is given as", "qemu-img info"),
        (403, "Quota exceeded", "openstack quota set"),
    ],
)
def test_what_is_refused_has_a_remedy(status: int, cause: str, remedy: str):
    said = {413: "Request Entity Too Large", 403: "Quota exceeded for ram"}.get(status, "no")
    error = HttpException(said)
    error.status_code = status

    found = api.explain(error)

    assert found[0].startswith(cause)
    assert remedy in found[1]
