"""A unit's private key, signing request and certificate.

Each request has a key of its own, in a secret of the unit; the secret's id, the names that the
request carries and the time of renewal are in the unit's peer databag, so that an ordinary hook
parses no certificate (importing `cryptography` costs more than the rest of such a hook).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from daybreak_charm.outcome import Blocked, Outcome, Ready, Waiting
from daybreak_interfaces import tls_certificates

if TYPE_CHECKING:
    import ops

    from daybreak_charm.context import Context
    from daybreak_charm.description import Tls

RENEW_AT = 2 / 3
"""Part of its life after which a certificate is renewed."""


@dataclass(frozen=True)
class Certificate:
    """What a TLS server needs.

    Attributes:
        key: PEM of the private key; kept out of `repr`.
        certificate: PEM of the certificate followed by its chain.
        ca: PEM of the CA and its chain, what a client must trust; two CAs while one follows the other.
        fingerprint: What the provider knows the answer by.
    """

    key: str = field(repr=False)
    certificate: str = field(repr=False)
    ca: str = field(repr=False)
    fingerprint: str = ""


def new_key() -> str:
    """PEM of a new private key (ECDSA P-256: its handshake costs a tenth of RSA's)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode()


def new_csr(key: str, common_name: str, names: list[str], addresses: list[str]) -> str:
    """PEM of a signing request.

    Args:
        key: PEM of the private key.
        common_name: Subject, cut to the 64 characters that X.509 allows.
        names: DNS names.
        addresses: IP addresses.
    """
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    private = serialization.load_pem_private_key(key.encode(), None)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    sans: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    sans += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    request = builder.sign(cast("Any", private), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode().strip()


def renewal_time(certificate: str) -> float:
    """Seconds since the epoch at which a certificate is to be renewed."""
    from cryptography import x509

    parsed = x509.load_pem_x509_certificate(certificate.encode())
    start = parsed.not_valid_before_utc.timestamp()
    return start + (parsed.not_valid_after_utc.timestamp() - start) * RENEW_AT


def request(context: "Context", tls: "Tls") -> None:
    """Write this unit's signing request when it has none, its names changed or renewal is due."""
    relation = _relation(context, tls)
    address = context.bind_address
    if relation is None or context.peers is None or address is None:
        # The address is missing only in the first moments; config-changed follows when it comes.
        return
    more = tls.names(context) if tls.names else ()
    everything = {context.fqdn, context.service_fqdn, address, *more}
    addresses = sorted(name for name in everything if _is_address(name))
    names = sorted(everything.difference(addresses))
    state = _state(context, tls)
    stamp = _digest(json.dumps([names, addresses]))
    bag = relation.data[context.charm.unit]
    requests = tls_certificates.read_requests(bag)
    answers = tls_certificates.read_certificates(context.remote_app(relation))
    valid = {c.csr for c in answers if not c.revoked}
    keys = _keys(context, state)
    current = requests[0].csr if requests else ""
    due = context.effects.now() >= float(state.get("renew", "inf"))
    withdrawn = any(c.revoked and c.csr == current for c in answers)
    if _key_name(current) in keys and state.get("stamp") == stamp and not (due or withdrawn):
        if len(requests) > 1 and current in valid:
            # The new one is there; only now the provider may forget the old one.
            tls_certificates.write_requests(bag, requests[:1])
            context.set_secret(state["key"], {_key_name(current): keys[_key_name(current)]})
        return
    key = new_key()
    csr = new_csr(key, context.unit.replace("/", "-"), names, addresses)
    answered = {c.csr for c in answers}
    kept = [r for r in requests if r.csr in answered and _key_name(r.csr) in keys][:1]
    content = {_key_name(r.csr): keys[_key_name(r.csr)] for r in kept} | {_key_name(csr): key}
    if keys:
        context.set_secret(state["key"], content)
    else:
        state["key"] = context.charm.unit.add_secret(content).id or ""
    _put_state(context, tls, {"key": state["key"], "stamp": stamp})
    tls_certificates.write_requests(bag, [tls_certificates.Request(csr), *kept])


def gate(context: "Context", tls: "Tls") -> Outcome:
    """Whether the unit has a certificate; puts it into the context.

    One that was withdrawn serves until the next is there.
    """
    relation = _relation(context, tls)
    if relation is None:
        if not tls.required:
            return Ready()
        return Blocked(
            f"no certificate: relation {tls.endpoint} is missing",
            f"juju integrate {context.app}:{tls.endpoint} <certificates>",
        )
    state = _state(context, tls)
    answers = {c.csr: c for c in tls_certificates.read_certificates(context.remote_app(relation))}
    asked = tls_certificates.read_requests(relation.data[context.charm.unit])
    found = sorted((answers[r.csr] for r in asked if r.csr in answers), key=lambda c: c.revoked)
    if not found:
        why = "it has not been issued yet" if asked else "none was requested yet"
        return Waiting(f"{tls.endpoint}: {why}", f"{tls.endpoint}-relation-changed")
    keys = _keys(context, state)
    answer = next((c for c in found if _key_name(c.csr) in keys), None)
    if answer is None:
        return Waiting("the private key cannot be read", "update-status")
    if context.acting:
        seen = _digest(answer.certificate)
        if state.get("seen") != seen:
            renew = renewal_time(answer.certificate)
            _put_state(context, tls, {**state, "seen": seen, "renew": f"{renew:.0f}"})
    chain = [pem for pem in answer.chain if pem != answer.certificate]
    anchors = list(dict.fromkeys([answer.ca, *chain]))
    context.certificate = Certificate(
        key=keys[_key_name(answer.csr)].strip() + "\n",
        certificate="\n".join([answer.certificate, *_shown(chain, answer.ca)]) + "\n",
        ca="\n".join(anchors) + "\n",
        fingerprint=answer.fingerprint,
    )
    return Ready()


def confirm(context: "Context", tls: "Tls") -> None:
    """Tell the provider that the processes run with the certificate: a change of its CA waits for it."""
    relation = _relation(context, tls)
    if relation is not None and context.certificate is not None:
        bag = relation.data[context.charm.unit]
        tls_certificates.write_applied(bag, context.certificate.fingerprint)


def _shown(chain: Sequence[str], ca: str) -> list[str]:
    """What a server shows of a chain: up to the CA that signed it.

    What follows is trusted, too, while one CA follows another; shown, it would restart servers twice.
    """
    return list(chain[: chain.index(ca) + 1] if ca in chain else chain)


def _is_address(name: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _relation(context: "Context", tls: "Tls") -> "ops.Relation | None":
    return next(iter(context.relations(tls.endpoint)), None)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _state(context: "Context", tls: "Tls") -> dict[str, str]:
    text = context.peer_unit.get(f"tls-{tls.endpoint}")
    return json.loads(text) if text else {}


def _put_state(context: "Context", tls: "Tls", state: Mapping[str, str]) -> None:
    context.put_peer_unit(**{f"tls-{tls.endpoint}": json.dumps(state, sort_keys=True)})


def _key_name(csr: str) -> str:
    """Name of a request's private key in the unit's secret."""
    return f"key-{_digest(csr)}"


def _keys(context: "Context", state: Mapping[str, str]) -> Mapping[str, str]:
    secret_id = state.get("key")
    return (context.secret(secret_id) if secret_id else None) or {}
