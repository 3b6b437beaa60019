"""What a charm's functions see of the model: read once per dispatch, never stored."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import ops

from daybreak_charm import containers
from daybreak_charm import layout as layouts
from daybreak_charm.effects import Effects
from daybreak_charm.sizing import Machine
from daybreak_interfaces import NotReady, put

if TYPE_CHECKING:
    from daybreak_charm.tls import Certificate


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
    """

    def __init__(self, charm: ops.CharmBase, effects: Effects, *, peers: str = "peers"):
        self.charm = charm
        self.effects = effects
        self.acting = False
        self.needs: dict[str, Any] = {}
        self.certificate: Certificate | None = None
        self.memo: dict[str, object] = {}
        self._peers = peers

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

    @cached_property
    def machine(self) -> Machine:
        """Processors and memory that the unit may count on."""
        return Machine(cpus=os.cpu_count() or 1, memory_mb=_memory_mb())

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
        """Content of a secret; None when it is missing or not granted yet.

        It is that of the revision which this unit tracks: the latest when it is read first, and the
        latest again after each secret-changed, in which the loop moves on before anything else. So
        one call of a hook tool is enough.
        """
        try:
            return self.charm.model.get_secret(id=secret_id).get_content()
        except (ops.SecretNotFoundError, ops.ModelError):
            return None

    def own_secret(self, secret_id: str) -> Mapping[str, str] | None:
        """Latest content of a secret of the application; None when it cannot be read.

        The owner hears of no change, and a unit that led before tracks what it wrote then: a leader
        that trusted its tracked revision could bring a credential back that was rotated out.
        """
        try:
            return self.charm.model.get_secret(id=secret_id).peek_content()
        except (ops.SecretNotFoundError, ops.ModelError):
            return None

    def app_secret(self, key: str, content: Mapping[str, str] | None = None) -> str | None:
        """Id of a secret of the application, found by its id in the application's peer databag.

        Args:
            key: Key in the peer databag.
            content: What to make it with when it is missing; only the leader makes it.

        Returns:
            The id, None when it is missing and was not made.
        """
        secret_id = self.peer_app.get(key)
        if secret_id or content is None or not self.leader or self.peers is None:
            return secret_id or None
        secret = self.charm.app.add_secret(dict(content))
        put(self.peers.data[self.charm.app], {key: secret.id})
        return secret.id

    def grant(
        self, relation: ops.Relation, key: str, content: Mapping[str, str] | None
    ) -> str | None:
        """A secret of the application for the other side of one relation (leader only).

        It is granted before its id is returned. Its id is kept in the application's own databag of
        the
        relation under `key`, where the caller publishes it, too, if the interface uses that key.

        Args:
            relation: Who may read it.
            key: Key in the application's own databag of the relation.
            content: Wanted content; None only looks the id up. Same content makes no new revision.

        Returns:
            The id, None when it is missing and was not made.
        """
        bag = relation.data[self.charm.app]
        secret_id = bag.get(key)
        if content is None:
            return secret_id
        if secret_id:
            try:
                secret = self.charm.model.get_secret(id=secret_id)
                if secret.peek_content() != dict(content):
                    secret.set_content(dict(content))
            except (ops.SecretNotFoundError, ops.ModelError):
                secret_id = None
            else:
                return secret_id
        secret = self.charm.app.add_secret(dict(content))
        secret.grant(relation)
        put(bag, {key: secret.id})
        return secret.id


def _dashed(values: Mapping[str, str | None]) -> dict[str, str | None]:
    return {key.replace("_", "-"): value for key, value in values.items()}


def _memory_mb() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 2048


__all__ = ["Context", "NotReady"]
