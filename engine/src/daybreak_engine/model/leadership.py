"""Leadership: one lease per application, by the clock of the transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daybreak_engine.model import rows

if TYPE_CHECKING:
    from collections.abc import Collection

    from daybreak_engine.model.store import Transaction

LEASE_SECONDS = 60.0


def leader(tx: Transaction, application: str) -> str | None:
    """Return the unit that leads now, or None."""
    row = tx.one(
        "SELECT holder FROM leases WHERE application = ? AND expires > ?", application, tx.now
    )
    return None if row is None else row["holder"]


def is_leader(tx: Transaction, unit: str) -> bool:
    """Tell whether a unit leads its application now."""
    return leader(tx, unit.partition("/")[0]) == unit


def lease(tx: Transaction, application: str) -> rows.Lease | None:
    """Return the last lease, expired or not."""
    row = tx.one("SELECT * FROM leases WHERE application = ?", application)
    return None if row is None else rows.Lease(row["application"], row["holder"], row["expires"])


def claim(tx: Transaction, unit: str, *, seconds: float = LEASE_SECONDS) -> bool:
    """Take or renew the lease; return whether the unit leads afterwards."""
    application = unit.partition("/")[0]
    tx.run(
        "INSERT INTO leases (application, holder, expires) VALUES (?1, ?2, ?3)"
        " ON CONFLICT (application) DO UPDATE SET holder = ?2, expires = ?3"
        " WHERE holder = ?2 OR expires <= ?4",
        application,
        unit,
        tx.now + seconds,
        tx.now,
    )
    return is_leader(tx, unit)


def maintain(
    tx: Transaction, running: Collection[str], *, seconds: float = LEASE_SECONDS
) -> list[str]:
    """Renew the leases of running holders and elect where there is none; return new leaders.

    To be called every half lease and when a first unit starts. A holder that does not run
    keeps an unexpired lease; one that runs gets its own expired lease back (after a stop of
    the whole engine).

    Args:
        tx: The transaction.
        running: Names of the units whose agents run.
        seconds: Length of a lease.
    """
    elected: list[str] = []
    by_application: dict[str, list[str]] = {}
    for unit in running:
        by_application.setdefault(unit.partition("/")[0], []).append(unit)
    for application, candidates in sorted(by_application.items()):
        old = lease(tx, application)
        candidates.sort(key=lambda name: int(name.partition("/")[2]))
        if old is not None and old.holder in candidates:
            candidates = [old.holder]
        alive = [name for name in candidates if _life(tx, name) == "alive"]
        unit = (alive or candidates)[0]
        if claim(tx, unit, seconds=seconds) and (old is None or old.holder != unit):
            elected.append(unit)
    return elected


def _life(tx: Transaction, unit: str) -> str:
    row = tx.one("SELECT life FROM units WHERE name = ?", unit)
    return "dead" if row is None else row["life"]
