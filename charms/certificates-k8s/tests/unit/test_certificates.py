"""What the authority signs, refuses and renews."""

import ipaddress
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import certificates
import pytest
import signing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

NOW = datetime(2026, 11, 22, tzinfo=UTC)
YEAR = timedelta(days=365)
OWN_NAMES = (
    "keystone",
    "keystone.openstack.svc.cluster.local",
    "keystone-0.keystone-endpoints.openstack.svc.cluster.local",
    "keystone-public.openstack.svc",
    "cloud.example.org",
)


@pytest.fixture(scope="module")
def authority() -> certificates.Authority:
    return signing.new_authority("Test CA", NOW, ec.generate_private_key(ec.SECP256R1()), 1)


@pytest.fixture
def serials() -> Iterator[int]:
    return count(1000)


def make_csr(
    *hosts: str,
    common_name: str = "keystone-0",
    addresses: tuple[str, ...] = (),
    others: tuple[x509.GeneralName, ...] = (),
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
) -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    sans: list[x509.GeneralName] = [
        *map(x509.DNSName, hosts),
        *(x509.IPAddress(ipaddress.ip_address(a)) for a in addresses),
        *others,
    ]
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def request(csr: str) -> certificates.Request:
    return certificates.Request(csr=csr, application="keystone")


def answer(
    wanted: Sequence[certificates.Request],
    issued: Sequence[certificates.Issued],
    authority: certificates.Authority,
    now: datetime,
    serials: Iterator[int],
) -> tuple[tuple[certificates.Issued, ...], tuple[certificates.Refusal, ...]]:
    def issue(request: certificates.Request) -> certificates.Issued:
        return signing.issue(authority, request, now, YEAR, next(serials))

    return certificates.answer(wanted, issued, authority, now.timestamp(), issue)


def load(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def verify(issued: certificates.Issued, host: str, when: datetime) -> None:
    """Check the way a TLS client does it; raises VerificationError."""
    store = Store([load(issued.ca)])
    policy = PolicyBuilder().store(store).time(when)
    policy.build_server_verifier(x509.DNSName(host)).verify(load(issued.certificate), [])


def test_a_client_accepts_the_certificate_for_each_name(authority: certificates.Authority):
    issued = signing.issue(authority, request(make_csr(*OWN_NAMES)), NOW, YEAR, 2)
    for name in OWN_NAMES[1:]:
        verify(issued, name, NOW + timedelta(days=364))
    with pytest.raises(VerificationError):
        verify(issued, "mariadb.openstack.svc.cluster.local", NOW)
    with pytest.raises(VerificationError):
        verify(issued, OWN_NAMES[1], NOW + timedelta(days=366))


def test_the_authority_lives_ten_years_and_signs_no_other_authority(
    authority: certificates.Authority,
):
    ca = load(authority.certificate)
    assert (ca.not_valid_after_utc - NOW).days == 3650
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)


def test_the_key_is_not_in_the_representation(authority: certificates.Authority):
    assert "PRIVATE" in authority.key
    assert "PRIVATE" not in repr(authority)


def test_a_certificate_never_outlives_its_authority(authority: certificates.Authority):
    late = NOW + timedelta(days=3640)
    issued = signing.issue(authority, request(make_csr("a.example")), late, YEAR, 3)
    assert (
        load(issued.certificate).not_valid_after_utc
        == load(authority.certificate).not_valid_after_utc
    )
    end = load(authority.certificate).not_valid_after_utc
    assert issued.renew_at == end.timestamp()


def test_addresses_and_a_bare_common_name_are_names(authority: certificates.Authority):
    csr = make_csr(addresses=("10.1.0.4", "fd00::4"))
    leaf = load(signing.issue(authority, request(csr), NOW, YEAR, 4).certificate)
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(a) for a in san.get_values_for_type(x509.IPAddress)] == ["10.1.0.4", "fd00::4"]
    leaf = load(signing.issue(authority, request(make_csr()), NOW, YEAR, 5).certificate)
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == ["keystone-0"]


WEAK_KEY = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is there to be refused


@pytest.mark.parametrize(
    ("csr", "reason"),
    [
        ("nonsense", "not a certificate signing request"),
        ("", "not a certificate signing request"),
        (make_csr("*.example.org"), "wildcard"),
        (make_csr("not a host"), "no host name"),
        (make_csr("mariadb.openstack.svc.cluster.local"), "application keystone"),
        (make_csr("keystonex.openstack.svc"), "application keystone"),
        (make_csr("svc.cluster.local.svc"), "application keystone"),
        (make_csr(common_name=""), "names no host"),
        (make_csr(common_name="Some Person"), "common name is no host name"),
        (make_csr(others=(x509.RFC822Name("a@example.org"),)), "neither a host name"),
        (make_csr("a.example", key=WEAK_KEY), "its key"),
    ],
)
def test_refusals(authority: certificates.Authority, csr: str, reason: str):
    with pytest.raises(certificates.RefusedError, match=reason):
        signing.issue(authority, request(csr), NOW, YEAR, 6)


def test_a_request_that_was_tampered_with_is_refused(authority: certificates.Authority):
    parsed = x509.load_pem_x509_csr(make_csr("a.example").encode())
    raw = bytearray(parsed.public_bytes(serialization.Encoding.DER))
    raw[raw.index(b"a.example")] = ord("b")
    pem = x509.load_der_x509_csr(bytes(raw)).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(certificates.RefusedError, match="signature"):
        signing.issue(authority, request(pem), NOW, YEAR, 6)


def test_a_request_for_an_authority_is_refused(
    authority: certificates.Authority, serials: Iterator[int]
):
    wanted = certificates.Request(make_csr("a.example"), "keystone", is_ca=True)
    answers, refusals = answer([wanted], [], authority, NOW, serials)
    assert answers == ()
    assert "leaves only" in refusals[0].reason


def test_an_application_of_another_model_may_use_its_own_cluster_names(
    authority: certificates.Authority,
):
    csr = make_csr("keystone.other.svc.cluster.local")
    wanted = certificates.Request(csr, "remote-" + "0" * 32)
    signing.issue(authority, wanted, NOW, YEAR, 7)


def test_a_request_keeps_its_certificate_until_it_is_due(
    authority: certificates.Authority, serials: Iterator[int]
):
    wanted = [request(make_csr("a.example")), request(make_csr("b.example"))]

    def run(issued: tuple[certificates.Issued, ...], now: datetime):
        return answer(wanted, issued, authority, now, serials)[0]

    first = run((), NOW)
    assert run(first, NOW + timedelta(days=270)) == first
    renewed = run(first, NOW + timedelta(days=280))
    assert [entry.csr for entry in renewed] == [entry.csr for entry in first]
    assert not {entry.certificate for entry in renewed} & {entry.certificate for entry in first}


def test_answers_without_request_go_and_doubles_are_answered_once(
    authority: certificates.Authority, serials: Iterator[int]
):
    kept, gone = request(make_csr("a.example")), request(make_csr("b.example"))

    def run(wanted: list[certificates.Request], issued: tuple[certificates.Issued, ...]):
        return answer(wanted, issued, authority, NOW, serials)[0]

    both = run([kept, gone], ())
    assert run([kept, kept], both) == both[:1]


def test_a_certificate_of_another_authority_is_due(
    authority: certificates.Authority, serials: Iterator[int]
):
    other = signing.new_authority("Test CA", NOW, ec.generate_private_key(ec.SECP256R1()), 9)
    wanted = [request(make_csr("a.example"))]
    old = answer(wanted, [], other, NOW, serials)[0]
    new = answer(wanted, old, authority, NOW, serials)[0]
    assert new[0].ca == authority.certificate
    verify(new[0], "a.example", NOW)


def test_an_unreadable_certificate_is_due(authority: certificates.Authority):
    assert signing.renewal_time("nonsense", authority) == 0


def test_no_cryptography_is_imported_for_what_is_answered():
    code = "import sys, charm; assert 'cryptography' not in sys.modules"
    source = Path(certificates.__file__).parent
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_the_name_of_an_authority_has_limits(name: str):
    with pytest.raises(certificates.RefusedError, match="1 to 64"):
        signing.new_authority(name, NOW, ec.generate_private_key(ec.SECP256R1()), 1)
