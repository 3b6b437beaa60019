"""The OpenStack images at work: what they say of their tables is so, and uwsgi loads their applications."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from daybreak_images import spec, store

pytestmark = pytest.mark.pods


@dataclass(frozen=True)
class Service:
    """What an image is tried with.

    Args:
        schemas: Schema -> section that names its database, and the command that makes its tables.
        applications: Modules with an `application` that uwsgi loads; Keystone's wants keys, and runs in every bundle.
        file: Name of its configuration file.
        text: What stands in it; `{etc}` is the folder of the files that the project ships.
        shipped: Files of that folder that stand beside it.
        environment: Variables.
    """

    schemas: dict[str, tuple[str, str]]
    applications: tuple[str, ...]
    file: str
    text: str = ""
    shipped: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


SERVICES = {
    "keystone": Service(
        {"keystone": ("database", "keystone-manage db_sync")},
        (),
        "keystone.conf",
    ),
    "glance": Service(
        {"glance": ("database", "glance-manage db sync")},
        ("glance.wsgi.api",),
        "glance-api.conf",
        "[paste_deploy]\nconfig_file = {etc}/glance-api-paste.ini\n",
    ),
    "placement": Service(
        {"placement": ("placement_database", "placement-manage db sync")},
        ("placement.wsgi.api",),
        "placement.conf",
    ),
    "nova": Service(
        {
            "api": ("api_database", "nova-manage api_db sync"),
            "main": ("database", "nova-manage db sync --local_cell"),
        },
        ("nova.wsgi.osapi_compute", "nova.wsgi.metadata"),
        "nova.conf",
        shipped=("api-paste.ini",),
    ),
    "neutron": Service(
        {"neutron": ("database", "neutron-db-manage upgrade heads")},
        ("neutron.wsgi.api",),
        "neutron.conf",
        "[DEFAULT]\ncore_plugin = ml2\n[ml2]\nmechanism_drivers = openvswitch\n",
        shipped=("api-paste.ini",),
        environment=("OS_NEUTRON_CONFIG_FILES=neutron.conf",),
    ),
    "cinder": Service(
        {"cinder": ("database", "cinder-manage db sync")},
        ("cinder.wsgi.api",),
        "cinder.conf",
        "[DEFAULT]\napi_paste_config = {etc}/api-paste.ini\n",
    ),
}
SERVER = (
    "mariadb-install-db --user=mysql > /dev/null && exec mariadbd --user=mysql"
    " --bind-address=127.0.0.1 --skip-grant-tables --innodb-flush-log-at-trx-commit=0"
)
ALIVE = "until mariadb-admin ping 2> /dev/null; do sleep 0.1; done"
# Ends when the version page is there, which asks for no token; the test fails when uwsgi ends first.
ASK = """\
import sys, time, urllib.error, urllib.request
while True:
    try:
        sys.exit(urllib.request.urlopen("http://127.0.0.1:8000/").status not in (200, 300))
    except urllib.error.HTTPError as error:
        sys.exit(error.code != 300)
    except OSError:
        time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def database(images: store.Store) -> Iterator[str]:
    """The name of a container with an empty MariaDB, which others can join."""
    name = f"test-images-{uuid.uuid4().hex[:8]}"
    server = spec.choose(spec.load(), ["mariadb"])[0].reference
    options = ["--detach", "--rm", "--pull=never", "--network=none", f"--name={name}"]
    images.run(["podman", "run", *options, "--tmpfs=/var/lib/mysql", server, "sh", "-c", SERVER])
    try:
        images.run(["podman", "exec", name, "timeout", "60", "sh", "-c", ALIVE])
        yield name
    finally:
        images.run(["podman", "rm", "--force", "--time=0", name])


def test_a_new_database_has_the_heads_of_the_layout_and_the_application_starts(
    images: store.Store, database: str, service: spec.Image, tmp_path: Path
) -> None:
    near = ["--pull=never", f"--network=container:{database}"]
    read = ["podman", "run", "--rm", *near, service.reference]
    layout = json.loads(images.run([*read, "cat", "/usr/share/daybreak/layout.json"]))
    known, heads = SERVICES[service.name], layout.get("heads", {})
    assert set(heads) == set(known.schemas)

    etc = f"{layout['bin'].removesuffix('/bin')}/etc/{service.name}"
    (tmp_path / known.file).write_text(known.text.format(etc=etc))
    for name in known.shipped:
        (tmp_path / name).write_text(images.run([*read, "cat", f"{etc}/{name}"]))
    tmp_path.chmod(0o755)
    connections = {
        section: f"{service.name}_{schema}_{service.tag.replace('.', '_')}"
        for schema, (section, _) in known.schemas.items()
    }
    options = [*near, f"--volume={tmp_path}:/etc/{service.name}:ro", f"--user={layout['user']}"]
    environment = ["OS_DEFAULT__TRANSPORT_URL=kombu+memory://", *known.environment]
    environment += [
        f"OS_{section.upper()}__CONNECTION=mysql+pymysql://root@127.0.0.1/{name}"
        for section, name in connections.items()
    ]
    options += [f"--env={variable}" for variable in environment]
    for schema, (section, command) in known.schemas.items():
        name = connections[section]
        admin = ["podman", "exec", database]
        images.run([*admin, "mariadb-admin", "create", name])
        images.run(["podman", "run", "--rm", *options, service.reference, *command.split()])
        sql = "SELECT version_num FROM alembic_version"
        found = images.run([*admin, "mariadb", "--skip-column-names", f"--execute={sql}", name])
        assert sorted(found.split()) == heads[schema]

    for module in known.applications:
        name = f"{database}-api"
        uwsgi = f"uwsgi --http-socket 127.0.0.1:8000 --module {module}:application --need-app"
        both = ["bash", "-c", f'{uwsgi} & timeout 120 python -c "$0" & wait -n', ASK]
        images.run(["podman", "run", "--rm", f"--name={name}", *options, service.reference, *both])


# As a charm would render them, except for where the cache is.
SETTINGS = """\
ALLOWED_HOSTS = ["*"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
COMPRESS_OFFLINE = True
OPENSTACK_KEYSTONE_URL = "https://keystone.example/v3"
SECRET_KEY = "of the test alone"
STATIC_ROOT = "/usr/share/horizon/static"
WEBROOT = "/"
"""
LOGIN = """\
import pathlib, re, django
django.setup()
from django.test import Client
page = Client().get("/auth/login/")
files = re.findall(r'"/static/([^"?]*)', page.content.decode())
print(page.status_code, len(files), *(f for f in files if not pathlib.Path("/usr/share/horizon/static", f).is_file()))
"""


def test_horizon_shows_its_login_with_the_files_of_the_image(
    images: store.Store, dashboard: spec.Image, tmp_path: Path
) -> None:
    (tmp_path / "local_settings.py").write_text(SETTINGS)
    tmp_path.chmod(0o755)
    options = ["--rm", "--pull=never", "--network=none", "--user=horizon"]
    options += ["--env=DJANGO_SETTINGS_MODULE=openstack_dashboard.settings"]
    options += [f"--volume={tmp_path}:/etc/horizon:ro", dashboard.reference]
    said = images.run(["podman", "run", *options, "python", "-W", "ignore", "-c", LOGIN])
    status, files, *missing = said.split()
    assert (status, missing) == ("200", [])
    assert int(files) > 5
