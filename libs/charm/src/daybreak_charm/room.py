"""Whether the volumes of a unit have room: a check of Pebble for each, so that a full one is told of at once.

What runs on a full volume fails in its own words, or does not start at all. The status names the volume instead.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ops import pebble

from daybreak_charm import containers
from daybreak_charm.description import Check
from daybreak_charm.outcome import Blocked, Outcome, Ready

if TYPE_CHECKING:
    from daybreak_charm.context import Context

ENOUGH_KIB = 1 << 20
"""Free space of which no volume is called full, however large."""
SHARE = 20
"""One part in so many is enough for a small one."""
_NAME = "room-"


def checks(context: "Context", container: str) -> dict[str, dict[str, Any]]:
    """The checks of a container's volumes as Pebble's plan has them."""
    return {
        check.name: containers.check_dict(check)
        for check in (_check(*volume) for volume in _volumes(context, container))
    }


def look(context: "Context", names: Sequence[str]) -> Outcome:
    """Whether every volume of these containers has room, as far as is known."""
    for name in names:
        volumes = _volumes(context, name)
        container = context.container(name)
        if not volumes or not container.can_connect():
            continue
        infos = container.get_checks()
        for storage, path in volumes:
            info = infos.get(_NAME + storage)
            if info and info.status is pebble.CheckStatus.DOWN:
                return Blocked(
                    f"the volume {storage} ({path}) is full",
                    "remove what is not needed, or make it larger; it goes on by itself",
                )
    return Ready()


def _volumes(context: "Context", container: str) -> list[tuple[str, str]]:
    """Return name and path of each storage in a container."""
    mounts = context.charm.meta.containers[container].mounts
    return [(name, place) for name, mount in mounts.items() for place in mount.locations[:1]]


def _check(storage: str, path: str) -> Check:
    free = f"set -- $(df -k --output=avail,size {path} | tail -n 1)"
    enough = f'[ "$1" -ge {ENOUGH_KIB} ] || [ "$(($1 * {SHARE}))" -ge "$2" ]'
    return Check(_NAME + storage, command=f"sh -c '{free}; {enough}'", period="10s", threshold=1)
