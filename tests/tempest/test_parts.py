"""The pure parts of the lane; the run itself is `python -m tests.tempest`."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from ..clouds import Account
from .outcomes import Outcome, read, summary, table
from .settings import Resources, options, render

NAME = "tempest.api.image.v2.test_images.Basic.test_delete_image"


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        (f"{{0}} {NAME} [0.812345s] ... ok\n", Outcome(NAME, "passed", 0.812345)),
        (f"{{1}} {NAME} [12.000001s] ... FAILED\n", Outcome(NAME, "failed", 12.000001)),
        (f"{{0}} {NAME} ... SKIPPED: none: here\n", Outcome(NAME, "skipped", 0, "none: here")),
        (
            f"{{0}} {NAME} ... SKIPPED: Marked as unstable and skipped because of bug: b/1, failure was: it\n",
            Outcome(
                *(NAME, "failed", 0),
                "Marked as unstable and skipped because of bug: b/1, failure was: it",
            ),
        ),
        (
            "{0} setUpClass (tempest.api.volume.test_volumes_get.Get) [3.100000s] ... FAILED\n",
            Outcome("setUpClass (tempest.api.volume.test_volumes_get.Get)", "failed", 3.1),
        ),
        ("Captured traceback:\n", None),
        ("    {0} is no worker ... of ok\n", None),
    ],
)
def test_a_line_of_stestr_is_an_outcome_or_something_else(line: str, outcome: Outcome | None):
    assert read(line) == outcome


def test_the_table_counts_by_part_and_the_summary_counts_all():
    found = [
        Outcome(NAME, "passed", 1),
        Outcome(NAME, "failed", 1),
        Outcome("setUpClass (tempest.scenario.test_x.Y)", "skipped", 0, "why"),
    ]

    assert summary(found, 61.04) == "1 passed, 1 failed, 1 skipped in 61.0s"
    assert table(found).splitlines()[2:] == ["| image | 1 | 1 | 0 |", "| scenario | 0 | 0 | 1 |"]


def test_a_password_with_a_dollar_sign_is_not_a_reference_in_the_file():
    account = Account("https://10.0.0.1/v3", "", "admin", "a$b%c", "admin", "d", "d", "R", "")
    resources = Resources(("i1", "i2"), ("f1", "f2"), "n")

    text = render(
        options(account, resources, Path("/d"), Path("/d/ca.crt"), volumes=False, resize=True)
    )

    parser = configparser.RawConfigParser()
    parser.read_string(text)
    assert parser["auth"]["admin_password"] == "a$$b%c"
    assert parser["service_available"]["cinder"] == "False"
