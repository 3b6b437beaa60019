"""The options of each release: those that exist only when Neutron runs are among them."""

from pathlib import Path

import pytest

from daybreak_charm import catalogue

FOLDER = Path(__file__).parents[2] / "src/catalogue"


@pytest.mark.parametrize("release", ["2025.1", "2026.1"])
@pytest.mark.parametrize(
    ("section", "option"),
    [
        ("keystone_authtoken", "password"),
        ("nova", "auth_url"),
        ("ovn", "ovn_nb_connection"),
        ("privsep_link", "helper_command"),
    ],
)
def test_an_option_is_known(release: str, section: str, option: str) -> None:
    known = catalogue.load(FOLDER, release)
    assert known is not None
    assert known.check({section: {option: "value"}}) is None


def test_a_misspelt_option_gets_the_right_name() -> None:
    known = catalogue.load(FOLDER, "2026.1")
    assert known is not None
    said = known.check({"ovn": {"ovn_nb_conection": "value"}})
    assert said is not None
    assert said.endswith("did you mean ovn_nb_connection?")
