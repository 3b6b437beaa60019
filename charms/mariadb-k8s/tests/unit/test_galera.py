"""Who may begin the cluster anew, and the options of a member."""

from pathlib import PurePosixPath

import galera
import pytest
from galera import Newest, Report, Unsure

A, B = "a" * 8, "b" * 8
UNITS = ("db/0", "db/1", "db/2")
MEMBER = galera.Member("db-0", "db-0.endpoints", ("db-1.endpoints", "db-2.endpoints"))


def reports(*positions: str) -> dict[str, Report]:
    return {f"db/{n}": Report(A, position) for n, position in enumerate(positions)}


@pytest.mark.parametrize(
    ("positions", "unit"),
    [
        ((f"{A} 7", f"{A} 9", f"{A} 8"), "db/1"),
        ((f"{A} 9", f"{A} 9", f"{A} 8"), "db/0"),
        # A copy that was not completed has nothing that its donor has not.
        ((f"{A} 7", f"{A} 9", "partial"), "db/1"),
    ],
)
def test_the_newest_of_all_begins(positions: tuple[str, ...], unit: str):
    assert galera.newest(UNITS, reports(*positions)) == Newest(unit)


def test_a_unit_that_never_had_data_has_nothing_to_say():
    said = {**reports(f"{A} 7", f"{A} 9"), "db/2": Report("", "none")}
    assert galera.newest(UNITS, said) == Newest("db/1")


@pytest.mark.parametrize(
    ("positions", "why"),
    [
        ((f"{A} 7", f"{A} 9"), "db/2 has not said"),
        ((f"{A} 7", "", f"{A} 9"), "db/1 has not said"),
        ((f"{A} 7", f"{A} 9", "none"), "db/2 has lost its data"),
        ((f"{A} 7", f"{A} 9", f"{B} 3"), "different clusters"),
        ((f"{A} 7", f"{A} -1", f"{A} 3"), "db/1 cannot say"),
        (("partial", "partial", "partial"), "no unit has complete data"),
    ],
)
def test_where_the_data_do_not_say_it_nobody_begins(positions: tuple[str, ...], why: str):
    decision = galera.newest(UNITS, reports(*positions))
    assert isinstance(decision, Unsure)
    assert why in decision.why


def test_every_unit_comes_to_the_same_from_the_same_reports():
    said = reports(f"{A} 7", f"{A} 9", f"{A} 8")
    turned = dict(reversed(said.items()))
    assert galera.newest(UNITS, turned) == galera.newest(UNITS, said)
    assert galera.digest(turned) == galera.digest(said)
    assert galera.digest(said) != galera.digest(reports(f"{A} 7", f"{A} 10", f"{A} 8"))


def test_what_may_be_lost_is_said_unit_by_unit():
    said = reports(f"{A} 7", f"{A} 9", f"{B} 3")
    text = galera.losses("db/0", (*UNITS, "db/3"), said)
    assert "db/1 is at aaaaaaaa 9: 2 transactions are lost." in text
    assert "db/2 is at bbbbbbbb 3, of another cluster: all of it is lost." in text
    assert "db/3 has not said what it has: all that only it has is lost." in text
    assert "nothing is lost" in galera.losses("db/1", UNITS[:2], said)


def test_replication_and_copies_are_encrypted_and_know_no_password():
    options = galera.settings(MEMBER, "m-db", PurePosixPath("/etc/tls.pem"))
    provider = str(options["mariadbd"]["wsrep_provider_options"])
    assert "socket.ssl=yes" in provider
    assert f"socket.ssl_ca={galera.CA}" in provider
    assert options["sst"]["encrypt"] == 3
    assert options["sst"]["tca"] == str(galera.CA)
    assert options["mariadbd"]["wsrep_sst_auth"] == "mysql:"
