"""Status against what a real Juju printed for the same model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import jubilant

from daybreak_engine.commands import statusfilter, tabular, views
from daybreak_engine.commands.views import (
    ApplicationView,
    EndpointView,
    ModelView,
    RelationView,
    StatusView,
    StorageView,
    UnitView,
)
from daybreak_engine.model import applications, leadership, relations, statuses, storage, units

from .conftest import START, Cloud


def model(**changes: object) -> ModelView:
    """The model of the recording status-active, as far as its tables show it."""
    idle = StatusView("idle")
    alpha = ApplicationView(
        name="alpha",
        charm="alpha",
        revision=11,
        base=("ubuntu", "24.04"),
        status=StatusView("active"),
        scale=2,
        address="10.152.183.222",
        workload_version="1.2.3",
        relations=(
            EndpointView("cluster", "alpha", "alpha_peers"),
            EndpointView("db", "beta", "kv"),
            EndpointView("web", "beta", "http"),
        ),
        units=(
            UnitView(
                "alpha/0", StatusView("active"), idle, False, "alive", "10.1.0.78", ("8080/tcp",)
            ),
            UnitView(
                "alpha/1", StatusView("active"), idle, True, "alive", "10.1.0.77", ("8080/tcp",)
            ),
        ),
    )
    beta = ApplicationView(
        name="beta",
        charm="beta",
        revision=0,
        base=("ubuntu", "24.04"),
        status=StatusView("active", "ready"),
        scale=1,
        address="10.152.183.69",
        units=(
            UnitView("beta/0", StatusView("active", "ready"), idle, True, "alive", "10.1.0.52"),
        ),
        relations=(EndpointView("kv", "alpha", "kv"), EndpointView("site", "alpha", "http")),
    )
    location = "/var/lib/juju/storage/data-0"
    attached = StatusView("attached")
    values: dict[str, object] = {
        "name": "fmt-demo",
        "uuid": "",
        "status": StatusView("available"),
        "now": START,
        "applications": {"alpha": alpha, "beta": beta},
        "relations": (
            RelationView(3, "alpha:cluster", "alpha:cluster", "alpha_peers", peer=True),
            RelationView(4, "beta:kv", "alpha:db", "kv"),
            RelationView(5, "alpha:web", "beta:site", "http"),
        ),
        "storage": (
            StorageView("data/2", attached, "alpha/0", location, 20),
            StorageView("data/3", attached, "alpha/1", location, 20),
        ),
    }
    return ModelView(**{**values, **changes})  # pyright: ignore[reportArgumentType] - a table of values


def recorded(text: str) -> str:
    """The recording with this engine's controller, cloud and version; blanks at ends as ~."""
    lines = text.replace("~", " ").split("\n")
    lines[0] = "Model     Controller  Cloud/Region        Version  Timestamp"
    lines[1] = "fmt-demo  embedded    embedded/localhost  3.6.14   16:29:28Z"
    return "\n".join(lines)


def test_tables_as_recorded() -> None:
    assert tabular.tables(model(), relations=True, storage=True) == recorded(
        """\
-
-

App    Version  Status  Scale  Charm  Channel  Rev  Address         Exposed  Message
alpha  1.2.3    active      2  alpha            11  10.152.183.222  no      ~
beta            active      1  beta              0  10.152.183.69   no       ready

Unit      Workload  Agent  Address    Ports     Message
alpha/0   active    idle   10.1.0.78  8080/tcp ~
alpha/1*  active    idle   10.1.0.77  8080/tcp ~
beta/0*   active    idle   10.1.0.52            ready

Relation provider  Requirer       Interface    Type     Message
alpha:cluster      alpha:cluster  alpha_peers  peer    ~
alpha:web          beta:site      http         regular ~
beta:kv            alpha:db       kv           regular ~

Storage Unit  Storage ID  Type        Pool        Mountpoint                    Size    Status    Message
alpha/0       data/2      filesystem  kubernetes  /var/lib/juju/storage/data-0  20 MiB  attached ~
alpha/1       data/3      filesystem  kubernetes  /var/lib/juju/storage/data-0  20 MiB  attached ~
"""
    )


def test_what_an_agent_does_stands_before_the_message() -> None:
    app = model().applications["alpha"]
    busy = [
        ("running action slow", "(slow) need a database"),
        ("running config-changed hook", "(config-changed) need a database"),
        ("running db-relation-changed hook for mysql/0", "(db-relation-changed) need a database"),
        ("", "need a database"),
    ]
    for message, shown in busy:
        unit = UnitView(
            "alpha/0", StatusView("blocked", "need a database"), StatusView("executing", message)
        )
        view = model(applications={"alpha": ApplicationView(**{**vars(app), "units": (unit,)})})
        assert tabular.tables(view).splitlines()[-1].endswith(shown)


def test_scale_shows_units_that_are_away() -> None:
    app = model().applications["alpha"]
    lost = UnitView("alpha/0", StatusView("unknown", "agent lost"), StatusView("lost"))
    units = (lost, app.units[1])
    view = model(applications={"alpha": ApplicationView(**{**vars(app), "units": units})})
    assert "active    1/2  alpha" in tabular.tables(view)


def test_filters() -> None:
    whole = model()
    beta = statusfilter.select(whole, ["beta/0"])
    assert list(beta.applications) == ["beta"]
    assert beta.applications["beta"].relations == ()
    assert beta.storage == ()
    assert list(statusfilter.select(whole, ["alpha/1"]).applications["alpha"].units) == [
        whole.applications["alpha"].units[1]
    ]
    assert [s.id for s in statusfilter.select(whole, ["alpha/1"]).storage] == ["data/3"]
    assert list(statusfilter.select(whole, ["al*"]).applications) == ["alpha"]
    assert list(statusfilter.select(whole, ["active"]).applications) == ["alpha", "beta"]
    assert not statusfilter.select(whole, ["nosuch"]).applications


def settle(cloud: Cloud) -> None:
    """Bring the model to where agents would bring it."""
    with cloud.deps.store.transaction() as tx:
        for relation in relations.all_(tx):
            for side in relation.endpoints:
                for unit in units.of(tx, side.application):
                    relations.enter_scope(tx, relation.id, unit.name)
        for number, unit in enumerate(units.all_(tx)):
            units.set_address(tx, unit.name, f"10.1.0.{number + 10}")
            statuses.put(tx, unit.name, "workload", "active", by_charm=True)
            statuses.put(tx, unit.name, "agent", "idle")
        for name in ("alpha", "beta"):
            applications.set_addresses(tx, name, service=f"10.152.0.{len(name)}")
        leadership.claim(tx, "alpha/1")
        for instance in storage.all_(tx):
            storage.set_provisioned(tx, instance.id)


def test_jubilant_reads_it(demo: Cloud) -> None:
    demo.ok("integrate", "alpha:db", "beta:kv")
    waiting = jubilant.Status._from_dict(json.loads(demo.ok("status", "--format", "json").out))
    assert jubilant.all_waiting(waiting)
    assert not jubilant.all_agents_idle(waiting)
    settle(demo)
    status = jubilant.Status._from_dict(json.loads(demo.ok("status", "--format", "json").out))
    assert jubilant.all_active(status)
    assert jubilant.all_agents_idle(status)
    assert status.model.version == "3.6.14"
    alpha = status.apps["alpha"]
    assert [name for name, unit in alpha.units.items() if unit.leader] == ["alpha/1"]
    assert alpha.relations["db"][0].related_app == "beta"
    assert alpha.base is not None
    assert alpha.base.channel == "24.04/stable"
    assert status.storage.storage["data/0"].attachments is not None
    assert status.storage.filesystems["0"].size == 10


def test_a_failed_hook_hides_the_charms_status(demo: Cloud) -> None:
    settle(demo)
    with demo.deps.store.transaction() as tx:
        statuses.put(tx, "alpha/0", "error", "error", 'hook failed: "config-changed"')
    status = jubilant.Status._from_dict(json.loads(demo.ok("status", "--format", "json").out))
    assert jubilant.any_error(status, "alpha")
    assert status.apps["alpha"].units["alpha/0"].juju_status.current == "idle"
    assert demo("resolved", "alpha/1").err == (
        'ERROR resolving unit: checking unit "alpha/1" status: unit is not in error state\n'
    )
    demo.ok("resolved", "alpha/0")
    assert units.get(demo.deps.store.read(), "alpha/0").resolved == "retry"
    demo.ok("resolved", "--no-retry", "--all")
    assert units.get(demo.deps.store.read(), "alpha/0").resolved == "no-retry"
    log = demo.ok("show-status-log", "alpha/0", "-n", "1").out
    assert log.splitlines()[1].endswith('workload  error   hook failed: "config-changed"')


def test_scale_nought_has_no_scale_and_no_units(demo: Cloud) -> None:
    demo.ok("scale-application", "beta", "0")
    with demo.deps.store.transaction() as tx:
        units.remove(tx, "beta/0")
    tree = json.loads(demo.ok("status", "--format", "json", "beta").out)["applications"]["beta"]
    assert "scale" not in tree
    assert "units" not in tree
    assert tree["application-status"]["current"] == "unknown"


def test_other_formats_and_nothing_matched(demo: Cloud) -> None:
    settle(demo)
    yaml_text = demo.ok("status", "--format", "yaml").out
    assert "    base:\n      name: ubuntu\n      channel: 24.04/stable\n" in yaml_text
    assert demo.ok("status", "--format", "oneline").out.startswith(
        "- alpha/0: 10.1.0.10 (agent:idle, workload:active)\n"
    )
    assert "Utilizing ports:" in demo.ok("status", "--format", "summary").out
    nothing = demo.ok("status", "nosuch")
    assert nothing.err == "Nothing matched specified filter.\n"
    assert len(nothing.out.splitlines()) == 2
    assert demo("status", "--model", "nosuch", "--format", "json").out == "{}\n"


def test_storage(demo: Cloud) -> None:
    settle(demo)
    assert demo.ok("storage").out == (
        "Unit     Storage ID  Type        Pool        Size    Status    Message\n"
        "alpha/0  data/0      filesystem  kubernetes  10 MiB  attached  \n"
        "alpha/1  data/1      filesystem  kubernetes  10 MiB  attached  \n"
    )
    assert "Mountpoint" in demo.ok("storage", "--filesystem").out
    assert demo.ok("show-storage", "data/1").out.startswith("data/1:\n  kind: filesystem\n")
    assert demo("show-storage", "data/9").code == 1


def test_status_of_many_units_is_quick(
    cloud: Cloud, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """jubilant asks every second; 40 applications must not make it wait (budget 50 ms here)."""
    for number in range(40):
        letters = f"{chr(97 + number // 26)}{chr(97 + number % 26)}"
        cloud.ok("deploy", "./beta.charm", letters, "--resource", "app-image=img", "-n", "2")
    cloud.ok("status", "--format", "json")
    began = time.perf_counter()
    cloud.ok("status", "--format", "json")
    once = time.perf_counter() - began
    record_testsuite_property("status_of_80_units_seconds", once)
    assert once < 0.5, "ten times the budget: this machine may be busy, but not that busy"


def test_version(bare: Cloud) -> None:
    tree = json.loads(bare.ok("version", "--format", "json", "--all").out)
    assert jubilant.Version._from_dict(tree).tuple == (3, 6, 14)
    assert bare.ok("version").out == f"{views.VERSION}-ubuntu-amd64\n"
