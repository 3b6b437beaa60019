"""A charm of shell script that asks for a virtual host; its container has OpenStack's own client."""

import zipfile
from pathlib import Path

import yaml

IMAGE = "localhost:32000/daybreak/keystone:2026.1"
PYTHON = "/opt/openstack/bin/python"
USERNAME, VHOST = "probe", "openstack"

DISPATCH = r"""#!/bin/sh
set -eu
hook=${JUJU_DISPATCH_PATH#*/}
relation=$(relation-ids amqp)
say() {
    [ -n "$relation" ] && [ "$(is-leader)" = True ] || return 0
    relation-set -r "$relation" --app username=USERNAME vhost=VHOST external_connectivity=false \
        requested-secrets='["username", "password"]'
}
answer() { relation-get -r "$relation" --app "$1" "$(config-get provider)"; }
case $hook in
    amqp-relation-broken) ;;
    connect)
        id=$(answer secret-user)
        [ -n "$id" ] || { action-fail "no answer yet"; exit 0; }
        action-set hosts="$(answer hosts)" port="$(answer ssl_port)" ca="$(answer ssl_ca)" vhost=VHOST \
            username="$(secret-get "$id" --refresh username)" password="$(secret-get "$id" password)"
        exit 0
        ;;
    *) say ;;
esac
status-set active
"""

METADATA = {
    "name": "requirer",
    "summary": "Asks for a virtual host.",
    "description": "Asks for a virtual host.",
    "containers": {"client": {"resource": "client-image"}},
    "resources": {"client-image": {"type": "oci-image"}},
    "requires": {"amqp": {"interface": "rabbitmq", "limit": 1}},
}
CONFIG = {"options": {"provider": {"type": "string", "default": "rabbitmq"}}}
ACTIONS = {"connect": {"description": "Take the newest user.", "additionalProperties": False}}
MANIFEST = {"bases": [{"name": "ubuntu", "channel": "24.04", "architectures": ["amd64"]}]}


def pack(directory: Path) -> Path:
    """Write the archive."""
    path = directory / "requirer.charm"
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in (
            ("metadata.yaml", METADATA),
            ("config.yaml", CONFIG),
            ("actions.yaml", ACTIONS),
            ("manifest.yaml", MANIFEST),
        ):
            archive.writestr(name, yaml.safe_dump(value))
        dispatch = zipfile.ZipInfo("dispatch")
        dispatch.external_attr = 0o100755 << 16
        text = DISPATCH.replace("USERNAME", USERNAME).replace("VHOST", VHOST)
        archive.writestr(dispatch, text)
    return path
