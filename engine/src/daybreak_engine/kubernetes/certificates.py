"""The certificate authority of an instance's API, and the API's certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..substrate.command import run

if TYPE_CHECKING:
    from ipaddress import IPv4Address
    from pathlib import Path

_DAYS = "3650"
_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True)
class Certificates:
    """Files of the API's TLS.

    Args:
        ca: The authority's certificate, which pods get.
        certificate: The server's.
        key: The server's private key.
    """

    ca: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return the server side of TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


async def ensure(directory: Path, address: IPv4Address) -> Certificates:
    """Return the certificates in `directory`, made when they are not all there.

    Args:
        directory: Private to the engine.
        address: Where the API listens; the certificate is for it.

    Raises:
        MissingProgramError: openssl is not installed.
        CommandError: openssl refused.
    """
    found = Certificates(directory / "ca.crt", directory / "server.crt", directory / "server.key")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if all(path.exists() for path in (found.ca, found.certificate, found.key)):
        return found
    ca_key = directory / "ca.key"
    # In this order, so that an interruption leaves no server certificate of another authority.
    for path in (found.certificate, found.key, found.ca, ca_key):
        path.unlink(missing_ok=True)
    await run(
        *("openssl", "req", "-x509", "-batch", "-newkey", "ec"),
        *("-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", _DAYS),
        *("-subj", "/CN=daybreak-kubernetes-ca", "-keyout", str(ca_key), "-out", str(found.ca)),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    names = ",".join([f"IP:{address}", *(f"DNS:{name}" for name in _NAMES)])
    await run(
        *("openssl", "req", "-x509", "-batch", "-newkey", "ec"),
        *("-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", _DAYS),
        *("-subj", "/CN=kubernetes", "-keyout", str(found.key), "-out", str(found.certificate)),
        *("-CA", str(found.ca), "-CAkey", str(ca_key)),
        *("-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", "extendedKeyUsage=serverAuth"),
        *("-addext", "keyUsage=critical,digitalSignature"),
    )
    return found
