#!/usr/bin/env python3
"""The identity service."""

import os
import secrets
from pathlib import Path

import cache
import keys
import keystone as workload
import offers
import ops
import records
from upgrade import UPGRADE

from daybreak_charm import (
    RETRY,
    Blocked,
    Context,
    DatabaseAddress,
    DaybreakCharm,
    Description,
    Gate,
    Need,
    Outcome,
    Ready,
    Schema,
    Task,
    Tls,
    Waiting,
    events,
    rotation,
    sizing,
    urls,
)
from daybreak_charm.containers import digest
from daybreak_charm.openstack import needs, service
from daybreak_interfaces import domain_config

CONTAINER = "keystone"
CATALOGUE = Path(__file__).parent / "catalogue"
ADMIN = "admin"
ADMIN_SET = "admin-password-set"
"""Key in the application's peer databag: digest of the password that Keystone was told."""
FORGOTTEN = "cache-forgot"
"""Key in the application's peer databag: the revocation after which the cache was emptied."""
LATER = "peers-relation-changed"


# --- gates ------------------------------------------------------------------------------------


def new_key() -> str:
    """A random key."""
    return keys.key(os.urandom(32))


def policy(context: Context, name: str) -> str:
    """The option that says how often a ring of keys is rotated."""
    return str(context.config[f"{name.partition('-')[0]}-rotation"])


def keys_gate(context: Context) -> Outcome:
    """Whether the keys and the administrator's password exist; the leader makes them, once."""
    for option in ("fernet-rotation", "credential-rotation", "user-rotation"):
        if wrong := rotation.refused(option, str(context.config[option])):
            return wrong
    acting = context.acting and context.leader
    now = context.effects.now()
    made = [context.app_secret("admin-password", new_password() if acting else None)]
    for name in (keys.FERNET, keys.CREDENTIAL):
        ring = keys.new(now, new_key(), new_key()).content() if acting else None
        made.append(context.app_secret(name, ring, rotate=policy(context, name)))
    if all(made):
        return Ready()
    return Waiting("the leader is making the keys", LATER)


def new_password() -> dict[str, str]:
    """A password, as a secret holds it."""
    return {"password": secrets.token_urlsafe(24)}


# --- inputs -----------------------------------------------------------------------------------


def size(context: Context) -> sizing.ApiSize:
    """Its workers and threads."""
    return sizing.api(context.machine(CONTAINER))


def read_secrets(context: Context) -> tuple[keys.Ring, keys.Ring, str] | None:
    """Fernet keys, credential keys and the administrator's password; None when one is unreadable."""
    fernet, credential = keys.read(context, keys.FERNET), keys.read(context, keys.CREDENTIAL)
    secret_id = context.app_secret("admin-password")
    admin = context.secret(secret_id) if secret_id else None
    if fernet is None or credential is None or admin is None:
        return None
    return fernet, credential, admin["password"]


def read(context: Context) -> workload.Inputs | Waiting | Blocked:
    """Collect what decides how Keystone runs."""
    found = service.read_release(context, CONTAINER, CATALOGUE)
    if isinstance(found, Blocked):
        return found
    layout, known = found
    checked = service.read_overrides(context, known)
    if isinstance(checked, Blocked):
        return checked
    overrides, policies = checked
    expiration = int(context.config["token-expiration"])
    if not 60 <= expiration <= 86400:
        return Blocked("the option token-expiration is out of range", "set it to 60 to 86400")
    content = read_secrets(context)
    if content is None:
        return Waiting("the keys cannot be read yet", LATER)
    fernet, credential, password = content
    certificate = context.certificate
    assert certificate is not None  # the certificate's gate is open
    where = needs.addresses(context, workload.PORT)
    cache = context.needs["cache"]
    inputs = workload.Inputs(
        layout=layout,
        database=context.needs["database"],
        certificate=certificate.certificate,
        key=certificate.key,
        ca=certificate.ca,
        fernet=fernet,
        credential=credential,
        admin_password=password,
        region=str(context.config["region"]),
        internal_url=where.internal,
        public_url=where.public,
        prefix=where.prefix,
        size=size(context),
        any_address=urls.any_address(context.bind_address),
        cache_servers=cache.servers if cache else (),
        domains=tuple(sorted(context.needs["domain-config"], key=lambda d: d.domain)),
        debug=bool(context.config["debug"]),
        token_expiration=expiration,
        overrides=overrides,
        policies=policies,
    )
    if fault := known.check(workload.options(inputs)):
        return Blocked(fault, "refresh the charm")
    return inputs


# --- database ---------------------------------------------------------------------------------


def address(inputs: workload.Inputs) -> DatabaseAddress:
    """The database as the charm itself uses it."""
    return service.database_address(inputs.database)


def schema(inputs: workload.Inputs) -> Schema:
    """How the schema is brought to the image's release."""
    return Schema(
        project="keystone",
        connect=address(inputs),
        command=("keystone-manage", "--config-file", f"{workload.CONF}/keystone.conf", "db_sync"),
        upgrade=UPGRADE,
        user=inputs.layout.user,
    )


def tasks(context: Context, inputs: workload.Inputs) -> list[Task]:
    """What is owed to the database beside its schema.

    The administrator and Keystone's own endpoints are made once, and again when a URL or the password
    changes; stored credentials are encrypted anew after a rotation of their keys.
    """

    def owed() -> bool:
        if not context.leader:
            return False
        if context.peer_app.get(ADMIN_SET) != digest(inputs.admin_password):
            return True
        with context.effects.connect(address(inputs)) as connection:
            return records.own_urls(connection, inputs.region) != inputs.interfaces()

    def migration_owed() -> bool:
        # Only when every unit can read what the new key writes.
        return (
            context.leader
            and bool(inputs.credential.old)
            and not context.lagging(context.app_secret(keys.CREDENTIAL) or "")
            and stale_credentials(context, inputs)
        )

    return [
        Task(
            "bootstrap",
            workload.bootstrap(inputs),
            owed,
            user=inputs.layout.user,
            environment={"OS_BOOTSTRAP_PASSWORD": inputs.admin_password},
        ),
        Task(
            "credential-migrate",
            workload.manage(inputs.layout, "credential_migrate"),
            migration_owed,
            user=inputs.layout.user,
        ),
    ]


# --- offers -----------------------------------------------------------------------------------


def publish(context: Context, inputs: workload.Inputs) -> Outcome:
    """Serve the clients, and tend the keys (leader only)."""
    if not context.leader:
        return Ready()
    # Bootstrap has run with it, if it was owed.
    context.put_peer_app(**{ADMIN_SET: digest(inputs.admin_password)})
    answer = offers.publish(context, inputs, address(inputs))
    tend(context, inputs)
    return answer if isinstance(answer, Waiting) else forget_revoked(context, inputs)


def forget_revoked(context: Context, inputs: workload.Inputs) -> Outcome:
    """Empty the cache after keys of tokens were revoked: it holds answers about tokens that they signed.

    Only when every unit has the new keys, or one would put such an answer there again.
    """
    revoked = str(inputs.fernet.revoked or "")
    if not revoked or context.peer_app.get(FORGOTTEN) == revoked:
        return Ready()
    if context.lagging(context.app_secret(keys.FERNET) or ""):
        return Ready()
    if left := [server for server in inputs.cache_servers if not cache.forget(server)]:
        return Waiting(f"revoked tokens may still be in the cache of {', '.join(left)}", RETRY)
    context.put_peer_app(**{FORGOTTEN: revoked})
    return Ready()


def tend(context: Context, inputs: workload.Inputs) -> None:
    """Rotate and drop keys whose time has come."""
    token = workload.effective(inputs)["token"]
    life = float(str(token["expiration"])) + float(str(token["allow_expired_window"]))
    keys.tend(context, keys.FERNET, inputs.fernet, keep=life, staged=new_key())
    if not stale_credentials(context, inputs):
        keys.tend(context, keys.CREDENTIAL, inputs.credential, keep=0.0, staged=new_key())
    names = (keys.FERNET, keys.CREDENTIAL)
    for name in names:
        context.rotates(policy(context, name), context.app_secret(name) or "")


def stale_credentials(context: Context, inputs: workload.Inputs) -> bool:
    """Whether an older key is needed for a credential; asked only after a rotation."""
    if not inputs.credential.old:
        return False
    with context.effects.connect(address(inputs)) as connection:
        return records.encrypted_otherwise(connection, inputs.credential.digest) > 0


class KeystoneCharm(DaybreakCharm):
    """The charm."""

    description = Description(
        containers=(CONTAINER,),
        needs=(
            needs.database("keystone"),
            needs.cache(),
            *(
                needs.route(endpoint, workload.PORT, needs.health(workload.HEALTH_PORT), size=size)
                for endpoint in (needs.INTERNAL, needs.PUBLIC)
            ),
            Need(
                "domain-config",
                lambda c, r: domain_config.read_answer(c.remote_app(r)),
                required=False,
                many=True,
            ),
            needs.trusted(),
        ),
        tls=Tls(),
        gates=(Gate("keys", keys_gate),),
        read=read,
        render=workload.render,
        processes=workload.processes,
        schema=schema,
        tasks=tasks,
        publish=publish,
        ports=lambda _: [workload.PORT],
        version=lambda inputs: inputs.layout.version,
        rotate=lambda charm, secret_id: offers.rotate(charm, address, secret_id=secret_id),
    )

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.get_admin_account_action, self._on_get_admin_account)
        framework.observe(self.on.rotate_keys_action, self._on_rotate_keys)
        framework.observe(self.on.rotate_credentials_action, self._on_rotate_credentials)
        framework.observe(self.on.rotate_admin_password_action, self._on_rotate_admin_password)
        framework.observe(self.on.secret_remove, self._on_credentials_unused)

    def _on_credentials_unused(self, event: ops.SecretRemoveEvent) -> None:
        if not self.context.leaving:
            offers.note_unused(self.context, event.secret.id or "", event.revision)
            self.again(event)

    def _may_rotate(self, event: ops.ActionEvent) -> workload.Inputs | None:
        outcomes = self.ask()
        if not self.unit.is_leader():
            event.fail("Only the leader rotates: run the action on <application>/leader.")
        elif not isinstance(self.inputs, workload.Inputs) or self.context.certificate is None:
            event.fail(f"Keystone is not set up yet: {self.explain(outcomes)}")
        else:
            return self.inputs
        return None

    def _on_rotate_keys(self, event: ops.ActionEvent) -> None:
        inputs = self._may_rotate(event)
        if inputs is None:
            return
        name = f"{event.params.get('which', 'fernet')}-keys"
        ring = inputs.credential if name == keys.CREDENTIAL else inputs.fernet
        now = self.context.effects.now()
        if event.params.get("revoke"):
            if name == keys.CREDENTIAL:
                event.fail("Stored credentials cannot be read without their keys: rotate only.")
                return
            ring = keys.revoked(ring, now, new_key(), new_key())
        else:
            if why := keys.blocks(self.context, name, ring):
                event.fail(f"Nothing was rotated: {why}. Try again when all units are active.")
                return
            ring = keys.rotated(ring, now, new_key())
        keys.write(self.context, name, ring)
        self.again(event)
        event.set_results({"primary": ring.primary, "still-read": ",".join(map(str, ring.old))})

    def _on_rotate_credentials(self, event: ops.ActionEvent) -> None:
        if self._may_rotate(event) is None:
            return
        try:
            rotated = offers.rotate(self, address, application=event.params.get("application"))
        except offers.RefusedError as error:
            event.fail(f"Nothing was rotated: {error}. Try again when the unit is active.")
            return
        if not rotated:
            event.fail("No related application has a user here to rotate.")
            return
        self.again(event)
        event.set_results({"rotated": ",".join(rotated)})

    def _on_rotate_admin_password(self, event: ops.ActionEvent) -> None:
        if self._may_rotate(event) is None:
            return
        secret_id = self.context.app_secret("admin-password") or ""
        self.context.set_secret(secret_id, new_password())
        self.context.new_generation()
        self.again(event)
        event.set_results({"next": "get-admin-account prints the new password"})

    def _on_get_admin_account(self, event: ops.ActionEvent) -> None:
        outcomes = self.ask()
        inputs = self.inputs
        if not isinstance(inputs, workload.Inputs):
            event.fail(f"Keystone is not set up yet: {self.explain(outcomes)}")
            return
        event.set_results(
            {
                "username": ADMIN,
                "password": inputs.admin_password,
                "user-domain-name": "Default",
                "project-name": ADMIN,
                "project-domain-name": "Default",
                "region": inputs.region,
                "api-version": "3",
                "public-endpoint": f"{inputs.public_url}/v3",
                "internal-endpoint": f"{inputs.internal_url}/v3",
                "ca": self.context.certificate.ca if self.context.certificate else "",
                "openrc": workload.openrc(inputs, inputs.admin_password),
            }
        )


if __name__ == "__main__":  # pragma: no cover
    events.main(KeystoneCharm)
