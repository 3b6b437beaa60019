"""Rolling updates as Kubernetes moves them on."""

from daybreak_engine.daemon.rollout import (
    Replica,
    Template,
    left_behind,
    next_replacement,
    template,
)


def _replicas(*versions: int, ready: bool = True) -> list[Replica]:
    return [
        Replica(ordinal, version, ready=ready, stopping=False, alive=True)
        for ordinal, version in enumerate(versions)
    ]


def test_highest_ordinal_goes_first() -> None:
    assert next_replacement(_replicas(0, 0, 0), version=1, partition=0) == 2


def test_next_waits_until_those_above_are_ready() -> None:
    replicas = [*_replicas(0, 0), Replica(2, 1, ready=False, stopping=False, alive=True)]
    assert next_replacement(replicas, version=1, partition=0) is None
    replicas[2] = Replica(2, 1, ready=True, stopping=False, alive=True)
    assert next_replacement(replicas, version=1, partition=0) == 1


def test_one_pod_is_ended_at_a_time() -> None:
    replicas = [*_replicas(0, 0), Replica(2, 0, ready=True, stopping=True, alive=True)]
    assert next_replacement(replicas, version=1, partition=0) is None


def test_partition_holds_back_the_ordinals_below() -> None:
    assert next_replacement(_replicas(0, 0, 1), version=1, partition=2) is None
    assert next_replacement(_replicas(0, 0, 1), version=1, partition=1) == 1


def test_broken_pod_with_an_old_template_is_replaced() -> None:
    # Otherwise a charm that cannot start could never be refreshed.
    assert next_replacement(_replicas(0, ready=False), version=1, partition=0) == 0


def test_units_without_a_pod_and_dying_ones_are_no_matter_of_a_roll() -> None:
    replicas = [
        *_replicas(1),
        Replica(1, -1, ready=True, stopping=False, alive=True),
        Replica(2, 0, ready=False, stopping=False, alive=False),
    ]
    assert next_replacement(replicas, version=1, partition=0) is None


def test_pod_below_the_partition_comes_back_as_it_was() -> None:
    old, new = Template(1, 0), Template(2, 1)
    assert template(0, old, new, partition=1) == old
    assert template(1, old, new, partition=1) == new
    assert template(0, None, new, partition=1) == new


def test_pod_made_again_below_the_partition_stays_out_of_service() -> None:
    old = Template(1, 0)
    assert left_behind(old, 1, begun=False)
    # Nobody touches a unit that runs already.
    assert not left_behind(old, 1, begun=True)
    assert not left_behind(Template(2, 1), 1, begun=False)
