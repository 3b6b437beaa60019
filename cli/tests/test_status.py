"""`daybreak status` against APIs that are there: a Keystone with a catalogue, and what it lists."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from daybreak import __main__, agents, bundles, places, preflight, probe, troubles
from daybreak.waiting import UnitView

from .conftest import STATUS, Programs, application, status_json, unit
from .test_docs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "hunter2"
NOVA = {"versions": [{"id": "v2.0", "status": "SUPPORTED", "version": ""},
                     {"id": "v2.1", "status": "CURRENT", "version": "2.103"}]}  # fmt: skip
GLANCE = {
    "versions": [{"id": "v2.17", "status": "CURRENT"}, {"id": "v2.16", "status": "SUPPORTED"}]
}
KEYSTONE = {"versions": {"values": [{"id": "v3.14", "status": "stable"}]}}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (NOVA, "v2.103"),
        (GLANCE, "v2.17"),
        (KEYSTONE, "v3.14"),
        ({}, ""),
        ([], ""),
        (None, ""),
        ({"versions": 3}, ""),
    ],
)
def test_the_newest_version_of_a_document(document: Any, says: str):
    assert probe.version(document) == says


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("https://gw/openstack-nova/v2.1", "https://gw/openstack-nova/"),
        ("https://gw/openstack-cinder/v3/", "https://gw/openstack-cinder/"),
        ("https://gw/openstack-glance", "https://gw/openstack-glance/"),
    ],
)
def test_versions_are_listed_at_the_root(url: str, root: str):
    assert probe.root(url) == root


# --- the command


class Apis:
    """Answers by path; a test changes them."""

    def __init__(self, url: str):
        self.url = url
        self.logins: list[Any] = []
        self.slow: set[str] = set()
        self.release = threading.Event()
        services = {"identity": "/keystone/v3", "compute": "/nova/v2.1", "image": "/glance"}
        services |= {"placement": "/placement", "network": "/neutron"}
        services |= {"volumev3": "/cinder/v3", "block-storage": "/cinder/v3"}
        self.catalogue = [
            {
                "type": kind,
                "endpoints": [
                    {"interface": "public", "region": "RegionOne", "url": f"{url}{path}"}
                ],
            }
            for kind, path in services.items()
        ]
        self.answers: dict[str, tuple[int, Any]] = {
            "/keystone/v3": (200, {"version": {"id": "v3.14"}}),
            "/nova/": (200, NOVA),
            "/glance/": (300, GLANCE),
            "/placement/": (200, {"versions": [{"id": "v1.0", "status": "CURRENT", "max_version": "1.39"}]}),
            "/neutron/": (200, {"versions": [{"id": "v2.0", "status": "CURRENT"}]}),
            "/cinder/": (300, {"versions": [{"id": "v3.0", "status": "CURRENT", "version": "3.71"}]}),
            "/horizon/": (200, None),
            "/nova/v2.1/os-services": (200, {"services": [
                service("nova-compute", "node-0"), service("nova-scheduler", "nova-0"),
                service("nova-scheduler", "nova-7", state="down"),
            ]}),
            "/neutron/v2.0/agents": (200, {"agents": [
                {"binary": "ovn-controller", "host": "node-0", "alive": True, "admin_state_up": True}
            ]}),
            "/cinder/v3/os-services": (200, {"services": [service("cinder-volume", "cinder@nfs")]}),
        }  # fmt: skip


def service(binary: str, host: str, state: str = "up", status: str = "enabled") -> dict[str, str]:
    return {"binary": binary, "host": host, "state": state, "status": status}


@contextmanager
def serving() -> Iterator[Apis]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = apis.answers.get(self.path, (404, None))
            if (
                self.path.endswith(("os-services", "agents"))
                and self.headers["X-Auth-Token"] != "t"
            ):
                status = 401
            if self.path in apis.slow:
                apis.release.wait()
            self.answer(status, document)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            apis.logins.append(body)
            good = body["auth"]["identity"]["password"]["user"]["password"] == PASSWORD
            self.answer(
                201 if good else 401, {"token": {"catalog": apis.catalogue}} if good else {}
            )

        def answer(self, status: int, document: Any) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if status == 201:
                self.send_header("X-Subject-Token", "t")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name there
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    apis = Apis(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield apis
    finally:
        apis.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


ACCOUNT = (
    "juju", "run", "--model", "openstack", "--format", "json",
    "keystone/leader", "get-admin-account", "--wait", "10s",
)  # fmt: skip
CHARMS = {
    "keystone": "keystone-k8s",
    "nova": "nova-k8s",
    "glance": "glance-k8s",
    "placement": "placement-k8s",
    "neutron": "neutron-k8s",
    "cinder": "cinder-k8s",
    "horizon": "horizon-k8s",
    "mariadb": "mariadb-k8s",
    "rabbitmq": "rabbitmq-k8s",
    "hypervisor": "hypervisor-k8s",
}


@pytest.fixture
def apis() -> Iterator[Apis]:
    with serving() as found:
        yield found


class Cloud:
    """A whole cloud whose parts a test changes before it looks."""

    def __init__(self, programs: Programs, apis: Apis):
        self.apis = apis
        self.programs = programs
        self.units = {name: unit(leader=True) for name in CHARMS if name != "hypervisor"}
        self.password = PASSWORD

    def declare(self) -> None:
        applications = {
            name: application(CHARMS[name], value, name=name) for name, value in self.units.items()
        }
        self.programs.expect(*STATUS, stdout=status_json(**applications))
        for name in ("keystone", "horizon"):
            words = ("juju", "show-unit", "--model", "openstack", f"{name}/0", "--format", "json")
            self.programs.expect(*words, stdout=json.dumps({f"{name}/0": self.shown(name)}))
        results = {
            "username": "admin",
            "password": self.password,
            "public-endpoint": f"{self.apis.url}/keystone/v3",
        }
        task = {"keystone/0": {"id": "2", "status": "completed", "results": results}}
        self.programs.expect(*ACCOUNT, stdout=json.dumps(task))

    def shown(self, name: str) -> Any:
        ingress = {
            "relation-id": 1,
            "endpoint": "ingress-public",
            "related-endpoint": "ingress-public",
            "application-data": {"ingress": json.dumps({"url": f"{self.apis.url}/{name}"})},
        }
        return {
            "opened-ports": [],
            "charm": f"local:{name}-k8s-0",
            "leader": True,
            "relation-info": [ingress],
        }


@pytest.fixture
def cloud(programs: Programs, instance: places.Instance, home: places.Home, apis: Apis) -> Cloud:
    instance.state.mkdir(parents=True)
    (home.bundles / "openstack.yaml").write_text((ROOT / "bundles/openstack.yaml").read_text())
    return Cloud(programs, apis)


def look(cloud: Cloud, capsys: Any) -> tuple[int, str]:
    cloud.declare()
    code = __main__.main(["status"])
    return code, capsys.readouterr().out


def report(cloud: Cloud, capsys: Any) -> Any:
    cloud.declare()
    __main__.main(["status", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    return found | {"states": {s["name"]: s["state"] for s in found["services"]}}


def test_a_cloud_that_works(cloud: Cloud, capsys):
    code, out = look(cloud, capsys)

    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    names = [line[0] for line in lines[1:10]]
    assert names == ["identity", "image", "placement", "network", "compute", "block-storage",
                     "dashboard", "database", "queue"]  # fmt: skip
    assert "compute        up     API v2.103, " in out
    assert "nova-compute    up     1 of 1: node-0" in out
    # a unit that was removed is remembered by Nova alone
    assert "nova-7" not in out
    assert "hunter2" not in out


def test_one_api_that_is_down_is_told_of_and_the_others_too(cloud: Cloud, capsys):
    cloud.apis.answers["/glance/"] = (503, None)

    found = report(cloud, capsys)

    assert found["healthy"] is False
    assert found["states"]["image"] == "down"
    assert found["states"]["compute"] == "up"
    image = next(s for s in found["services"] if s["name"] == "image")
    assert image["detail"].startswith("HTTP 503")


def test_an_api_that_does_not_answer_is_given_up(cloud: Cloud, monkeypatch, capsys):
    monkeypatch.setitem(probe.ask.__kwdefaults__, "timeout", 0.5)
    cloud.apis.slow = {"/nova/", "/nova/v2.1/os-services"}

    found = report(cloud, capsys)

    assert found["states"]["compute"] == "down"
    assert found["states"]["network"] == "up"
    assert any(
        t["name"] == "compute" and "no answer in time" in t["cause"] for t in found["troubles"]
    )


def test_a_password_that_somebody_changed_has_a_remedy(cloud: Cloud, capsys):
    cloud.password = "other"

    code, out = look(cloud, capsys)

    assert code == 1
    assert "identity       up" in out
    assert "image          unknown" in out
    assert "login is refused: Keystone refuses the administrator's password" in out
    assert "-> A new one that both know: juju run keystone/leader rotate-admin-password" in out


def test_keystone_that_gives_no_account_keeps_nothing_from_being_told(cloud: Cloud, capsys):
    cloud.programs.expect(*ACCOUNT, code=1, stderr="ERROR timed out waiting for results\n")

    code, out = look(cloud, capsys)

    assert code == 1
    assert "database       up       1 of 1 units active" in out
    assert "login is failed" in out
    assert "timed out" in out


def test_an_agent_that_is_down(cloud: Cloud, capsys):
    rows = [service("nova-compute", "node-0"), service("nova-compute", "node-1", state="down")]
    cloud.apis.answers["/nova/v2.1/os-services"] = (200, {"services": rows})

    code, out = look(cloud, capsys)

    assert code == 1
    assert "nova-compute    down   1 of 2: node-0; down: node-1" in out
    assert "nova-compute is down: it does not report from node-1" in out


def test_a_hypervisor_that_was_taken_out_of_service_is_no_trouble(cloud: Cloud, capsys):
    rows = [
        service("nova-compute", "node-0"),
        service("nova-compute", "node-1", "down", "disabled"),
    ]
    cloud.apis.answers["/nova/v2.1/os-services"] = (200, {"services": rows})

    code, out = look(cloud, capsys)

    assert code == 0
    assert "disabled: node-1" in out


def test_a_service_that_is_missing_is_not_listed_but_what_others_lack_is(cloud: Cloud, capsys):
    del cloud.units["neutron"], cloud.units["cinder"]
    cloud.apis.catalogue = [
        entry
        for entry in cloud.apis.catalogue
        if entry["type"] not in ("network", "volumev3", "block-storage")
    ]

    code, out = look(cloud, capsys)

    assert code == 0
    assert not any(line.startswith("network  ") for line in out.splitlines())
    assert "network is missing: servers have no networks" in out
    assert "block-storage is missing: servers have no volumes" in out
    assert "neutron-k8s" in out


def test_a_cloud_without_hypervisors_and_without_a_place_for_volumes(cloud: Cloud, capsys):
    scheduler = [service("nova-scheduler", "nova-0"), service("cinder-scheduler", "cinder-0")]
    cloud.apis.answers["/nova/v2.1/os-services"] = (200, {"services": scheduler[:1]})
    cloud.apis.answers["/cinder/v3/os-services"] = (200, {"services": scheduler[1:]})

    code, out = look(cloud, capsys)

    assert code == 0
    assert "hypervisor is missing: servers have nowhere to run" in out
    assert "-> Deploy hypervisor-k8s: daybreak bootstrap" in out
    assert "volume back end is missing: volumes have nowhere to be" in out
    assert "-> Deploy cinder-volume-k8s: daybreak bootstrap" in out


def test_an_agent_whose_charm_was_removed(cloud: Cloud, capsys):
    rows = [service("nova-compute", "node-0", state="down")]
    cloud.apis.answers["/nova/v2.1/os-services"] = (200, {"services": rows})

    code, out = look(cloud, capsys)

    assert code == 1
    assert "nova-compute is down: it does not report from node-0" in out
    assert "-> Deploy hypervisor-k8s: " in out
    assert "logs hypervisor" not in out


def test_a_hypervisor_that_nova_has_never_heard_of(cloud: Cloud, capsys):
    cloud.apis.answers["/nova/v2.1/os-services"] = (200, {"services": []})
    cloud.units["hypervisor"] = unit("active", "", leader=True)

    code, out = look(cloud, capsys)

    assert code == 1
    assert "nova-compute is down: compute has never heard of it" in out
    assert "-> `daybreak logs hypervisor` says why." in out


def test_a_server_that_nobody_makes_any_more(cloud: Cloud, capsys):
    servers = [
        {"id": "s-1", "name": "old", "updated": "2026-11-01T10:00:00Z"},
        {"id": "s-2", "name": "new", "updated": "2999-11-01T10:00:00Z"},
    ]
    cloud.apis.answers["/nova/v2.1/servers/detail?all_tenants=1&status=BUILD"] = (
        200,
        {"servers": servers},
    )

    code, out = look(cloud, capsys)

    assert code == 0, "the cloud itself works"
    assert "server old is stuck: it is being made" in out
    assert "-> Make it again: openstack server delete s-1" in out
    assert "server new" not in out


def test_a_range_that_another_route_took_is_told_of(
    cloud: Cloud, instance: places.Instance, capsys
):
    (instance.state / "network.json").write_text(json.dumps({"subnet": "10.9.0.0/20"}))
    routes = [{"dst": "10.9.4.0/24", "dev": "tun0"}]
    cloud.programs.expect("ip", "-json", "route", "show", stdout=json.dumps(routes))

    code, out = look(cloud, capsys)

    assert code == 1
    assert "this machine is unfit: the instance's range 10.9.0.0/20 overlaps" in out
    assert "-> Remove that route, or " in out


def test_a_blocked_unit_has_cause_and_remedy(cloud: Cloud, capsys):
    message = "relation placement is missing: juju integrate nova:placement <application>"
    cloud.units["nova"] = unit("blocked", message, leader=True)

    _, out = look(cloud, capsys)

    assert "nova/0 is blocked: relation placement is missing" in out
    assert "-> juju integrate nova:placement placement\n" in out


def test_a_machine_without_tunnels_is_told_of(cloud: Cloud, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(preflight.tunnels, "__defaults__", (tmp_path / "none",))
    assert look(cloud, capsys)[0] == 0

    cloud.programs.known.clear()
    cloud.units["hypervisor"] = unit(leader=True)
    code, out = look(cloud, capsys)

    assert code == 1
    assert "this machine is unfit: " in out
    assert "modprobe tun" in out


def test_an_empty_cloud(cloud: Cloud, capsys):
    cloud.units = {}
    code, out = look(cloud, capsys)

    assert code == 1
    assert "No services are deployed." in out


# --- pure parts

WHOLE = bundles.load(ROOT / "bundles/openstack.yaml")


def trouble(message: str, state: str = "blocked", **charms: str) -> troubles.Trouble:
    apps = {name: SimpleNamespace(charm_name=charm) for name, charm in charms.items()}
    status: Any = SimpleNamespace(apps=apps)
    return troubles.of_unit(UnitView("n/0", state, message, "idle"), status, WHOLE)


def test_a_relation_to_a_charm_that_is_not_there():
    found = trouble("relation amqp is missing: juju integrate n:amqp <application>", n="nova-k8s")

    assert found.cause == "relation amqp is missing"
    assert "no rabbitmq-k8s" in found.remedy
    assert "juju integrate n:amqp APPLICATION" in found.remedy


@pytest.mark.parametrize(
    ("message", "cause", "remedy"),
    [
        (
            "config-overrides: no option tokn: correct the option",
            "config-overrides: no option tokn",
            "correct the option",
        ),
        ("the network was split: juju ssh x y", "the network was split", "juju ssh x y"),
        ("nothing more", "nothing more", "Do what it says; it goes on by itself then."),
        ("no: juju integrate m:x <application>", "no", "juju integrate m:x <application>"),
    ],
)
def test_what_a_charm_says_is_cause_and_remedy(message: str, cause: str, remedy: str):
    found = trouble(message)

    assert (found.cause, found.remedy) == (cause, remedy)


@pytest.mark.parametrize("state", ["waiting", "maintenance", "error", "unknown", "leaving"])
def test_every_state_has_a_remedy(state: str):
    assert trouble("database: x", state).remedy
    assert trouble("database: x", state).cause == "database: x"


def test_units_that_are_no_more():
    gone = agents.removed(["nova/0", "cinder/0"])

    assert gone("nova-1")
    assert gone("cinder-3@nfs")
    assert not gone("nova-0")
    assert not gone("node-1")
    assert not gone("rack2")
