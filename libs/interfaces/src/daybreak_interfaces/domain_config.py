"""Interface `keystone-domain-config`: the configuration file of a domain (LDAP and the like)."""

import base64
import binascii
from dataclasses import dataclass, field

from daybreak_interfaces._common import Bag, NotReady, WritableBag, put


@dataclass(frozen=True)
class Answer:
    """One domain.

    Attributes:
        domain: Name of the domain.
        config: Text of `keystone.<domain>.conf`; may hold a bind password, so it is kept out of
            `repr`.
        ca: PEM of the CA of the domain's server, or None.
    """

    domain: str
    config: str = field(repr=False)
    ca: str | None = None


def write_answer(app_bag: WritableBag, answer: Answer) -> None:
    """Write the provider's side (leader only)."""

    def encode(text: str | None) -> str | None:
        return base64.b64encode(text.encode()).decode() if text else None

    put(
        app_bag,
        {
            "domain-name": answer.domain,
            "config-contents": encode(answer.config),
            "ca": encode(answer.ca),
        },
    )


def read_answer(app_bag: Bag) -> Answer | NotReady:
    """Read the provider's side."""
    domain = app_bag.get("domain-name", "")
    contents = app_bag.get("config-contents", "")
    if not domain or not contents:
        return NotReady("the domain's configuration is not there yet")
    if "/" in domain or domain.startswith("."):
        # The name becomes part of a file's name.
        return NotReady("the domain's name cannot be part of a file's name")
    try:
        config = base64.b64decode(contents, validate=True).decode()
        ca = base64.b64decode(app_bag.get("ca", ""), validate=True).decode() or None
    except (binascii.Error, UnicodeDecodeError):
        return NotReady("the domain's configuration is not base64 text")
    return Answer(domain, config, ca)
