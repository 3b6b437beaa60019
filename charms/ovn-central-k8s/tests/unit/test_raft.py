"""What follows from what a server says of its cluster."""

import pytest
import raft
from raft import Cluster, Member, Server

# As printed by ovsdb-server 3.5.0, with names in the place of addresses.
STATUS = """\
249a
Name: OVN_Northbound
Cluster ID: 87b3 (87b312d6-8b6b-42bf-9331-5df0491f3f38)
Server ID: 249a (249a97b3-c10a-415e-a4e8-eb1793d9d3aa)
Address: ssl:c-2.c-endpoints.m.svc.cluster.local:6643
Status: cluster member
Role: follower
Term: 3
Leader: 56df
Vote: unknown

Election timer: 4000
Log: [2, 8]
Entries not yet committed: 0
Entries not yet applied: 0
Connections: ->0000 ->0000 <-0000 <-0000
Disconnections: 0
Servers:
    56df (56df at ssl:c-1.c-endpoints.m.svc.cluster.local:6643) last msg 78 ms ago
    abd6 (abd6 at ssl:c-2.c-endpoints.m.svc.cluster.local:6643)
    b812 (b812 at ssl:[fd00::1]:6643)
    249a (249a at ssl:c-2.c-endpoints.m.svc.cluster.local:6643) (self)
"""
ONE, TWO = "c-1.c-endpoints.m.svc.cluster.local", "c-2.c-endpoints.m.svc.cluster.local"
MINE, OURS = Member("cid", "sid"), Cluster(1, "cid")


def test_a_status_is_read() -> None:
    status = raft.parse_status(STATUS)
    assert status is not None
    assert status.works
    assert (status.role, status.timer) == ("follower", 4000)
    assert status.servers == (
        Server("56df", ONE),
        Server("abd6", TWO),
        Server("b812", "fd00::1"),
        Server("249a", TWO, self=True),
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Leader: 56df", "Leader: unknown"),
        ("Status: cluster member", "Status: joining cluster"),
    ],
)
def test_without_a_leader_or_membership_it_does_not_work(old: str, new: str) -> None:
    status = raft.parse_status(STATUS.replace(old, new))
    assert status is not None
    assert not status.works


def test_a_member_that_lost_the_others_is_still_one() -> None:
    said = "Status: disconnected from the cluster (election timeout)"
    text = STATUS.replace("Status: cluster member", said).replace("Leader: 56df", "Leader: unknown")
    status = raft.parse_status(text)
    assert status is not None
    assert status.member
    assert not status.works


def test_no_status_is_none() -> None:
    assert raft.parse_status("") is None


@pytest.mark.parametrize("text", ["", "x", "1 2 3"])
def test_words_that_are_not_there(text: str) -> None:
    assert raft.parse_member(text) is None
    assert raft.parse_cluster(text) is None


def test_words_come_back_as_they_were_written() -> None:
    assert raft.parse_member(str(MINE)) == MINE
    assert raft.parse_cluster(str(OURS)) == OURS


@pytest.mark.parametrize(
    ("exists", "mine", "cluster", "first", "alone", "step"),
    [
        # Nobody has formed it: the first unit does, once, and the others wait for its word.
        (False, None, None, True, True, "create"),
        (False, None, None, True, False, "create"),
        (False, None, None, False, False, "wait"),
        (True, None, None, True, False, "adopt"),
        (True, None, None, False, False, "wait"),
        (True, MINE, None, True, True, "keep"),
        # It was formed: nobody forms it again, not even the first unit.
        (False, None, OURS, True, False, "join"),
        (False, MINE, OURS, True, False, "join"),
        (False, MINE, OURS, False, False, "join"),
        (True, MINE, OURS, False, False, "keep"),
        # A copy that an earlier unit of the name left, or of a cluster that was formed anew.
        (True, None, OURS, False, False, "rejoin"),
        (True, Member("other", "sid"), OURS, False, False, "rejoin"),
        # There is nobody to join.
        (False, MINE, OURS, True, True, "lost"),
        (True, Member("other", "sid"), OURS, True, True, "lost"),
    ],
)
def test_what_a_unit_does_about_its_copy(
    *,
    exists: bool,
    mine: Member | None,
    cluster: Cluster | None,
    first: bool,
    alone: bool,
    step: str,
) -> None:
    found = raft.decide(exists=exists, mine=mine, cluster=cluster, first=first, alone=alone)
    assert found == step


def test_the_cluster_that_was_formed_last_counts_and_the_first_word_of_two() -> None:
    assert raft.newest([]) is None
    assert raft.newest([Cluster(1, "a"), Cluster(2, "b")]) == Cluster(2, "b")
    assert raft.newest([Cluster(2, "a"), Cluster(2, "b")]) == Cluster(2, "a")


def test_a_unit_takes_out_what_it_was_before_and_the_leader_who_is_gone() -> None:
    status = raft.parse_status(STATUS)
    assert status is not None
    assert raft.to_remove(status, ()) == ["abd6"]
    assert raft.to_remove(status, [ONE]) == ["56df", "abd6"]


def test_an_election_timer_doubles_at_most() -> None:
    assert raft.next_timer(1000, 8000) == 2000
    assert raft.next_timer(4000, 6000) == 6000
    assert raft.next_timer(8000, 1000) == 1000
