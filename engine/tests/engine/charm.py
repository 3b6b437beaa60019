"""A charm of shell script that records each dispatch, packed as charmcraft packs."""

import zipfile
from pathlib import Path

import yaml

IMAGE = "localhost:32000/daybreak/memcached:1.6"

DISPATCH = r"""#!/bin/sh
# One line a dispatch in the model's log: the hook, and what of its environment says why it runs.
hook=${JUJU_DISPATCH_PATH#*/}
line="hook=$hook"
for name in RELATION_ID REMOTE_APP REMOTE_UNIT DEPARTING_UNIT WORKLOAD_NAME PEBBLE_CHECK_NAME NOTICE_KEY \
    STORAGE_ID SECRET_ID SECRET_LABEL SECRET_REVISION; do
    eval "set=\${JUJU_$name+yes} value=\${JUJU_$name-}"
    [ -z "$set" ] || line="$line $name=$value"
done
juju-log -- "TRACE $line"
case $hook in
    out-relation-created)
        relation-set url=http://out
        if [ "$(is-leader)" = True ]; then relation-set --app shared=yes; fi
        ;;
    config-changed)
        for id in $(relation-ids mates); do relation-set -r "$id" greeting="$(config-get greeting)"; done
        open-port 8080
        application-version-set 1.0 2>/dev/null
        ;;
    whoami)
        action-set revision=REVISION leader="$(is-leader)" greeting="$(config-get greeting)"
        exit 0
        ;;
    secret)
        secret-add --label own "token=$(action-get value)" > /tmp/id || exit 1
        action-set id="$(cat /tmp/id)"
        exit 0
        ;;
esac
failing=$(config-get fail)
if [ "$failing" = "$hook" ]; then
    status-set blocked "from failing hook"
    for id in $(relation-ids mates); do relation-set -r "$id" lost=yes; done
    exit 3
fi
status-set active
"""

METADATA = {
    "name": "tracer",
    "summary": "Records its hooks.",
    "description": "Records its hooks.",
    "containers": {
        "main": {"resource": "main-image", "mounts": [{"storage": "data", "location": "/data"}]},
        "side": {"resource": "main-image"},
    },
    "resources": {"main-image": {"type": "oci-image"}},
    "storage": {"data": {"type": "filesystem"}},
    "provides": {"out": {"interface": "trace"}},
    "requires": {"inp": {"interface": "trace", "optional": True}},
    "peers": {"mates": {"interface": "mates"}},
}
CONFIG = {
    "options": {
        "greeting": {"type": "string", "default": "hello"},
        "fail": {"type": "string", "default": ""},
    }
}
ACTIONS = {
    "whoami": {"description": "Tell.", "additionalProperties": False},
    "secret": {
        "description": "Add a secret.",
        "params": {"value": {"type": "string"}},
        "additionalProperties": False,
    },
}
MANIFEST = {"bases": [{"name": "ubuntu", "channel": "24.04", "architectures": ["amd64"]}]}


def pack(directory: Path, revision: int = 0) -> Path:
    """Write the archive; `revision` is told by the action `whoami`."""
    path = directory / f"tracer-{revision}.charm"
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
        archive.writestr(dispatch, DISPATCH.replace("REVISION", str(revision)))
    return path
