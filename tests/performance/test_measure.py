"""The measurement as a test (`tests/run performance`), and its pure parts without measuring."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from .measure import main
from .memory import Process, services
from .records import Hook, Results, Round, Run, limits
from .running import IMPORTS, read_run
from .tables import tables, write


def _results(ours: float, bundle: str = "identity", **memory: dict[str, float]) -> Results:
    hook = Hook("keystone/0", "update-status", 0.5, 0.4, 30, 0.05, 0)
    one = Round(
        Run({"mariadb": 3.0, "total": 10.0}, memory.get("bare", {})),
        Run({"Deploy": 1.0, "total": ours}, memory.get("daybreak", {})),
        (hook, hook),
    )
    parts: dict[str, float] = dict(zip(IMPORTS, (0.02, 0.25, 0.3, 0.34), strict=True))
    return Results(bundle, "a machine", "1 May 2026", (one, one, one), (hook,), parts)


def test_the_tables_say_ratio_hooks_and_parts():
    text = tables(_results(14.0))

    assert "| **ratio** (limit 1.5) | **1.40** | 1.40, 1.40, 1.40 |" in text
    assert "| keystone/0 | 2 | 1.0 | 0.8 | 60 |" in text
    assert "| `update-status` | 2 | 1.0 | 0.8 | 60 |" in text
    assert "| importing ops | 0.230 |" in text
    assert "| importing the charm's own modules | 0.040 |" in text
    assert "| the engine's answers to hook tools | 0.050 |" in text
    assert "Memory" not in text


def test_the_tables_of_a_cloud_say_the_memory_of_each_service_and_all_without_guests():
    bare = {"keystone": 100.0, "mariadb": 300.0, "guests": 200.0}
    ours = {"keystone": 110.0, "mariadb": 300.0, "Pebble": 70.6, "trifle": 0.2, "guests": 210.0}

    text = tables(_results(14.0, "openstack", bare=bare, daybreak=ours))

    assert "| keystone | 100 | 110 |" in text
    assert "| Pebble | 0 | 71 |" in text
    assert "trifle" not in text
    assert "| all | 400 | 481 |" in text
    assert "| of it engine, Pebble, podman (conmon), charms, shells that watch | 0 | 71 |" in text
    assert "| **ratio** (limit 1.2) |  | **1.20** |" in text
    assert "| users' servers, beside it | 200 | 210 |" in text


def test_a_cloud_has_limits_of_time_memory_and_hooks():
    bare, ours = {"keystone": 100.0}, {"keystone": 130.0}
    results = _results(14.0, "openstack", bare=bare, daybreak=ours)

    kept = {limit.name: limit.kept for limit in limits(results)}

    assert kept == {
        "ratio of the times": True,
        "ratio of the memory": False,
        "CPU seconds of all hooks": True,
    }


def test_what_a_script_prints_becomes_steps_and_memory():
    run = read_run(
        "mariadb     1.21    1.40\ntotal 12.30\nmemory    412.5 mariadb\nmemory 7.0 podman (conmon)\n"
    )

    assert run == Run({"mariadb": 1.21, "total": 12.3}, {"mariadb": 412.5, "podman (conmon)": 7.0})


def test_a_process_counts_for_what_it_runs_or_for_who_started_it():
    processes = {
        1: Process(0, "/sbin/init", 9000),
        10: Process(1, "/usr/bin/conmon --api-version 1", 1024),
        11: Process(10, "/charm/bin/pebble run --hold", 2048),
        12: Process(11, "/bin/sh /run/daybreak/drain /x TERM 9 16 -- uwsgi --ini /etc/keystone/uwsgi.ini", 1024),
        13: Process(12, "keystone uWSGI master", 1024),
        14: Process(13, "keystone uWSGI worker 1", 102400),
        15: Process(11, "/usr/lib/erlang/bin/beam.smp -W w", 51200),
        16: Process(15, "sh -s disksup", 1024),
        17: Process(11, "/opt/openstack/bin/privsep-helper --config-file /etc/nova/nova.conf", 3072),
        18: Process(11, "/var/lib/juju/agents/unit-cinder-volume-0/charm/venv/bin/python x", 5120),
        20: Process(1, "mariadbd --of-another-cloud", 4096),
    }  # fmt: skip

    assert services(processes, [10, 99]) == {
        "podman (conmon)": 1.0,
        "Pebble": 2.0,
        "shells that watch": 1.0,
        "keystone": 101.0,
        "rabbitmq": 51.0,
        "privsep helpers": 3.0,
        "charms": 5.0,
    }


def _document(tmp_path: Path) -> Path:
    document = tmp_path / "performance.md"
    document.write_text(
        "a\n<!-- measured identity: begin -->\nold\n<!-- measured identity: end -->\nb\n"
    )
    return document


def test_the_document_is_filled_between_its_markers(tmp_path: Path):
    document = _document(tmp_path)

    write(document, "identity", "new\n")

    assert document.read_text() == (
        "a\n<!-- measured identity: begin -->\nnew\n<!-- measured identity: end -->\nb\n"
    )


def test_a_document_without_markers_is_left_as_it_is(tmp_path: Path):
    document = _document(tmp_path)
    before = document.read_text()

    with pytest.raises(ValueError, match="measured openstack: begin"):
        write(document, "openstack", "new\n")

    assert document.read_text() == before


def _measured(tmp_path: Path, *words: str) -> Any:
    document = tmp_path / "performance.md"
    document.write_text(
        "".join(
            f"<!-- measured {bundle}: begin --><!-- measured {bundle}: end -->\n"
            for bundle in ("identity", "openstack")
        )
    )
    code = main(["--rounds", "2", "--document", str(document), *words])
    print(document.read_text())
    return code


@pytest.mark.cloud
@pytest.mark.skipif(os.geteuid() != 0, reason="makes containers")
def test_a_bootstrap_takes_at_most_one_and_a_half_times_the_bare_script(tmp_path: Path):
    assert _measured(tmp_path) == 0


@pytest.mark.cloud
@pytest.mark.skipif(os.geteuid() != 0, reason="makes containers")
def test_a_whole_cloud_keeps_its_limits_of_time_memory_and_hooks(tmp_path: Path):
    assert _measured(tmp_path, "--bundle", "openstack") == 0
