#!/usr/bin/env python3
"""The identity service."""

import base64
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import keystone as workload
import ops
import records
from identity import Client, Keeper, username
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
    catalogue,
    ini,
    sizing,
    urls,
)
from daybreak_interfaces import (
    NotReady,
    certificate_transfer,
    domain_config,
    ingress,
    keystone,
    keystone_credentials,
    memcached,
    mysql_client,
)

CONTAINER = "keystone"
CATALOGUE = Path(__file__).parent / "catalogue"
ADMIN = "admin"
LATER = "peers-relation-changed"


# --- needs ------------------------------------------------------------------------------------


def ask_database(context: Context, relation: ops.Relation) -> None:
    """Ask for a database of our own."""
    if context.leader:
        bag = relation.data[context.charm.app]
        mysql_client.write_request(bag, mysql_client.Request("keystone"))


def ask_route(context: Context, relation: ops.Relation) -> None:
    """Ask for a URL. The gateway passes its path on: Keystone serves it and puts it into its links."""
    ingress.write_unit(
        relation.data[context.charm.unit], ingress.Server(context.fqdn, context.bind_address)
    )
    if context.leader:
        health = ingress.HealthCheck("/", port=workload.HEALTH_PORT, scheme="http", interval="2s")
        request = ingress.Request(
            context.model, context.app, workload.PORT, scheme="https", healthcheck=health
        )
        ingress.write_request(relation.data[context.charm.app], request)


def ask_certificates(context: Context, relation: ops.Relation) -> None:
    """Say that version 1 is understood."""
    if context.leader:
        certificate_transfer.write_request(relation.data[context.charm.app])


def read_cache(context: Context, relation: ops.Relation) -> memcached.Answer | NotReady:
    """The cache's servers."""
    return memcached.read_answer(context.remote_app(relation), context.remote_units(relation))


def read_trusted(context: Context, relation: ops.Relation) -> certificate_transfer.Answer:
    """Certificates to hand on to clients."""
    return certificate_transfer.read_answer(
        context.remote_app(relation), context.remote_units(relation)
    )


# --- gates ------------------------------------------------------------------------------------


def new_keys() -> dict[str, str]:
    """A staged and a primary key, as Juju's secrets name them."""
    return {
        f"key-{n}": base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=") for n in (0, 1)
    }


def keys_gate(context: Context) -> Outcome:
    """Whether the keys and the administrator's password exist; the leader makes them, once."""
    acting = context.acting and context.leader
    wanted = {
        "fernet-keys": new_keys() if acting else None,
        "credential-keys": new_keys() if acting else None,
        "admin-password": {"password": secrets.token_urlsafe(24)} if acting else None,
    }
    made = [context.app_secret(key, content) for key, content in wanted.items()]
    if all(made):
        return Ready()
    return Waiting("the leader is making the keys", LATER)


def numbered(content: dict[str, str]) -> dict[str, str]:
    """Keys by their number, as Keystone's key repositories name them."""
    return {name.removeprefix("key-"): key + "=" * (-len(key) % 4) for name, key in content.items()}


# --- inputs -----------------------------------------------------------------------------------


def read_secrets(context: Context) -> tuple[dict[str, str], dict[str, str], str] | None:
    """Fernet keys, credential keys and the administrator's password; None when one is unreadable."""
    found: list[dict[str, str]] = []
    for key in ("fernet-keys", "credential-keys", "admin-password"):
        secret_id = context.app_secret(key)
        look = context.own_secret if context.leader else context.secret
        content = look(secret_id) if secret_id else None
        if content is None:
            return None
        found.append(dict(content))
    return numbered(found[0]), numbered(found[1]), found[2]["password"]


def read(context: Context) -> workload.Inputs | Waiting | Blocked:
    """Collect what decides how Keystone runs."""
    layout = context.layout(CONTAINER)
    if layout is None:
        return Blocked("the image does not say its release", "attach an image with a layout file")
    known = catalogue.load(CATALOGUE, layout.release)
    if known is None:
        return Blocked(f"release {layout.release} is unknown to this charm", "refresh the charm")
    checked = read_overrides(context, known)
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
    service = urls.url("https", context.service_fqdn, workload.PORT)
    internal = context.needs["ingress-internal"] or service
    cache = context.needs["cache"]
    inputs = workload.Inputs(
        layout=layout,
        database=context.needs["database"],
        certificate=certificate.certificate,
        key=certificate.key,
        fernet_keys=fernet,
        credential_keys=credential,
        admin_password=password,
        region=str(context.config["region"]),
        internal_url=internal,
        public_url=context.needs["ingress-public"] or internal,
        # Known before the gateway answers, so that its answer restarts nothing.
        prefix=urls.path_of(internal) or f"/{context.model}-{context.app}",
        size=sizing.api(context.machine),
        any_address=workload.any_address(context.bind_address),
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


def read_overrides(
    context: Context, known: catalogue.Catalogue
) -> tuple[dict[str, dict[str, ini.Value]], dict[str, str]] | Blocked:
    """The operator's options and policies, or what is wrong with them."""
    try:
        overrides = ini.parse_overrides(str(context.config["config-overrides"]))
    except ini.OverridesError as error:
        return Blocked(f"config-overrides: {error}", "correct the option")
    if fault := known.check(overrides):
        return Blocked(f"config-overrides: {fault}", "correct the option")
    policies = catalogue.parse_policies(str(context.config["policy-overrides"]), known)
    if isinstance(policies, str):
        return Blocked(f"policy-overrides: {policies}", "correct the option")
    return overrides, policies


# --- database ---------------------------------------------------------------------------------


def address(inputs: workload.Inputs) -> DatabaseAddress:
    """The database as the charm itself uses it."""
    database = inputs.database
    host, port = urls.split_host_port(database.endpoints[0], 3306)
    return DatabaseAddress(
        host, port, database.database, database.username, database.password, database.tls_ca
    )


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
    """The administrator and Keystone's own endpoints: made once, and again when a URL changes."""

    def owed() -> bool:
        if not context.leader:
            return False
        with context.effects.connect(address(inputs)) as connection:
            return records.own_urls(connection, inputs.region) != inputs.interfaces()

    return [
        Task(
            "bootstrap",
            workload.bootstrap(inputs),
            owed,
            user=inputs.layout.user,
            environment={"OS_BOOTSTRAP_PASSWORD": inputs.admin_password},
        )
    ]


# --- offers -----------------------------------------------------------------------------------


def publish(context: Context, inputs: workload.Inputs) -> Outcome:
    """Give every client its user, its endpoints and the facts about Keystone (leader only)."""
    if not context.leader:
        return Ready()
    publish_certificates(context)
    with context.effects.connect(address(inputs)) as connection:
        found = records.read(connection)
    from api import Api, ApiError

    def connect() -> Api:
        certificate = context.certificate
        assert certificate is not None  # the certificate's gate is open
        return Api(context.fqdn, workload.PORT, certificate.ca, inputs.admin_password)

    keeper = Keeper(found, connect)
    try:
        for domain in inputs.domains:
            keeper.domain(domain.domain)
        publish_clients(context, inputs, keeper)
    except ApiError as error:
        return Waiting(f"Keystone did not do what was asked ({error})", RETRY)
    return Ready()


def publish_certificates(context: Context) -> None:
    """Hand the certificates on that clients must trust."""
    relations = context.relations("send-ca-cert")
    if not relations:
        return
    certificate = context.certificate
    pems = certificate_transfer.split_pem(certificate.ca if certificate else "")
    for answer in context.needs["receive-ca-cert"]:
        pems += answer.certificates
    for relation in relations:
        certificate_transfer.write_v1(relation.data[context.charm.app], pems)
        certificate_transfer.write_v0(relation.data[context.charm.unit], pems)


def account(context: Context, relation: ops.Relation, key: str) -> tuple[str, str] | None:
    """User and password of a relation: what its secret says, else new ones; None when it is unreadable."""
    secret_id = context.grant(relation, key, None)
    if secret_id is None:
        app = relation.app.name if relation.app else "unknown"
        return username(app, secrets.token_hex(3)), secrets.token_urlsafe(24)
    content = context.own_secret(secret_id)
    return (content["username"], content["password"]) if content else None


def publish_clients(context: Context, inputs: workload.Inputs, keeper: Keeper) -> None:
    """Serve both kinds of clients, then delete the users of those that are gone."""
    admin_role = str(context.config["admin-role"])
    kept: list[str] = []
    complete = True
    for endpoint, key in (
        ("identity-service", "service-credentials"),
        ("identity-credentials", "credentials"),
    ):
        for relation in context.relations(endpoint):
            bag = context.remote_app(relation)
            service = keystone.read_request(bag) if endpoint == "identity-service" else None
            if isinstance(service, NotReady) or (
                service is None and isinstance(keystone_credentials.read_request(bag), NotReady)
            ):
                continue
            user = account(context, relation, key)
            if user is None:
                complete = False
                continue
            extra = service.extra_roles if service else ()
            roles = tuple(dict.fromkeys((admin_role, "service", *extra)))
            client = Client(*user, roles)
            if service:
                client = Client(*user, roles, service.region, service.endpoints)
            user_id = keeper.client(client)
            kept.append(user[0])
            # Only now: an id without its user must not be seen.
            content = {"username": user[0], "password": user[1]}
            secret_id = context.grant(relation, key, content) or ""
            answer = relation.data[context.charm.app]
            known = facts(context, inputs, keeper, admin_role)
            if service:
                keystone.write_answer(
                    answer,
                    known,
                    service_user_id=user_id,
                    credentials=secret_id,
                    processed_extra_roles=extra,
                )
            else:
                keystone_credentials.write_answer(answer, known, credentials=secret_id)
    if complete:
        keeper.forget(kept)


def facts(
    context: Context, inputs: workload.Inputs, keeper: Keeper, admin_role: str
) -> keystone.Facts:
    """What Keystone says of itself."""
    service_domain = keeper.domain(records.SERVICE_DOMAIN)
    default = keeper.records.domains.get("Default", "default")
    internal = urlsplit(inputs.internal_url)
    return keystone.Facts(
        internal=keystone.Address(
            internal.hostname or "",
            internal.port or urls.DEFAULT_PORTS.get(internal.scheme, 443),
            internal.scheme,
        ),
        auth=keystone.Address(context.service_fqdn, workload.PORT, "https"),
        internal_auth_url=f"{inputs.internal_url}/v3",
        public_auth_url=f"{inputs.public_url}/v3",
        admin_domain=keystone.Named("Default", default),
        admin_project=keystone.Named(ADMIN, keeper.records.projects.get((default, ADMIN), "")),
        admin_user=keystone.Named(ADMIN, keeper.records.users.get((default, ADMIN), "")),
        service_domain=keystone.Named(records.SERVICE_DOMAIN, service_domain),
        service_project=keystone.Named(
            records.SERVICE_PROJECT, keeper.project(service_domain, records.SERVICE_PROJECT)
        ),
        region=inputs.region,
        admin_role=admin_role,
    )


class KeystoneCharm(DaybreakCharm):
    """The charm."""

    description = Description(
        containers=(CONTAINER,),
        needs=(
            Need(
                "database",
                lambda c, r: mysql_client.read_answer(c.remote_app(r), c.secret),
                ask_database,
            ),
            Need("cache", read_cache, required=False),
            Need(
                "ingress-internal",
                lambda c, r: ingress.read_answer(c.remote_app(r)),
                ask_route,
                required=False,
            ),
            Need(
                "ingress-public",
                lambda c, r: ingress.read_answer(c.remote_app(r)),
                ask_route,
                required=False,
            ),
            Need(
                "domain-config",
                lambda c, r: domain_config.read_answer(c.remote_app(r)),
                required=False,
                many=True,
            ),
            Need("receive-ca-cert", read_trusted, ask_certificates, required=False, many=True),
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
    )

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.get_admin_account_action, self._on_get_admin_account)

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
    ops.main(KeystoneCharm)
