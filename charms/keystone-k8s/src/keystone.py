"""How Keystone runs: files and the process, made from the inputs alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keys import Ring

from daybreak_charm import File, Folder, Process, catalogue, ini, sizing, uwsgi
from daybreak_charm.description import OnChange
from daybreak_charm.layout import Layout
from daybreak_charm.openstack import options as options_of
from daybreak_interfaces import certificate_transfer, domain_config, mysql_client

PORT = 5000
HEALTH_PORT = 5001
CONF = "/etc/keystone"
FERNET = f"{CONF}/fernet-keys"
CREDENTIAL = f"{CONF}/credential-keys"
DOMAINS = f"{CONF}/domains"
DATABASE_CA = f"{CONF}/database-ca.pem"
APPLICATION = f"{CONF}/api.py"
CACHE_RETRY = 5
"""Seconds without a server of the cache before it is tried again."""
ACTIVE_KEYS = 4
EXPIRED_WINDOW = 172800


@dataclass(frozen=True)
class Inputs:
    """Everything that decides how Keystone runs.

    Attributes:
        layout: What the image says of itself.
        database: Database and user.
        certificate: PEM with its chain.
        key: PEM of the private key.
        ca: PEMs that sign this cloud's certificates.
        fernet: Keys of tokens.
        credential: Keys of stored credentials.
        region: Region of Keystone's own endpoints.
        internal_url: URL for services, without `/v3`.
        public_url: URL for users, without `/v3`.
        prefix: Path that a gateway passes, such as `/openstack-keystone`.
        size: Workers, threads and pools.
        any_address: Address that means all of this unit's.
        cache_servers: `host:port` of memcached servers, may be empty.
        domains: Domains with drivers of their own.
        overrides: The operator's options, checked.
        policies: The operator's policies, checked.
    """

    layout: Layout
    database: mysql_client.Answer
    certificate: str = field(repr=False)
    key: str = field(repr=False)
    ca: str = field(repr=False)
    fernet: Ring
    credential: Ring
    admin_password: str = field(repr=False)
    region: str
    internal_url: str
    public_url: str
    prefix: str
    size: sizing.ApiSize
    any_address: str = ""
    cache_servers: tuple[str, ...] = ()
    domains: tuple[domain_config.Answer, ...] = ()
    debug: bool = False
    token_expiration: int = 3600
    overrides: Mapping[str, Mapping[str, ini.Value]] = field(
        default_factory=dict[str, dict[str, ini.Value]]
    )
    policies: Mapping[str, str] = field(default_factory=dict[str, str])

    def interfaces(self) -> dict[str, str]:
        """Keystone's own URLs in the catalogue, by interface."""
        return {
            "admin": f"{self.internal_url}/v3",
            "internal": f"{self.internal_url}/v3",
            "public": f"{self.public_url}/v3",
        }


def options(inputs: Inputs) -> dict[str, dict[str, ini.Value]]:
    """Options of keystone.conf, without the operator's."""
    result: dict[str, dict[str, ini.Value]] = {
        "DEFAULT": {"debug": inputs.debug},
        "database": options_of.database(inputs.database, inputs.size, DATABASE_CA),
        "token": {
            "provider": "fernet",
            "expiration": inputs.token_expiration,
            "allow_expired_window": EXPIRED_WINDOW,
        },
        "fernet_tokens": {"key_repository": FERNET, "max_active_keys": ACTIVE_KEYS},
        "fernet_receipts": {"key_repository": FERNET, "max_active_keys": ACTIVE_KEYS},
        "credential": {"key_repository": CREDENTIAL},
        "cache": {"enabled": bool(inputs.cache_servers)},
        "oslo_policy": {"policy_file": f"{CONF}/policy.yaml"},
    }
    if inputs.cache_servers:
        result["cache"] |= {
            # dogpile.cache.pymemcache answers 500 while no server does; this one goes without.
            "backend": "oslo_cache.memcache_pool",
            "memcache_servers": list(inputs.cache_servers),
            "memcache_dead_retry": CACHE_RETRY,
        }
    if inputs.domains:
        result["identity"] = {
            "domain_specific_drivers_enabled": True,
            "domain_config_dir": DOMAINS,
        }
    return result


def effective(inputs: Inputs) -> dict[str, dict[str, ini.Value]]:
    """Options of keystone.conf, the operator's included."""
    return ini.merge(options(inputs), inputs.overrides)


def api(inputs: Inputs) -> uwsgi.Api:
    """Keystone under uwsgi."""
    return uwsgi.Api(
        name="keystone",
        program=inputs.layout.program("uwsgi"),
        folder=CONF,
        application=APPLICATION,
        port=PORT,
        health_port=HEALTH_PORT,
        certificate=f"{CONF}/tls.crt",
        key=f"{CONF}/tls.key",
        user=inputs.layout.user,
        size=inputs.size,
        any_address=inputs.any_address,
        mounts=("/", *([inputs.prefix] if inputs.prefix else [])),
    )


_APPLICATION = """\
# Keystone's application with its policies loaded. Left to itself it loads them in the first requests, and
# oslo.policy does not lock: threads that come meanwhile see half of the rules and refuse what is allowed.
from keystone.common.rbac_enforcer.enforcer import RBACEnforcer
from keystone.wsgi.api import application

RBACEnforcer.suppress_deprecation_warnings = True
_policies = RBACEnforcer()._enforcer
_policies.load_rules()
# Nor do they change below running threads: another file of policies is a restart.
_policies.use_conf = False
"""


def render(inputs: Inputs) -> list[File | Folder]:
    """Keystone's files."""
    user = inputs.layout.user

    def own(path: str, content: str, on_change: OnChange = "restart") -> File:
        return File(path, content, mode=0o640, group=user, on_change=on_change)

    def key(folder: str, number: str, content: str) -> File:
        return File(
            f"{folder}/{number}", content, mode=0o600, user=user, group=user, on_change="none"
        )

    conf = ini.render(effective(inputs))
    items: list[File | Folder] = [
        Folder(CONF, mode=0o750, user="root", group=user),
        # Exclusive: a key that was rotated out must not verify anything any more.
        Folder(FERNET, mode=0o700, user=user, group=user, exclusive=True),
        Folder(CREDENTIAL, mode=0o700, user=user, group=user, exclusive=True),
        *(key(FERNET, number, text) for number, text in inputs.fernet.files().items()),
        *(key(CREDENTIAL, number, text) for number, text in inputs.credential.files().items()),
        own(f"{CONF}/keystone.conf", conf),
        *uwsgi.files(api(inputs)),
        own(APPLICATION, _APPLICATION),
        own(f"{CONF}/policy.yaml", catalogue.render_policies(inputs.policies)),
        own(f"{CONF}/tls.key", inputs.key),
        own(f"{CONF}/tls.crt", inputs.certificate),
    ]
    if inputs.database.tls_ca:
        # Each new connection reads it again. While one CA follows another, this unit may know of both
        # before the database says so.
        trusted = certificate_transfer.bundle(inputs.database.tls_ca, inputs.ca)
        items.append(own(DATABASE_CA, trusted, on_change="none"))
    if inputs.domains:
        items.append(Folder(DOMAINS, mode=0o750, user="root", group=user, exclusive=True))
        for domain in inputs.domains:
            items.append(own(f"{DOMAINS}/keystone.{domain.domain}.conf", domain.config))
            if domain.ca:
                items.append(own(f"{DOMAINS}/{domain.domain}.ca.pem", domain.ca))
    return items


def processes(inputs: Inputs) -> list[Process]:
    """The one process."""
    return [uwsgi.process(api(inputs))]


def manage(layout: Layout, *words: str) -> tuple[str, ...]:
    """A command line of keystone-manage."""
    return (layout.program("keystone-manage"), "--config-file", f"{CONF}/keystone.conf", *words)


def bootstrap(inputs: Inputs) -> tuple[str, ...]:
    """The command that makes the administrator and Keystone's own endpoints; the password is not in it."""
    return manage(
        inputs.layout,
        "bootstrap",
        "--bootstrap-username",
        "admin",
        "--bootstrap-project-name",
        "admin",
        "--bootstrap-service-name",
        "keystone",
        "--bootstrap-region-id",
        inputs.region,
        *(
            word
            for interface, url in sorted(inputs.interfaces().items())
            for word in (f"--bootstrap-{interface}-url", url)
        ),
    )


def openrc(inputs: Inputs, password: str) -> str:
    """Text of a file that a shell reads before it runs `openstack`; the CA is the caller's to add."""
    values = {
        "OS_AUTH_TYPE": "password",
        "OS_AUTH_URL": f"{inputs.public_url}/v3",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_USERNAME": "admin",
        "OS_PASSWORD": password,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_NAME": "admin",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": inputs.region,
    }
    return "".join(f"export {key}='{value}'\n" for key, value in values.items())
