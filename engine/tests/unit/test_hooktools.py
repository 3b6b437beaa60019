"""Every tool through the one seam `handle`: what charms and ops see (contract section 2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from daybreak_engine.hooktools import tools
from daybreak_engine.model import (
    applications,
    config,
    leadership,
    relations,
    resources,
    secrets,
    statuses,
    tasks,
    units,
)

from .conftest import call

if TYPE_CHECKING:
    from collections.abc import Callable

    from daybreak_engine.hooktools.context import HookContext

    from .conftest import Cloud

    InHook = Callable[[Callable[[HookContext], None]], None]


def show(context: HookContext, *argv: str, **options: str) -> object:
    return json.loads(call(context, argv[0], "--format=json", *argv[1:], **options))


def refusal(context: HookContext, *argv: str) -> tuple[int, str]:
    code, out, err = tools.handle(context, argv[0], argv[1:])
    assert out == ""
    return code, err.removesuffix("\n")


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        ("relation-get --x - a", 2, "option provided but not defined: --x"),
        ("relation-list", 2, "no relation id specified"),
        ("relation-list -r db:99", 2, 'invalid value "db:99" for option -r: relation not found'),
        ("relation-list -r x", 2, 'invalid value "x" for option -r: invalid relation id'),
        ("relation-get -r 2 -", 2, "no unit or application specified"),
        ("relation-get -r 2 - p", 2, 'expected unit name, got application name "p"'),
        ("relation-get -r 2 - q/9", 1, "relation unit not found"),
        ("relation-set -r 2 novalue", 2, 'expected "key=value", got "novalue"'),
        (
            "status-set unknown",
            2,
            'invalid status "unknown", expected one of [maintenance blocked waiting active]',
        ),
        (
            "open-port 80-82/tcp",
            1,
            "port ranges are not supported for k8s applications, please specify a single port",
        ),
        (
            "open-port abc",
            2,
            'invalid port "abc": strconv.Atoi: parsing "abc": invalid syntax',
        ),
        (
            "open-port 80/foo",
            2,
            'invalid protocol "foo", expected "tcp", "udp", or "icmp"',
        ),
        (
            "open-port 99999",
            2,
            "port range bounds must be between 0 and 65535, got 99999-99999",
        ),
        ("network-get x", 1, 'no network config found for binding "x"'),
        ("storage-get", 2, "no storage instance specified"),
        ("secret-add", 2, "missing secret value or filename"),
        ("secret-add k=v", 2, 'key "k" not valid'),
        ("secret-add abc=", 2, 'key value "abc=" not valid'),
        ("secret-add abc=d --rotate foo", 2, 'rotate policy "foo" not valid'),
        ("secret-get", 2, "require either a secret URI or label"),
        ("secret-get nosuch", 2, 'secret URI "nosuch" not valid'),
        ("secret-get --label nosuch", 1, 'secret "nosuch" not found'),
        ("secret-info-get --label nosuch", 1, 'secret "nosuch" not found'),
        ("action-set stdout=1", 2, 'cannot set reserved action key "stdout"'),
        (
            "action-set Bad=1",
            2,
            'key "Bad" must start and end with lowercase alphanumeric,'
            " and contain only lowercase alphanumeric and hyphens",
        ),
        ("juju-reboot", 1, "juju-reboot is not supported when running an action."),
        (
            "credential-get",
            1,
            "cannot access cloud credentials: getting model credentials: permission denied",
        ),
    ],
)
def test_refusals(in_hook: InHook, argv: str, code: int, message: str) -> None:
    in_hook(lambda c: check(refusal(c, *argv.split()), (code, f"ERROR {message}")))


def check(found: object, expected: object) -> None:
    assert found == expected


def test_relation_tools(cloud: Cloud, in_hook: InHook) -> None:
    def play(c: HookContext) -> None:
        assert show(c, "relation-ids", "out") == ["out:2"]
        assert show(c, "relation-ids", "nosuch") == []
        assert show(c, "relation-list", "-r", "out:2") == ["q/0", "q/1"]
        assert show(c, "relation-list", "--app", "-r", "2") == "q"
        assert show(c, "relation-get", "-r", "out:2", "-", "p/0") == {
            "egress-subnets": "10.1.0.1/32",
            "ingress-address": "10.1.0.1",
            "private-address": "10.1.0.1",
        }
        call(c, "relation-set", "-r", "out:2", "--file", "-", stdin='{"a": "1", "b": ""}')
        call(c, "relation-set", "-r", "out:2", "--app", "k=v=w")
        assert show(c, "relation-get", "-r", "out:2", "a", "p/0") == "1"
        assert show(c, "relation-get", "-r", "out:2", "nosuch", "p/0") is None
        assert show(c, "relation-get", "-r", "out:2", "--app", "-", "p") == {"k": "v=w"}
        assert show(c, "relation-get", "-r", "out:2", "--app", "-", "q") == {}
        assert call(c, "relation-get", "-r", "out:2", "k", "--app", "p") == "v=w"
        assert set(show(c, "relation-model-get", "-r", "2")) == {"uuid"}  # pyright: ignore[reportArgumentType]  # JSON

    in_hook(play)
    assert relations.databag(cloud.store.read(), 2, "p").settings == {"k": "v=w"}
    assert relations.databag(cloud.store.read(), 2, "p/0").settings["a"] == "1"


def test_a_write_that_changes_nothing_is_no_event(cloud: Cloud, in_hook: InHook) -> None:
    in_hook(lambda c: check(call(c, "relation-set", "-r", "2", "nosuch="), ""))
    assert cloud.settle() == []
    in_hook(lambda c: check(call(c, "relation-set", "-r", "2", "some=x"), ""))
    assert cloud.settle() == ["q/0 inp-relation-changed p/0", "q/1 inp-relation-changed p/0"]


def test_remote_unit_data_are_stale_between_relation_events(cloud: Cloud, in_hook: InHook) -> None:
    in_hook(lambda _: None)
    with cloud.store.transaction() as tx:
        relations.change_databag(tx, 2, "q/0", {"n": "new"})
        relations.change_databag(tx, 2, "q", {"n": "app"})
        config.put(tx, "p", {"level": 8})
    seen: dict[str, object] = {}

    def play(c: HookContext) -> None:
        if c.unit == "p/0" and c.operation.kind in ("config-changed", "relation-changed"):
            name = f"{c.operation.name} {c.operation.remote_unit}"
            seen[name] = (
                show(c, "relation-get", "-r", "2", "n", "q/0"),
                show(c, "relation-get", "-r", "2", "--app", "n", "q"),
            )

    cloud.settle(play)
    assert seen == {
        "config-changed ": (None, "app"),
        "out-relation-changed ": (None, "app"),
        "out-relation-changed q/0": ("new", "app"),
    }


def test_permissions_of_a_non_leader(cloud: Cloud, in_hook: InHook) -> None:
    in_hook(lambda _: None)
    found: list[tuple[int, str]] = []

    def play(c: HookContext) -> None:
        found.append(refusal(c, "relation-get", "-r", "2", "--app", "-", "q"))
        found.append(refusal(c, "relation-set", "-r", "2", "--app", "a=b"))
        found.append(refusal(c, "status-set", "--application=True", "active"))
        found.append(refusal(c, "secret-add", "abc=def"))
        found.append(refusal(c, "status-get", "--application=true"))
        found.append(refusal(c, "relation-get", "-r", "2", "-", "q/0"))

    with cloud.store.transaction() as tx:
        tasks.add(tx, tasks.add_operation(tx, "t"), "q/1", "act", {})
    cloud.turn("q/1", play)
    assert found == [
        (1, "ERROR permission denied"),
        (1, "ERROR cannot write relation settings"),
        (1, "ERROR this unit is not the leader"),
        (1, "ERROR this unit is not the leader"),
        (1, "ERROR finding application status: this unit is not the leader"),
        (1, "ERROR permission denied"),
    ]


def test_a_failing_hook_leaves_only_its_status(cloud: Cloud, in_hook: InHook) -> None:
    in_hook(lambda _: None)
    with cloud.store.transaction() as tx:
        config.put(tx, "p", {"level": 8})

    def play(c: HookContext) -> int:
        call(c, "relation-set", "-r", "2", "a=1")
        call(c, "relation-set", "-r", "2", "--app", "a=1")
        call(c, "open-port", "80/tcp")
        call(c, "secret-add", "password=hunter22")
        call(c, "state-set", "x=y")
        call(c, "status-set", "blocked", "--", "from failing hook")
        call(c, "application-version-set", "--", "1.2")
        return 1

    cloud.turn("p/0", play)
    tx = cloud.store.read()
    assert "a" not in relations.databag(tx, 2, "p/0").settings
    assert relations.databag(tx, 2, "p").version == 0
    assert (units.ports(tx, "p/0"), secrets.all_(tx), units.data(tx, "p/0")) == ([], [], {})
    own = statuses.find(tx, "p/0", "workload")
    assert own is not None
    assert (own.status, own.message) == ("blocked", "from failing hook")
    assert applications.get(tx, "p").workload_version == "1.2"


@pytest.mark.parametrize("argv", ["relation-set -r 2 --app a=1", "secret-add password=hunter22"])
def test_leadership_lost_in_the_middle_fails_the_commit(
    cloud: Cloud, in_hook: InHook, argv: str
) -> None:
    in_hook(lambda _: None)
    with cloud.store.transaction() as tx:
        config.put(tx, "p", {"level": 8})

    def play(c: HookContext) -> None:
        call(c, *argv.split())
        call(c, "relation-set", "-r", "2", "unit=1")
        cloud.clock[0] += 100

    cloud.turn("p/0", play)
    tx = cloud.store.read()
    assert statuses.workload(tx, "p/0").status == "error"
    assert "unit" not in relations.databag(tx, 2, "p/0").settings
    assert secrets.all_(tx) == []
    assert not leadership.is_leader(tx, "p/0")


def test_refused_at_commit_only(cloud: Cloud, in_hook: InHook) -> None:
    in_hook(lambda c: check(call(c, "open-port", "icmp"), ""))
    task = tasks.get(cloud.store.read(), 2)
    assert (task.status, task.message) == ("failed", "committing requested changes failed")
    assert task.results == {
        "return-code": 0,
        "stderr": "protocol icmp on caas models not supported",
    }


def test_secrets_from_add_to_remove(cloud: Cloud, in_hook: InHook) -> None:
    uris: list[str] = []

    def add(c: HookContext) -> None:
        argv = ["--label", "own", "--rotate", "monthly", "password#file=/x"]
        code, out, _ = tools.handle(c, "secret-add", argv, None, {"/x": "one"})
        assert code == 0
        uris.append(out.strip())
        bare = uris[0].removeprefix("secret:")
        assert show(c, "secret-get", uris[0]) == {"password": "one"}
        assert "rotates" not in show(c, "secret-info-get", bare)[bare]  # pyright: ignore[reportIndexIssue]  # JSON
        assert refusal(c, "secret-add", "--label", "own", "abc=d") == (
            1,
            'ERROR secret with label "own" already exists',
        )
        call(c, "secret-grant", "--relation", "2", uris[0])
        call(c, "relation-set", "-r", "2", "--app", f"id={uris[0]}")
        assert show(c, "secret-ids") == [bare]

    in_hook(add)
    read: list[object] = []

    def consume(c: HookContext) -> None:
        if c.unit == "q/0" and c.operation.kind == "relation-changed":
            uri = show(c, "relation-get", "--app", "id", "p")
            read.append(show(c, "secret-get", str(uri), "--label", "mine"))
            assert refusal(c, "secret-info-get", str(uri))[0] == 1

    cloud.settle(consume)
    assert read == [{"password": "one"}]
    bare = uris[0].removeprefix("secret:")
    spellings = (uris[0], bare, f"secret://00000000-0000-4000-8000-000000000000/{bare}")

    def change(c: HookContext) -> None:
        assert [show(c, "secret-get", s) for s in spellings] == [{"password": "one"}] * 3
        call(c, "secret-set", uris[0], "password=two")
        assert show(c, "secret-get", "--label", "own") == {"password": "one"}
        assert show(c, "secret-get", "--label", "own", "--peek") == {"password": "two"}
        call(c, "secret-get", "--label", "own", "--refresh")

    run_action(cloud, change)
    seen: list[tuple[str, object]] = []

    def hear(c: HookContext) -> None:
        if c.operation.is_secret:
            before = show(c, "secret-get", "--label", "mine") if c.unit == "q/0" else None
            if c.unit == "q/0":
                call(c, "secret-get", "--label", "mine", "--refresh")
            seen.append((f"{c.unit} {c.operation.name} {c.operation.secret_revision}", before))

    cloud.settle(hear)
    assert seen == [("q/0 secret-changed 2", {"password": "one"}), ("p/0 secret-remove 1", None)]
    run_action(cloud, lambda c: check(call(c, "secret-set", bare, "password=two"), ""))
    assert cloud.settle() == [], "equal content makes no revision"
    run_action(cloud, lambda c: check(call(c, "secret-remove", bare, "--revision", "1"), ""))
    found = secrets.revisions(cloud.store.read(), bare)
    assert [r.revision for r in found] == [2]


def run_action(cloud: Cloud, play: Callable[[HookContext], None], unit: str = "p/0") -> None:
    with cloud.store.transaction() as tx:
        task = tasks.add(tx, tasks.add_operation(tx, "t"), unit, "act", {})
    cloud.turn(unit, lambda c: play(c))
    assert tasks.get(cloud.store.read(), task.id).status == "completed"


def test_a_secret_that_was_not_granted(cloud: Cloud, in_hook: InHook) -> None:
    in_hook(
        lambda c: check(call(c, "secret-add", "--label", "x", "password=hunter22")[:7], "secret:")
    )
    (secret,) = secrets.all_(cloud.store.read())
    found: list[tuple[int, str]] = []
    run_action(cloud, lambda c: found.append(refusal(c, "secret-get", secret.id)), "q/0")
    assert found == [(1, "ERROR permission denied")]
    with cloud.store.transaction() as tx:
        task = tasks.add(tx, tasks.add_operation(tx, "t"), "q/0", "act", {})
    cloud.turn("q/0", lambda c: check(call(c, "secret-remove", secret.id), ""))
    done = tasks.get(cloud.store.read(), task.id)
    assert done.results["stderr"] == 'removing secrets: "q/0" is not allowed to manage this secret'


def test_secrets_rotate_and_expire(cloud: Cloud, in_hook: InHook) -> None:
    in_hook(lambda c: check(call(c, "secret-add", "--rotate", "hourly", "abc=d")[:7], "secret:"))
    run_action(
        cloud, lambda c: check(call(c, "secret-add", "--expire", "90m", "abc=d")[:7], "secret:")
    )

    def later(seconds: float) -> list[str]:
        cloud.clock[0] += seconds
        with cloud.store.transaction() as tx:
            leadership.maintain(tx, ["p/0", "q/0", "q/1"])
        return [entry for entry in cloud.settle() if "secret" in entry]

    assert later(3599) == []
    assert later(1) == ["p/0 secret-rotate"]
    assert later(1800) == ["p/0 secret-expired"]
    assert later(200) == []
    assert later(100) == ["p/0 secret-expired"]
    assert sorted(later(1500)) == ["p/0 secret-expired", "p/0 secret-rotate"]


def test_values_in_all_formats(cloud: Cloud, in_hook: InHook) -> None:
    def play(c: HookContext) -> None:
        assert show(c, "config-get") == {"level": 3}
        assert show(c, "config-get", "nosuch") is None
        assert call(c, "config-get", "level") == "3"
        assert call(c, "config-get") == "level: 3"
        assert call(c, "is-leader") == "True"
        assert call(c, "is-leader", "--format=json") == "true"
        assert call(c, "relation-ids", "out") == "out:2"
        assert call(c, "relation-list", "-r", "2") == "q/0\nq/1"
        assert call(c, "unit-get", "private-address") == "10.0.1.0"
        assert refusal(c, "is-leader", "--format", "xml")[0] == 2
        assert show(c, "action-get") == {"a": {"b": 1}}
        assert show(c, "action-get", "a.b") == 1
        assert show(c, "state-get") is None
        call(c, "state-set", "--file", "-", stdin='{"k": "v"}')
        assert (call(c, "state-get", "k"), show(c, "state-get", "no")) == ("v", "")

    in_hook(play)
    assert units.data(cloud.store.read(), "p/0") == {"k": "v"}


def test_ports_storage_status_goal_state(cloud: Cloud, in_hook: InHook) -> None:
    def play(c: HookContext) -> None:
        call(c, "open-port", "80/tcp")
        call(c, "open-port", "--endpoints", "out", "9000/udp")
        call(c, "close-port", "81/tcp")
        assert show(c, "opened-ports") == ["80/tcp", "9000/udp"]
        assert show(c, "opened-ports", "--endpoints") == ["80/tcp (*)", "9000/udp (out)"]
        assert show(c, "storage-list", "data") == ["data/0"]
        assert show(c, "storage-get", "-s", "data/0") == {
            "kind": "filesystem",
            "location": "/var/lib/juju/storage/data-0",
        }
        call(c, "status-set", "--application=True", "active", "--", "all good")
        shown = show(c, "status-get", "--include-data", "--application=true")
        assert shown["application-status"]["message"] == "all good"  # pyright: ignore[reportIndexIssue]  # JSON
        goal = show(c, "goal-state")
        assert goal["units"].keys() == {"p/0"}  # pyright: ignore[reportIndexIssue]  # JSON
        assert goal["relations"]["out"].keys() == {"q", "q/0", "q/1"}  # pyright: ignore[reportIndexIssue]  # JSON
        assert "mates" not in goal["relations"]  # pyright: ignore[reportIndexIssue]  # JSON

    in_hook(play)
    assert [str(port) for port in units.ports(cloud.store.read(), "p/0")] == ["80/tcp", "9000/udp"]


def test_action_results(cloud: Cloud, in_hook: InHook) -> None:
    def play(c: HookContext) -> None:
        call(c, "action-set", "a=1", "nested.b=2")
        call(c, "action-set", "a.c=3")
        call(c, "action-log", "--", "working")
        call(c, "action-fail", "--", "no luck")

    in_hook(play)
    task = tasks.get(cloud.store.read(), 2)
    assert (task.status, task.message) == ("failed", "no luck")
    assert task.results == {"a": {"c": "3"}, "nested": {"b": "2"}, "return-code": 0}
    assert [message for _, message in task.log] == ["working"]


def test_resource_get(cloud: Cloud, in_hook: InHook) -> None:
    with cloud.store.transaction() as tx:
        image = {"registrypath": "r/x:1", "username": "", "password": ""}
        applications.add(tx, "z", cloud.charm.id, scale=0)
        resources.put(tx, "z", "image", "oci-image", image)
    code = (
        'could not download resource: HTTP request failed: Get resource: resource "image" not found'
    )
    in_hook(lambda c: check(refusal(c, "resource-get", "image"), (1, f"ERROR {code}")))


def test_secret_content_never_shows(cloud: Cloud, in_hook: InHook) -> None:
    def play(c: HookContext) -> None:
        call(c, "secret-add", "password=hunter22")
        assert "hunter22" not in repr(c.pending.frozen())
        code, out, err = tools.handle(
            c, "secret-add", ["--file", "/f"], None, {"/f": "a: [hunter22"}
        )
        assert (code, "hunter22" in out + err) == (1, False)

    in_hook(play)


@pytest.mark.parametrize("code", [0, 1])
def test_hook_whose_unit_is_removed_by_force_stores_nothing(cloud: Cloud, code: int) -> None:
    cloud.deploy("p")
    cloud.deploy("q")
    cloud.integrate("p", "q")

    def play(context: HookContext) -> int | None:
        if (context.unit, context.operation.kind) != ("p/0", "relation-joined"):
            return None
        # The end of the hook would store that the unit has seen this.
        call(context, "relation-get", "-", context.operation.remote_unit)
        with cloud.store.transaction() as tx:
            applications.destroy(tx, "p")
            units.remove(tx, "p/0")
        return code

    cloud.settle(play)
    assert [unit.name for unit in units.all_(cloud.store.read())] == ["q/0"]
