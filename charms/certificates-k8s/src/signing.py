"""The certificate authority's work with keys: what it signs, what it refuses, when it renews.

Everything here is a pure function of its arguments. Keys, serial numbers and the time come from
the caller, so the same arguments give the same certificate (but for the random part of an ECDSA
signature).
"""

import ipaddress
import re
from datetime import datetime, timedelta

from certificates import (
    AUTHORITY_DAYS,
    MAX_COMMON_NAME,
    Authority,
    Issued,
    RefusedError,
    Request,
)
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A clock that runs behind ours must not see a certificate that is not valid yet.
BACKDATING = timedelta(minutes=5)
# A certificate is renewed when less than this part of its lifetime is left: with one year, a
# quarter of a year in which the renewal may fail without harm.
RENEWAL_PART = 4
MIN_RSA_BITS = 2048

_CLUSTER_SUFFIX = (".svc.cluster.local", ".svc")
# How Juju names the remote application of a relation across models: it says nothing about names.
_CROSS_MODEL_APPLICATION = re.compile(r"remote-[0-9a-f]{32}")
_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*",
    re.IGNORECASE,
)


def new_authority(
    common_name: str, now: datetime, key: ec.EllipticCurvePrivateKey, serial: int
) -> Authority:
    """Return a self-signed authority, valid for ten years, that signs leaves only.

    Raises:
        RefusedError: the name is empty or longer than 64 characters (X.520's limit).
    """
    if not 1 <= len(common_name) <= MAX_COMMON_NAME:
        raise RefusedError(f"a common name has 1 to {MAX_COMMON_NAME} characters")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - BACKDATING)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Authority(certificate=_pem(certificate), key=private.decode())


def issue(
    authority: Authority, request: Request, now: datetime, validity: timedelta, serial: int
) -> Issued:
    """Return the certificate for a request.

    It is valid for `validity`, but never longer than the authority itself.

    Raises:
        RefusedError: the request is not one that this authority signs (see `names`).
    """
    csr = parse_request(request)
    dns_names, addresses = names(csr, request.application)
    ca = x509.load_pem_x509_certificate(authority.certificate.encode())
    ca_key = serialization.load_pem_private_key(authority.key.encode(), password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key is an elliptic curve key")
    subject_key = csr.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_subject(csr))
        .issuer_name(ca.subject)
        .public_key(subject_key)
        .serial_number(serial)
        .not_valid_before(now - BACKDATING)
        .not_valid_after(min(now + validity, ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            _key_usage(enciphers_keys=isinstance(subject_key, rsa.RSAPublicKey)), critical=True
        )
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.SubjectAlternativeName(
                [*map(x509.DNSName, dns_names), *map(x509.IPAddress, addresses)]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    pem = _pem(certificate)
    return Issued(
        csr=request.csr,
        certificate=pem,
        ca=authority.certificate,
        renew_at=renewal_time(pem, authority),
    )


def parse_request(request: Request) -> x509.CertificateSigningRequest:
    """Return the parsed request, whose signature proves that its sender holds the key.

    Raises:
        RefusedError: not a PEM request, a bad signature, a weak key, or one for an authority.
    """
    if request.is_ca:
        raise RefusedError("it asks for a certificate authority, and this one signs leaves only")
    try:
        csr = x509.load_pem_x509_csr(request.csr.encode())
        signed = csr.is_signature_valid
        key = csr.public_key()
    except (ValueError, InvalidSignature) as error:
        # The parser's own text may quote the input, so it is not passed on.
        raise RefusedError("it is not a certificate signing request in PEM") from error
    if not signed:
        raise RefusedError("its signature is not that of its key")
    match key:
        case rsa.RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            pass
        case ec.EllipticCurvePublicKey() if key.curve.name in ("secp256r1", "secp384r1"):
            pass
        case ed25519.Ed25519PublicKey():
            pass
        case _:
            raise RefusedError(
                f"its key is none of RSA with {MIN_RSA_BITS} bits or more, P-256, P-384, Ed25519"
            )
    return csr


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def names(
    csr: x509.CertificateSigningRequest, application: str
) -> tuple[tuple[str, ...], tuple[_Address, ...]]:
    """Return the host names and addresses that the certificate may carry.

    The policy: host names without wildcards, and addresses. A name inside the cluster
    (`….svc`, `….svc.cluster.local`) must be of the requiring application's own services, that is
    its service label is the application's name or begins with that name and a dash; so an
    application cannot pose as another one. A request without alternative names is taken at its
    common name.

    Raises:
        RefusedError: no name, a name of another kind, or one that the policy does not allow.
    """
    try:
        wanted = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        wanted = [x509.DNSName(_checked_common_name(csr))]
    except (ValueError, x509.DuplicateExtension) as error:
        raise RefusedError("its extensions cannot be read") from error
    dns_names: list[str] = []
    addresses: list[_Address] = []
    for name in wanted:
        if isinstance(name, x509.DNSName):
            _check_host_name(name.value, application)
            dns_names.append(name.value)
        elif isinstance(name, x509.IPAddress) and isinstance(name.value, _Address):
            addresses.append(name.value)
        else:
            raise RefusedError("it asks for a name that is neither a host name nor an address")
    if not dns_names and not addresses:
        raise RefusedError("it names no host")
    return tuple(dns_names), tuple(addresses)


def renewal_time(certificate: str, authority: Authority) -> float:
    """Return when a certificate must be issued anew, in seconds since the epoch.

    That is at once (0) when it cannot be read or is not signed by this authority. One that ends
    with the authority is not renewed before that: a new one would not live longer.
    """
    try:
        leaf = x509.load_pem_x509_certificate(certificate.encode())
        ca = x509.load_pem_x509_certificate(authority.certificate.encode())
        leaf.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return 0.0
    end = leaf.not_valid_after_utc
    if end == ca.not_valid_after_utc:
        return end.timestamp()
    return (end - (end - leaf.not_valid_before_utc) / RENEWAL_PART).timestamp()


def _check_host_name(name: str, application: str) -> None:
    if "*" in name:
        raise RefusedError("it asks for a wildcard name")
    if not _HOST_NAME.fullmatch(name):
        raise RefusedError("it asks for a name that is no host name")
    suffix = next((end for end in _CLUSTER_SUFFIX if name.lower().endswith(end)), None)
    if suffix is None or _CROSS_MODEL_APPLICATION.fullmatch(application):
        return
    labels = name.lower().removesuffix(suffix).split(".")
    service = labels[-2] if len(labels) > 1 else ""
    if service != application and not service.startswith(f"{application}-"):
        raise RefusedError(f"{name} is no name of the application {application}")


def _checked_common_name(csr: x509.CertificateSigningRequest) -> str:
    if not (common_name := _common_name(csr)):
        raise RefusedError("it names no host")
    if not _HOST_NAME.fullmatch(common_name):
        raise RefusedError("it has no alternative names, and its common name is no host name")
    return common_name


def _common_name(csr: x509.CertificateSigningRequest) -> str:
    attributes = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    value = attributes[0].value if attributes else ""
    return value if isinstance(value, str) else ""


def _subject(csr: x509.CertificateSigningRequest) -> x509.Name:
    """Return the common name alone: everything else in a subject would be an unchecked claim."""
    common_name = _common_name(csr)
    if not common_name:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool = False, enciphers_keys: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=enciphers_keys,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode().strip()
