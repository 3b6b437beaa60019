#!/usr/bin/env python3
"""MariaDB with a proxy of its own, for whoever relates to it."""

import logging
from dataclasses import dataclass, field

import accounts
import galera
import mariadb
import ops
import proxy
import recovery
from ops import pebble

from daybreak_charm import (
    RETRY,
    Blocked,
    Check,
    Context,
    DaybreakCharm,
    Description,
    File,
    Folder,
    Gate,
    Outcome,
    Process,
    Ready,
    Tls,
    Waiter,
    Waiting,
    events,
    online,
    rotation,
    up,
)

logger = logging.getLogger(__name__)

SERVER = accounts.CONTAINER
PROXY = "proxy"
# Seconds that a hook itself waits, and between two looks.
_IN_HOOK, _STEP = 5.0, 0.1


@dataclass(frozen=True)
class Inputs:
    """Everything that decides how MariaDB and its proxy run."""

    member: galera.Member
    cluster: str
    """Name of the cluster."""
    sizes: mariadb.Sizes
    hosts: tuple[str, ...]
    """All members that there can be, in the order of their units."""
    tls_bundle: str = field(repr=False)
    tls_ca: str = field(repr=False)
    server_user: str = "mysql"
    proxy_user: str = "haproxy"
    version: str = ""
    hint: str = ""
    """Why a database is refused to a relation, and that two units are no better than one."""


def prepare(context: Context) -> Outcome:
    """Have the data directory made while everything else goes on: it waits for nothing."""
    if context.ordinal >= galera.MAX_UNITS:
        return Blocked(
            f"a cluster has at most {galera.MAX_UNITS} units",
            f"juju scale-application {context.app} {galera.MAX_UNITS}",
        )
    container = context.container(SERVER)
    if not context.acting or container.exists(str(mariadb.DATA)):
        return Ready()
    if not recovery.founder(context):
        if context.planned == 1:
            return Blocked(
                "the volume is empty, and this unit had data",
                "put the volume back, or a copy of its directory `data`",
            )
        container.exec(list(mariadb.JOIN_COMMAND)).wait()
        return Ready()
    service: ops.pebble.ServiceDict = {
        "override": "replace",
        "summary": "makes the data directory, once",
        "command": mariadb.PREPARE_COMMAND,
        "startup": "disabled",
        # Pebble takes an end within a second for a failed start; with `ignore` that is harmless.
        "on-success": "ignore",
        "on-failure": "restart",
    }
    if "prepare" not in container.get_plan().services:
        container.add_layer("prepare", {"services": {"prepare": service}})
        container.pebble.start_services(["prepare"], timeout=0)
    return Ready()


def prepared(context: Context) -> Outcome:
    """Whether the data directory is there; a short rest of its making is waited for."""
    container = context.container(SERVER)
    waited = 0.0
    while not container.exists(str(mariadb.DATA)):
        if not context.acting or waited >= _IN_HOOK:
            waiter = Waiter("data", command=f"test -d {mariadb.DATA}", container=SERVER)
            return Waiting("the data directory is being made", waiter)
        context.effects.sleep(_STEP)
        waited += _STEP
    return Ready()


def read(context: Context) -> Inputs | Waiting | Blocked:
    """Return what the options, the machine, the images and the relations say."""
    if wrong := rotation.refused("rotation", str(context.config["rotation"])):
        return wrong
    try:
        sizes = mariadb.sizes(
            context.machine(SERVER),
            max_connections=int(context.config["max-connections"]),
            buffer_pool_mib=int(context.config["buffer-pool-mib"]),
        )
    except mariadb.InvalidError as error:
        return Blocked("an option is negative", str(error))
    assert context.certificate  # the certificate's gate is open
    server, outside = context.layout(SERVER), context.layout(PROXY)
    hosts = tuple(context.unit_fqdn(f"{context.app}/{n}") for n in range(galera.MAX_UNITS))
    hints = [accounts.refused(context)]
    if context.planned == 2:
        hints.append(f"two units stop when one is lost: juju scale-application {context.app} 3")
    return Inputs(
        member=galera.Member(
            context.unit.replace("/", "-"),
            context.fqdn,
            tuple(host for host in hosts if host != context.fqdn),
        ),
        cluster=f"{context.model}-{context.app}"[:32],
        sizes=sizes,
        hosts=hosts,
        tls_bundle=context.certificate.key + context.certificate.certificate,
        tls_ca=context.certificate.ca,
        server_user=server.user if server else "mysql",
        proxy_user=outside.user if outside else "haproxy",
        version=server.version if server else "",
        hint="; ".join(filter(None, hints)),
    )


def render(inputs: Inputs) -> list[File | Folder]:
    """Return the files of both containers."""
    owner = inputs.server_user
    options = mariadb.settings(inputs.sizes, inputs.member, inputs.cluster)
    programs = galera.programs(inputs.member)
    return [
        File(
            str(proxy.CONFIG),
            proxy.config(inputs.hosts, mariadb.SERVER_PORT),
            on_change="reload",
            container=PROXY,
        ),
        File(str(proxy.HOLD), proxy.HOLD_LUA, on_change="reload", container=PROXY),
        # A socket that a killed server left must be removable by the next one.
        Folder(str(mariadb.RUN), user=owner, group=owner),
        # They are read at the next start, or each time: nothing that runs has to begin again.
        *(File(str(path), text, on_change="none") for path, text in programs.items()),
        File(str(mariadb.CONFIG), mariadb.render(options)),
        File(str(galera.CA), inputs.tls_ca, on_change="reload"),
        File(
            str(mariadb.TLS_BUNDLE),
            inputs.tls_bundle,
            mode=0o600,
            user=owner,
            group=owner,
            on_change="reload",
        ),
    ]


def processes(inputs: Inputs) -> list[Process]:
    """Return the server and the proxy."""
    outside = Process(
        "proxy",
        proxy.COMMAND,
        container=PROXY,
        user=inputs.proxy_user,
        group=inputs.proxy_user,
        checks=(
            # Not whether there is a writer: while there is none, sessions wait in here.
            online(
                http=f"http://127.0.0.1:{proxy.HEALTH_PORT}/ready", name="proxy-online", threshold=2
            ),
            up(tcp=proxy.HEALTH_PORT, name="proxy-up"),
        ),
        reload="SIGUSR2",
        drain=proxy.DRAIN,
    )
    server = Process(
        "mariadb",
        galera.SERVER_COMMAND,
        container=SERVER,
        user=inputs.server_user,
        group=inputs.server_user,
        checks=(
            # A server that is gone is noticed by its connections: these are slow, for a busy machine is no fault.
            Check(
                "online", command=mariadb.ONLINE_COMMAND, level="ready", period="3s", timeout="3s"
            ),
            Check("writer", command=galera.WRITER_COMMAND, period="3s", timeout="3s", threshold=2),
            Check(
                "up",
                command=mariadb.UP_COMMAND,
                restart=True,
                period="30s",
                timeout="20s",
                threshold=3,
            ),
        ),
        reload=mariadb.RELOAD_COMMAND,
        drain=galera.DRAIN,
    )
    return [server, outside]


def serve(context: Context, inputs: Inputs) -> Outcome:
    """Serve the relations, now that the server answers."""
    if context.acting:
        recovery.note(context)
    if not (context.acting and context.leader):
        return Ready()
    assert context.certificate
    try:
        accounts.publish(context, context.certificate.ca)
    except (accounts.ServerError, accounts.UnreadableError) as error:
        logger.warning("databases and users are not as wanted: %s", error)
        return Waiting(str(error), RETRY)
    return Ready()


class MariadbCharm(DaybreakCharm):
    """The charm."""

    description = Description(
        containers=(SERVER, PROXY),
        gates=(
            Gate("prepare", prepare, first=True),
            Gate("data", prepared),
            Gate("cluster", recovery.gate),
        ),
        tls=Tls(),
        read=read,
        render=render,
        processes=processes,
        after=serve,
        ports=lambda _: [proxy.PORT],
        version=lambda inputs: inputs.version,
        hint=lambda inputs: inputs.hint,
        # An error here is Juju's to retry: the database does not answer for now.
        rotate=lambda charm, secret_id: accounts.rotate(charm.context, secret_id=secret_id),
    )

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.secret_remove, self._on_credential_unused)
        framework.observe(self.on.rotate_credentials_action, self._on_rotate_credentials)
        framework.observe(self.on.begin_anew_action, self._on_begin_anew)

    def _on_credential_unused(self, event: ops.SecretRemoveEvent) -> None:
        if not self.context.leaving:
            accounts.drop_unused(self.context, event.secret, event.revision)

    def _on_rotate_credentials(self, event: ops.ActionEvent) -> None:
        if not self.unit.is_leader():
            event.fail("Only the leader rotates: run the action on <application>/leader.")
            return
        try:
            rotated = accounts.rotate(self.context, event.params.get("application"))
        except (accounts.ServerError, pebble.ConnectionError) as error:
            event.fail(f"Nothing was rotated: {error}. Try again when the unit is active.")
            return
        if not rotated:
            event.fail("No related application has credentials here to rotate.")
            return
        event.set_results({"rotated": ",".join(rotated)})
        self.again(event)

    def _on_begin_anew(self, event: ops.ActionEvent) -> None:
        try:
            recovery.begin(self.context, confirmed=bool(event.params.get("confirm")))
        except (recovery.RefusedError, pebble.ConnectionError) as error:
            event.fail(str(error))
            return
        event.set_results({"begins": self.unit.name})


if __name__ == "__main__":  # pragma: no cover
    events.main(MariadbCharm)
