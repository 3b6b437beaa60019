"""Rolls: where the partition goes."""

from daybreak_charm.partition import Rollout, lowered, parked, raised, read
from daybreak_charm.testing import statefulset


def test_a_roll_is_pending_while_a_pod_has_an_old_template() -> None:
    assert not read(statefulset(partition=2, replicas=3, updated=3)).pending
    assert read(statefulset(partition=2, replicas=3, updated=1)).pending
    # What the controller has not seen yet counts as pending.
    assert read(statefulset(partition=2, replicas=3, updated=3, behind=1)).pending


def test_it_is_parked_at_the_top_unit() -> None:
    assert parked(Rollout(0, pending=False), 3) == 2
    assert parked(Rollout(2, pending=False), 1) == 0
    # A roll under way is left alone, but not held above the units that are left.
    assert parked(Rollout(1, pending=True), 4) == 1
    assert parked(Rollout(4, pending=True), 3) == 2


def test_each_unit_hands_the_roll_to_the_next() -> None:
    assert lowered(Rollout(2, pending=True), 2, 3, new=True) == 1
    assert lowered(Rollout(1, pending=True), 1, 3, new=True) == 0
    assert lowered(Rollout(0, pending=True), 0, 3, new=True) == 2
    # Not one that is still to be replaced itself, nor one that the roll has passed.
    assert lowered(Rollout(2, pending=True), 2, 3, new=False) == 2
    assert lowered(Rollout(0, pending=True), 2, 3, new=True) == 0


def test_a_refresh_in_the_middle_of_a_roll_is_held_at_its_first_pod() -> None:
    # The roll before had come to unit 0, so Kubernetes goes through all of them now.
    second = Rollout(0, pending=True, updated=1)
    assert raised(second, 2, 3, new=True) == 2
    # Its own pod may not be counted yet.
    assert raised(Rollout(0, pending=True, updated=0), 2, 3, new=True) == 2
    # The next one of the same roll, in its turn.
    assert raised(Rollout(1, pending=True, updated=2), 1, 3, new=True) == 1


def test_a_pod_that_comes_back_during_a_roll_does_not_hold_it() -> None:
    assert raised(Rollout(0, pending=True, updated=2), 2, 3, new=True) == 0
    assert raised(Rollout(0, pending=True, updated=2), 0, 3, new=False) == 0
    assert raised(Rollout(0, pending=False, updated=3), 2, 3, new=True) == 0
