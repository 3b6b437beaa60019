"""Constraints: what is taken, what it means."""

import pytest

from daybreak_engine import errors
from daybreak_engine.model import constraints
from daybreak_engine.model.constraints import Limits


def test_constraints_are_kept_as_they_were_written() -> None:
    written = r"mem=1.5G cpu-power=500 arch=amd64 tags=^pod.app=a\ b,zone=x root-disk=10G"
    parsed = constraints.parse(written)
    assert parsed == {
        "mem": "1.5G",
        "cpu-power": "500",
        "arch": "amd64",
        "tags": "^pod.app=a b,zone=x",
        "root-disk": "10G",
    }
    assert constraints.text(parsed) == written
    assert constraints.parse("cpu-cores=2") == {"cores": "2"}
    assert constraints.parse("  ") == {}


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("mem", 'malformed constraint "mem"', "mem=2G"),
        ("=2G", 'malformed constraint "=2G"', "mem=2G"),
        ("memory=2G", 'unknown constraint "memory"', "mem=2G"),
        (
            "mem=lots",
            'bad "mem" constraint: must be a non-negative float with optional M/G/T/P suffix, '
            'not "lots"',
            "for example mem=2G",
        ),
        ("mem=-1G", 'bad "mem" constraint', "mem=2G"),
        ("mem=2Gi", 'bad "mem" constraint', "mem=2G"),
        ("root-disk=G", 'bad "root-disk" constraint', "root-disk=10G"),
        (
            "cpu-power=0.5",
            'bad "cpu-power" constraint: must be a non-negative integer, not "0.5"',
            "for example cpu-power=500",
        ),
        ("cores=1 cpu-cores=2", 'bad "cores" constraint: already set', "give cores only once"),
    ],
)
def test_what_is_no_constraint_is_said_with_an_example(
    text: str, message: str, remedy: str
) -> None:
    with pytest.raises(errors.InvalidError) as caught:
        constraints.parse(f"arch=amd64 {text}")
    assert caught.value.message.startswith(message)
    assert remedy in caught.value.remedy
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", Limits()),
        ("arch=amd64 cores=4", Limits()),
        ("mem=512", Limits(memory=512 * 2**20)),
        ("mem=512M", Limits(memory=512 * 2**20)),
        ("mem=1.5G", Limits(memory=1536 * 2**20)),
        ("mem=0.2M", Limits(memory=2**20)),
        ("mem=1P", Limits(memory=2**50)),
        ("cpu-power=1500", Limits(cpus=1.5)),
        ("cpu-power=1", Limits(cpus=0.01)),
        ("mem=0 cpu-power=", Limits()),
    ],
)
def test_limits_of_containers(text: str, limits: Limits) -> None:
    assert constraints.limits(constraints.parse(text)) == limits


def test_what_a_model_kept_unchecked_limits_nothing() -> None:
    assert constraints.limits({"mem": "lots", "cpu-power": "-1"}) == Limits()


def test_equal_sizes_mean_the_same() -> None:
    assert constraints.values({"mem": "1G"}) == constraints.values({"mem": "1024M"})
    assert constraints.values({"mem": "1G"}) != constraints.values({"mem": "1G", "arch": "amd64"})
