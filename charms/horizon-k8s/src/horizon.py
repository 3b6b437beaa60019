"""How Horizon runs: its settings and its process, made from the inputs alone."""

import pprint
from dataclasses import dataclass, field, replace

from daybreak_charm import File, Folder, Process, sizing, uwsgi
from daybreak_charm.layout import Layout

PORT = 8443
HEALTH_PORT = 8444
CONF = "/etc/horizon"
STATIC = "/var/lib/horizon/static"
"""Files for browsers as they are given out: the image's, compressed for the path that Horizon is served at."""
APPLICATION = "openstack_dashboard.wsgi:application"


@dataclass(frozen=True)
class Inputs:
    """Everything that decides how Horizon runs.

    Attributes:
        layout: What the image says of itself.
        certificate: PEM with its chain.
        key: PEM of the private key.
        ca: PEMs of all authorities that are trusted.
        secret_key: Signs what browsers bring back; the same on all units.
        identity_url: Keystone's URL for services, with `/v3`.
        prefix: Path that a gateway passes.
        origins: URLs that forms may come from.
        size: Workers and threads.
        any_address: Address that means all of this unit's.
        cache_servers: `host:port` of memcached servers, may be empty.
        time_zone: Of the pages.
        session_timeout: Seconds.
        debug: Whether DEBUG is logged.
    """

    layout: Layout
    certificate: str = field(repr=False)
    key: str = field(repr=False)
    ca: str = field(repr=False)
    secret_key: str = field(repr=False)
    identity_url: str
    prefix: str
    origins: tuple[str, ...]
    size: sizing.ApiSize
    any_address: str = ""
    cache_servers: tuple[str, ...] = ()
    time_zone: str = "UTC"
    session_timeout: int = 3600
    debug: bool = False


def settings(inputs: Inputs) -> dict[str, object]:
    """Horizon's settings that differ from its own (reference: Horizon's settings reference)."""
    root = f"{inputs.prefix}/"
    cache: dict[str, object] = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    # A browser carries its session itself where there is no cache that all units share.
    sessions = "django.contrib.sessions.backends.signed_cookies"
    if inputs.cache_servers:
        cache = {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": list(inputs.cache_servers),
        }
        sessions = "django.contrib.sessions.backends.cache"
    level = "DEBUG" if inputs.debug else "WARNING"
    return {
        "ALLOWED_HOSTS": ["*"],  # whom to answer is the gateway's business
        "CACHES": {"default": cache},
        "COMPRESS_OFFLINE": True,
        "CONSOLE_TYPE": "VNC",
        "CSRF_COOKIE_SECURE": True,
        "CSRF_TRUSTED_ORIGINS": list(inputs.origins),
        "DEBUG": False,
        # Images go through Horizon: a browser has no leave to send them to another origin.
        "HORIZON_IMAGES_UPLOAD_MODE": "legacy",
        "LOGGING": {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "root": {"handlers": ["console"], "level": level},
        },
        "OPENSTACK_ENDPOINT_TYPE": "internalURL",
        "OPENSTACK_KEYSTONE_DEFAULT_ROLE": "member",
        "OPENSTACK_KEYSTONE_MULTIDOMAIN_SUPPORT": True,
        "OPENSTACK_KEYSTONE_URL": inputs.identity_url,
        "OPENSTACK_NEUTRON_NETWORK": {"enable_router": True},
        "OPENSTACK_SSL_CACERT": f"{CONF}/ca.pem",
        "SECRET_KEY": inputs.secret_key,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SECURE": True,
        "SESSION_ENGINE": sessions,
        "SESSION_TIMEOUT": inputs.session_timeout,
        "STATIC_ROOT": STATIC,
        "TIME_ZONE": inputs.time_zone,
        "WEBROOT": root,
    }


def python(values: dict[str, object]) -> str:
    """A file of settings: Python whose values are literals only."""
    lines = [f"{name} = {pprint.pformat(value, width=100)}" for name, value in values.items()]
    return "\n".join(["# Made by the charm; changes are lost.", *lines, ""])


_START = """\
#!/bin/sh
# Compressed files are found by a hash in which the path is, so they are made again for this one, once in the life
# of a container; then the server takes this program's place.
set -eu
if [ ! -e {static}/ready ]; then
    rm -rf {static}
    cp -r {image} {static}
    DJANGO_SETTINGS_MODULE=openstack_dashboard.settings {python} -W ignore -m django compress --force --verbosity 0
    : >{static}/ready
fi
exec "$@"
"""


def api(inputs: Inputs) -> uwsgi.Api:
    """Horizon under uwsgi."""
    return uwsgi.Api(
        name="horizon",
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
        mounts=(inputs.prefix,),
        static={"/static": STATIC},
    )


def render(inputs: Inputs) -> list[File | Folder]:
    """Horizon's files."""
    group = inputs.layout.user

    def own(name: str, content: str) -> File:
        return File(f"{CONF}/{name}", content, mode=0o640, group=group)

    return [
        Folder(CONF, mode=0o750, group=group),
        own("local_settings.py", python(settings(inputs))),
        own("start", start(inputs)),
        own("ca.pem", inputs.ca),
        own("tls.key", inputs.key),
        own("tls.crt", inputs.certificate),
        *uwsgi.files(api(inputs)),
    ]


def start(inputs: Inputs) -> str:
    """The program that makes files for browsers and becomes the server."""
    python = inputs.layout.program("python")
    return _START.format(static=STATIC, image=inputs.layout.static, python=python)


def processes(inputs: Inputs) -> list[Process]:
    """The one process."""
    server = uwsgi.process(api(inputs))
    return [replace(server, command=f"/bin/sh {CONF}/start {server.command}")]
