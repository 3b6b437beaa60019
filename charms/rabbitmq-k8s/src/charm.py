#!/usr/bin/env python3
"""RabbitMQ for whoever relates to it."""

import ipaddress
import logging
import secrets
from dataclasses import dataclass, field

import accounts
import broker
import cluster
import erlang
import ops
import rabbitmq

from daybreak_charm import (
    RETRY,
    Blocked,
    Check,
    Context,
    DaybreakCharm,
    Description,
    Drain,
    File,
    Folder,
    Gate,
    Outcome,
    Process,
    Ready,
    Tls,
    Waiting,
    drain,
    events,
    online,
    rotation,
)
from daybreak_interfaces import rabbitmq as interface

logger = logging.getLogger(__name__)

CONTAINER = broker.CONTAINER
COOKIE = "cookie"
_REMEDIES = {
    "memory": "give it more memory, or see that its queues are consumed",
    "disk": "make room on its storage, or see that its queues are consumed",
}


@dataclass(frozen=True)
class Inputs:
    """Everything that decides how RabbitMQ runs."""

    fqdn: str
    cluster: str
    peers: tuple[str, ...]
    """Host names that a node without data looks for, its own among them."""
    sizes: rabbitmq.Sizes
    replicated: bool
    """Whether there are enough units for queues to survive one."""
    cookie: str = field(repr=False)
    tls_bundle: str = field(repr=False)
    ca: str = field(repr=False)
    plaintext: bool = False
    ipv6: bool = False
    user: str = "rabbitmq"
    programs: str = broker.PROGRAMS
    version: str = ""
    hint: str = ""


def cookie(context: Context) -> Outcome:
    """Whether the cluster has the secret by which nodes and tools know each other."""
    content = {COOKIE: secrets.token_hex(32)} if context.leader and context.acting else None
    if context.app_secret(COOKIE, content) is None:
        return Waiting("the leader makes the cluster's cookie", "peers-relation-changed")
    return Ready()


def read(context: Context) -> Inputs | Waiting | Blocked:
    """Return what the options, the machine, the image and the relations say."""
    if wrong := rotation.refused("rotation", str(context.config["rotation"])):
        return wrong
    try:
        sizes = rabbitmq.sizes(
            context.machine(CONTAINER),
            memory_mib=int(context.config["memory"]),
        )
    except rabbitmq.InvalidError as error:
        return Blocked("the option memory is too small", str(error))
    content = context.secret(context.app_secret(COOKIE) or "")
    if content is None or context.bind_address is None:
        return Waiting("the cluster's cookie cannot be read yet", RETRY)
    assert context.certificate  # the certificate's gate is open
    layout = context.layout(CONTAINER)
    return Inputs(
        fqdn=context.fqdn,
        cluster=f"{context.model}-{context.app}",
        peers=tuple(sorted({context.fqdn, *cluster.others(context)})),
        sizes=sizes,
        replicated=context.planned >= rabbitmq.REPLICAS,
        cookie=content[COOKIE],
        tls_bundle=context.certificate.key + context.certificate.certificate,
        ca=context.certificate.ca,
        plaintext=bool(context.config["plaintext"]),
        ipv6=ipaddress.ip_address(context.bind_address).version == 6,
        user=layout.user if layout else "rabbitmq",
        programs=layout.bin if layout else broker.PROGRAMS,
        version=layout.version if layout else "",
        hint=accounts.hint(context),
    )


def render(inputs: Inputs) -> list[File | Folder]:
    """Return the files."""
    user = inputs.user
    main = rabbitmq.configuration(inputs.sizes, inputs.cluster, plaintext=inputs.plaintext)
    environment = rabbitmq.environment(
        inputs.fqdn, schedulers=inputs.sizes.schedulers, ipv6=inputs.ipv6
    )
    pid = f"{drain.RUN}/{CONTAINER}/pid"
    leave = rabbitmq.leave_script(inputs.programs, pid, replicated=inputs.replicated)
    return [
        Folder(str(rabbitmq.HOME), user=user, group=user),
        File(str(rabbitmq.COOKIE), inputs.cookie, mode=0o400, user=user, group=user),
        File(str(rabbitmq.ENVIRONMENT), environment),
        File(str(rabbitmq.CONFIGURATION / "10-daybreak.conf"), main),
        # Only a node without data reads it, when it starts.
        File(
            str(rabbitmq.CONFIGURATION / "20-peers.conf"),
            rabbitmq.peers(inputs.peers),
            on_change="none",
        ),
        File(str(rabbitmq.PLUGINS), "[].\n"),
        File(str(rabbitmq.DEFINITIONS), "{}\n"),
        File(str(rabbitmq.INTER_NODE), rabbitmq.inter_node()),
        File(str(rabbitmq.LEAVE), leave, mode=0o755, on_change="none"),
        File(str(rabbitmq.TLS_CA), inputs.ca, on_change="reload"),
        File(
            str(rabbitmq.TLS_BUNDLE),
            inputs.tls_bundle,
            mode=0o600,
            on_change="reload",
            user=user,
            group=user,
        ),
    ]


def processes(inputs: Inputs) -> list[Process]:
    """Return the one process: the Erlang machine with the server in it."""
    as_owner = ("env", f"HOME={rabbitmq.HOME}")
    diagnostics = f"{' '.join(as_owner)} {inputs.programs}/rabbitmq-diagnostics"
    return [
        Process(
            CONTAINER,
            f"{inputs.programs}/rabbitmq-server",
            user=inputs.user,
            group=inputs.user,
            environment={"HOME": str(rabbitmq.HOME)},
            checks=(
                # Listeners are open while the node belongs to the majority and does not leave.
                online(tcp=rabbitmq.PORT, threshold=2),
                # A node that waits for the others, or for the majority, answers this.
                Check(
                    "up",
                    command=f"{diagnostics} -q ping",
                    restart=True,
                    period="60s",
                    timeout="30s",
                    threshold=3,
                ),
            ),
            reload=(*as_owner, f"{inputs.programs}/rabbitmqctl", "eval", erlang.CLEAR_CACHE),
            drain=Drain(detection=0, limit=rabbitmq.LEAVE_SECONDS, signal=str(rabbitmq.LEAVE)),
        )
    ]


def serve(context: Context, inputs: Inputs) -> Outcome:
    """Serve the relations and keep the cluster, now that the node answers."""
    try:
        state = broker.ask(context)
        if context.acting:
            outcome = _act(context, inputs, state)
            if not isinstance(outcome, Ready):
                return outcome
    except (broker.BrokerError, accounts.UnreadableError) as error:
        logger.warning("the cluster is not as wanted: %s", error)
        return Waiting(str(error), RETRY)
    return judge(context, state)


def _act(context: Context, inputs: Inputs, state: broker.State) -> Outcome:
    context.put_peer_unit(**{cluster.MEMBER: cluster.YES})
    if state.draining:
        broker.tell(context, erlang.REVIVE)
    if not context.leader:
        return Ready()
    accounts.publish(context, state, inputs.ca)
    return cluster.tend(context, state)


def judge(context: Context, state: broker.State) -> Outcome:
    """Return what the state means for the unit's status, and for the next restart of another one."""
    for what, node in state.alarms:
        remedy = _REMEDIES.get(what, "see the log")
        return Blocked(f"{what} alarm on {node.partition('.')[0]}: publishers wait", remedy)
    if state.partitioned:
        restart = f"juju ssh --container {CONTAINER} {context.unit} /charm/bin/pebble restart"
        return Blocked("the network was split", f"{restart} {CONTAINER}")
    if context.planned >= rabbitmq.REPLICAS and state.critical:
        # The roll goes on when every queue can lose another node.
        return Waiting(f"queues that cannot lose another node yet: {state.critical}", RETRY)
    return Ready()


class RabbitmqCharm(DaybreakCharm):
    """The charm."""

    description = Description(
        containers=(CONTAINER,),
        gates=(Gate("cookie", cookie), Gate("place", cluster.place)),
        tls=Tls(),
        read=read,
        render=render,
        processes=processes,
        after=serve,
        ports=lambda inputs: [rabbitmq.TLS_PORT, *[rabbitmq.PORT] * inputs.plaintext],
        version=lambda inputs: inputs.version,
        hint=lambda inputs: inputs.hint,
        # An error here is Juju's to retry: the node does not answer for now.
        rotate=lambda charm, secret_id: accounts.rotate(charm.context, secret_id=secret_id),
    )

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.secret_remove, self._on_credential_unused)
        framework.observe(self.on.stop, self._on_stopping)
        framework.observe(self.on.rotate_credentials_action, self._on_rotate_credentials)
        framework.observe(self.on.get_service_account_action, self._on_get_service_account)

    def _on_credential_unused(self, event: ops.SecretRemoveEvent) -> None:
        if not self.context.leaving:
            accounts.drop_unused(self.context, event.secret, event.revision)

    def _on_stopping(self, _: ops.StopEvent) -> None:
        # Also before a refresh; then the unit comes back.
        if self.context.leaving and self.context.container(CONTAINER).can_connect():
            cluster.leave(self.context)

    def _on_rotate_credentials(self, event: ops.ActionEvent) -> None:
        if not self.unit.is_leader():
            event.fail("Only the leader rotates: run the action on <application>/leader.")
            return
        try:
            rotated = accounts.rotate(self.context, event.params.get("application"))
        except (broker.BrokerError, ops.pebble.ConnectionError) as error:
            event.fail(f"Nothing was rotated: {error}. Try again when the unit is active.")
            return
        if not rotated:
            event.fail("No related application has credentials here that can be rotated.")
            return
        event.set_results({"rotated": ",".join(rotated)})
        self.again(event)

    def _on_get_service_account(self, event: ops.ActionEvent) -> None:
        context = self.context
        if not self.unit.is_leader():
            event.fail("Only the leader knows: run the action on <application>/leader.")
            return
        try:
            account = accounts.service_account(
                context, event.params["username"], event.params["vhost"]
            )
        except (rabbitmq.InvalidError, accounts.UnreadableError) as error:
            event.fail(f"No account: {error}.")
            return
        self.again(event)
        if not context.certificate:
            event.fail("The account is not there yet. Try again when the unit is active.")
            return
        answer = interface.Answer(
            hosts=(context.service_fqdn,), port=rabbitmq.TLS_PORT, tls=True, **account
        )
        event.set_results(
            {
                **account,
                "hostname": context.service_fqdn,
                "port": str(rabbitmq.TLS_PORT),
                "ca": context.certificate.ca,
                "url": interface.transport_url(answer),
            }
        )


if __name__ == "__main__":  # pragma: no cover
    events.main(RabbitmqCharm)
