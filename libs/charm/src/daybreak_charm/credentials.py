"""Users that a service gives to the applications that relate to it, one generation after another.

A credential is a generation: its number is the revision of the secret that carries it, and the last
part of the user's name. The newest one is in the secret; older ones stay until nobody tracks their
revision any more.
"""

import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_USER = re.compile(r"(?P<application>[a-z0-9-]{1,60})\.r(?P<relation>\d+)\.g(?P<generation>\d+)")


@dataclass(frozen=True)
class User:
    """The parts of a user's name, such as `keystone.r7.g1`.

    It says whose it is to who reads a list of connections, and is how our users are known from
    others.
    """

    application: str
    relation: int
    generation: int

    def __str__(self) -> str:
        return f"{self.application[:60]}.r{self.relation}.g{self.generation}"


def parse(name: str) -> User | None:
    """The parts of a user's name; None for one that is not ours."""
    found = _USER.fullmatch(name)
    if not found:
        return None
    return User(found["application"], int(found["relation"]), int(found["generation"]))


def new_password() -> str:
    """A password with 256 bits of entropy, safe in a URL."""
    return secrets.token_urlsafe(32)


def content(application: str, relation: int, generation: int) -> dict[str, str]:
    """The secret of a new generation."""
    name = str(User(application, relation, generation))
    return {"username": name, "password": new_password()}


def is_kept(name: str, newest: Mapping[int, str], related: Collection[int]) -> bool:
    """Whether a user of ours stays beside the newest ones: it is of a relation, and not from the future.

    A generation above the newest is what a rotation left that did not end well.

    Args:
        name: The user.
        newest: Name of the newest generation by relation.
        related: Relations that exist; one that says nothing for now keeps its users.
    """
    known = parse(name)
    if known is None or known.relation not in related:
        return False
    current = parse(newest.get(known.relation, ""))
    return current is None or known.generation <= current.generation
