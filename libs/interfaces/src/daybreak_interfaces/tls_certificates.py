"""Interface `tls-certificates` (v1 on the wire): certificates for signing requests.

A requirer writes its requests into its unit databag (each unit its own key) or its application
databag; the provider answers in
its application databag and is matched by the text of the request. Private keys never cross the
relation.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from daybreak_interfaces._common import (
    Bag,
    NotReady,
    WritableBag,
    list_of,
    load_json,
    mappings_of,
    put,
)


@dataclass(frozen=True)
class Request:
    """One signing request.

    Attributes:
        csr: PEM of the request.
        ca: Whether a CA certificate is asked for.
    """

    csr: str
    ca: bool = False


@dataclass(frozen=True)
class Certificate:
    """One answer.

    Attributes:
        csr: PEM of the request that it answers.
        certificate: PEM of the certificate.
        ca: PEM of the issuing CA.
        chain: PEMs from the certificate to the root, as the provider sent them.
        revoked: Whether the provider has withdrawn it.
    """

    csr: str
    certificate: str
    ca: str
    chain: tuple[str, ...] = ()
    revoked: bool = False

    @property
    def fingerprint(self) -> str:
        """Digest of what a server shows and a client trusts, by which both sides mean this answer."""
        pems = "\n".join([self.certificate.strip(), self.ca.strip(), *map(str.strip, self.chain)])
        return hashlib.sha256(pems.encode()).hexdigest()[:20]


def write_requests(bag: WritableBag, requests: Iterable[Request]) -> None:
    """Write the requirer's side into its unit (or application) databag."""
    items = [{"certificate_signing_request": r.csr.strip(), "ca": r.ca} for r in requests]
    put(bag, {"certificate_signing_requests": json.dumps(items) if items else None})


def read_requests(bag: Bag) -> tuple[Request, ...]:
    """Read the requests in one databag; malformed entries are left out."""
    found: list[Request] = []
    for entry in mappings_of(load_json(bag, "certificate_signing_requests")) or ():
        csr = entry.get("certificate_signing_request")
        if isinstance(csr, str) and csr.strip():
            found.append(Request(csr.strip(), entry.get("ca") is True))
    return tuple(found)


def write_certificates(app_bag: WritableBag, certificates: Iterable[Certificate]) -> None:
    """Write the provider's side (leader only)."""
    items: list[dict[str, object]] = []
    for cert in certificates:
        item: dict[str, object] = {
            "ca": cert.ca.strip(),
            "certificate_signing_request": cert.csr.strip(),
            "certificate": cert.certificate.strip(),
            "chain": [pem.strip() for pem in cert.chain],
        }
        if cert.revoked:
            item["revoked"] = True
        items.append(item)
    put(app_bag, {"certificates": json.dumps(items) if items else None})


def read_certificates(app_bag: Bag) -> tuple[Certificate, ...]:
    """Read all answers of a provider; malformed entries are left out."""
    found: list[Certificate] = []
    for entry in mappings_of(load_json(app_bag, "certificates")) or ():
        csr, cert, ca = (
            entry.get("certificate_signing_request"),
            entry.get("certificate"),
            entry.get("ca"),
        )
        if isinstance(csr, str) and isinstance(cert, str) and isinstance(ca, str):
            chain = list_of(entry.get("chain"), str) or []
            found.append(
                Certificate(
                    csr.strip(),
                    cert.strip(),
                    ca.strip(),
                    tuple(pem.strip() for pem in chain),
                    entry.get("revoked") is True,
                )
            )
    return tuple(found)


def read_certificate(app_bag: Bag, csr: str) -> Certificate | NotReady:
    """Read the answer to one request."""
    for cert in read_certificates(app_bag):
        if cert.csr == csr.strip():
            return NotReady("the certificate was revoked") if cert.revoked else cert
    return NotReady("the certificate has not been issued yet")


def write_applied(unit_bag: WritableBag, fingerprint: str) -> None:
    """Say that the unit's processes run with an answer.

    This key is our own: it lets a provider change its CA step by step. Others leave it out.
    """
    put(unit_bag, {"applied": fingerprint})


def read_applied(unit_bag: Bag) -> str | None:
    """Fingerprint of the answer that a unit runs with; None of one that says nothing about it."""
    return unit_bag.get("applied") or None
