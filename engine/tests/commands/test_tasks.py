"""Actions and commands on units: what is queued, what is printed."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from daybreak_engine.commands import parameters
from daybreak_engine.model import leadership, tasks

from .conftest import ALPHA_ACTIONS, START, Cloud


def ends(
    cloud: Cloud,
    unit: str = "alpha/0",
    status: str = "completed",
    message: str = "",
    log: tuple[str, ...] = (),
    results: Mapping[str, object] | None = None,
) -> None:
    """Have the unit's agent run its oldest task while the command waits."""
    number: list[int] = []

    def start() -> None:
        with cloud.deps.store.transaction() as tx:
            number.append(tasks.pending(tx, unit)[0][0])
            tasks.start(tx, number[0])

    def say(text: str) -> None:
        cloud.engine.clock.seconds += 1
        with cloud.deps.store.transaction() as tx:
            tasks.log(tx, number[0], text)

    def finish() -> None:
        with cloud.deps.store.transaction() as tx:
            tasks.finish(tx, number[0], status, message, results or {"return-code": 0})

    waits = cloud.deps.on_wait
    waits.append(start)
    waits += [lambda text=text: say(text) for text in log]
    waits.append(finish)


def test_results_for_people_and_programs(demo: Cloud) -> None:
    results = {"return-code": 0, "said": "hello", "number": "3", "nested": {"a": "b"}}
    ends(demo, log=("working on it",), results=results)
    answer = demo.ok("run", "alpha/0", "say", "what=hello", "times=2")
    assert answer.out == 'nested:\n  a: b\nnumber: "3"\nsaid: hello\n\n'
    assert answer.err == (
        "Running operation 1 with 1 task\n  - task 2 on unit-alpha-0\n\n"
        "Waiting for task 2...\n16:29:29 working on it\n"
    )
    assert tasks.get(demo.deps.store.read(), 2).parameters == {"what": "hello", "times": 2}
    ends(demo, log=("working on it",), results=results)
    tree = json.loads(demo.ok("run", "--format", "json", "alpha/0", "say", "what=x").out)
    assert tree == {
        "alpha/0": {
            "id": "4",
            "log": ["2026-11-22 16:29:30 +0000 UTC working on it"],
            "results": results,
            "status": "completed",
            "timing": {
                "enqueued": "2026-11-22 16:29:29 +0000 UTC",
                "started": "2026-11-22 16:29:29 +0000 UTC",
                "completed": "2026-11-22 16:29:30 +0000 UTC",
            },
            "unit": "alpha/0",
        }
    }


def test_an_action_that_says_it_failed(demo: Cloud) -> None:
    ends(demo, "alpha/0", "failed", "cannot do it", (), {"return-code": 0, "partial": "yes"})
    answer = demo.ok("run", "alpha/0", "slow")
    assert answer.out == 'Action id 2 failed: cannot do it\npartial: "yes"\n\n'
    assert tasks.get(demo.deps.store.read(), 2).parameters == {"seconds": 5}


def test_an_action_that_crashes(demo: Cloud) -> None:
    ends(demo, "alpha/0", "failed", "exit status 1", (), {"return-code": 1, "stderr": "boom\n"})
    answer = demo("run", "--format", "json", "alpha/0", "slow")
    assert answer.code == 1
    assert json.loads(answer.out)["alpha/0"]["results"]["stderr"] == "boom\n"
    assert answer.err.endswith(
        'ERROR the following task failed:\n - id "2" with return code 1\n\n'
        "use 'juju show-task' to inspect the failure\n"
    )


def test_several_units(demo: Cloud) -> None:
    ends(demo, "alpha/0", results={"return-code": 0, "a": "1"})
    ends(demo, "alpha/1", results={"return-code": 0, "a": "2"})
    answer = demo.ok("run", "--format", "yaml", "alpha/0", "alpha/1", "slow")
    assert answer.out.startswith('alpha/0:\n  id: "2"\n  results:\n    a: "1"\n')
    assert answer.err.startswith("Running operation 1 with 2 tasks\n  - task 2 on unit-alpha-0\n")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, '(root) : "what" property is missing and required, given {}'),
        (
            {"times": 9},
            '(root) : "what" property is missing and required, given {"times":9}; '
            '(root).times : must be lower than 3, given "9"',
        ),
        (
            {"extra": 1},
            '(root) : "what" property is missing and required, given {"extra":1}; '
            '(root) : additional property "extra" is not allowed, given {"extra":1}',
        ),
        ({"what": "x", "times": "abc"}, '(root).times : must be of type integer, given "abc"'),
        ({"what": "x", "times": 0}, '(root).times : must be greater than 1, given "0"'),
        ({"what": "x", "times": True}, '(root).times : must be of type integer, given "True"'),
        ({"what": "x", "times": 2}, ""),
    ],
)
def test_parameters_against_the_schema(given: Mapping[str, object], problem: str) -> None:
    action = ALPHA_ACTIONS["say"]
    schema = {**action, "type": "object", "properties": action["params"]}
    assert parameters.problems(schema, given) == problem


def test_wrong_parameters_make_a_task_that_never_runs(demo: Cloud) -> None:
    answer = demo.ok("run", "--format", "json", "alpha/0", "say")
    task = json.loads(answer.out)["alpha/0"]
    assert task["status"] == "error"
    assert task["message"] == (
        'cannot run "say" action: validation failed: '
        '(root) : "what" property is missing and required, given {}'
    )
    assert "results" not in task
    assert tasks.pending(demo.deps.store.read(), "alpha/0") == []


def test_parameters_from_everywhere(demo: Cloud) -> None:
    demo.file("p.yaml", "what: from file\ntimes: 1\n")
    demo.ok("run", "--background", "alpha/0", "say", "--params", "p.yaml", "times=3")
    assert tasks.get(demo.deps.store.read(), 2).parameters == {"what": "from file", "times": 3}
    assert parameters.from_arguments(["a.b=1", "a.c=[x]", "d=", "e=yes: no"]) == {
        "a": {"b": 1, "c": ["x"]},
        "d": "",
        "e": {True: False},
    }
    assert demo("run", "alpha/0", "say", "novalue").code == 2


def test_background(demo: Cloud) -> None:
    assert demo.ok("run", "--background", "alpha/0", "slow").err == (
        "Scheduled operation 1 with task 2\n"
        "Check operation status with 'juju show-operation 1'\n"
        "Check task status with 'juju show-task 2'\n"
    )


def test_too_late(demo: Cloud) -> None:
    answer = demo("run", "--format", "json", "alpha/0", "slow", "--wait", "1s")
    assert (answer.code, answer.out) == (1, "{}\n")
    assert answer.err.endswith("\n\nERROR timed out waiting for results from: unit alpha/0\n")
    assert demo.engine.clock.seconds == START + 1


def test_exec(demo: Cloud) -> None:
    with demo.deps.store.transaction() as tx:
        leadership.claim(tx, "alpha/1")
    results = {"return-code": 3, "stdout": "out\n", "stderr": "err\n"}
    ends(demo, "alpha/1", results=results)
    answer = demo("exec", "--unit", "alpha/leader", "--", "echo", "a b", ";", "exit 3")
    assert (answer.code, answer.out) == (1, "out\nerr\n")
    assert answer.err.startswith('ERROR the following task failed:\n - id "2" with return code 3\n')
    task = tasks.get(demo.deps.store.read(), 2)
    assert (task.action, task.parameters["command"]) == ("juju-exec", "echo 'a b' ';' 'exit 3'")
    ends(demo, "alpha/0", results={"return-code": 0, "stdout": "alpha-0\n"})
    ends(demo, "alpha/1", results={"return-code": 0, "stdout": "alpha-1\n"})
    answer = demo.ok("exec", "--format", "json", "--application", "alpha", "--", "hostname | cat")
    assert list(json.loads(answer.out)) == ["alpha/0", "alpha/1"]
    assert tasks.get(demo.deps.store.read(), 4).parameters["command"] == "hostname | cat"


def test_looking_back(demo: Cloud) -> None:
    ends(demo, log=("step 0",), results={"return-code": 0, "done": "true"})
    demo.ok("run", "alpha/0", "slow", "seconds=3")
    demo.ok("run", "--background", "alpha/1", "slow")
    assert demo.ok("show-task", "2").out == 'done: "true"\n\n'
    assert json.loads(demo.ok("show-task", "2", "--format", "json").out)["status"] == "completed"
    assert demo.ok("show-operation", "1").out == (
        'summary: action "slow"\n'
        "status: completed\n"
        "action:\n  name: slow\n  parameters:\n    seconds: 3\n"
        "timing:\n"
        "  enqueued: 2026-11-22 16:29:28 +0000 UTC\n"
        "  completed: 2026-11-22 16:29:29 +0000 UTC\n"
        'tasks:\n  "2":\n    host: alpha/0\n    status: completed\n'
        "    timing:\n"
        "      enqueued: 2026-11-22 16:29:28 +0000 UTC\n"
        "      started: 2026-11-22 16:29:28 +0000 UTC\n"
        "    log:\n    - 2026-11-22 16:29:29 +0000 UTC step 0\n"
    )
    assert demo.ok("operations").out == (
        "ID  Status     Started              Finished             Task IDs  Summary\n"
        ' 1  completed  2026-11-22T16:29:28  2026-11-22T16:29:29  2         action "slow"\n'
        ' 3  pending                                              4         action "slow"\n'
    )
    assert list(json.loads(demo.ok("operations", "--format", "json", "--limit", "1").out)) == ["1"]
    assert list(json.loads(demo.ok("operations", "--format=json", "--status=pending").out)) == ["3"]


def test_cancel(demo: Cloud) -> None:
    demo.ok("run", "--background", "alpha/0", "slow")
    assert demo.ok("cancel-task", "2").err == ""
    assert tasks.get(demo.deps.store.read(), 2).status == "aborted"
    assert demo.ok("cancel-task", "2", "77").err == (
        "WARNING The following tasks could not be canceled:\n"
        "task: 2, error: it is aborted\ntask: 77, error: not found\n"
    )


def test_show_task_waits(demo: Cloud) -> None:
    demo.ok("run", "--background", "alpha/0", "slow")
    ends(demo, results={"return-code": 0, "done": "true"})
    assert demo.ok("show-task", "2", "--wait", "10s").out == 'done: "true"\n\n'
