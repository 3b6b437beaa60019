"""Interface `certificate_transfer`: CA certificates that a client must trust, versions 0 and 1."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from daybreak_interfaces._common import Bag, WritableBag, list_of, load_json, put

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """Certificates to trust.

    Attributes:
        certificates: One PEM each, without repetitions, in a stable order.
    """

    certificates: tuple[str, ...]


def split_pem(text: str) -> list[str]:
    """The single certificates of a text that may hold several."""
    return _PEM.findall(text)


def bundle(*texts: str) -> str:
    """One text with the certificates of some, each once, in an order that does not depend on theirs."""
    found = {pem for text in texts for pem in split_pem(text)}
    return "".join(f"{pem.strip()}\n" for pem in sorted(found))


def write_request(app_bag: WritableBag, *, version: int = 1) -> None:
    """Say which version this client reads (leader only)."""
    put(app_bag, {"version": str(version)})


def write_v1(app_bag: WritableBag, certificates: Iterable[str]) -> None:
    """Write the provider's side of version 1 (leader only)."""
    unique = sorted(set(certificates))
    put(
        app_bag,
        {
            "certificates": json.dumps(unique) if unique else None,
            "version": "1" if unique else None,
        },
    )


def write_v0(unit_bag: WritableBag, certificates: Iterable[str]) -> None:
    """Write the provider's side of version 0: one unit (the leader's) carries the whole chain."""
    unique = sorted(set(certificates))
    put(
        unit_bag,
        {
            "ca": unique[0] if unique else None,
            "chain": json.dumps(["\n".join(unique)]) if unique else None,
        },
    )


def read_answer(app_bag: Bag, unit_bags: Iterable[Bag]) -> Answer:
    """Read one relation, whichever version its provider speaks; may give no certificate at all."""
    texts = list(list_of(load_json(app_bag, "certificates"), str) or ())
    for bag in unit_bags:
        texts += [bag.get("ca", ""), bag.get("certificate", "")]
        texts += list_of(load_json(bag, "chain"), str) or ()
    return Answer(tuple(sorted({pem for text in texts for pem in split_pem(text)})))
