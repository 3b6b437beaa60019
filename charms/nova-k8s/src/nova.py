"""What Nova is: its processes, its databases, its options, its cells."""

from collections.abc import Mapping
from pathlib import Path

from daybreak_charm import Check, File, Folder, ini
from daybreak_charm.layout import Layout
from daybreak_charm.openstack import Api, Entry, Inputs, Service, Worker, options, steps
from daybreak_charm.upgrade import Found, Step

CONTAINER = "nova"
CONF = "/etc/nova"
STATE = "/var/lib/nova"
API_PORT = 8774
METADATA_PORT = 8775
CONSOLE_PORT = 6080
CONSOLE_PAGE = "vnc_lite.html"
CELL = "cell1"
API_DATABASE = "nova_api"
SECRET = "metadata-secret"  # noqa: S105 - the key of the secret's content among the inputs
DATABASE = "{scheme}://{username}:{password}@{hostname}:{port}"
"""Where cells' databases are, as a template that Nova fills from its main database's URL: a mapping
that is stored so never holds a password, and no rotation touches it (upstream: admin/cells.rst)."""
_MANAGE = ("nova-manage", "--config-file", f"{CONF}/nova.conf")


def transport(hosts: int) -> str:
    """The template of the message queue's URL, for a queue that is reached by so many names."""
    numbers = [""] if hosts == 1 else [str(number) for number in range(1, hosts + 1)]
    servers = (f"{{username{n}}}:{{password{n}}}@{{hostname{n}}}:{{port{n}}}" for n in numbers)
    return f"{{scheme}}://{','.join(servers)}/{{path}}?{{query}}"


def cell_words(hosts: int) -> tuple[str, ...]:
    """Options of nova-manage that say where the cell is."""
    database = f"{DATABASE}/{{path}}?{{query}}"
    return ("--name", CELL, "--database_connection", database, "--transport-url", transport(hosts))


def update_cell(layout: Layout, uuid: str, hosts: int) -> tuple[str, ...]:
    """The command that writes the cell's mapping again."""
    program, *words = _MANAGE
    return (
        layout.program(program),
        *words,
        "cell_v2",
        "update_cell",
        "--cell_uuid",
        uuid,
        *cell_words(hosts),
    )


def wsgi(inputs: Inputs) -> Mapping[str, str]:
    """Where Nova's WSGI applications find their files: the first one is the paste file."""
    return {
        "OS_NOVA_CONFIG_FILES": f"{inputs.layout.etc}/api-paste.ini;{CONF}/nova.conf",
    }


def threads(inputs: Inputs) -> Mapping[str, str]:
    """What has conductors and schedulers work with threads of the system, where the release can.

    2025.1's can only without: its messages would be read by a thread, and answered by nobody.
    """
    return (
        {} if inputs.layout.release == "2025.1" else {"OS_NOVA_DISABLE_EVENTLET_PATCHING": "true"}
    )


def our_options(inputs: Inputs) -> ini.Options:
    """Options of its own."""
    identity = inputs.identity
    ca = f"{CONF}/ca.pem"
    client = options.client(identity, inputs.region, ca)
    secret = inputs.needs[SECRET]
    return {
        "DEFAULT": {
            "state_path": STATE,
            # Periodic work begins at once, not after up to a minute at random: a cloud that is new has hypervisors
            # that no server can be on before the scheduler has given them their place.
            "periodic_fuzzy_delay": 0,
            # Consoles: the proxy speaks TLS itself.
            "ssl_only": True,
            "cert": f"{CONF}/tls.crt",
            "key": f"{CONF}/tls.key",
        },
        # There is one cell: a list without it, which is Nova's default while its database is away, would tell users
        # that they have no servers.
        "api": {"list_records_by_skipping_down_cells": False},
        "api_database": options.database(inputs.databases["api-database"], inputs.size, ca),
        "conductor": {"workers": inputs.size.workers},
        "scheduler": {
            "workers": inputs.size.workers,
            # A new hypervisor gets its place in the cell within this time, seconds.
            "discover_hosts_in_cells_interval": 5,
        },
        # While units of two releases run together, everybody speaks what the older one understands.
        "upgrade_levels": {"compute": "auto"},
        "service_user": options.service_user(identity, ca),
        "placement": client,
        "glance": options.endpoint(inputs.region, ca),
        "neutron": {
            **client,
            "service_metadata_proxy": True,
            "metadata_proxy_shared_secret": secret,
        },
        "cinder": {
            **{key: value for key, value in client.items() if key not in _NOT_CINDER},
            "os_region_name": inputs.region,
            "catalog_info": "volumev3::internalURL",
        },
        "vnc": {
            "enabled": True,
            "novncproxy_host": inputs.any_address,
            "novncproxy_port": CONSOLE_PORT,
        },
        "oslo_concurrency": {"lock_path": f"{STATE}/locks"},
    }


_NOT_CINDER = frozenset({"region_name", "valid_interfaces"})
"""Options of keystoneauth that Nova does not register for the client of volumes."""


def files(inputs: Inputs) -> list[File | Folder]:
    """Folders that Nova writes to."""
    user = inputs.layout.user
    return [Folder(path, mode=0o750, user=user, group=user) for path in (STATE, f"{STATE}/locks")]


NOVA = Service(
    project="nova",
    apis=(
        # Both ask all cells when they are loaded, in threads that later requests use again.
        Api("nova-api", "nova.wsgi.osapi_compute", API_PORT, 8784, CONTAINER, wsgi, lazy=True),
        Api(
            "nova-metadata",
            "nova.wsgi.metadata",
            METADATA_PORT,
            8785,
            CONTAINER,
            wsgi,
            # Its users, the hypervisors' agents, know a host and a port, but no path on a gateway.
            routes=(),
            suffix="-metadata",
            lazy=True,
        ),
    ),
    entries=(Entry("nova", "compute", "OpenStack Compute", "/v2.1"),),
    catalogue=Path(__file__).parent / "catalogue",
    options=our_options,
    databases={"database": "nova", "api-database": API_DATABASE},
    extra_databases=("nova_cell0",),
    prepare=(
        Step("api", "expand", "make the schema of the API", (*_MANAGE, "api_db", "sync")),
        Step(
            "cell0",
            "expand",
            "map the cell of servers that were never placed",
            (
                *(*_MANAGE, "cell_v2", "map_cell0", "--database_connection"),
                f"{DATABASE}/nova_cell0?{{query}}",
            ),
        ),
        Step(
            "cell1",
            "expand",
            "map the cell of the servers",
            (*_MANAGE, "cell_v2", "create_cell", *cell_words(1)),
            # A second one of the same name would be made: Nova compares the template with what it stands for.
            unless=Found(API_DATABASE, "SELECT uuid FROM cell_mappings WHERE name = %s", (CELL,)),
        ),
    ),
    # Last, because its heads say whether all of it is done.
    sync=(*_MANAGE, "db", "sync"),
    upgrade=(
        steps.check("nova-status", "--config-file", f"{CONF}/nova.conf", "upgrade", "check"),
        steps.expand(*_MANAGE, "api_db", "sync", name="expand-api"),
        steps.expand(*_MANAGE, "db", "sync"),
        steps.ROLL,
        steps.online(*_MANAGE, "db", "online_data_migrations"),
    ),
    workers=(
        Worker("nova-conductor", CONTAINER, environment=threads, scaled=True),
        Worker("nova-scheduler", CONTAINER, environment=threads),
        Worker(
            "nova-novncproxy",
            CONTAINER,
            checks=(Check("nova-novncproxy-online", tcp=CONSOLE_PORT, level="ready", period="5s"),),
        ),
    ),
    messaging=True,
    files=files,
)
