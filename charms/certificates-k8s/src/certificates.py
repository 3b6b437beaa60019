"""Which requests are answered with what: the part of the authority that needs no keys.

The module `signing` imports `cryptography`, which costs half as much as ops itself; most hooks find
every request answered and do without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

AUTHORITY_DAYS = 3650
# Seconds after which a requirer that never says what it runs with is taken to have followed.
SILENT = 3600.0
MAX_COMMON_NAME = 64


class RefusedError(ValueError):
    """A signing request that is not signed; the text says why and holds nothing secret."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority."""

    certificate: str
    """PEM."""
    key: str = field(repr=False)
    """PEM (PKCS #8, not encrypted). Secret."""


@dataclass(frozen=True)
class Authorities:
    """Who signs, and who else is trusted while one authority follows another.

    A new one is first trusted by everybody (`coming`), then signs everything (the old one is
    `leaving`, still trusted), and then is alone.

    Attributes:
        current: Who signs.
        coming: Who will sign; None but between the announcement and the change.
        leaving: PEM of who signed before; "" but between the change and the end.
        since: When the present stage began, in seconds since the epoch.
    """

    current: Authority
    coming: Authority | None = None
    leaving: str = ""
    since: float = 0.0

    @property
    def trusted(self) -> tuple[str, ...]:
        """PEMs to trust, that of who signs first."""
        other = self.coming.certificate if self.coming else self.leaving
        return (self.current.certificate, *([other] if other else []))

    @property
    def settled(self) -> bool:
        """Whether there is one authority alone."""
        return len(self.trusted) == 1

    def content(self) -> dict[str, str]:
        """As a secret holds it."""
        content = {"certificate": self.current.certificate, "private-key": self.current.key}
        if self.coming:
            content |= {
                "next-certificate": self.coming.certificate,
                "next-private-key": self.coming.key,
            }
        if self.leaving:
            content["previous-certificate"] = self.leaving
        return content | ({} if self.settled else {"since": f"{self.since:.0f}"})


def parse(content: Mapping[str, str]) -> Authorities:
    """Read the secret."""
    coming = content.get("next-certificate")
    return Authorities(
        Authority(content["certificate"], content["private-key"]),
        Authority(coming, content["next-private-key"]) if coming else None,
        content.get("previous-certificate", ""),
        float(content.get("since", "0")),
    )


def advance(found: Authorities, now: float, overlap: float, *, confirmed: bool) -> Authorities:
    """The next stage of a change, or the same one while it is not due.

    Args:
        found: The present stage.
        now: Seconds since the epoch.
        overlap: Seconds for which a new authority is trusted before it signs.
        confirmed: Whether everybody runs with what the present stage has published.
    """
    if not confirmed or found.settled:
        return found
    if found.coming is None:
        return Authorities(found.current)
    if now < found.since + overlap:
        return found
    return Authorities(found.coming, None, found.current.certificate, now)


@dataclass(frozen=True)
class Request:
    """One signing request, with the application whose unit or leader wrote it."""

    csr: str
    """PEM."""
    application: str
    is_ca: bool = False


@dataclass(frozen=True)
class Issued:
    """The answer to one signing request."""

    csr: str
    """PEM, as it was requested."""
    certificate: str
    """PEM."""
    ca: str
    """PEM."""
    renew_at: float
    """Seconds since the epoch."""
    revoked: bool = False
    """Whether its holder was told to ask for another one."""

    def chain(self, trusted: Sequence[str]) -> tuple[str, ...]:
        """PEM certificates: the leaf, its authority, and who else is trusted."""
        return (self.certificate, *dict.fromkeys([self.ca, *trusted]))


@dataclass(frozen=True)
class Refusal:
    """A signing request that was not answered."""

    application: str
    reason: str


def answer(
    requests: Sequence[Request],
    issued: Sequence[Issued],
    authority: Authority,
    now: float,
    issue: Callable[[Request], Issued],
) -> tuple[tuple[Issued, ...], tuple[Refusal, ...]]:
    """Return what to publish for the requests of one relation, and what is refused.

    A request keeps the certificate that was issued for it until that one is due; an answer
    whose request is gone is left out.

    Args:
        requests: What is asked for.
        issued: What was answered before.
        authority: Who signs; answers of another one are due.
        now: Seconds since the epoch.
        issue: Signs a request; raises RefusedError.
    """
    before = {entry.csr.strip(): entry for entry in issued}
    answers: dict[str, Issued] = {}
    refusals: list[Refusal] = []
    for request in requests:
        text = request.csr.strip()
        known = before.get(text)
        if text in answers:
            continue
        if known and known.revoked:
            answers[text] = known
            continue
        if (
            known
            and not request.is_ca
            and known.ca.strip() == authority.certificate.strip()
            and now < known.renew_at
        ):
            answers[text] = known
            continue
        try:
            answers[text] = issue(request)
        except RefusedError as error:
            refusals.append(Refusal(request.application, str(error)))
    return tuple(answers.values()), tuple(refusals)
