#!/usr/bin/env python3
"""Signs what the related applications request, with an authority kept in a Juju secret.

There is no workload, so this is the plain loop without the parts that run one: on every event it
reads all requests and brings the databags to the answers that they should have.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import certificates
import ops

from daybreak_charm import events
from daybreak_interfaces import certificate_transfer, tls_certificates

logger = logging.getLogger(__name__)

PEERS = "peers"
PROVIDED = "certificates"
TRUSTED = "send-ca-cert"
AUTHORITY_ID = "authority-secret-id"
# When each certificate is renewed, by the digest of its request: see `certificates`.
RENEWALS = "renewals"
# The rotation policy that the authority's secret has.
ROTATION = "rotation"
POLICIES = [policy.value for policy in ops.SecretRotate]
MAX_OVERLAP = 8760
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
        framework.observe(self.on.rotate_ca_action, self._on_rotate_ca)
        framework.observe(self.on.rotate_certificates_action, self._on_rotate_certificates)
        framework.observe(self.on.secret_rotate, self._on_secret_rotate)
        framework.observe(self.on.secret_remove, self._on_secret_remove)
        framework.observe(self.on.collect_unit_status, self._on_collect_unit_status)

    def _on_any_event(self, event: ops.EventBase) -> None:
        if self._is_leaving():
            return
        # A new leader may not have been told of all units yet, and their certificates must stay.
        # update-status comes only when nothing else is due, so then the picture is complete.
        self._serve(complete=isinstance(event, ops.UpdateStatusEvent))

    def _serve(self, *, complete: bool = False) -> None:
        gate = self._gate()
        if isinstance(gate, ops.StatusBase):
            return
        if self.unit.is_leader():
            self._schedule()
            self._answer_all(gate, complete=complete)
            overlap = 3600.0 * int(self.config["ca-overlap"])
            confirmed = not gate.settled and not self._unconfirmed(gate)
            ahead = certificates.advance(gate, now().timestamp(), overlap, confirmed=confirmed)
            if ahead != gate:
                self._keep(ahead)
                logger.info("The change of the authority has come to its next stage.")
                self._answer_all(ahead, complete=False)
                gate = ahead
        for relation in self._relations(TRUSTED):
            certificate_transfer.write_v0(relation.data[self.unit], list(gate.trusted))
            if self.unit.is_leader():
                certificate_transfer.write_v1(relation.data[self.app], list(gate.trusted))

    def _on_get_ca_certificate(self, event: ops.ActionEvent) -> None:
        gate = self._gate(make=False)
        if isinstance(gate, ops.StatusBase):
            event.fail(f"There is no authority yet: {gate.message}.")
            return
        event.set_results({"ca-certificate": "\n".join(gate.trusted)})

    def _on_rotate_ca(self, event: ops.ActionEvent) -> None:
        gate = self._gate(make=False)
        if isinstance(gate, ops.StatusBase):
            event.fail(f"There is no authority yet: {gate.message}.")
        elif not self.unit.is_leader():
            event.fail("Only the leader rotates: run the action on <application>/leader.")
        elif not gate.settled:
            event.fail(f"The change before is not finished: {self._progress(gate)}.")
        else:
            self._announce(gate)
            event.set_results({"next": "juju status shows how far it is"})

    def _on_rotate_certificates(self, event: ops.ActionEvent) -> None:
        wanted = event.params.get("application")
        if not self.unit.is_leader():
            event.fail("Only the leader rotates: run the action on <application>/leader.")
            return
        count = 0
        for relation in self._relations(PROVIDED):
            if wanted in (None, relation.app.name):
                bag = relation.data[self.app]
                found = tls_certificates.read_certificates(bag)
                count += sum(not entry.revoked for entry in found)
                tls_certificates.write_certificates(
                    bag, [dataclasses.replace(entry, revoked=True) for entry in found]
                )
        if not count:
            event.fail("No related application has a certificate here.")
            return
        event.set_results({"withdrawn": count})

    def _on_secret_rotate(self, _: ops.SecretRotateEvent) -> None:
        gate = self._gate(make=False)
        if self.unit.is_leader() and isinstance(gate, certificates.Authorities) and gate.settled:
            self._announce(gate)

    def _on_secret_remove(self, event: ops.SecretRemoveEvent) -> None:
        event.remove_revision()

    def _announce(self, found: certificates.Authorities) -> None:
        coming = self._new_authority()
        if coming:
            since = now().timestamp()
            self._keep(dataclasses.replace(found, coming=coming, since=since))
            self._serve()

    def _on_collect_unit_status(self, event: ops.CollectStatusEvent) -> None:
        gate = self._gate(make=False)
        if isinstance(gate, ops.StatusBase):
            event.add_status(gate)
            return
        words = [f"refused: {'; '.join(self._refused)}"] if self._refused else []
        if self.unit.is_leader() and not gate.settled:
            words.append(self._progress(gate))
        event.add_status(ops.ActiveStatus("; ".join(words)))

    def _progress(self, found: certificates.Authorities) -> str:
        late = sorted(self._unconfirmed(found))
        names = f" ({', '.join(late[:3])}{', ...' if late[3:] else ''})" if late else ""
        if found.coming is None:
            return f"the old CA goes when {len(late)} have a certificate of the new one{names}"
        if late:
            return f"the new CA signs when {len(late)} trust it{names}"
        return "the new CA is trusted everywhere and signs when the time of ca-overlap is over"

    def _unconfirmed(self, found: certificates.Authorities) -> set[str]:
        """Return who does not run with what is published: units, or applications that hide theirs."""
        late: set[str] = set()
        silence_counts = now().timestamp() < found.since + certificates.SILENT
        for relation in self._relations(PROVIDED):
            published = tls_certificates.read_certificates(relation.data[self.app])
            answers = {entry.csr: entry.fingerprint for entry in published}
            withdrawn = {entry.csr for entry in published if entry.revoked}
            seen: set[str] = set()
            for source in (relation.app, *relation.units):
                bag = relation.data[source]
                asked = {request.csr for request in tls_certificates.read_requests(bag)}
                seen |= asked
                applied = tls_certificates.read_applied(bag)
                if not asked & answers.keys():
                    continue
                if applied is None:
                    late |= {source.name} if silence_counts else set()
                elif applied not in {answers[csr] for csr in asked if csr in answers}:
                    late.add(source.name)
            if answers.keys() - withdrawn - seen:
                # Of a unit that has gone, or that this leader has not been told of yet. One that was withdrawn is
                # not asked for any more as soon as its unit has asked for another.
                late.add(relation.app.name)
        return late

    def _keep(self, found: certificates.Authorities) -> None:
        """Make the secret's next revision, and have the units read it."""
        peers = self.model.get_relation(PEERS)
        assert peers is not None  # the gate is open
        secret = self.model.get_secret(id=peers.data[self.app][AUTHORITY_ID])
        secret.set_content(found.content())
        secret.get_content(refresh=True)
        # The other units hear of it through the databag: owners hear of no change.
        digest = _digest("".join(found.trusted))
        peers.data[self.app]["authorities"] = digest

    def _schedule(self) -> None:
        """Have Juju say when the authority is due, by the option."""
        peers = self.model.get_relation(PEERS)
        policy = str(self.config["ca-rotation"])
        if peers is None or peers.data[self.app].get(ROTATION, "never") == policy:
            return
        secret = self.model.get_secret(id=peers.data[self.app][AUTHORITY_ID])
        secret.set_info(rotate=ops.SecretRotate(policy))
        peers.data[self.app][ROTATION] = policy

    def _gate(self, *, make: bool = True) -> certificates.Authorities | ops.StatusBase:
        """Return the authorities, of which the leader makes the first, or why there is none."""
        days = int(self.config["certificate-validity"])
        if not 1 <= days <= MAX_DAYS:
            return ops.BlockedStatus(
                f"certificate-validity is {days}: set it to 1 to {MAX_DAYS} days"
            )
        if not 0 <= int(self.config["ca-overlap"]) <= MAX_OVERLAP:
            return ops.BlockedStatus(
                f"ca-overlap is out of range: set it to 0 to {MAX_OVERLAP} hours"
            )
        if (policy := str(self.config["ca-rotation"])) not in POLICIES:
            return ops.BlockedStatus(
                f"ca-rotation is {policy!r}: set it to one of {', '.join(POLICIES)}"
            )
        peers = self.model.get_relation(PEERS)
        if peers is None:
            return ops.WaitingStatus("waiting for the peer relation")
        if secret_id := peers.data[self.app].get(AUTHORITY_ID):
            content = self.model.get_secret(id=secret_id).get_content(refresh=True)
            return certificates.parse(content)
        if not (make and self.unit.is_leader()):
            return self._no_authority()
        authority = self._new_authority()
        if authority is None:
            return self._no_authority()
        found = certificates.Authorities(authority)
        secret = self.app.add_secret(found.content(), description="The certificate authority")
        peers.data[self.app][AUTHORITY_ID] = secret.id or ""
        logger.info("A certificate authority was made.")
        return found

    def _new_authority(self) -> certificates.Authority | None:
        import signing
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            return signing.new_authority(
                str(self.config["ca-common-name"]),
                now(),
                ec.generate_private_key(ec.SECP256R1()),
                x509.random_serial_number(),
            )
        except certificates.RefusedError:
            return None

    def _no_authority(self) -> ops.StatusBase:
        name = str(self.config["ca-common-name"])
        if not 1 <= len(name) <= certificates.MAX_COMMON_NAME:
            return ops.BlockedStatus(
                f"ca-common-name has {len(name)} characters: set one of 1 to "
                f"{certificates.MAX_COMMON_NAME}"
            )
        return ops.WaitingStatus("waiting for the leader to make the authority")

    def _answer_all(self, found: certificates.Authorities, *, complete: bool) -> None:
        peers = self.model.get_relation(PEERS)
        if peers is None:
            return
        bag = peers.data[self.app]
        before: dict[str, float] = json.loads(bag.get(RENEWALS, "{}"))
        after: dict[str, float] = {}
        for relation in self._relations(PROVIDED):
            after |= self._answer(relation, found, before, complete=complete)
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
        found: certificates.Authorities,
        renewals: Mapping[str, float],
        *,
        complete: bool,
    ) -> dict[str, float]:
        """Answer the requests of a relation, and return when its certificates are renewed."""
        authority = found.current
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
                entry.revoked,
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
                tls_certificates.Certificate(
                    e.csr, e.certificate, e.ca, e.chain(found.trusted), e.revoked
                )
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
    events.main(CertificatesCharm)
