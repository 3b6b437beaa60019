"""Certificates and changed relations, for the states that tests begin with."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

from charm import MariadbCharm
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID
from ops import testing

NOW = datetime(2027, 1, 1, tzinfo=UTC)
INVENTORY = "version\t11.8.6-MariaDB\t\ndatabase\tmysql\t\n"


def sign(csr_pem: str) -> dict[str, object]:
    """Answer a signing request as a provider of certificates does."""
    csr = x509.load_pem_x509_csr(csr_pem.encode())
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])

    def build(subject: x509.Name, public: CertificatePublicKeyTypes) -> str:
        return (
            x509.CertificateBuilder(name, subject, public, x509.random_serial_number())
            .not_valid_before(NOW)
            .not_valid_after(NOW + timedelta(days=365))
            .sign(key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
            .decode()
            .strip()
        )

    ca, leaf = build(name, key.public_key()), build(csr.subject, csr.public_key())
    return {
        "ca": ca,
        "certificate": leaf,
        "certificate_signing_request": csr_pem,
        "chain": [leaf, ca],
    }


def certify(state: testing.State) -> testing.State:
    relation = state.get_relations("certificates")[0]
    wanted = json.loads(relation.local_unit_data["certificate_signing_requests"])
    answers = [sign(entry["certificate_signing_request"]) for entry in wanted]
    return replace_relation(state, relation, remote_app_data={"certificates": json.dumps(answers)})


def replace_relation(
    state: testing.State, relation: testing.RelationBase, **changes: object
) -> testing.State:
    others = {other for other in state.relations if other.id != relation.id}
    return dataclasses.replace(state, relations={*others, dataclasses.replace(relation, **changes)})


def file(
    state: testing.State, ctx: testing.Context[MariadbCharm], path: str, container: str = "mariadb"
) -> str:
    root = state.get_container(container).get_filesystem(ctx)
    return (root / path.lstrip("/")).read_text()
