"""What a charm's functions see of the model: read once per dispatch, never stored."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import ops

from daybreak_charm import containers
from daybreak_charm import layout as layouts
from daybreak_charm.effects import Effects
from daybreak_charm.sizing import Machine, cpu_limit, memory_limit
from daybreak_interfaces import NotReady, put

if TYPE_CHECKING:
    from daybreak_charm.tls import Certificate

_CGROUP = "/sys/fs/cgroup"
_MEMORY = ((f"{_CGROUP}/memory.max",), (f"{_CGROUP}/memory/memory.limit_in_bytes",))
_CPUS = (
    (f"{_CGROUP}/cpu.max",),
    (f"{_CGROUP}/cpu/cpu.cfs_quota_us", f"{_CGROUP}/cpu/cpu.cfs_period_us"),
)
"""Files that say what a container may use, of version 2 and version 1 of control groups."""
APPLIED = "applied"
"""Key in a unit's peer databag: digests of the secrets that its processes run with, by bare id."""
GENERATION = "generation"
"""Key in peer databags: a number that grows when a secret of the application is rotated."""
ROTATION = "rotation"
"""Key in the application's peer databag: rotation policies that were set, by bare id."""


class Context:
    """One dispatch's view of the model.

    Attributes:
        charm: The charm object of ops.
        effects: Time, probes, database connections.
        acting: Whether the loop runs; false while only the status is wanted. A gate may change
            things
            only when it is true.
        needs: Value of each need that is open, by endpoint; a tuple for `many`.
        certificate: The unit's certificate, None before it has one.
        memo: For a charm's functions, to ask something expensive only once per dispatch.
        changed: Whether a secret was written, or lived by for the first time, since the loop began:
            then it runs once more.
    """

    def __init__(self, charm: ops.CharmBase, effects: Effects, *, peers: str = "peers"):
        self.charm = charm
        self.effects = effects
        self.acting = False
        self.needs: dict[str, Any] = {}
        self.certificate: Certificate | None = None
        self.memo: dict[str, object] = {}
        self.changed = False
        self._peers = peers
        self._read: dict[str, dict[str, str] | None] = {}
        self._machines: dict[str, Machine] = {}
        self._ids: dict[str, str] = {}
        self._made: dict[str, str] = {}

    @property
    def unit(self) -> str:
        """Name of this unit, such as `keystone/0`."""
        return self.charm.unit.name

    @property
    def app(self) -> str:
        """Name of this application."""
        return self.charm.app.name

    @property
    def model(self) -> str:
        """Name of the model, which is the namespace, too."""
        return self.charm.model.name

    @property
    def ordinal(self) -> int:
        """Number of this unit."""
        return int(self.unit.rpartition("/")[2])

    @cached_property
    def planned(self) -> int:
        """Number of units that the application shall have."""
        return self.charm.app.planned_units()

    @property
    def leaving(self) -> bool:
        """Whether this unit is going away: it publishes and changes nothing any more."""
        return self.ordinal >= self.planned

    @property
    def leader(self) -> bool:
        """Whether this unit leads, now."""
        return self.charm.unit.is_leader()

    @property
    def config(self) -> Mapping[str, bool | int | float | str]:
        """The charm's options."""
        return self.charm.config

    @property
    def domain(self) -> str:
        """DNS domain of the model's services."""
        return f"{self.model}.svc.cluster.local"

    @property
    def fqdn(self) -> str:
        """Stable DNS name of this unit."""
        return self.unit_fqdn(self.unit)

    @property
    def service_fqdn(self) -> str:
        """DNS name of the application's service address."""
        return f"{self.app}.{self.domain}"

    def unit_fqdn(self, unit: str) -> str:
        """Stable DNS name of a unit of this model, such as `mariadb/0`."""
        app, _, number = unit.rpartition("/")
        return f"{app}-{number}.{app}-endpoints.{self.domain}"

    @cached_property
    def bind_address(self) -> str | None:
        """This unit's own address; None in the first moments of a unit."""
        try:
            binding = self.charm.model.get_binding(self._peers)
            address = binding.network.bind_address if binding else None
        except (ops.ModelError, ops.RelationNotFoundError):
            return None
        return str(address) if address else None

    def machine(self, container: str) -> Machine:
        """Processors and memory that a workload container may count on; the machine's while it does not answer."""
        if container not in self._machines:
            processors = os.cpu_count() or 1
            memory = memory_limit(self._limit(container, _MEMORY))
            self._machines[container] = Machine(
                cpus=min(processors, cpu_limit(self._limit(container, _CPUS)) or processors),
                memory_mb=_memory_mb(),
                limit_mb=memory // 2**20 if memory else None,
            )
        return self._machines[container]

    def _limit(self, container: str, versions: Sequence[Sequence[str]]) -> str:
        """What the files of the first version that is there say; empty without one."""
        for paths in versions:
            with suppress(ops.pebble.PathError, ops.pebble.ConnectionError):
                return " ".join(containers.read_text(self.container(container), p) for p in paths)
        return ""

    def container(self, name: str) -> ops.Container:
        """A workload container."""
        return self.charm.unit.get_container(name)

    def layout(self, container: str) -> layouts.Layout | None:
        """Layout of a container's image; None when it has no layout file."""
        try:
            return layouts.parse(containers.read_text(self.container(container), layouts.PATH))
        except ops.pebble.PathError:
            return None

    @property
    def peers(self) -> ops.Relation | None:
        """The peer relation; None before it is created."""
        return self.charm.model.get_relation(self._peers)

    @property
    def peer_app(self) -> Mapping[str, str]:
        """The application's peer databag, readable by every unit."""
        relation = self.peers
        return relation.data[self.charm.app] if relation else {}

    @property
    def peer_unit(self) -> Mapping[str, str]:
        """This unit's peer databag."""
        relation = self.peers
        return relation.data[self.charm.unit] if relation else {}

    def put_peer_app(self, **values: str | None) -> None:
        """Write the application's peer databag (leader only); `_` in a key becomes `-`."""
        if relation := self.peers:
            put(relation.data[self.charm.app], _dashed(values))

    def put_peer_unit(self, **values: str | None) -> None:
        """Write this unit's peer databag; `_` in a key becomes `-`."""
        if relation := self.peers:
            put(relation.data[self.charm.unit], _dashed(values))

    def relations(self, endpoint: str) -> list[ops.Relation]:
        """Relations of an endpoint that are whole; a broken one is no input."""
        found = self.charm.model.relations.get(endpoint, [])
        # In a hook that follows a restart of the agent, a broken relation may have no application.
        return [r for r in found if r.active and cast("object", r.app) is not None]

    def remote_app(self, relation: ops.Relation) -> Mapping[str, str]:
        """The other application's databag."""
        return relation.data[relation.app]

    def remote_units(self, relation: ops.Relation) -> list[Mapping[str, str]]:
        """Databags of the other units, in the order of their names."""
        units = sorted(relation.units, key=lambda u: (len(u.name), u.name))
        return [relation.data[unit] for unit in units]

    def secret(self, secret_id: str) -> Mapping[str, str] | None:
        """Latest content of a secret, own or granted; None when it is missing or not granted yet.

        Reading moves nothing: the unit keeps tracking the revision that its processes run with, and
        `settle` moves on when they run with this one. So the owner's secret-remove means that
        every unit has moved. Asked once per dispatch.
        """
        name = bare(secret_id)
        if name not in self._read:
            self._ids[name] = secret_id
            try:
                self._read[name] = self._get(secret_id, peek=True)
            except (ops.SecretNotFoundError, ops.ModelError):
                self._read[name] = None
        return self._read[name]

    def set_secret(self, secret_id: str, content: Mapping[str, str]) -> None:
        """Give a secret of the application or the unit its next revision.

        The loop runs once more after a dispatch that did this, so that this unit itself lives by
        what it wrote: its owner hears of no change.
        """
        self.charm.model.get_secret(id=secret_id).set_content(dict(content))
        self._read[bare(secret_id)] = dict(content)
        self.changed = True

    def rotates(self, policy: str, *secret_ids: str) -> None:
        """Have Juju send secret-rotate for these secrets of the application (leader only).

        Args:
            policy: `never`, `hourly`, `daily`, `weekly`, `monthly`, `quarterly` or `yearly`.
            secret_ids: Secrets that exist.
        """
        known: dict[str, str] = json.loads(self.peer_app.get(ROTATION, "{}"))
        wanted = {bare(secret_id): policy for secret_id in secret_ids}
        made = {key: self._made.get(key, "never") for key in wanted}
        late = {key for key, value in wanted.items() if (made | known)[key] != value}
        for secret_id in secret_ids:
            if bare(secret_id) in late:
                secret = self.charm.model.get_secret(id=secret_id)
                secret.set_info(rotate=ops.SecretRotate(policy))
        if (known | wanted) != known and (peers := self.peers):
            put(peers.data[self.charm.app], {ROTATION: json.dumps(known | wanted, sort_keys=True)})

    def settle(self) -> None:
        """Say, to Juju and to the other units, that the processes run with the secrets that were read.

        The digest of what this unit lives by is in its peer databag, by the secret's id: so a move
        that a killed hook or a wait for the roll left open is found again. A unit that led before
        follows the secrets that only a leader reads, too, or it would keep their old revisions.
        """
        bag = self.peer_unit
        before: dict[str, str] = json.loads(bag.get(APPLIED, "{}"))
        after = {
            name: containers.digest(content)
            for name, content in self._read.items()
            if content is not None
        }
        late = {name for name, digest in after.items() if before.get(name) != digest}
        unread = before.keys() - self._read.keys()
        generation = self.peer_app.get(GENERATION, "")
        if generation != bag.get(GENERATION, ""):
            late |= unread
        after |= {name: before[name] for name in unread}
        for name in sorted(late):
            try:
                content = self._get(self._ids.get(name, f"secret:{name}"), refresh=True)
            except (ops.SecretNotFoundError, ops.ModelError):
                after.pop(name)
                continue
            if name in unread:
                after[name] = containers.digest(content)
        if after != before or late:
            # What waits for the move of every unit may wait for this one alone.
            self.changed = True
            self.put_peer_unit(
                **{APPLIED: json.dumps(after, sort_keys=True), GENERATION: generation or None}
            )

    def lagging(self, secret_id: str) -> list[str]:
        """Units whose processes do not run with the latest content of a secret yet.

        A planned unit that is not there yet counts as its application's name.
        """
        content, relation = self.secret(secret_id), self.peers
        if relation is None or content is None:
            return [self.app]
        wanted = containers.digest(content)
        bags: dict[str, Mapping[str, str]] = {u.name: relation.data[u] for u in relation.units}
        bags[self.unit] = self.peer_unit
        missing = [self.app] * (self.planned - len(bags))
        return missing + sorted(
            name
            for name, bag in bags.items()
            if json.loads(bag.get(APPLIED, "{}")).get(bare(secret_id)) != wanted
        )

    def app_secret(
        self, key: str, content: Mapping[str, str] | None = None, *, rotate: str = "never"
    ) -> str | None:
        """Id of a secret of the application, found by its id in the application's peer databag.

        Args:
            key: Key in the peer databag.
            content: What to make it with when it is missing; only the leader makes it.
            rotate: Its first rotation policy; `rotates` follows later ones.

        Returns:
            The id, None when it is missing and was not made.
        """
        secret_id = self.peer_app.get(key)
        if secret_id or content is None or not self.leader or self.peers is None:
            return secret_id or None
        return self._add(self.peers.data[self.charm.app], key, content, rotate).id

    def grant(
        self,
        relation: ops.Relation,
        key: str,
        content: Mapping[str, str] | None,
        *,
        rotate: str = "never",
    ) -> str | None:
        """A secret of the application for the other side of one relation (leader only).

        It is granted before its id is returned. Its id is kept in the application's own databag of
        the
        relation under `key`, where the caller publishes it, too, if the interface uses that key.

        Args:
            relation: Who may read it.
            key: Key in the application's own databag of the relation.
            content: Wanted content; None only looks the id up. Same content makes no new revision.
            rotate: Its first rotation policy; `rotates` follows later ones.

        Returns:
            The id, None when it is missing and was not made.
        """
        bag = relation.data[self.charm.app]
        secret_id = bag.get(key)
        if content is None:
            return secret_id
        if secret_id and (known := self.secret(secret_id)) is not None:
            if known != dict(content):
                self.set_secret(secret_id, content)
                self.new_generation()
            return secret_id
        secret = self._add(bag, key, content, rotate)
        secret.grant(relation)
        return secret.id

    def new_generation(self) -> None:
        """Tell every unit that secrets of the application have a new revision (leader only)."""
        count = int(self.peer_app.get(GENERATION) or 0) + 1
        self.put_peer_app(**{GENERATION: str(count)})

    def _add(
        self, bag: "ops.RelationDataContent", key: str, content: Mapping[str, str], rotate: str
    ) -> ops.Secret:
        policy = None if rotate == "never" else ops.SecretRotate(rotate)
        secret = self.charm.app.add_secret(dict(content), rotate=policy)
        self._made[bare(secret.id or "")] = rotate
        put(bag, {key: secret.id})
        self._read[bare(secret.id or "")] = dict(content)
        return secret

    def _get(self, secret_id: str, *, peek: bool = False, refresh: bool = False) -> dict[str, str]:
        # Model.get_secret reads the tracked revision first: a process more each time.
        backend = self.charm.model._backend  # pyright: ignore[reportPrivateUsage]
        return backend.secret_get(id=secret_id, peek=peek, refresh=refresh)


def bare(secret_id: str) -> str:
    """A secret's id without what stands in front of it; Juju and ops spell it in three ways."""
    return secret_id.rpartition("/")[2].rpartition(":")[2]


def _dashed(values: Mapping[str, str | None]) -> dict[str, str | None]:
    return {key.replace("_", "-"): value for key, value in values.items()}


def _memory_mb() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 2048


__all__ = ["Context", "NotReady"]
