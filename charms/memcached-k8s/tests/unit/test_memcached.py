"""Sizes and command line."""

import memcached
import pytest

from daybreak_charm.sizing import Machine


@pytest.mark.parametrize(
    ("option", "machine", "memory"),
    [
        (0, Machine(1, 1024), 64),
        (0, Machine(2, 24 * 1024), 384),
        (0, Machine(64, 512 * 1024), 1024),
        (0, Machine(2, 24 * 1024, 256), 192),
        (64, Machine(1, 0), 64),
        (5000, Machine(1, 1), 5000),
    ],
)
def test_memory(option: int, machine: Machine, memory: int):
    assert memcached.memory_mib(option, machine) == memory


@pytest.mark.parametrize("option", [-1, 1, 63])
def test_too_little_memory_is_refused_with_a_way_out(option: int):
    with pytest.raises(memcached.InvalidError, match="64 MiB or more"):
        memcached.memory_mib(option, Machine(1, 1024))


def test_it_listens_for_tcp_alone():
    words = memcached.command(memcached.Inputs(64, "memcached", "/usr/bin/memcached")).split()
    assert words[0] == "/usr/bin/memcached"
    assert words[words.index("-U") + 1] == "0"
    assert words[words.index("-m") + 1] == "64"
    assert "-l" not in words
