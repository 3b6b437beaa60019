"""What an operator or a user does wrong: the cloud says what it is and what helps, goes on then, and has lost nothing.

Every remedy that `daybreak status` names is done as it stands there. The first tests need a cloud without the demo's
server, those behind them watch it; each leaves the cloud as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from openstack.exceptions import BadRequestException

from ..clouds import PROGRAMS, Cloud, eventually, issues_tokens, program
from ..pods import containers
from .conftest import BUNDLE
from .guest import Guest, daybreak, demo, overview

NAME = "bad-input"
"""Of whatever is made here."""
LONG = 300.0
"""Seconds in which agents report again and Nova and Cinder see it."""
MIB = 1 << 20
STORE = "/var/lib/glance/images"
STORE_MIB = 64
TOO_MUCH_MB = 1 << 20
"""Memory that no node has which runs these tests."""

pytestmark = pytest.mark.cloud


@pytest.fixture
def sdk(cloud: Cloud, tmp_path: Path) -> Any:
    """The administrator's connection."""
    return cloud.account().connection(tmp_path)


@pytest.fixture
def bare(cloud: Cloud) -> Iterator[None]:
    """A cloud without a demo, before and after."""
    demo(cloud, "--clean-up")
    yield
    demo(cloud, "--clean-up")


def trouble(cloud: Cloud, name: str, within: tuple[str, ...] = ()) -> dict[str, str]:
    """Return what `daybreak status` says is wrong with something; empty for nothing."""
    found = overview(cloud, within)["troubles"]
    return next((one for one in found if one["name"] == name), {})


def blocked(cloud: Cloud, unit: str) -> dict[str, str]:
    """Return what an operator has to do for a unit, empty for nothing; it may wait on its way to saying so."""
    found = trouble(cloud, unit)
    return found if found.get("state") == "blocked" else {}


def refused(cloud: Cloud, *words: str | Path) -> str:
    """Run a `daybreak demo` that fails, and return what it says."""
    done = daybreak(cloud, "demo", *words)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert "\n-> " in done.stderr, "there is no remedy"
    return done.stderr


def healthy(cloud: Cloud) -> None:
    """Wait until all units are active, all services answer and all agents report."""
    cloud.settle(timeout=LONG)
    eventually(lambda: overview(cloud)["healthy"], "all is as it was", LONG, 2)


# --- a cloud without servers ------------------------------------------------------------------


def test_a_wrong_password(cloud: Cloud, tmp_path: Path):
    done = client(cloud, tmp_path, "token", "issue", OS_PASSWORD="not-the-one")
    assert done.returncode == 1
    assert "HTTP 401" in done.stderr


def client(
    cloud: Cloud, directory: Path, *words: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the `openstack` client, which may fail."""
    account = cloud.account().environment(directory)
    return subprocess.run(
        [PROGRAMS / "openstack", *words],
        env={"PATH": os.environ["PATH"], **account, **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def test_a_password_that_somebody_has_changed(cloud: Cloud, sdk: Any):
    """Status and demo say whose password it is; what they name makes one that both know."""
    remedy = "juju run keystone/leader rotate-admin-password"
    user = sdk.current_user_id
    try:
        sdk.identity.update_user(user, password="not-the-one")
        found = trouble(cloud, "login")
        assert found
        assert "Keystone refuses the administrator's password" in found["cause"]
        assert found["remedy"].endswith(remedy)
        assert remedy in refused(cloud)
        # Whatever needs no login is told all the same.
        states = {one["name"]: one["state"] for one in overview(cloud)["services"]}
        assert states["identity"] == states["database"] == states["dashboard"] == "up"
    finally:
        cloud.juju.cli(*remedy.split()[1:])
    assert issues_tokens(cloud.account())
    healthy(cloud)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("no disk at all\n", "it is neither qcow2 nor a disk with a boot sector"),
        ("", "it is empty"),
        ("<html>404</html>", "it is a web page"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_file_for_the_demo(
    cloud: Cloud, sdk: Any, tmp_path: Path, content: str | None, says: str
):
    before = {image.id for image in sdk.image.images()}
    path = tmp_path / "disk.img"
    if content is not None:
        path.write_text(content)

    assert says in refused(cloud, "--image", path)

    assert {image.id for image in sdk.image.images()} == before


def test_a_wrong_file_for_an_image(cloud: Cloud, sdk: Any, tmp_path: Path):
    """Glance looks into it, and takes nothing."""
    path = tmp_path / "disk.qcow2"
    path.write_bytes(os.urandom(10 * MIB))
    done = upload(cloud, path, "qcow2")
    assert done.returncode == 1
    assert "Unsupported Media Type" in done.stderr
    assert not list(sdk.image.images(name=NAME))


def upload(cloud: Cloud, path: Path, kind: str = "raw") -> subprocess.CompletedProcess[str]:
    """Have an image of a file; the client removes one that was refused."""
    words = ("image", "create", "--disk-format", kind, "--file", path, NAME)
    return client(cloud, path.parent, *words)


@contextlib.contextmanager
def small_store(cloud: Cloud) -> Iterator[None]:
    """Give Glance a volume of a few MiB over its own, in its container alone: the machine's disk stays as it is."""
    pid = str(containers(cloud)["glance-0-glance-api"])
    owner = Path(f"/proc/{pid}/root{STORE}").stat()
    options = f"size={STORE_MIB}m,mode=0750,uid={owner.st_uid},gid={owner.st_gid}"
    inside = ("nsenter", "--target", pid, "--mount")
    subprocess.run([*inside, "mount", "-t", "tmpfs", "-o", options, NAME, STORE], check=True)
    try:
        yield
    finally:
        subprocess.run([*inside, "umount", STORE], check=True)


def test_a_full_store_of_images(cloud: Cloud, sdk: Any, bare: None, tmp_path: Path):
    """An upload that does not fit is refused, status says why, and it goes on when there is room."""
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(os.urandom((STORE_MIB - 1) * MIB))
    # It boots nothing, but has the mark of a disk that might.
    large.write_bytes(b"\0" * 510 + b"\x55\xaa" + os.urandom(2 * STORE_MIB * MIB))
    with small_store(cloud):
        try:
            done = upload(cloud, large)
            assert done.returncode == 1
            assert "Request Entity Too Large" in done.stderr
            assert "there is no room for it" in refused(cloud, "--image", large)
            assert not list(sdk.image.images(name="demo"))

            assert upload(cloud, small).returncode == 0
            kept = next(iter(sdk.image.images(name=NAME)))
            found = eventually(lambda: blocked(cloud, "glance/0"), "status says it", 120, 1)
            assert f"the volume images ({STORE}) is full" in found["cause"]
            assert "remove what is not needed" in found["remedy"]
            # What is there is given out all the while.
            assert digest(sdk, kept) == hashlib.sha256(small.read_bytes()).hexdigest()

            sdk.image.delete_image(kept)
            eventually(lambda: not trouble(cloud, "glance/0"), "there is room", 120, 1)
            assert upload(cloud, small).returncode == 0
        finally:
            for image in sdk.image.images(name=NAME):
                sdk.image.delete_image(image)
    healthy(cloud)


def digest(sdk: Any, image: Any) -> str:
    """Return the SHA-256 of an image's content, fetched anew."""
    return hashlib.sha256(sdk.image.download_image(image.id).content).hexdigest()


def test_no_memory_for_the_server(cloud: Cloud, sdk: Any, bare: None):
    """It fails at once, its cause is named, it is removed like any, and a smaller one takes its place."""
    project = sdk.current_project_id
    sdk.compute.update_quota_set(project, ram=-1)
    try:
        said = refused(cloud, "--ram", str(TOO_MUCH_MB))
    finally:
        # Back to the default: the server that failed counts, and a quota below what is used is refused.
        sdk.compute.revert_quota_set(project)
    assert f"it needs {TOO_MUCH_MB} MB of memory, and " in said
    assert "Ask for less (--ram)" in said
    failed = next(iter(sdk.compute.servers(name="^demo$")))
    assert failed.status == "ERROR"
    assert "No valid host" in failed.fault["message"]

    made = demo(cloud)

    assert made["server"] != failed.id
    assert made["reached"]


def test_more_memory_than_the_quota(cloud: Cloud, sdk: Any, bare: None):
    quota = sdk.compute.get_quota_set(sdk.current_project_id).ram
    said = refused(cloud, "--ram", str(quota + 1))
    assert "Quota exceeded for ram" in said
    assert "openstack quota set" in said


def external_range(cloud: Cloud) -> IPv4Network:
    """Return the addresses of the nodes' physical network."""
    assert cloud.instance
    engine = PROGRAMS / "daybreak-engine"
    return IPv4Network(json.loads(program(engine, "network", instance=cloud.instance))["external"])


def test_a_taken_subnet(cloud: Cloud, sdk: Any, bare: None):
    cidr = external_range(cloud)
    network = sdk.network.create_network(
        name=NAME,
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="physnet1",
    )
    try:

        def subnet(wanted: IPv4Network) -> Any:
            return sdk.network.create_subnet(
                name=NAME,
                network_id=network.id,
                ip_version=4,
                cidr=str(wanted),
                is_dhcp_enabled=False,
            )

        assert "physnet1 is taken: the network bad-input is on it" in refused(cloud)
        subnet(cidr)
        with pytest.raises(BadRequestException, match="overlaps with another subnet"):
            subnet(list(cidr.subnets(new_prefix=25))[1])

        said = refused(cloud)
        assert f"{cidr} is taken: {NAME} of {NAME} has {cidr}" in said
        assert "--external-network" in said
    finally:
        sdk.network.delete_network(network)


def test_a_range_that_another_route_takes(cloud: Cloud):
    """As a VPN does that comes up beside the cloud."""
    address = str(external_range(cloud)[-2])
    subprocess.run(["ip", "route", "add", f"{address}/32", "dev", "lo"], check=True)
    try:
        found = trouble(cloud, "this machine")
        assert found
        assert f"overlaps the route {address} dev lo" in found["cause"]
        assert found["remedy"].startswith("Remove that route")
    finally:
        subprocess.run(["ip", "route", "delete", f"{address}/32", "dev", "lo"], check=True)
    assert overview(cloud)["healthy"]


def test_a_machine_without_tunnels(cloud: Cloud):
    """As a command sees it that is started where the device is not."""
    hidden = 'mount -t tmpfs none /dev/net && exec "$@"'
    within = ("unshare", "--mount", "sh", "-c", hidden, "sh")

    found = trouble(cloud, "this machine", within)
    assert found
    assert "/dev/net/tun cannot be opened, so servers get no network" in found["cause"]
    assert "modprobe tun" in found["remedy"]

    done = daybreak(cloud, "bootstrap", "--bundle", BUNDLE, "--dry-run", within=within)
    assert done.returncode == 1
    assert "/dev/net/tun cannot be opened" in done.stdout + done.stderr


# --- relations and services, under a server ---------------------------------------------------

MARK = "written before it went wrong"


@dataclass(frozen=True)
class Kept:
    """What was there before something was taken away.

    Attributes:
        guest: A server with a volume.
        image: SHA-256 of its image.
    """

    guest: Guest
    image: str


@pytest.fixture
def kept(cloud: Cloud, sdk: Any, guest: Guest) -> Kept:
    """A server, its image and network, and a volume with something on it."""
    guest.run(f"printf '%-512s' '{MARK}' | dd of=/dev/vdb bs=512 seek=2048 conv=fsync 2>/dev/null")
    return Kept(guest, digest(sdk, the_image(sdk)))


def the_image(sdk: Any) -> Any:
    return next(iter(sdk.image.images(name="demo")))


def goes_on(kept: Kept) -> None:
    """See that the server is reached, its connection stands, and its volume has what was written."""
    assert kept.guest.pings()
    assert kept.guest.stream.alive
    read = "echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vdb bs=512 skip=2048 count=1 2>/dev/null"
    assert kept.guest.run(read).strip() == MARK


def nothing_is_lost(sdk: Any, kept: Kept) -> None:
    """See that what was there is there, and that more of each can be made."""
    goes_on(kept)
    assert digest(sdk, the_image(sdk)) == kept.image
    assert sdk.compute.get_server(kept.guest.server).status == "ACTIVE"
    # It asks the hypervisor.
    assert sdk.compute.get_server_console_output(kept.guest.server)["output"]
    assert sdk.block_storage.get_volume(kept.guest.volume).status == "in-use"
    network = next(iter(sdk.network.networks(name="demo")))
    port = sdk.network.create_port(name=NAME, network_id=network.id)
    sdk.network.delete_port(port)
    made = volume_that_becomes(sdk, "available")
    remove_volume(sdk, made)


def volume_that_becomes(sdk: Any, state: str) -> str:
    """Ask for a volume, wait until that is decided, and return its id."""
    made = sdk.block_storage.create_volume(name=NAME, size=1).id
    over = ("available", "error")
    look = sdk.block_storage.get_volume
    eventually(lambda: look(made).status in over, "the volume is there or refused", LONG, 1)
    assert look(made).status == state
    return made


def remove_volume(sdk: Any, volume: str) -> None:
    sdk.block_storage.delete_volume(volume)
    find = sdk.block_storage.find_volume
    eventually(lambda: find(volume) is None, "the volume is gone", LONG, 1)


RELATIONS = (
    ("glance", "database", "mariadb"),
    ("glance", "identity-service", "keystone"),
    ("nova", "amqp", "rabbitmq"),
    ("neutron", "ovsdb-cms", "ovn-central"),
    ("cinder-volume", "storage-backend", "cinder"),
    ("hypervisor", "nova-service", "nova"),
    ("hypervisor", "ovsdb-cms", "ovn-central"),
)


@pytest.mark.parametrize(("application", "endpoint", "other"), RELATIONS)
def test_a_relation_is_removed_and_put_back(
    cloud: Cloud, sdk: Any, kept: Kept, application: str, endpoint: str, other: str
):
    """Status says which command puts it back; that very command does."""
    wanted = f"juju integrate {application}:{endpoint} {other}"
    cloud.juju.remove_relation(f"{application}:{endpoint}", other)
    try:
        found = eventually(lambda: blocked(cloud, f"{application}/0"), "status says it", 120, 1)
        assert found["cause"] == f"relation {endpoint} is missing"
        assert found["remedy"] == wanted
        goes_on(kept)
    finally:
        cloud.juju.cli(*wanted.split()[1:])
        healthy(cloud)
    nothing_is_lost(sdk, kept)


def test_the_volume_service_is_removed(cloud: Cloud, sdk: Any, kept: Kept):
    """What needs it fails with a reason, what has a volume keeps it, and `daybreak bootstrap` puts it back."""
    cloud.juju.remove_application("cinder-volume")
    try:
        found = eventually(lambda: trouble(cloud, "cinder-volume"), "status says it", LONG, 2)
        assert "Deploy cinder-volume-k8s: daybreak bootstrap" in found["remedy"]
        eventually(lambda: "cinder-volume" not in cloud.juju.status().apps, "it has gone", LONG, 1)
        goes_on(kept)
        remove_volume(sdk, volume_that_becomes(sdk, "error"))
        steps = {step["title"]: step for step in demo(cloud)["steps"]}
        assert "no back end" in steps["Volume"]["detail"]
    finally:
        eventually(lambda: "cinder-volume" not in cloud.juju.status().apps, "it has gone", LONG, 1)
        done = daybreak(cloud, "bootstrap", "--bundle", BUNDLE)
        assert done.returncode == 0, done.stderr
        healthy(cloud)
    nothing_is_lost(sdk, kept)
