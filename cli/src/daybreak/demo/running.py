"""The demo from its first step to its last, and its removal."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import api, bootstrap
from ..errors import DaybreakError
from . import EXTERNAL, NAME, TAG, Demo, Wanted, making, marked, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..work import Work

STEPS = (
    ("Look at the cloud", making.services),
    ("Image", making.image),
    ("External network", making.external),
    ("Project network", making.project),
    ("Router", making.router),
    ("Flavour", making.flavour),
    ("Key", making.key),
    ("Security group", making.group),
    ("Server", making.server),
    ("Floating address", making.floating),
    ("Volume", making.volume),
)
SSH = 22
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 180.0
"""How long a server may take to boot; without KVM a distribution's image takes two minutes."""
LAST_LINES = 15
SOON = 10.0
"""Seconds that are given to what will hardly come."""


@dataclass(frozen=True)
class Result:
    """How the server is reached.

    Attributes:
        server: Its id.
        address: Its floating address.
        key: Path of the private key.
        ssh: The command that logs in.
        volume: Id of its volume; empty when it has none.
        reached: Whether it answers from here.
    """

    server: str
    address: str
    key: str
    ssh: str
    volume: str
    reached: bool


def begin(work: Work, wanted: Wanted) -> Demo:
    """Log in.

    Raises:
        DaybreakError: There is no account, or Keystone does not take it.
    """
    account = bootstrap.fetch_access(work.juju, work.status())
    cloud = api.connect(account, bootstrap.write_authority(work.instance, account))
    return Demo(work, cloud, wanted, api.services(cloud))


def make(demo: Demo) -> Result:
    """Make what is missing.

    Raises:
        DaybreakError: A step could not be done; those before it stay, and a further run goes on.
    """
    for title, step in STEPS:
        what = title.lower() if " at " in title else f"make the {title.lower()}"
        with demo.work.step(title) as said, api.explained(what):
            said += step(demo)
    with demo.work.step("Answer") as said:
        reached = _answer(demo)
        said += ("done" if reached else "warning", _answered(demo, reached))
    demo.keys.write_config(demo.made["address"], demo.wanted.user)
    user = "" if demo.wanted.user else "-l USER "
    volume = demo.made.get("volume")
    return Result(
        demo.made["server"].id,
        demo.made["address"],
        str(demo.keys.private),
        f"ssh -F {demo.keys.config} {user}{NAME}",
        volume.id if volume else "",
        reached,
    )


def _answer(demo: Demo) -> bool:
    """Wait until the server takes connections for ssh; False when time is up."""
    address = demo.made["address"]

    def look() -> str:
        try:
            with socket.create_connection((address, SSH), timeout=CONNECT_SECONDS):
                return ""
        except ConnectionRefusedError:
            return f"{address} is reached, and starts still: nothing answers on port {SSH} yet"
        except OSError as error:
            return f"{address} is not reached yet: {error.strerror or error}"

    try:
        until(demo.work, "no answer", look, making.AGAIN, ANSWER_SECONDS)
    except DaybreakError:
        return False
    return True


def _answered(demo: Demo, reached: bool) -> str:
    address = demo.made["address"]
    if reached:
        return f"{address} takes connections for ssh"
    for line in console(demo)[-LAST_LINES:]:
        demo.work.report.line(f"console: {line}")
    return f"{address} does not take connections for ssh from here; the server's console is above"


def console(demo: Demo) -> list[str]:
    """Return what the server wrote to its console; empty when that cannot be had."""
    with contextlib.suppress(DaybreakError), api.explained("read the console"):
        found = demo.cloud.compute.get_server_console_output(demo.made["server"].id, length=50)
        return [line for line in str(found["output"]).splitlines() if line.strip()]
    return []


# --- the end ----------------------------------------------------------------------------------


def clean_up(demo: Demo) -> tuple[str, ...]:
    """Remove what the demo has made, and nothing else.

    Returns:
        What was removed.

    Raises:
        DaybreakError: Something is left over; what could be removed, is.
    """
    removed: list[str] = []
    left: list[DaybreakError] = []
    for title, find, remove in _removals(demo, left):
        try:
            with demo.work.step(title) as said, api.explained(f"remove the {title.lower()}"):
                found = find()
                if found is None:
                    said += ("there", "none")
                    continue
                remove(found)
                said.append("removed")
                removed.append(title.lower())
        except DaybreakError as error:
            left.append(error)
    if left:
        raise DaybreakError(
            f"{len(left)} of the demo's parts could not be removed",
            details=tuple(error.message for error in left),
            remedy="What else uses them has to go first; then run the command again.",
        )
    if demo.keys.remove():
        removed.append("key's files")
    return tuple(removed)


Removal = tuple[str, "Callable[[], Any]", "Callable[[Any], Any]"]


def _removals(demo: Demo, left: Sequence[DaybreakError]) -> Iterator[Removal]:
    """Yield each part with how it is found and removed, users before what they use.

    Args:
        demo: What there is.
        left: What could not be removed until then.
    """
    cloud, types = demo.cloud, demo.types
    if "network" in types:
        yield "Floating address", lambda: marked(cloud.network.ips()), cloud.network.delete_ip
    if "compute" in types:
        yield "Server", lambda: making.server_found(demo), lambda item: _server(demo, item)
    if "block-storage" in types:
        yield (
            "Volume",
            lambda: marked(cloud.block_storage.volumes(name=NAME)),
            # Where its server could not be removed it will not be free.
            lambda v: _volume(demo, v, SOON if left else None),
        )
    if "network" in types:
        network = cloud.network
        yield "Router", lambda: marked(network.routers(name=NAME)), lambda item: _router(demo, item)
        yield "Project network", lambda: marked(network.networks(name=NAME)), network.delete_network
        yield (
            "Security group",
            lambda: marked(network.security_groups(name=NAME)),
            network.delete_security_group,
        )
    if "compute" in types:
        yield "Key", lambda: _key(demo), cloud.compute.delete_keypair
        yield (
            "Flavour",
            lambda: marked(cloud.compute.flavors(details=True)),
            cloud.compute.delete_flavor,
        )
    if "image" in types:
        yield (
            "Image",
            lambda: next(iter(cloud.image.images(name=NAME, tag=[TAG])), None),
            cloud.image.delete_image,
        )
    if "network" in types:
        yield (
            "External network",
            lambda: marked(cloud.network.networks(name=EXTERNAL)),
            cloud.network.delete_network,
        )


def _server(demo: Demo, server: Any) -> None:
    compute = demo.cloud.compute
    compute.delete_server(server.id)
    making.gone(
        demo, "the server is not gone", lambda: compute.find_server(server.id, ignore_missing=True)
    )


def _volume(demo: Demo, volume: Any, limit: float | None) -> None:
    storage = demo.cloud.block_storage

    def look() -> str:
        now = storage.get_volume(volume.id)
        return (
            f"the volume is {now.status}"
            if now.status.endswith("ing") or now.status == "in-use"
            else ""
        )

    until(demo.work, "the volume is still at a server", look, making.AGAIN, limit)
    storage.delete_volume(volume.id)
    making.gone(demo, "the volume is not gone", lambda: storage.find_volume(volume.id))


def _router(demo: Demo, router: Any) -> None:
    network = demo.cloud.network
    for port in network.ports(device_id=router.id):
        if port.device_owner != "network:router_gateway":
            network.remove_interface_from_router(router, port_id=port.id)
    network.delete_router(router)


def _key(demo: Demo) -> Any | None:
    """Return the key if it is that of the instance's file."""
    public = demo.keys.public()
    found = next((item for item in demo.cloud.compute.keypairs() if item.name == NAME), None)
    if found is None or not public or making.body(found.public_key) != making.body(public):
        return None
    return found
