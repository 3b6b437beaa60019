"""The environment of every kind of hook, against ops' strict reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ops
import pytest

from daybreak_engine.hooktools.context import HookContext
from daybreak_engine.hooktools.environment import environment
from daybreak_engine.model.operation import Operation
from daybreak_engine.model.unitstate import UnitState

if TYPE_CHECKING:
    from .conftest import Cloud

COMMON = {
    "APT_LISTCHANGES_FRONTEND",
    "CHARM_DIR",
    "CLOUD_API_VERSION",
    "DEBIAN_FRONTEND",
    "JUJU_AGENT_SOCKET_ADDRESS",
    "JUJU_AGENT_SOCKET_NETWORK",
    "JUJU_API_ADDRESSES",
    "JUJU_AVAILABILITY_ZONE",
    "JUJU_CHARM_DIR",
    "JUJU_CHARM_FTP_PROXY",
    "JUJU_CHARM_HTTPS_PROXY",
    "JUJU_CHARM_HTTP_PROXY",
    "JUJU_CHARM_NO_PROXY",
    "JUJU_CONTEXT_ID",
    "JUJU_DISPATCH_PATH",
    "JUJU_HOOK_NAME",
    "JUJU_MACHINE_ID",
    "JUJU_MODEL_NAME",
    "JUJU_MODEL_UUID",
    "JUJU_PRINCIPAL_UNIT",
    "JUJU_UNIT_NAME",
    "JUJU_VERSION",
    "KUBERNETES_SERVICE_HOST",
    "LANG",
    "PATH",
    "TERM",
}
RELATION = {"relation_id": 2, "endpoint": "inp", "remote_application": "p"}
CHECK: dict[str, Any] = {"container": "c1", "check": "up"}


@pytest.mark.parametrize(
    ("operation", "extra"),
    [
        (Operation(kind="install"), {}),
        (
            Operation(kind="relation-created", **RELATION),
            {
                "JUJU_RELATION": "inp",
                "JUJU_RELATION_ID": "inp:2",
                "JUJU_REMOTE_APP": "p",
                "JUJU_REMOTE_UNIT": "",
            },
        ),
        (
            Operation(
                kind="relation-departed", remote_unit="p/1", departing_unit="a/0", **RELATION
            ),
            {
                "JUJU_RELATION": "inp",
                "JUJU_RELATION_ID": "inp:2",
                "JUJU_REMOTE_APP": "p",
                "JUJU_REMOTE_UNIT": "p/1",
                "JUJU_DEPARTING_UNIT": "a/0",
            },
        ),
        (
            Operation(kind="secret-changed", secret_id="x" * 20, secret_label="l"),
            {"JUJU_SECRET_ID": "secret:" + "x" * 20, "JUJU_SECRET_LABEL": "l"},
        ),
        (
            Operation(kind="secret-remove", secret_id="x" * 20, secret_revision=3),
            {
                "JUJU_SECRET_ID": "secret:" + "x" * 20,
                "JUJU_SECRET_LABEL": "",
                "JUJU_SECRET_REVISION": "3",
            },
        ),
        (
            Operation(kind="storage-attached", storage_id="data/0"),
            {
                "JUJU_STORAGE_ID": "data/0",
                "JUJU_STORAGE_KIND": "filesystem",
                "JUJU_STORAGE_LOCATION": "/var/lib/juju/storage/data-0",
            },
        ),
        (Operation(kind="pebble-ready", container="c1"), {"JUJU_WORKLOAD_NAME": "c1"}),
        (
            Operation(
                kind="pebble-custom-notice", container="c1", notice_id="7", notice_key="a.b/c"
            ),
            {
                "JUJU_WORKLOAD_NAME": "c1",
                "JUJU_NOTICE_ID": "7",
                "JUJU_NOTICE_KEY": "a.b/c",
                "JUJU_NOTICE_TYPE": "custom",
            },
        ),
        (
            Operation(kind="pebble-check-failed", **CHECK),
            {"JUJU_WORKLOAD_NAME": "c1", "JUJU_PEBBLE_CHECK_NAME": "up"},
        ),
        (
            Operation(kind="action", task_id=4, action="act"),
            {
                "JUJU_ACTION_NAME": "act",
                "JUJU_ACTION_UUID": "4",
                "JUJU_ACTION_TAG": "action-4",
            },
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Operation) else "",
)
def test_exactly_these_variables(cloud: Cloud, operation: Operation, extra: dict[str, str]) -> None:
    cloud.deploy("a")
    context = HookContext(cloud.store, "a/0", operation, UnitState())
    found = environment(context, kubernetes={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert {key: found[key] for key in found.keys() - COMMON} == extra
    assert found.keys() >= COMMON
    read = ops.JujuContext.from_environ(found)
    assert (read.unit_name, read.model_name) == ("a/0", "openstack")
    assert str(read.version) == "3.6.14"
    expected = "actions/act" if operation.kind == "action" else f"hooks/{operation.name}"
    assert read.dispatch_path == expected
    assert found["JUJU_CONTEXT_ID"].startswith("a/0-")


def test_exec_has_no_dispatch_path(cloud: Cloud) -> None:
    cloud.deploy("a")
    operation = Operation(kind="exec", task_id=5, action="juju-exec")
    found = environment(HookContext(cloud.store, "a/0", operation, UnitState()))
    assert "JUJU_DISPATCH_PATH" not in found
    assert (found["JUJU_HOOK_NAME"], found["JUJU_ACTION_NAME"]) == ("", "juju-exec")
