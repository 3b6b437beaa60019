"""Reading the model for the formatters: rows in, views out."""

import re
from collections.abc import Mapping

from daybreak_engine.charmfile import CharmMeta
from daybreak_engine.model import applications, charms, models, relations, rows, statuses, units
from daybreak_engine.model.store import Transaction

from . import views

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTPE]?)(?:i?B)?", re.IGNORECASE)
_MEBIBYTES = {"K": 1 / 1024, "": 1.0, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}


def mebibytes(text: str) -> int:
    """Return a size such as `20M`, `1G` or `pool,1,5M` in MiB; 0 when there is none."""
    sizes = [m for m in map(_SIZE.fullmatch, text.split(",")) if m is not None and m[2]]
    if not sizes:
        return 0
    return int(float(sizes[-1][1]) * _MEBIBYTES.get(sizes[-1][2].upper(), 1024.0**4))


def base_of(meta: CharmMeta) -> tuple[str, str]:
    """Return the base that a charm was packed for; ubuntu 24.04 when it does not say."""
    if not meta.bases:
        return ("ubuntu", "24.04")
    first = meta.bases[0]
    return (first.name, first.channel.partition("/")[0] or "24.04")


def metas(tx: Transaction) -> dict[str, CharmMeta]:
    """Return what each application of the model runs."""
    return {app.name: charms.meta(tx, app.charm_id) for app in applications.all_(tx)}


def leaders(tx: Transaction) -> dict[str, str]:
    """Return the holder of each application's leadership, by application."""
    # A lease that ran out while nobody could renew it still names the last leader, as Juju shows.
    found = tx.all("SELECT application, holder FROM leases")
    return {row["application"]: row["holder"] for row in found}


def model_view(tx: Transaction) -> views.ModelView:
    """Return the whole model as status shows it."""
    model = models.get(tx)
    related = relations.all_(tx)
    leading = leaders(tx)
    apps = applications.all_(tx)
    status = views.StatusView("available", since=model.created)
    if model.life != "alive":
        status = views.StatusView("destroying", "the model is being destroyed", model.created)
    return views.ModelView(
        name=model.name,
        uuid=model.uuid,
        status=status,
        now=tx.now,
        life=model.life,
        applications={app.name: _application(tx, app, related, leading) for app in apps},
        relations=tuple(_relation(tx, relation) for relation in related),
        storage=storage_views(tx),
    )


def _status(status: rows.Status) -> views.StatusView:
    return views.StatusView(status.status, status.message, status.since)


def _application(
    tx: Transaction,
    app: rows.Application,
    related: list[rows.Relation],
    leading: Mapping[str, str],
) -> views.ApplicationView:
    charm = charms.get(tx, app.charm_id)
    meta = charms.meta(tx, app.charm_id)
    members = units.of(tx, app.name)
    mine = [
        views.EndpointView(side.endpoint, relation.other(app.name).application, relation.interface)
        for relation in related
        for side in relation.endpoints
        if side.application == app.name
    ]
    return views.ApplicationView(
        name=app.name,
        charm=charm.name,
        revision=charm.revision,
        base=base_of(meta),
        status=_status(statuses.application(tx, app.name, [unit.name for unit in members])),
        charm_version=meta.version,
        scale=app.scale,
        provider_id=app.provider_id if app.service_address else "",
        address=app.service_address,
        exposed=app.exposed,
        life=app.life,
        workload_version=app.workload_version,
        relations=tuple(mine),
        units=tuple(unit_view(tx, unit, leading.get(app.name, "")) for unit in members),
        endpoints=tuple(sorted({*meta.endpoints, *meta.extra_bindings, "juju-info"})),
    )


def unit_view(tx: Transaction, unit: rows.Unit, leader: str) -> views.UnitView:
    """Return one unit as status shows it."""
    return views.UnitView(
        name=unit.name,
        workload=_status(statuses.workload(tx, unit.name)),
        agent=_status(statuses.agent(tx, unit.name)),
        leader=unit.name == leader,
        life=unit.life,
        address=unit.address,
        ports=tuple(dict.fromkeys(str(port) for port in units.ports(tx, unit.name))),
    )


def _relation(tx: Transaction, relation: rows.Relation) -> views.RelationView:
    message = "" if relations.in_scope(tx, relation.id) else "joining"
    return views.RelationView(
        relation.id,
        provider=str(relation.endpoints[-1]),
        requirer=str(relation.endpoints[0]),
        interface=relation.interface,
        peer=relation.peer,
        message="removing" if relation.life != "alive" else message,
    )


def storage_views(tx: Transaction) -> tuple[views.StorageView, ...]:
    """Return all storage instances, by their numbers."""
    found = [
        views.StorageView(
            id=row["id"],
            status=views.StatusView(
                _storage_status(row["unit"], row["provisioned"]), "", row["created"]
            ),
            unit=row["unit"] or "",
            location=row["location"] if row["unit"] and row["provisioned"] else "",
            size=mebibytes(row["size"]) if row["provisioned"] else 0,
            life=row["life"],
            provider_id=f"{row['application']}-{row['id'].replace('/', '-')}"
            if row["provisioned"]
            else "",
        )
        for row in tx.all("SELECT * FROM storage")
    ]
    return tuple(sorted(found, key=lambda item: int(item.id.rpartition("/")[2])))


def _storage_status(unit: str | None, provisioned: int) -> str:
    if not unit:
        return "detached"
    return "attached" if provisioned else "pending"
