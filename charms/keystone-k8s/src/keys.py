"""Rings of keys: those that sign tokens (Fernet), and those that encrypt stored credentials.

A ring is a secret of the application. Its key 0 is staged: every unit reads with it and none writes
with it; the highest one writes; those between only read. A rotation makes the staged key the one that
writes, so it is made only when every unit has the staged key; that is read from the units'
databags, not remembered. A key goes when nothing that it wrote can be valid any more.
"""

import base64
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from daybreak_charm import Context, rotation

FERNET = "fernet-keys"
CREDENTIAL = "credential-keys"
# Seconds for requests that began with the key before, and for clocks that differ.
MARGIN = 120.0


@dataclass(frozen=True)
class Ring:
    """Keys by their number, and since when each one that left key 0 behind writes.

    Attributes:
        keys: As Keystone's files hold them.
        since: Seconds since the epoch, by the numbers above 0.
        revoked: Number of the key that was primary when all before it were dropped; 0 when none ever were.
    """

    keys: Mapping[int, str] = field(repr=False)
    since: Mapping[int, float]
    revoked: int = 0

    @property
    def primary(self) -> int:
        """Number of the key that writes."""
        return max(self.keys)

    @property
    def digest(self) -> str:
        """What Keystone writes beside a credential that the primary key encrypted."""
        return hashlib.sha1(self.keys[self.primary].encode(), usedforsecurity=False).hexdigest()

    @property
    def old(self) -> list[int]:
        """Numbers of the keys that only read and did write."""
        return sorted(set(self.keys) - {0, self.primary})

    def files(self) -> dict[str, str]:
        """Keys by the names of their files, the newest first.

        In this order the key that was staged has its new name before it loses the old one.
        """
        return {str(number): self.keys[number] for number in sorted(self.keys, reverse=True)}

    def content(self) -> dict[str, str]:
        """As a secret holds it."""
        keys = {f"key-{number}": key.rstrip("=") for number, key in self.keys.items()}
        revoked = {"revoked": str(self.revoked)} if self.revoked else {}
        return keys | {"since": json.dumps(self.since, sort_keys=True)} | revoked


def parse(content: Mapping[str, str]) -> Ring:
    """Read a secret."""
    keys = {
        int(name.removeprefix("key-")): key + "=" * (-len(key) % 4)
        for name, key in content.items()
        if name.startswith("key-")
    }
    since = {
        int(number): float(at) for number, at in json.loads(content.get("since", "{}")).items()
    }
    times = {number: since.get(number, 0.0) for number in keys if number}
    return Ring(keys, times, int(content.get("revoked", "0")))


def key(random: bytes) -> str:
    """A key made of 32 random bytes."""
    return base64.urlsafe_b64encode(random).decode()


def new(now: float, staged: str, primary: str) -> Ring:
    """The first ring."""
    return Ring({0: staged, 1: primary}, {1: now})


def rotated(ring: Ring, now: float, staged: str) -> Ring:
    """The staged key writes from now on, and a new one is staged."""
    number = ring.primary + 1
    return Ring(
        {**ring.keys, 0: staged, number: ring.keys[0]},
        {**ring.since, number: now},
        ring.revoked,
    )


def revoked(ring: Ring, now: float, staged: str, primary: str) -> Ring:
    """None of the keys is left: what they wrote is void."""
    number = ring.primary + 1
    return Ring({0: staged, number: primary}, {number: now}, number)


def pruned(ring: Ring, now: float, keep: float) -> Ring:
    """Without the keys whose successor writes for longer than this.

    Args:
        ring: The ring.
        now: Seconds since the epoch.
        keep: Seconds for which something that a key wrote can be valid.
    """
    numbers = sorted(ring.since)
    gone = {
        number
        for number, successor in itertools.pairwise(numbers)
        if ring.since[successor] + keep + MARGIN <= now
    }
    if not gone:
        return ring
    return Ring(
        {number: text for number, text in ring.keys.items() if number not in gone},
        {number: at for number, at in ring.since.items() if number not in gone},
        ring.revoked,
    )


def due(ring: Ring, now: float, policy: str) -> bool:
    """Whether the key that writes is older than the policy allows."""
    return now >= ring.since[ring.primary] + rotation.PERIODS[policy]


def read(context: Context, name: str) -> Ring | None:
    """The ring in a secret of the application; None when it cannot be read."""
    secret_id = context.app_secret(name)
    content = context.secret(secret_id) if secret_id else None
    return parse(content) if content else None


def blocks(context: Context, name: str, ring: Ring) -> str:
    """Why the ring must not be rotated yet; "" when it may be."""
    if late := context.lagging(context.app_secret(name) or ""):
        return f"the last change is not everywhere yet ({', '.join(late)})"
    if name == CREDENTIAL and ring.old:
        return "the rotation before is not finished: its credentials are being encrypted anew"
    return ""


def write(context: Context, name: str, ring: Ring) -> None:
    """Publish a ring (leader only)."""
    context.set_secret(context.app_secret(name) or "", ring.content())
    context.new_generation()


def tend(context: Context, name: str, ring: Ring, *, keep: float, staged: str) -> None:
    """Do what time demands of a ring: drop keys whose time is over, rotate when due (leader only).

    Args:
        context: This dispatch.
        name: Which ring.
        ring: As it is.
        keep: Seconds for which something that a key wrote can be valid.
        staged: The key that a rotation stages.
    """
    now = context.effects.now()
    wanted = pruned(ring, now, keep)
    if due(wanted, now, str(context.config[f"{name.partition('-')[0]}-rotation"])) and not blocks(
        context, name, wanted
    ):
        wanted = rotated(wanted, now, staged)
    if wanted != ring:
        write(context, name, wanted)
