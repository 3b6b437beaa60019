"""`juju status --format json`: from a `ModelView` to the tree that jubilant reads."""

from collections.abc import Mapping
from datetime import UTC, datetime

from . import views


def when(seconds: float) -> str:
    """Return a time as status shows it: `22 Nov 2026 16:29:08Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %Y %H:%M:%SZ")


def clock(seconds: float) -> str:
    """Return a time of the day: `16:29:08Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%SZ")


def status_tree(model: views.ModelView) -> dict[str, object]:
    """Return the whole status; keys stand in Juju's order."""
    return {
        "model": {
            "name": model.name,
            "type": "caas",
            "controller": views.CONTROLLER,
            "cloud": views.CLOUD,
            "region": views.REGION,
            "version": views.VERSION,
            "model-status": _status(model.status),
            "sla": "unsupported",
        },
        "machines": {},
        "applications": {name: _application(app) for name, app in model.applications.items()},
        "storage": storage_tree(model),
        "controller": {"timestamp": clock(model.now)},
    }


def _status(status: views.StatusView, version: str = "") -> dict[str, object]:
    return _present(
        {
            "current": status.current,
            "message": status.message,
            "since": when(status.since) if status.since is not None else "",
            "version": version,
        }
    )


def _present(tree: Mapping[str, object]) -> dict[str, object]:
    """Return the entries that have a value; Juju leaves the others out."""
    return {key: value for key, value in tree.items() if value not in ("", None, [], {}, ())}


def _application(app: views.ApplicationView) -> dict[str, object]:
    name, channel = app.base
    relations: dict[str, list[dict[str, str]]] = {}
    for relation in app.relations:
        relations.setdefault(relation.endpoint, []).append(
            {
                "related-application": relation.other,
                "interface": relation.interface,
                "scope": "global",
            }
        )
    return {
        "charm": f"local:{app.charm}-{app.revision}",
        "base": {"name": name, "channel": f"{channel}/stable"},
        "charm-origin": "local",
        "charm-name": app.charm,
        "charm-rev": app.revision,
        **_present({"charm-version": app.charm_version}),
        **({"scale": app.scale} if app.scale else {}),
        **_present({"provider-id": app.provider_id, "address": app.address}),
        "exposed": app.exposed,
        "life": app.life,
        "application-status": _status(app.status),
        **_present({"relations": dict(sorted(relations.items()))}),
        **_present({"units": {unit.name: _unit(unit) for unit in app.units}}),
        **_present({"version": app.workload_version}),
        "endpoint-bindings": bindings(app),
    }


def bindings(app: views.ApplicationView) -> dict[str, str]:
    """Return the network space of each endpoint, and of the application itself."""
    return dict.fromkeys(("", *app.endpoints), views.SPACE)


def _unit(unit: views.UnitView) -> dict[str, object]:
    # An agent that never ran has not told its version yet.
    version = "" if unit.agent.current == "allocating" else views.VERSION
    return {
        "workload-status": _status(unit.workload),
        "juju-status": _status(unit.agent, version),
        **({"life": unit.life} if unit.life != "alive" else {}),
        **({"leader": True} if unit.leader else {}),
        **_present(
            {
                "open-ports": list(unit.ports),
                "address": unit.address,
                "provider-id": unit.provider_id,
            }
        ),
    }


def storage_tree(model: views.ModelView) -> dict[str, object]:
    """Return the `storage` part, which is also the answer of `juju storage`."""
    if not model.storage:
        return {}
    return {
        "storage": {item.id: storage_instance(item) for item in model.storage},
        "filesystems": {item.id.split("/")[1]: _filesystem(item) for item in model.storage},
    }


def storage_instance(item: views.StorageView) -> dict[str, object]:
    """Return one storage instance as `juju show-storage` shows it."""
    tree: dict[str, object] = {
        "kind": "filesystem",
        "life": item.life,
        "status": _status(item.status),
        "persistent": False,
    }
    if item.unit:
        tree["attachments"] = {"units": {item.unit: _attachment(item)}}
    return tree


def _attachment(item: views.StorageView) -> dict[str, object]:
    return {**_present({"location": item.location}), "life": "alive"}


def _filesystem(item: views.StorageView) -> dict[str, object]:
    tree: dict[str, object] = {
        **_present({"provider-id": item.provider_id}),
        "storage": item.id,
    }
    if item.unit:
        tree["attachments"] = {
            "containers": {
                item.unit: {"mount-point": item.location, "read-only": False, "life": "alive"}
            },
            "units": {item.unit: _attachment(item)},
        }
    return {
        **tree,
        "pool": "kubernetes",
        "size": item.size,
        "life": item.life,
        "status": _status(item.status),
    }
