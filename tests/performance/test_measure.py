"""The measurement as a test (`tests/run performance`), and its tables without measuring."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("measure", HERE / "measure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["measure"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


measure = _load()


def _results(ours: float) -> Any:
    hook = measure.Hook("keystone/0", "update-status", 0.5, 0.4, 30, 0.05, 0)
    rounds = tuple(
        measure.Round({"mariadb": 3.0, "total": 10.0}, {"Deploy": 1.0, "total": ours}, (hook, hook))
        for _ in range(3)
    )
    parts = dict(zip(measure._IMPORTS, (0.02, 0.25, 0.3, 0.34), strict=True))
    return measure.Results("a machine", "1 May 2026", rounds, (hook,), parts)


def test_the_tables_say_ratio_hooks_and_parts():
    text = measure.tables(_results(14.0))

    assert "| **ratio** (limit 1.5) | **1.40** | 1.40, 1.40, 1.40 |" in text
    assert "| keystone/0 | 2 | 1.0 | 0.8 | 60 |" in text
    assert "| importing ops | 0.230 |" in text
    assert "| importing the charm's own modules | 0.040 |" in text
    assert "| the engine's answers to hook tools | 0.050 |" in text


def test_the_document_is_filled_between_its_markers(tmp_path: Path):
    document = tmp_path / "performance.md"
    document.write_text("a\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nb\n")

    measure.write(document, "new\n")

    assert document.read_text() == ("a\n<!-- measured: begin -->\nnew\n<!-- measured: end -->\nb\n")


@pytest.mark.cloud
@pytest.mark.skipif(os.geteuid() != 0, reason="makes containers")
def test_a_bootstrap_takes_at_most_one_and_a_half_times_the_bare_script(tmp_path: Path):
    document = tmp_path / "performance.md"
    document.write_text("<!-- measured: begin --><!-- measured: end -->\n")

    code = measure.main(["--rounds", "2", "--document", str(document)])

    print(document.read_text())
    assert code == 0
