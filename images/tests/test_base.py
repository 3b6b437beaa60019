"""Which mirror the base comes from, and what decides that an image is built again."""

import pytest

from daybreak_images import base
from daybreak_images.spec import ImageError

BOOKWORM = {"ID": "debian", "VERSION_CODENAME": "bookworm", "PRETTY_NAME": "Debian GNU/Linux 12"}
DEB822 = """\
Types: deb
# a comment in the middle
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://vendor.example/node
Suites: nodistro
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm main # x
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian-security bookworm/updates main
deb cdrom: broken
"""


def lines(text: str, deb822: bool, release: dict[str, str] = BOOKWORM) -> list[str]:
    return [source.line() for source in base.sources_for(release, base.parse(text, deb822))]


def test_deb822_sources_become_those_of_the_base() -> None:
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
    assert lines(DEB822, deb822=True) == [
        f"deb {key}http://mirror.example/debian trixie main",
        f"deb {key}http://mirror.example/debian trixie-updates main",
        "deb http://mirror.example/debian-security trixie-security main",
    ]


def test_one_line_sources_become_those_of_the_base() -> None:
    assert lines(ONE_LINE, deb822=False) == [
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        "http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian-security trixie-security main",
    ]


def test_ubuntu_gives_a_base_of_its_own_release() -> None:
    noble = {"ID": "ubuntu", "VERSION_CODENAME": "noble"}
    text = "deb http://mirror.example/ubuntu noble main universe\n"
    assert lines(text, False, noble) == ["deb http://mirror.example/ubuntu noble main universe"]


@pytest.mark.parametrize(
    "release",
    [
        {"ID": "fedora", "PRETTY_NAME": "Fedora 44"},
        {"ID": "ubuntu", "VERSION_CODENAME": "jammy", "PRETTY_NAME": "Ubuntu 22.04"},
    ],
)
def test_other_machines_are_refused_with_what_would_do(release: dict[str, str]) -> None:
    with pytest.raises(ImageError, match=r"Debian machine is needed.*Ubuntu from 24\.04"):
        base.sources_for(release, [])


def test_a_machine_without_mirror_is_told_to_add_one() -> None:
    with pytest.raises(ImageError, match=r"add one to /etc/apt/sources\.list\.d"):
        lines("deb http://vendor.example/node nodistro main", False)


def test_the_key_follows_the_release_and_not_the_mirror() -> None:
    near = [base.Source("http://near.example/debian", "trixie", ("main",))]
    far = [base.Source("http://far.example/debian", "trixie", ("main",))]
    other = [base.Source("http://near.example/debian", "noble", ("main",))]
    assert base.key(near) == base.key(far) != base.key(other)


def test_no_recommended_package_and_no_documentation_is_installed() -> None:
    command = base.mmdebstrap([base.Source("u", "trixie", ("main",))], "/t.tar", "/lists")
    assert '--aptopt=APT::Install-Recommends "false"' in command
    assert "--dpkgopt=path-exclude=/usr/share/man/*" in command
    assert command[-3:] == ["trixie", "/t.tar", "deb u trixie main"]
