"""Which requests are answered with what: the part of the authority that needs no keys.

The module `signing` imports `cryptography`, which costs half as much as ops itself; most hooks find
every request answered and do without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

AUTHORITY_DAYS = 3650
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

    @property
    def chain(self) -> tuple[str, ...]:
        """PEM certificates from the leaf to the authority."""
        return (self.certificate, self.ca)


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
