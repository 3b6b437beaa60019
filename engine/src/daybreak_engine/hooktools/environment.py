"""The environment of a hook process: exactly the variables of contract 1.2 and 1.3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from daybreak_engine.model import models, storage

if TYPE_CHECKING:
    from daybreak_engine.hooktools.context import HookContext
    from daybreak_engine.model.operation import Operation

JUJU_VERSION = "3.6.14"

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/charm/bin"


def tag(unit: str) -> str:
    """Return a unit's tag, `unit-keystone-0`: names its directories below /var/lib/juju."""
    return f"unit-{unit.replace('/', '-')}"


def charm_dir(unit: str) -> str:
    """Return the charm directory as the charm container sees it."""
    return f"/var/lib/juju/agents/{tag(unit)}/charm"


def tools_dir(unit: str) -> str:
    """Return the directory of the hook tools as the charm container sees it."""
    return f"/var/lib/juju/tools/{tag(unit)}"


def socket_path(unit: str) -> str:
    """Return the agent's socket as the charm container sees it."""
    return f"/var/lib/juju/agents/{tag(unit)}/agent.socket"


def environment(
    context: HookContext,
    *,
    kubernetes: Mapping[str, str] | None = None,
    api_addresses: str = "127.0.0.1:17070",
    cloud_version: str = "1.31.0",
) -> dict[str, str]:
    """Return the whole environment of the process that a context belongs to.

    Args:
        context: Of the hook, action or command.
        kubernetes: The `KUBERNETES_*` variables of the pod.
        api_addresses: Of the controller, space separated.
        cloud_version: Kubernetes version claimed.
    """
    operation = context.operation
    directory = charm_dir(context.unit)
    model_config = models.config(context.tx)
    variables = {
        "APT_LISTCHANGES_FRONTEND": "none",
        "CHARM_DIR": directory,
        "CLOUD_API_VERSION": cloud_version,
        "DEBIAN_FRONTEND": "noninteractive",
        "JUJU_AGENT_SOCKET_ADDRESS": socket_path(context.unit),
        "JUJU_AGENT_SOCKET_NETWORK": "unix",
        "JUJU_API_ADDRESSES": api_addresses,
        "JUJU_AVAILABILITY_ZONE": "",
        "JUJU_CHARM_DIR": directory,
        "JUJU_CHARM_FTP_PROXY": str(model_config["juju-ftp-proxy"]),
        "JUJU_CHARM_HTTP_PROXY": str(model_config["juju-http-proxy"]),
        "JUJU_CHARM_HTTPS_PROXY": str(model_config["juju-https-proxy"]),
        "JUJU_CHARM_NO_PROXY": str(model_config["juju-no-proxy"]),
        "JUJU_CONTEXT_ID": context.id,
        "JUJU_HOOK_NAME": operation.name,
        "JUJU_MACHINE_ID": "",
        "JUJU_MODEL_NAME": context.model.name,
        "JUJU_MODEL_UUID": context.model.uuid,
        "JUJU_PRINCIPAL_UNIT": "",
        "JUJU_UNIT_NAME": context.unit,
        "JUJU_VERSION": JUJU_VERSION,
        "LANG": "C.UTF-8",
        "PATH": f"{tools_dir(context.unit)}:{_PATH}",
        "TERM": "tmux-256color",
        **(kubernetes or {}),
        **_of_event(context, operation),
    }
    if operation.kind == "action":
        variables["JUJU_DISPATCH_PATH"] = f"actions/{operation.action}"
    elif operation.kind != "exec":
        variables["JUJU_DISPATCH_PATH"] = f"hooks/{operation.name}"
    return variables


def _of_event(context: HookContext, operation: Operation) -> dict[str, str]:
    if operation.is_relation:
        variables = {
            "JUJU_RELATION": operation.endpoint,
            "JUJU_RELATION_ID": f"{operation.endpoint}:{operation.relation_id}",
            "JUJU_REMOTE_APP": operation.remote_application,
            "JUJU_REMOTE_UNIT": operation.remote_unit,
        }
        if operation.kind == "relation-departed":
            variables["JUJU_DEPARTING_UNIT"] = operation.departing_unit
        return variables
    if operation.is_workload:
        return _of_workload(operation)
    if operation.is_secret:
        variables = {
            "JUJU_SECRET_ID": f"secret:{operation.secret_id}",
            "JUJU_SECRET_LABEL": operation.secret_label,
        }
        if operation.kind in ("secret-remove", "secret-expired"):
            variables["JUJU_SECRET_REVISION"] = str(operation.secret_revision)
        return variables
    if operation.is_storage:
        found = storage.of(context.tx, context.unit)
        location = next((s.location for s in found if s.id == operation.storage_id), "")
        return {
            "JUJU_STORAGE_ID": operation.storage_id,
            "JUJU_STORAGE_KIND": "filesystem",
            "JUJU_STORAGE_LOCATION": location,
        }
    if operation.is_task:
        return {
            "JUJU_ACTION_NAME": operation.action,
            "JUJU_ACTION_TAG": f"action-{operation.task_id}",
            "JUJU_ACTION_UUID": str(operation.task_id),
        }
    return {}


def _of_workload(operation: Operation) -> dict[str, str]:
    variables = {"JUJU_WORKLOAD_NAME": operation.container}
    if operation.kind == "pebble-custom-notice":
        variables |= {
            "JUJU_NOTICE_ID": operation.notice_id,
            "JUJU_NOTICE_KEY": operation.notice_key,
            "JUJU_NOTICE_TYPE": "custom",
        }
    elif operation.kind != "pebble-ready":
        variables["JUJU_PEBBLE_CHECK_NAME"] = operation.check
    return variables
