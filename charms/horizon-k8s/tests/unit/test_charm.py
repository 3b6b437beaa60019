import ast
import dataclasses
import json
from pathlib import Path

import charm
import pytest
from ops import testing

from daybreak_charm.testing import TestCA, assert_idempotent, quiet_effects

CA = TestCA()
LAYOUT = {
    "project": "horizon",
    "release": "2026.1",
    "version": "25.7.3",
    "user": "horizon",
    "bin": "/opt/openstack/bin",
    "static": "/usr/share/horizon/static",
}
URL = "https://gw.example/openstack-horizon"


class Dashboard:
    """Horizon's surroundings, as its charm sees them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.context = testing.Context(charm.HorizonCharm, charm_root=Path(__file__).parents[2])

    def settings(self) -> dict[str, object]:
        tree = ast.parse((self.folder / "etc/horizon/local_settings.py").read_text())
        return {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }

    def run(self, state: testing.State) -> testing.State:
        return self.context.run(self.context.on.update_status(), state)

    def state(self, *relations: testing.Relation) -> testing.State:
        mounts: dict[str, testing.Mount] = {}
        for name, path in {
            "etc": "/etc",
            "run": "/run/daybreak",
            "s": "/usr/share/daybreak",
        }.items():
            source = self.folder / name
            source.mkdir(exist_ok=True)
            mounts[name] = testing.Mount(location=path, source=source)
        (self.folder / "s/layout.json").write_text(json.dumps(LAYOUT))
        user = testing.Secret({"username": "h", "password": "s3cret"}, owner=None)
        identity = {"credentials": user.id, "internal-endpoint": "https://in/v3"}
        route = {"ingress": json.dumps({"url": URL})}
        asked = self.run(
            testing.State(
                leader=True,
                planned_units=1,
                model=testing.Model(name="openstack"),
                containers={testing.Container("horizon", can_connect=True, mounts=mounts)},
                secrets={user},
                relations={
                    testing.PeerRelation("peers"),
                    testing.Relation("certificates"),
                    testing.Relation("identity-credentials", remote_app_data=identity),
                    testing.Relation("ingress-public", remote_app_data=route),
                    *relations,
                },
            )
        )
        return self.run(CA.answer(asked))


@pytest.fixture
def dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dashboard:
    monkeypatch.setattr(charm.HorizonCharm, "effects", quiet_effects())
    return Dashboard(tmp_path)


def test_it_is_at_the_gateways_path(dashboard: Dashboard) -> None:
    out = dashboard.state()
    assert out.unit_status == testing.ActiveStatus()
    found = dashboard.settings()
    assert found["WEBROOT"] == "/openstack-horizon-k8s/"
    assert "'https://gw.example'" in str(found["CSRF_TRUSTED_ORIGINS"])
    uwsgi = (dashboard.folder / "etc/horizon/uwsgi.ini").read_text()
    assert "static-map = /static=/var/lib/horizon/static" in uwsgi
    # What was compressed for another path would not be found.
    start = (dashboard.folder / "etc/horizon/start").read_text()
    assert "cp -r /usr/share/horizon/static /var/lib/horizon/static" in start
    assert (
        "/bin/sh /etc/horizon/start"
        in out.get_container("horizon").plan.services["horizon"].command
    )


def test_sessions_are_in_the_cache_where_there_is_one(dashboard: Dashboard) -> None:
    dashboard.state()
    assert str(dashboard.settings()["SESSION_ENGINE"]).endswith("signed_cookies")
    cache = testing.Relation("cache", remote_app_data={"servers": "mc-0:11211,mc-1:11211"})
    dashboard.state(cache)
    found = dashboard.settings()
    assert str(found["SESSION_ENGINE"]).endswith("backends.cache")
    assert "mc-1:11211" in str(found["CACHES"])


def test_all_units_sign_with_one_key_that_no_databag_shows(dashboard: Dashboard) -> None:
    out = dashboard.state()
    key = str(dashboard.settings()["SECRET_KEY"])
    assert any(key in (s.latest_content or {}).values() for s in out.secrets)
    bags = [(r.local_app_data, dict(getattr(r, "local_unit_data", {}))) for r in out.relations]
    assert key not in json.dumps(bags)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("time-zone", "Mars/Olympus", "no time zone Mars/Olympus"),
        ("session-timeout", 1, "out of range"),
    ],
)
def test_wrong_options_are_refused(
    dashboard: Dashboard, option: str, value: str | int, said: str
) -> None:
    out = dashboard.run(dataclasses.replace(dashboard.state(), config={option: value}))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert said in out.unit_status.message


def test_the_second_run_writes_nothing(dashboard: Dashboard) -> None:
    assert_idempotent(dashboard.context, dashboard.context.on.update_status(), dashboard.state())


def test_the_url_is_told(dashboard: Dashboard) -> None:
    state = dashboard.state()
    dashboard.context.run(dashboard.context.on.action("get-dashboard-url"), state)
    assert dashboard.context.action_results == {"url": f"{URL}/"}
