"""How long it usually takes, and what the live view makes of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from daybreak import output, usual
from daybreak.usual import Usual
from daybreak.waiting import Progress, UnitView

if TYPE_CHECKING:
    from pathlib import Path


def units(**states: str) -> Progress:
    return Progress(
        tuple(UnitView(f"{name}/0", state, f"of {name}", "idle") for name, state in states.items())
    )


def test_what_a_run_took_is_what_the_next_one_is_told(tmp_path: Path):
    path = tmp_path / "cache/usual.json"
    assert usual.load(path, "embedded:openstack") == Usual()

    usual.save(path, "embedded:openstack", Usual(205.0, {"nova/0": 120.0}))
    usual.save(path, "embedded:identity", Usual(31.0, {}))

    assert usual.load(path, "embedded:openstack") == Usual(205.0, {"nova/0": 120.0})
    assert usual.load(path, "juju:openstack") == Usual()


def test_a_record_that_is_none_is_as_good_as_no_record(tmp_path: Path):
    for content in (
        "",
        "[]",
        '{"k": 3}',
        '{"k": {"total": "x", "units": {}}}',
        '{"k": {"total": 1}}',
    ):
        (tmp_path / "usual.json").write_text(content)
        assert usual.load(tmp_path / "usual.json", "k") == Usual()


def test_a_place_that_cannot_be_written_is_no_trouble(tmp_path: Path):
    (tmp_path / "file").touch()
    usual.save(tmp_path / "file/usual.json", "k", Usual(1.0, {}))


def test_a_unit_that_goes_back_to_work_counts_from_the_last_time():
    first, second = units(db="active", nova="waiting"), units(db="maintenance", nova="active")
    times = usual.noted({}, None, first, 10.0)
    times = usual.noted(times, first, second, 20.0)
    times = usual.noted(times, second, units(db="active", nova="active"), 30.0)

    assert times == {"db/0": 30.0, "nova/0": 20.0}


def test_the_view_shows_what_waits_in_its_usual_order():
    progress = units(db="active", nova="waiting", glance="maintenance", other="waiting")
    seen = output.view(progress, 63.4, Usual(205.0, {"nova/0": 120.0, "glance/0": 70.0}), 10)

    assert seen.head == "63 of usually 205 s   1 of 4 ready"
    assert seen.ready == "db/0"
    assert seen.rows == (
        ("glance/0", "maintenance", "of glance", "usually at 70 s"),
        ("nova/0", "waiting", "of nova", "usually at 120 s"),
        ("other/0", "waiting", "of other", ""),
    )


def test_a_first_time_has_no_usual_one():
    seen = output.view(units(db="waiting"), 3.0, Usual(), 10)

    assert seen.head == "3 s   0 of 1 ready"
    assert seen.rows[0][3] == ""


def test_a_small_terminal_is_not_overrun():
    progress = units(**{f"app{number:02d}": "waiting" for number in range(14)})
    seen = output.view(progress, 3.0, None, 5)

    assert len(seen.rows) == 5
    assert seen.rows[-1][0] == "and 10 more"


def test_a_terminal_shows_it():
    from rich.console import Console

    stream = io.StringIO()
    terminal = output.Terminal(Console(file=stream, force_terminal=True, width=100, height=30))
    terminal.begin("Wait until active")
    progress = units(db="active", nova="waiting")
    terminal.progress(progress, progress.units, 63.0, Usual(205.0, {"nova/0": 120.0}))
    terminal.end("done", "Wait until active", "2 units active", 70.0)

    shown = stream.getvalue()
    assert "63 of usually 205 s" in shown
    assert "ready: db/0" in shown
    assert "usually at 120 s" in shown
