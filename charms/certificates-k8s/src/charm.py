#!/usr/bin/env python3
"""Signs what the related applications request, with an authority kept in a Juju secret.

There is no workload, so this is the plain loop without the parts that run one: on every event it
reads all requests and brings the databags to the answers that they should have.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import certificates
import ops

from daybreak_interfaces import certificate_transfer, tls_certificates

logger = logging.getLogger(__name__)

PEERS = "peers"
PROVIDED = "certificates"
TRUSTED = "send-ca-cert"
AUTHORITY_ID = "authority-secret-id"
# When each certificate is renewed, by the digest of its request: see `certificates`.
RENEWALS = "renewals"
MAX_DAYS = certificates.AUTHORITY_DAYS

_NOT_THE_LOOP = (
    ops.StopEvent,
    ops.RemoveEvent,
    ops.ActionEvent,
    ops.CollectStatusEvent,
    ops.SecretRemoveEvent,
    ops.SecretExpiredEvent,
    ops.SecretRotateEvent,
    ops.LifecycleEvent,
)


def now() -> datetime:
    """Return the time; tests replace it."""
    return datetime.now(UTC)


def _digest(csr: str) -> str:
    return hashlib.sha256(csr.strip().encode()).hexdigest()[:16]


class CertificatesCharm(ops.CharmBase):
    """The charm."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self._refused: list[str] = []
        for bound in self.on.events().values():
            if not issubclass(bound.event_type, _NOT_THE_LOOP):
                framework.observe(bound, self._on_any_event)
        framework.observe(self.on.get_ca_certificate_action, self._on_get_ca_certificate)
        framework.observe(self.on.collect_unit_status, self._on_collect_unit_status)

    def _on_any_event(self, event: ops.EventBase) -> None:
        if self._is_leaving():
            return
        gate = self._gate()
        if isinstance(gate, ops.StatusBase):
            return
        # A new leader may not have been told of all units yet, and their certificates must stay.
        # update-status comes only when nothing else is due, so then the picture is complete.
        complete = isinstance(event, ops.UpdateStatusEvent)
        if self.unit.is_leader():
            self._answer_all(gate, complete=complete)
        for relation in self._relations(TRUSTED):
            certificate_transfer.write_v0(relation.data[self.unit], [gate.certificate])
            if self.unit.is_leader():
                certificate_transfer.write_v1(relation.data[self.app], [gate.certificate])

    def _on_get_ca_certificate(self, event: ops.ActionEvent) -> None:
        gate = self._gate(make=False)
        if isinstance(gate, ops.StatusBase):
            event.fail(f"There is no authority yet: {gate.message}.")
            return
        event.set_results({"ca-certificate": gate.certificate})

    def _on_collect_unit_status(self, event: ops.CollectStatusEvent) -> None:
        gate = self._gate(make=False)
        if isinstance(gate, ops.StatusBase):
            event.add_status(gate)
            return
        message = f"refused: {'; '.join(self._refused)}" if self._refused else ""
        event.add_status(ops.ActiveStatus(message))

    def _gate(self, *, make: bool = True) -> certificates.Authority | ops.StatusBase:
        """Return the authority, which the leader makes when there is none, or why there is none."""
        days = int(self.config["certificate-validity"])
        if not 1 <= days <= MAX_DAYS:
            return ops.BlockedStatus(
                f"certificate-validity is {days}: set it to 1 to {MAX_DAYS} days"
            )
        peers = self.model.get_relation(PEERS)
        if peers is None:
            return ops.WaitingStatus("waiting for the peer relation")
        if secret_id := peers.data[self.app].get(AUTHORITY_ID):
            content = self.model.get_secret(id=secret_id).get_content()
            return certificates.Authority(content["certificate"], content["private-key"])
        if not (make and self.unit.is_leader()):
            return self._no_authority()
        import signing
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            authority = signing.new_authority(
                str(self.config["ca-common-name"]),
                now(),
                ec.generate_private_key(ec.SECP256R1()),
                x509.random_serial_number(),
            )
        except certificates.RefusedError:
            return self._no_authority()
        secret = self.app.add_secret(
            {"certificate": authority.certificate, "private-key": authority.key},
            description="The certificate authority",
        )
        peers.data[self.app][AUTHORITY_ID] = secret.id or ""
        logger.info("A certificate authority was made.")
        return authority

    def _no_authority(self) -> ops.StatusBase:
        name = str(self.config["ca-common-name"])
        if not 1 <= len(name) <= certificates.MAX_COMMON_NAME:
            return ops.BlockedStatus(
                f"ca-common-name has {len(name)} characters: set one of 1 to "
                f"{certificates.MAX_COMMON_NAME}"
            )
        return ops.WaitingStatus("waiting for the leader to make the authority")

    def _answer_all(self, authority: certificates.Authority, *, complete: bool) -> None:
        peers = self.model.get_relation(PEERS)
        if peers is None:
            return
        bag = peers.data[self.app]
        before: dict[str, float] = json.loads(bag.get(RENEWALS, "{}"))
        after: dict[str, float] = {}
        for relation in self._relations(PROVIDED):
            after |= self._answer(relation, authority, before, complete=complete)
        if after != before:
            bag[RENEWALS] = json.dumps(after, sort_keys=True)

    def _renewal(
        self,
        csr: str,
        certificate: str,
        authority: certificates.Authority,
        renewals: Mapping[str, float],
    ) -> float:
        known = renewals.get(_digest(csr))
        if known is not None:
            return known
        import signing

        return signing.renewal_time(certificate, authority)

    def _answer(
        self,
        relation: ops.Relation,
        authority: certificates.Authority,
        renewals: Mapping[str, float],
        *,
        complete: bool,
    ) -> dict[str, float]:
        """Answer the requests of a relation, and return when its certificates are renewed."""
        requests = [
            certificates.Request(request.csr, relation.app.name, is_ca=request.ca)
            for source in (relation.app, *sorted(relation.units, key=lambda unit: unit.name))
            for request in tls_certificates.read_requests(relation.data[source])
        ]
        before = [
            certificates.Issued(
                entry.csr,
                entry.certificate,
                entry.ca,
                self._renewal(entry.csr, entry.certificate, authority, renewals),
            )
            for entry in tls_certificates.read_certificates(relation.data[self.app])
        ]

        def issue(request: certificates.Request) -> certificates.Issued:
            import signing
            from cryptography import x509

            validity = timedelta(days=int(self.config["certificate-validity"]))
            return signing.issue(authority, request, now(), validity, x509.random_serial_number())

        issued, refusals = certificates.answer(
            requests, before, authority, now().timestamp(), issue
        )
        if not complete:
            answered = {entry.csr for entry in issued}
            issued = (*issued, *(entry for entry in before if entry.csr not in answered))
        for refusal in refusals:
            logger.warning("A request of %s was refused: %s.", refusal.application, refusal.reason)
            self._refused.append(f"{refusal.application}: {refusal.reason}")
        tls_certificates.write_certificates(
            relation.data[self.app],
            [
                tls_certificates.Certificate(e.csr, e.certificate, e.ca, e.chain)
                for e in sorted(issued, key=lambda entry: entry.csr)
            ],
        )
        return {_digest(entry.csr): entry.renew_at for entry in issued}

    def _relations(self, endpoint: str) -> list[ops.Relation]:
        return [
            relation
            for relation in self.model.relations[endpoint]
            # The remote application of a relation that breaks may be unknown.
            if relation.active and relation.app
        ]

    def _is_leaving(self) -> bool:
        return int(self.unit.name.rpartition("/")[2]) >= self.app.planned_units()


if __name__ == "__main__":  # pragma: no cover
    ops.main(CertificatesCharm)
