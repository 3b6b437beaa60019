#!/usr/bin/env python3
"""MariaDB with a proxy of its own, for whoever relates to it."""

import logging
from dataclasses import dataclass, field

import accounts
import mariadb
import ops
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
    online,
    rotation,
    up,
)

logger = logging.getLogger(__name__)

SERVER = accounts.CONTAINER
PROXY = "proxy"
# Seconds that a hook itself waits, and between two looks.
_IN_HOOK, _STEP = 5.0, 0.1
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Inputs:
    """Everything that decides how MariaDB and its proxy run."""

    holds_data: bool
    """Whether this unit runs a server, or its proxy only."""
    sizes: mariadb.Sizes
    hosts: tuple[str, ...]
    """The servers, in the order of preference."""
    tls_bundle: str = field(repr=False)
    server_user: str = "mysql"
    proxy_user: str = "haproxy"
    version: str = ""
    refused: str = ""
    """Why a database is refused to a relation."""


def prepare(context: Context) -> Outcome:
    """Have the data directory made while everything else goes on: it waits for nothing."""
    container = context.container(SERVER)
    if context.ordinal or not context.acting or container.exists(str(mariadb.DATA)):
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
    while not (context.ordinal or container.exists(str(mariadb.DATA))):
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
            memory_limit(context.container(SERVER)),
            context.machine.memory_mb * 2**20,
            max_connections=int(context.config["max-connections"]),
            buffer_pool_mib=int(context.config["buffer-pool-mib"]),
        )
    except mariadb.InvalidError as error:
        return Blocked("an option is negative", str(error))
    assert context.certificate  # the certificate's gate is open
    server, proxy = context.layout(SERVER), context.layout(PROXY)
    return Inputs(
        holds_data=context.ordinal == 0,
        sizes=sizes,
        hosts=(context.unit_fqdn(f"{context.app}/0"),),
        tls_bundle=context.certificate.key + context.certificate.certificate,
        server_user=server.user if server else "mysql",
        proxy_user=proxy.user if proxy else "haproxy",
        version=server.version if server else "",
        refused=accounts.refused(context),
    )


def memory_limit(container: ops.Container) -> int | None:
    """Return the memory limit of a container in bytes, None without one."""
    for path in _LIMITS:
        try:
            with container.pull(path) as file:
                return mariadb.memory_limit(file.read())
        except pebble.PathError:
            continue
    return None


def render(inputs: Inputs) -> list[File | Folder]:
    """Return the files of both containers."""
    proxy = File(
        str(mariadb.PROXY_CONFIG),
        mariadb.proxy_config(inputs.hosts),
        on_change="reload",
        container=PROXY,
    )
    if not inputs.holds_data:
        return [proxy]
    owner = inputs.server_user
    return [
        proxy,
        # A socket that a killed server left must be removable by the next one.
        Folder(str(mariadb.RUN), user=owner, group=owner),
        File(str(mariadb.CONFIG), mariadb.render(mariadb.settings(inputs.sizes))),
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
    """Return the server, where there is data, and the proxy."""
    health = f"http://127.0.0.1:{mariadb.PROXY_HEALTH_PORT}/ready"
    proxy = Process(
        "proxy",
        mariadb.PROXY_COMMAND,
        container=PROXY,
        user=inputs.proxy_user,
        group=inputs.proxy_user,
        checks=(
            online(http=health, name="proxy-online", threshold=2),
            up(tcp=mariadb.PROXY_HEALTH_PORT, name="proxy-up"),
        ),
        reload="SIGUSR2",
        kill_delay="5s",
    )
    if not inputs.holds_data:
        return [proxy]
    server = Process(
        "mariadb",
        mariadb.SERVER_COMMAND,
        container=SERVER,
        user=inputs.server_user,
        group=inputs.server_user,
        checks=(
            online(command=mariadb.ONLINE_COMMAND, threshold=2),
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
        # A clean end writes all dirty pages; the pod's grace is 30 s.
        kill_delay="25s",
    )
    return [server, proxy]


def serve(context: Context, inputs: Inputs) -> Outcome:
    """Serve the relations, now that the server answers."""
    if not inputs.holds_data:
        return Blocked(
            "runs a proxy only, the data is in the first unit",
            f"juju scale-application {context.app} 1",
        )
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
        gates=(Gate("prepare", prepare, first=True), Gate("data", prepared)),
        tls=Tls(),
        read=read,
        render=render,
        processes=processes,
        after=serve,
        ports=lambda _: [mariadb.PORT],
        version=lambda inputs: inputs.version,
        hint=lambda inputs: inputs.refused,
        # An error here is Juju's to retry: the database does not answer for now.
        rotate=lambda charm, secret_id: accounts.rotate(charm.context, secret_id=secret_id),
    )

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.secret_remove, self._on_credential_unused)
        framework.observe(self.on.rotate_credentials_action, self._on_rotate_credentials)

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


if __name__ == "__main__":  # pragma: no cover
    ops.main(MariadbCharm)
