#!/usr/bin/env python3
"""OVN's databases and northd, for Neutron and the hypervisors."""

import logging

import cluster
import ops
import ovn as workload
from cluster import ToolError
from ovn import DATABASES, NB, NORTHD, SB

from daybreak_charm import (
    RETRY,
    Blocked,
    Context,
    DaybreakCharm,
    Description,
    Gate,
    Outcome,
    Ready,
    Tls,
    Waiter,
    Waiting,
    events,
)
from daybreak_interfaces import ovsdb_cms

logger = logging.getLogger(__name__)

CONVERTED = "converted"
"""Key in the application's peer databag: version of OVN whose schemas the databases have."""


def read(context: Context) -> workload.Inputs | Waiting | Blocked:
    """Collect what decides how OVN's central parts run."""
    layout = context.layout(NB.name)
    if layout is None:
        return Blocked("the image does not say its version", "attach an image with a layout file")
    timer, probe = int(context.config["election-timer"]), int(context.config["inactivity-probe"])
    if not 1 <= timer <= 60:
        return Blocked("the option election-timer is out of range", "set it to 1 to 60")
    if probe < 5:
        return Blocked("the option inactivity-probe is out of range", "set it to 5 or more")
    certificate = context.certificate
    assert certificate is not None  # the certificate's gate is open
    return workload.Inputs(
        layout=layout,
        hosts=tuple(cluster.hosts(context)),
        clusters=tuple(str(cluster.known(context, database)) for database in DATABASES),
        certificate=certificate.certificate,
        key=certificate.key,
        ca=certificate.ca,
        six=":" in (context.bind_address or ""),
        election_timer=timer * 1000,
        inactivity_probe=probe * 1000,
    )


def formed(context: Context, _: workload.Inputs) -> Outcome:
    """Whether both databases can be written and northd reaches them; names this unit's parts."""
    said: list[str] = []
    for database in DATABASES:
        status = cluster.ask(context, database)
        if status is None or not status.works:
            trouble = _trouble(context, database, joined=bool(status and status.member))
            return Waiting(trouble, _waiter(database.name, database.schema))
        context.memo[database.name] = status
        _mark(context, database.name, status.role)
        said.append(f"{database.word} {status.role}")
        if len(status.servers) < context.planned:
            said[-1] += f" ({len(status.servers)} of {context.planned} members)"
    role, connected = cluster.ask_northd(context)
    if not connected:
        return Waiting("northd does not reach the databases", _waiter(NORTHD, "-"))
    _mark(context, NORTHD, role)
    # Alone it is everything.
    return Ready(", ".join([*said, f"northd {role}"]) if context.planned > 1 else "")


def _waiter(name: str, schema: str) -> Waiter:
    command = workload.says(name, schema, "connected")
    return Waiter(f"{name}-connected", command=command, container=name)


def _trouble(context: Context, database: workload.Database, *, joined: bool) -> str:
    if not joined:
        return f"joins the {database.word} cluster"
    remedy = f"; if most members are gone for good: juju run {context.unit} recover-cluster"
    return f"the {database.word} cluster has no leader" + (remedy if context.planned > 1 else "")


def _mark(context: Context, name: str, role: str) -> None:
    if context.acting:
        cluster.mark_role(context.container(name), workload.role_file(name), role)


def publish(context: Context, inputs: workload.Inputs) -> Outcome:
    """Tell the clients where this unit is, and keep the clusters as the application is."""
    server = ovsdb_cms.Server(context.fqdn, context.bind_address)
    for relation in context.relations("ovsdb-cms"):
        ovsdb_cms.write_unit(relation.data[context.charm.unit], server)
    try:
        for database in DATABASES:
            status = context.memo[database.name]
            assert isinstance(status, cluster.Status)
            cluster.tend(context, database, status, inputs.election_timer)
        _convert(context, inputs.layout.version)
    except ToolError as error:
        logger.warning("the clusters are not as wanted: %s", error)
        return Waiting(f"the clusters are not as wanted: {error}", RETRY)
    return Ready()


def _convert(context: Context, version: str) -> None:
    """Bring the databases to the schemas of an image that all units have (leader only).

    Until then some unit runs programs that know only the older ones.
    """
    relation = context.peers
    if not context.leader or relation is None or context.peer_app.get(CONVERTED) == version:
        return
    units = {context.charm.unit, *relation.units}
    versions = {relation.data[unit].get("version") for unit in units}
    if len(units) >= context.planned and versions == {version}:
        for database in DATABASES:
            cluster.convert(context, database)
        context.put_peer_app(**{CONVERTED: version})


class OvnCentralCharm(DaybreakCharm):
    """The charm."""

    description = Description(
        containers=(NB.name, SB.name, NORTHD),
        tls=Tls(),
        gates=(Gate("databases", cluster.gate),),
        read=read,
        render=workload.render,
        processes=workload.processes,
        after=formed,
        publish=publish,
        ports=lambda _: [database.port for database in DATABASES],
        version=lambda inputs: inputs.layout.version,
    )

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.stop, self._on_stop)
        framework.observe(self.on.recover_cluster_action, self._on_recover_cluster)

    def _on_stop(self, _: ops.StopEvent) -> None:
        # An application that goes as a whole leaves its storage as it is.
        if self.context.leaving and self.context.planned:
            cluster.leave(self.context)

    def _on_recover_cluster(self, event: ops.ActionEvent) -> None:
        context, empty = self.context, bool(event.params.get("empty"))
        if context.leaving or context.peers is None:
            event.fail("This unit is going away.")
            return
        context.acting = True
        try:
            done = [db.word for db in DATABASES if cluster.recover(context, db, empty=empty)]
        except ToolError as error:
            event.fail(
                f"Nothing can be made of this unit's copy: {error}. Run it on a unit that has one, or with"
                " empty=true to begin anew."
            )
        else:
            event.set_results({"recovered": ",".join(done) or "nothing, both clusters work"})
        finally:
            context.acting = False
        self.again(event)


if __name__ == "__main__":  # pragma: no cover
    events.main(OvnCentralCharm)
