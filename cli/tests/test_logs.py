"""Logs: which containers a name means, and their last lines in the order of time."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from daybreak import __main__, logs, places

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Programs


def cri(second: int, text: str) -> str:
    return f"2026-11-28T10:00:{second:02d}.000000001+00:00 stdout F {text}\n"


def pebble(second: int, service: str, text: str) -> str:
    return cri(second, f"2026-11-28T10:00:{second:02d}.000Z [{service}] {text}")


@pytest.fixture
def directory(instance: places.Instance, home: places.Home) -> Path:
    """Logs of a cloud on the engine."""
    written = {
        "nova-0/nova.log": pebble(1, "nova-api", "one") + pebble(3, "nova-scheduler", "three"),
        "nova-0/charm.log": pebble(2, "pebble", "Started daemon."),
        "nova-1/nova.log": pebble(2, "nova-api", "two") + pebble(4, "pebble", "GET /v1/notices?x 200 (http+unix)"),
        "cinder-0/cinder.log": pebble(1, "cinder-api", "c"),
        "cinder-volume-0/agent.log": pebble(1, "x", "volume"),
        "cinder-volume-agent-abcde/cinder-volume.log": cri(2, "a daemon says"),
        "node.node-0/node.log": cri(1, "node"),
    }  # fmt: skip
    for name, text in written.items():
        path = instance.state / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return instance.state / "logs"


def said(capsys: Any, *words: str) -> list[str]:
    assert __main__.main(["logs", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_all_units_in_the_order_of_time(directory: Path, capsys):
    lines = said(capsys, "nova")

    assert lines == [
        "nova/0 2026-11-28T10:00:01.000Z [nova-api] one",
        "nova/1 2026-11-28T10:00:02.000Z [nova-api] two",
        "nova/0 2026-11-28T10:00:03.000Z [nova-scheduler] three",
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nova/0", ["one", "three"]),
        ("nova/nova", ["one", "two", "three"]),
        ("nova/nova-scheduler", ["three"]),
        ("nova/charm", ["daemon."]),
        ("cinder", ["c"]),
        ("cinder-volume", ["volume", "says"]),
        ("cinder-volume/cinder-volume", ["says"]),
    ],
)
def test_a_name_means_an_application_a_unit_a_container_or_a_service(
    directory: Path, name: str, words: list[str], capsys
):
    assert [line.split()[-1] for line in said(capsys, name)] == words


def test_the_last_lines_are_of_all_together(directory: Path, capsys):
    assert [line.split()[-1] for line in said(capsys, "nova", "--lines", "2")] == ["two", "three"]
    assert said(capsys, "nova", "--lines", "0") == []


def test_a_line_without_time_gets_one(directory: Path, capsys):
    assert said(capsys, "cinder-volume/cinder-volume") == ["2026-11-28T10:00:02 a daemon says"]


def test_lines_for_programs(directory: Path, capsys):
    line = json.loads(said(capsys, "cinder", "--format", "json")[0])

    assert line["pod"] == "cinder/0"
    assert line["time"].startswith("2026-11-28T10:00:01")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("novva", "There are: cinder, cinder-volume, nova."),
        ("nova/7", "There are: nova/0, nova/1."),
        ("nova/nova-compute", "There are: nova, nova-api, nova-scheduler."),
    ],
)
def test_what_is_not_there_says_what_there_is(directory: Path, name: str, says: str, capsys):
    assert __main__.main(["logs", name]) == 2
    assert says in capsys.readouterr().err


def test_a_long_log_is_read_from_its_end(tmp_path: Path):
    path = tmp_path / "long.log"
    path.write_text("".join(pebble(i % 60, "s", "x" * 300 + str(i)) for i in range(5000)))
    found = logs.File("a", "a/0", "c", path).last(1000)

    assert len(found) == 1000
    assert found[0].text.endswith("x4000")
    assert found[-1].text.endswith("x4999")


def test_following_shows_what_comes_and_nothing_twice(tmp_path: Path):
    path = tmp_path / "c.log"
    path.write_text(pebble(1, "s", "old") + pebble(2, "s", "between"))
    source = logs.File("a", "a/0", "c", path)
    lines = logs.follow([source], "", "2026-11-28T10:00:01.000000001+00:00")

    assert next(lines).text.endswith("between")
    with path.open("a") as stream:
        stream.write(pebble(3, "s", "new")[:-5])
    with path.open("a") as stream:
        stream.write(pebble(3, "s", "new")[-5:])
    assert next(lines).text.endswith("new")
    path.write_text(pebble(4, "s", "anew"))
    assert next(lines).text.endswith("anew")
    lines.close()  # type: ignore[attr-defined]
    assert threading.active_count() < 10


# --- on a cluster


def pod(name: str, label: str, *containers: str) -> Any:
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": label}},
        "spec": {"containers": [{"name": container} for container in containers]},
    }


def test_pods_of_units_and_of_daemonsets_are_told_apart():
    found = logs.in_pods(
        ("kubectl",),
        "openstack",
        [
            pod("nova-0", "nova", "charm", "nova"),
            pod("hypervisor-0", "hypervisor", "charm"),
            pod("hypervisor-nova-compute-x2x4z", "hypervisor-nova-compute", "nova-compute"),
            pod("modeloperator-77-abc", "modeloperator", "juju-operator"),
        ],
    )

    assert [(s.application, s.pod, s.container) for s in found] == [
        ("hypervisor", "hypervisor/0", "charm"),
        ("hypervisor", "hypervisor-nova-compute-x2x4z", "nova-compute"),
        ("nova", "nova/0", "charm"),
        ("nova", "nova/0", "nova"),
    ]


def test_kubectl_is_asked_for_the_last_lines(programs: Programs):
    source = logs.in_pods(("kubectl",), "m", [pod("nova-0", "nova", "nova")])[0]
    words = ("kubectl", "logs", "-n", "m", "nova-0", "-c", "nova", "--timestamps", "--tail=2")
    text = (
        "2026-11-28T10:00:01.5Z 2026-11-28T10:00:01.5Z [nova-api] one\n"
        "2026-11-28T10:00:02.5Z 2026-11-28T10:00:02.5Z [pebble] GET /v1/notices 200\n"
    )
    programs.expect(*words, stdout=text)

    (line,) = source.last(2)
    assert line.service == "nova-api"
    assert line.text.endswith("one")


def test_a_kubectl_of_another_cluster_is_no_help(programs: Programs):
    programs.expect("kubectl", "get", "pods", "-n", "m", "-o", "json", stdout='{"items": []}')

    with pytest.raises(logs.DaybreakError) as caught:
        logs.pods(("kubectl",), "m")

    assert "current context" in caught.value.remedy
    assert "juju ssh --container" in caught.value.remedy
