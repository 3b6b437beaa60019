"""`plan`, `upgrade` and `scale` through `main`, against the strict fake of `juju`."""

from __future__ import annotations

import fcntl
import functools
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from daybreak import __main__, bootstrap, places, releases, work

from .conftest import STATUS, Programs, application, status_json, unit

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "localhost:32000/daybreak/keystone:"
MODEL = ("--model", "openstack")
PACK = ("python", "tools/pack", "keystone-k8s")
LIST = ("python", "-m", "daybreak_images", "list", f"{IMAGE}2026.1")
RESOURCES = ("juju", "resources", *MODEL, "keystone", "--format", "json")
TRUST = ("juju", "config", *MODEL, "keystone", "trust")


def action(number: int, release: str = "") -> tuple[str, ...]:
    words = ("juju", "run", *MODEL, "--format", "json", f"keystone/{number}", "upgrade-status")
    parameters = ("--params", f"release: '{release}'") if release else ()
    return (*words, "--wait", "60s", *parameters)


def refresh(release: str) -> tuple[str, ...]:
    return (
        "juju", "refresh", *MODEL, "keystone", "--path", "dist/keystone-k8s.charm",
        "--resource", f"keystone-image={IMAGE}{release}",
    )  # fmt: skip


def scaled(units: int) -> tuple[str, ...]:
    return ("juju", "scale-application", *MODEL, "keystone", str(units))


STEPS = [
    {"name": n, "phase": p, "what": f"the {n}", "command": c, "impact": "none"}
    for n, p, c in (
        ("check", "check", "keystone-status upgrade check"),
        ("expand", "expand", "keystone-manage db_sync --expand"),
        ("roll", "roll", ""),
        ("contract", "contract", "keystone-manage db_sync --contract"),
    )
]


def told(
    *units: str, running: str = "2025.1", target: str = "", phase: str = "", refused: str = ""
) -> str:
    report = {
        "running": running,
        "target": target or running,
        "phase": phase,
        "units": {f"keystone/{n}": release for n, release in enumerate(units)},
        "planned": len(units),
        "refused": refused,
        "steps": STEPS,
    }
    return task({"report": json.dumps(report)})


def task(results: dict[str, Any], state: str = "completed", **more: Any) -> str:
    body = {"id": "2", "status": state, "results": results, **more}
    return json.dumps({f"keystone/{n}": body for n in (0,)})


def keystone(*units: Any, **more: Any) -> str:
    return status_json(keystone=application("keystone-k8s", *units, name="keystone", **more))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes only by sleeping."""
    sleeps: list[float] = []
    fake = bootstrap.Clock(now=lambda: sum(sleeps), sleep=sleeps.append)
    monkeypatch.setattr(work, "Work", functools.partial(work.Work, clock=fake))
    return sleeps


@pytest.fixture
def cloud(programs: Programs, instance: places.Instance, home: places.Home, clock) -> Programs:
    """A cloud of 2025.1 with three units, its charm packed and the image of 2026.1 built."""
    instance.state.mkdir(parents=True)
    pack(home, {"keystone-image": {"type": "oci-image", "upstream-source": f"{IMAGE}2026.1"}})
    programs.expect(*PACK, stdout="keystone-k8s: up to date\n")
    programs.expect(*LIST, stdout=f"keystone:2026.1  built  {IMAGE}2026.1\n")
    programs.expect(*TRUST, stdout="true\n")
    programs.expect(*RESOURCES, stdout=has("2025.1"))
    return programs


def pack(home: places.Home, resources: dict[str, Any], **more: Any) -> Path:
    path = home.path / "dist/keystone-k8s.charm"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("metadata.yaml", yaml.safe_dump({"resources": resources, **more}))
    return path


def has(release: str) -> str:
    return json.dumps({"resources": [{"name": "keystone-image", "value": f"{IMAGE}{release}"}]})


def run(*words: str) -> int:
    return __main__.main(list(words))


# --- plan


def test_a_plan_shows_steps_impact_and_what_is_owed(cloud: Programs, capsys):
    cloud.expect(*STATUS, stdout=keystone(unit(), unit(), unit()))
    cloud.expect(*action(0, "2026.1"), stdout=told("2025.1", "2025.1", "2025.1"))

    assert run("plan", "upgrade", "keystone", "--to", "2026.1") == 0

    out = capsys.readouterr().out
    assert "keystone: to 2026.1 from 2025.1, 3 units" in out
    assert "STEP      IMPACT  OWED  WHAT" in out
    assert "expand    none    yes   the expand" in out
    assert "keystone-manage db_sync --expand" in out
    assert "double" not in out


def test_a_plan_in_the_middle_says_how_far_it_is(cloud: Programs, capsys):
    cloud.expect(*STATUS, stdout=keystone(unit(), unit(), unit()))
    cloud.expect(
        *action(0), stdout=told("2025.1", "2025.1", "2026.1", target="2026.1", phase="roll")
    )

    assert run("plan", "upgrade", "keystone", "--format", "json") == 0

    (plan,) = json.loads(capsys.readouterr().out)["plans"]
    assert plan["to"] == "2026.1"
    assert {s["name"]: s["owed"] for s in plan["steps"]} == {
        "check": "done",
        "expand": "done",
        "roll": "2 of 3 units",
        "contract": "yes",
    }


def test_a_lone_unit_is_doubled_in_the_plan(cloud: Programs, capsys):
    cloud.expect(*STATUS, stdout=keystone(unit()))
    cloud.expect(*action(0, "2026.1"), stdout=told("2025.1"))

    run("upgrade", "keystone", "--to", "2026.1", "--dry-run")

    out = capsys.readouterr().out
    assert "double    none    yes   add a second unit" in out
    assert "Nothing was changed." in out
    assert refresh("2026.1") not in cloud.calls


def test_a_lone_unit_that_keeps_data_is_an_outage_in_the_plan(
    cloud: Programs, home: places.Home, capsys
):
    pack(home, {}, storage={"data": {"type": "filesystem"}})
    cloud.expect(*STATUS, stdout=keystone(unit()))
    cloud.expect(*action(0, "2026.1"), stdout=told("2025.1"))

    run("plan", "upgrade", "keystone", "--to", "2026.1")

    out = capsys.readouterr().out
    assert "roll      major" in out
    assert "double" not in out


# --- upgrade


def test_an_upgrade_refreshes_and_follows_to_the_end(cloud: Programs, capsys):
    away = unit("maintenance", "upgrade 2025.1 -> 2026.1: expand runs")
    for state in (
        keystone(unit(), unit(), unit()),
        keystone(unit(), unit(), unit()),
        keystone(unit(), unit(), away),
        keystone(unit(), unit(), unit()),
    ):
        cloud.expect(*STATUS, stdout=state)
    cloud.expect(*action(0, "2026.1"), stdout=told("2025.1", "2025.1", "2025.1"))
    rolling = told("2025.1", "2025.1", "2026.1", target="2026.1", phase="roll")
    cloud.expect(*action(0), stdout=rolling)
    cloud.expect(*action(0), stdout=told("2026.1", "2026.1", "2026.1", running="2026.1"))
    cloud.expect(*refresh("2026.1"))

    assert run("upgrade", "keystone", "--to", "2026.1") == 0

    out = capsys.readouterr().out
    assert "done     Look at keystone" in out
    assert "2025.1 -> 2026.1, 3 units" in out
    assert "keystone/2      maintenance  upgrade 2025.1 -> 2026.1: expand runs" in out
    assert "roll: still to come: keystone/1, keystone/0" in out
    assert "3 units of keystone serve with 2026.1" in out
    assert cloud.calls.count(refresh("2026.1")) == 1


def test_an_interrupted_upgrade_goes_on_without_a_second_refresh(cloud: Programs, capsys):
    cloud.known[RESOURCES] = []
    cloud.expect(*RESOURCES, stdout=has("2026.1"))
    cloud.expect(*STATUS, stdout=keystone(unit(), unit("waiting", "x"), unit()))
    cloud.expect(*STATUS, stdout=keystone(unit(), unit(), unit()))
    rolling = told("2025.1", "2025.1", "2026.1", target="2026.1", phase="roll")
    cloud.expect(*action(0, "2026.1"), stdout=rolling)
    cloud.expect(*action(0), stdout=told("2026.1", "2026.1", "2026.1", running="2026.1"))

    assert run("upgrade", "keystone", "--to", "2026.1") == 0

    assert "there    Refresh" in capsys.readouterr().out
    assert refresh("2026.1") not in cloud.calls


def test_what_is_done_is_not_done_again(cloud: Programs, capsys):
    cloud.known[RESOURCES] = []
    cloud.expect(*RESOURCES, stdout=has("2026.1"))
    cloud.expect(*STATUS, stdout=keystone(unit()))
    cloud.expect(*action(0, "2026.1"), stdout=told("2026.1", running="2026.1"))

    assert run("upgrade", "keystone", "--to", "2026.1") == 0

    assert "nothing is owed" in capsys.readouterr().out


def test_the_way_back(cloud: Programs, capsys):
    cloud.known[RESOURCES] = []
    cloud.expect(*RESOURCES, stdout=has("2026.1"))
    built = f"keystone:2025.1  built  {IMAGE}2025.1\n"
    cloud.expect(*LIST[:-1], f"{IMAGE}2025.1", stdout=built)
    blocked = unit("blocked", "check failed (2): Check: Roles")
    cloud.expect(*STATUS, stdout=keystone(unit(), unit(), blocked))
    cloud.expect(*STATUS, stdout=keystone(unit(), unit(), blocked))
    cloud.expect(*STATUS, stdout=keystone(unit(), unit(), unit()))
    begun = told("2025.1", "2025.1", "", target="2026.1", phase="expand")
    cloud.expect(*action(0, "2025.1"), stdout=begun)
    left = told("2025.1", "2025.1", "2025.1", target="2026.1", phase="expand")
    over = told("2025.1", "2025.1", "2025.1")

    def follow() -> tuple[int, str, str]:
        return 0, over if turn(0, "2025.1") in cloud.calls else left, ""

    cloud.known[action(0)] = [follow]
    cloud.expect(*turn(0, "2025.1"), stdout=task({}))
    cloud.expect(*refresh("2025.1"))

    assert run("upgrade", "keystone", "--to", "2025.1") == 0

    out = capsys.readouterr().out
    assert "3 units of keystone serve with 2025.1" in out
    assert "the schema is that of 2025.1" in out


def turn(number: int, release: str) -> tuple[str, ...]:
    words = ("juju", "run", *MODEL, "--format", "json", f"keystone/{number}", "upgrade-turn")
    return (*words, "--wait", "60s", "--params", f"release: '{release}'")


def test_the_way_back_from_the_middle_is_kept_open_and_never_leaves_nobody(cloud: Programs, capsys):
    """The contract could begin meanwhile; and a refresh ends the upper of two units at once."""
    cloud.known[RESOURCES] = []
    cloud.expect(*RESOURCES, stdout=has("2026.1"))
    built = f"keystone:2025.1  built  {IMAGE}2025.1\n"
    cloud.expect(*LIST[:-1], f"{IMAGE}2025.1", stdout=built)
    away = keystone(unit("maintenance", "stopping"), unit())
    both = keystone(unit(), unit())
    course = {
        None: [away, away, away, both],
        refresh("2025.1"): [keystone(unit(), unit("maintenance", "stopping")), both],
    }
    seen: list[str] = []

    def status() -> tuple[int, str, str]:
        done = [words for words in course if words in cloud.calls]
        states = course[done[-1] if done else None]
        seen.append(states.pop(0) if len(states) > 1 else states[0])
        return 0, seen[-1], ""

    cloud.known[STATUS] = [status]
    rolling = told("2025.1", "2026.1", target="2026.1", phase="roll")
    cloud.expect(*action(1, "2025.1"), stdout=rolling)
    cloud.expect(*turn(1, "2025.1"), stdout=task({}))
    cloud.expect(*turn(0, "2025.1"), stdout=task({}))
    cloud.expect(*action(0), stdout=told("2025.1", "2025.1", target="2026.1", phase="back"))

    def refreshed() -> tuple[int, str, str]:
        assert seen[-1] == both, "nobody would serve"
        return 0, "", ""

    cloud.known[refresh("2025.1")] = [refreshed]

    assert run("upgrade", "keystone", "--to", "2025.1") == 0

    assert cloud.calls.index(turn(1, "2025.1")) < cloud.calls.index(refresh("2025.1"))
    out = capsys.readouterr().out
    assert "Keep the way back open" in out
    assert "stays expanded for 2026.1" in out


def test_a_way_back_that_was_kept_open_is_closed_by_going_on(cloud: Programs, capsys):
    cloud.known[RESOURCES] = []
    cloud.expect(*RESOURCES, stdout=has("2026.1"))
    for _ in range(3):
        cloud.expect(*STATUS, stdout=keystone(unit(), unit()))
    held = told("2026.1", "2026.1", running="2025.1", target="2026.1", phase="back")
    cloud.expect(*action(0, "2026.1"), stdout=held)
    cloud.expect(*turn(0, "2026.1"), stdout=task({}))
    cloud.expect(*action(0), stdout=told("2026.1", "2026.1", running="2026.1"))

    assert run("upgrade", "keystone", "--to", "2026.1") == 0

    assert "Open the way on" in capsys.readouterr().out


def test_a_release_that_upstream_refuses_changes_nothing(cloud: Programs, capsys):
    cloud.expect(*STATUS, stdout=keystone(unit(), unit(), unit()))
    why = "2025.1 cannot become 2027.1 in one step, 2026.1 comes before it"
    cloud.expect(*action(0, "2027.1"), stdout=told("2025.1", "2025.1", "2025.1", refused=why))

    assert run("upgrade", "keystone", "--to", "2027.1") == 1

    err = capsys.readouterr().err
    assert why in err
    assert "Nothing was changed" in err


def test_an_image_that_nobody_can_build_is_found_before_anything_changes(cloud: Programs, capsys):
    cloud.known[LIST] = []
    cloud.expect(*LIST, code=1, stderr="there is no image 'keystone:2026.1'\n")
    cloud.expect(*STATUS, stdout=keystone(unit(), unit()))
    cloud.expect(*action(0, "2026.1"), stdout=told("2025.1", "2025.1"))

    assert run("upgrade", "keystone", "--to", "2026.1") == 1

    assert "there is no image 'keystone:2026.1'" in capsys.readouterr().err
    assert refresh("2026.1") not in cloud.calls


def test_a_cloud_that_is_not_well_is_left_alone(cloud: Programs, capsys):
    ill = unit("waiting", "the database does not answer")
    cloud.expect(*STATUS, stdout=keystone(unit(), ill))
    cloud.expect(*action(0, "2026.1"), stdout=told("2025.1", "2025.1"))

    assert run("upgrade", "keystone", "--to", "2026.1") == 1

    err = capsys.readouterr().err
    assert "keystone/1: waiting: the database does not answer" in err
    assert refresh("2026.1") not in cloud.calls


def test_without_trust_nothing_is_changed(cloud: Programs, capsys):
    cloud.known[TRUST] = []
    cloud.expect(*TRUST, stdout="false\n")
    cloud.expect(*STATUS, stdout=keystone(unit(), unit()))
    cloud.expect(*action(0, "2026.1"), stdout=told("2025.1", "2025.1"))

    assert run("upgrade", "keystone", "--to", "2026.1") == 1

    assert "-> juju trust keystone --scope cluster" in capsys.readouterr().err
    assert refresh("2026.1") not in cloud.calls


@pytest.mark.parametrize(
    ("state", "message", "says"),
    [
        ("blocked", "check failed (2): Check: Roles", "keystone/1 waits for you"),
        ("waiting", "expand failed (1): (1114, 'full'); tried again", "has been away for"),
        ("waiting", "image localhost:32000/x is missing", "has been away for"),
    ],
    ids=["check", "full disk", "image"],
)
def test_an_upgrade_that_stands_still_names_the_unit_and_both_ways(
    cloud: Programs, clock, capsys, state: str, message: str, says: str
):
    cloud.expect(*STATUS, stdout=keystone(unit(), unit()))
    cloud.expect(*STATUS, stdout=keystone(unit(), unit()))
    cloud.expect(*STATUS, stdout=keystone(unit(), unit(state, message)))
    cloud.expect(*action(0, "2026.1"), stdout=told("2025.1", "2025.1"))
    cloud.expect(*refresh("2026.1"))

    assert run("upgrade", "keystone", "--to", "2026.1") == 1

    err = capsys.readouterr().err
    assert says in err
    assert f"keystone/1: {state}: {message}" in err
    assert "follow it: daybreak upgrade keystone --to 2026.1" in err
    assert "go back (before the contract): daybreak upgrade keystone --to 2025.1" in err
    assert sum(clock) < 320


def test_a_second_command_is_refused_while_one_runs(
    cloud: Programs, instance: places.Instance, capsys
):
    cloud.expect(*STATUS, stdout=keystone(unit(), unit()))
    with (instance.state / "change.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        assert run("upgrade", "keystone", "--to", "2026.1") == 1
        assert run("scale", "keystone", "3") == 1

    assert capsys.readouterr().err.count("another daybreak command is changing") == 2


def test_a_lone_unit_is_doubled_for_the_time_of_the_change(
    cloud: Programs, instance: places.Instance, capsys
):
    two = keystone(unit(), unit())
    course = {
        None: [keystone(unit())],
        scaled(2): [keystone(unit(), scale=2), two],
        refresh("2026.1"): [two, keystone(unit(), unit("maintenance", "stopping")), two],
        scaled(1): [keystone(unit(), unit(), scale=1), keystone(unit())],
    }

    def status() -> tuple[int, str, str]:
        done = [words for words in course if words in cloud.calls]
        states = course[done[-1] if done else None]
        return 0, states.pop(0) if len(states) > 1 else states[0], ""

    cloud.known[STATUS] = [status]
    cloud.expect(*action(0, "2026.1"), stdout=told("2025.1"))
    cloud.expect(*action(0), stdout=told("2026.1", "2026.1", running="2026.1"))
    cloud.expect(*refresh("2026.1"))
    cloud.expect(*scaled(2))
    cloud.expect(*scaled(1))

    assert run("upgrade", "keystone", "--to", "2026.1") == 0

    out = capsys.readouterr().out
    order = [cloud.calls.index(words) for words in (scaled(2), refresh("2026.1"), scaled(1))]
    assert order == sorted(order)
    assert "keystone/1      leaving" in out
    assert "keystone has 1 unit again" in out
    assert not list(instance.state.glob("doubled-*"))


def test_an_interrupted_doubling_is_taken_back_at_the_end(
    cloud: Programs, instance: places.Instance
):
    (instance.state / "doubled-keystone.json").write_text('{"scale": 1}')
    cloud.known[RESOURCES] = []
    cloud.expect(*RESOURCES, stdout=has("2026.1"))
    for _ in range(3):
        cloud.expect(*STATUS, stdout=keystone(unit(), unit()))
    cloud.expect(*STATUS, stdout=keystone(unit()))
    cloud.expect(*action(0, "2026.1"), stdout=told("2026.1", "2026.1", running="2026.1"))
    cloud.expect(*scaled(1))

    assert run("upgrade", "keystone", "--to", "2026.1") == 0

    assert cloud.calls.count(scaled(1)) == 1
    assert not list(instance.state.glob("doubled-*"))


def test_what_has_no_releases_says_what_has(cloud: Programs, capsys):
    applications = {
        "db": application("mariadb-k8s", unit(), name="db"),
        "keystone": application("keystone-k8s", unit(), name="keystone"),
    }
    cloud.expect(*STATUS, stdout=status_json(**applications))

    assert run("plan", "upgrade", "db", "--to", "2026.1") == 1
    assert run("plan", "upgrade", "nosuch", "--to", "2026.1") == 1

    err = capsys.readouterr().err
    assert "These have: keystone" in err
    assert "There are: db, keystone" in err


def test_a_unit_that_cannot_answer_says_why(cloud: Programs, capsys):
    cloud.expect(*STATUS, stdout=keystone(unit()))
    failed = task({}, "failed", message="the database does not answer")
    cloud.expect(*action(0, "2026.1"), stdout=failed)

    assert run("plan", "upgrade", "keystone", "--to", "2026.1") == 1

    assert "the database does not answer" in capsys.readouterr().err


# --- scale


def test_scale_waits_until_the_units_serve(cloud: Programs, capsys):
    for state in (
        keystone(unit()),
        keystone(unit()),
        keystone(unit(), unit("waiting", "certificates: not yet"), scale=2),
        keystone(unit(), unit()),
    ):
        cloud.expect(*STATUS, stdout=state)
    cloud.expect(*action(0), stdout=told("2025.1"))
    cloud.expect(*scaled(2))

    assert run("scale", "keystone", "2") == 0

    out = capsys.readouterr().out
    assert "keystone/1      waiting      certificates: not yet" in out
    assert "2 units active" in out


def test_a_scale_that_is_there_changes_nothing(cloud: Programs, capsys):
    cloud.expect(*STATUS, stdout=keystone(unit(), unit()))
    cloud.expect(*action(0), stdout=told("2025.1", "2025.1"))

    assert run("scale", "keystone", "2") == 0

    assert "there    Scale keystone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("second", "phase", "image"),
    [("2026.1", "roll", "2026.1"), ("2025.1", "expand", "2026.1"), ("", "expand", "2025.1")],
)
def test_an_application_on_its_way_is_not_scaled(
    cloud: Programs, capsys, second: str, phase: str, image: str
):
    cloud.expect(*STATUS, stdout=keystone(unit(), unit()))
    cloud.expect(*action(0), stdout=told("2025.1", second, target="2026.1", phase=phase))
    del cloud.known[RESOURCES]
    cloud.expect(*RESOURCES, stdout=has(image))

    assert run("scale", "keystone", "3") == 1

    err = capsys.readouterr().err
    assert "on its way from 2025.1 to 2026.1" in err
    assert "-> or go back: daybreak upgrade keystone --to 2025.1" in err


def test_one_that_was_taken_back_from_its_expand_is_scaled(cloud: Programs, capsys):
    cloud.expect(*STATUS, stdout=keystone(unit(), unit()))
    told_back = told("2025.1", "2025.1", target="2026.1", phase="expand")
    cloud.expect(*action(0), stdout=told_back)

    assert run("scale", "keystone", "2") == 0

    assert "there    Scale keystone" in capsys.readouterr().out


def test_a_unit_that_keeps_data_is_not_removed(cloud: Programs, home: places.Home, capsys):
    pack(home, {}, storage={"data": {"type": "filesystem"}})
    cloud.expect(*STATUS, stdout=keystone(unit(), unit()))

    assert run("scale", "keystone", "1") == 1

    assert "juju scale-application keystone 1" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1"])
def test_no_units_at_all_is_another_command(cloud: Programs, capsys, number: str):
    cloud.calls.append(("none",))

    assert run("scale", "keystone", number) == 2

    assert "juju remove-application keystone" in capsys.readouterr().err


# --- images


@pytest.mark.parametrize(
    ("source", "image"),
    [
        ("localhost:32000/daybreak/keystone:2026.1", "localhost:32000/daybreak/keystone:2025.2"),
        ("ghcr.io/x/keystone:2025.1", "ghcr.io/x/keystone:2025.2"),
        ("localhost:32000/daybreak/haproxy:3.0", None),
    ],
)
def test_only_images_that_come_in_releases_change(source: str, image: str | None):
    described = {"resources": {"r": {"type": "oci-image", "upstream-source": source}}}

    assert releases.images(described, "2025.2").get("r") == image


def test_nodes_wait_for_their_services(
    programs: Programs, instance: places.Instance, home, clock, capsys
):
    instance.state.mkdir(parents=True)
    programs.expect("python", "tools/pack", "hypervisor-k8s", stdout="")
    apps = {
        name: application(f"{name}-k8s", unit(), name=name)
        for name in ("nova", "neutron", "hypervisor")
    }
    programs.expect(*STATUS, stdout=status_json(**apps))
    for name, release in (("nova", "2026.1"), ("neutron", "2025.1")):
        report = json.dumps({"running": release, "target": release, "units": {}, "planned": 1})
        body = {"id": "2", "status": "completed", "results": {"report": report}}
        words = ("juju", "run", *MODEL, "--format", "json", f"{name}/0", "upgrade-status")
        programs.expect(*words, "--wait", "60s", stdout=json.dumps({f"{name}/0": body}))

    assert run("upgrade", "hypervisor", "--to", "2026.1") == 1

    said = capsys.readouterr()
    assert "hypervisor cannot run 2026.1 while neutron runs 2025.1" in said.err
    assert "daybreak upgrade neutron --to 2026.1" in said.err


def test_a_unit_that_nobody_misses_is_not_doubled(cloud: Programs, capsys):
    body = json.loads(told("2025.1", running="2025.1"))
    report = {**json.loads(body["keystone/0"]["results"]["report"]), "missed": False}
    cloud.expect(*STATUS, stdout=keystone(unit()))
    cloud.expect(*action(0, "2026.1"), stdout=task({"report": json.dumps(report)}))

    assert run("plan", "upgrade", "keystone", "--to", "2026.1") == 0

    out = capsys.readouterr().out
    assert "a second unit" not in out
    assert "major" not in out
