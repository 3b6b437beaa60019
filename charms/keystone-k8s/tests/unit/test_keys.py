import random

import keys
import pytest

WEEK = 7 * 86400.0


def made(number: int) -> str:
    return keys.key(bytes([number]) * 32)


def ring(rotations: int = 0, *, every: float = WEEK) -> keys.Ring:
    found = keys.new(0.0, made(1), made(0))
    for n in range(rotations):
        found = keys.rotated(found, (n + 1) * every, made(n + 2))
    return found


def test_a_rotation_promotes_the_staged_key_and_loses_none():
    before, after = ring(), ring(1)
    assert after.keys[after.primary] == before.keys[0]
    assert set(before.keys.values()) < set(after.keys.values())
    assert after.old == [1]


def test_a_secret_holds_a_ring():
    found = ring(2)
    assert keys.parse(found.content()) == found
    assert not [value for value in found.content().values() if value.endswith("=")]


def test_what_one_unit_writes_every_unit_reads_however_the_rotations_reach_them():
    chance = random.Random(4)
    published = ring()
    units = [published] * 3
    for n in range(200):
        unit = chance.randrange(3)
        units[unit] = published
        if all(have == published for have in units):
            published = keys.rotated(published, n, made(n % 250))
        for writer in units:
            written = writer.keys[writer.primary]
            assert all(written in reader.keys.values() for reader in units)


def test_files_are_written_so_that_no_key_is_ever_missing():
    before, after = ring(), ring(1)
    have = dict(before.files())
    for name, text in after.files().items():
        have[name] = text
        assert before.keys[0] in have.values()


@pytest.mark.parametrize(("later", "left"), [(0.0, [1]), (1120.0, []), (1119.0, [1])])
def test_a_key_goes_when_nothing_that_it_wrote_can_be_valid(later: float, left: list[int]):
    assert keys.pruned(ring(1), WEEK + later, keep=1000.0).old == left


def test_many_rotations_at_once_lose_no_key_before_its_time():
    assert len(keys.pruned(ring(9, every=1.0), 10.0, keep=1000.0).keys) == 11


def test_a_ring_remembers_its_revocation():
    after = keys.revoked(ring(), 5.0, made(70), made(71))
    assert keys.parse(after.content()) == after
    assert keys.rotated(after, 6.0, made(72)).revoked == after.revoked == 2
    assert ring(2).revoked == 0


def test_revoked_keys_are_gone_at_once():
    before = ring(1)
    after = keys.revoked(before, 5.0, made(70), made(71))
    assert not set(before.keys.values()) & set(after.keys.values())
    assert after.primary > before.primary


def test_what_is_due():
    assert not keys.due(ring(), WEEK - 1, "weekly")
    assert keys.due(ring(), WEEK, "weekly")
    assert not keys.due(ring(), 1e12, "never")


def test_a_ring_without_times_is_due():
    content = {k: v for k, v in ring().content().items() if k != "since"}
    assert keys.due(keys.parse(content), WEEK, "weekly")
