"""memcached as data: its sizes and its command line."""

from dataclasses import dataclass

from daybreak_charm.sizing import Machine

PORT = 11211
MIN_MIB = 64
MAX_DERIVED_MIB = 1024
_MACHINE_PART = 64
# Every worker thread of every API process keeps a connection; each costs a few KiB here.
CONNECTIONS = 4096
THREADS = 2


class InvalidError(ValueError):
    """An option that cannot be used; the text says what to set instead."""


@dataclass(frozen=True)
class Inputs:
    """What the service is made of."""

    memory_mib: int
    """For items; the program itself takes a few MiB more."""
    user: str
    program: str
    """Absolute path."""
    version: str = ""


def memory_mib(option: int, machine: Machine) -> int:
    """Return the memory for items in MiB: the operator's choice, or derived when that is 0.

    Raises:
        InvalidError: a choice below 64.
    """
    if option == 0:
        budget = machine.budget_mb(parts=_MACHINE_PART)
        return min(MAX_DERIVED_MIB, max(MIN_MIB, budget * 3 // 4 if machine.limit_mb else budget))
    if option < MIN_MIB:
        raise InvalidError(f"set memory to {MIN_MIB} MiB or more, or to 0 to derive it")
    return option


def command(inputs: Inputs) -> str:
    """Return the command line: TCP on all addresses, IPv6 included; no UDP."""
    return (
        f"{inputs.program} -p {PORT} -U 0 -m {inputs.memory_mib}"
        f" -c {CONNECTIONS} -t {THREADS} -u {inputs.user}"
    )
