"""Changes that no user notices, and what users notice of faults: each scenario under load."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Clouds
from .load import line
from .scenarios import SCENARIOS
from .stage import PLANNED, Scenario, prepare, run

REQUESTS = 10_000
LOGINS = 500


@pytest.fixture(scope="session")
def results() -> dict[str, dict[str, Any]]:
    """What was measured in this run, by scenario."""
    return {}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_under_load(clouds: Clouds, results: dict[str, dict[str, Any]], scenario: Scenario):
    stage = clouds.at(scenario.release)
    prepare(stage, scenario)

    result = run(stage, scenario, lambda record, began: print(line(record, began), flush=True))

    results[scenario.name] = result
    print(json.dumps({key: result[key] for key in ("requests", "failed", "causes", "change")}))
    assert "not over" not in result["change"], result["change"]["not over"]
    assert result["requests"] - result["failed"] > 100, "users were served"
    assert not result["change"].get("service user refused"), "a service user was not let in"
    if scenario.failures == "none":
        assert not result["failed"], result["causes"]
    elif scenario.failures == "in flight":
        killed = result["change"]["killed at"]
        assert [one for one in result["failures"] if one["at"] > killed] == []
    elif scenario.failures == "proof":
        assert result["failed"], "this measurement sees failures where there are some"


def test_there_were_enough_requests(results: dict[str, dict[str, Any]]):
    """Over all planned changes: else no failure among them would mean little."""
    planned = [one.name for one in SCENARIOS if one.failures in PLANNED]
    if not results.keys() >= set(planned):
        pytest.skip("only some scenarios were run")
    assert sum(results[name]["requests"] for name in planned) >= REQUESTS
    assert sum(results[name]["logins"] for name in planned) >= LOGINS
