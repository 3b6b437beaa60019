"""Running other programs: one function, typed results, errors that say what to do."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import CommandError, MissingProgramError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Debian's package of each program that we call.
PACKAGES = {
    "podman": "podman",
    "runc": "runc",
    "conmon": "conmon",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "dnsmasq": "dnsmasq-base",
    "openssl": "openssl",
}


@dataclass(frozen=True)
class Result:
    """What a finished program left behind."""

    code: int
    stdout: str
    stderr: str


async def run(
    *argv: str,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    remedy: str = "",
) -> Result:
    """Run a program to its end. A cancelled caller ends the program.

    Args:
        *argv: Program and arguments; visible to every user of the machine, so never secrets.
        stdin: Its input, None for ``/dev/null``.
        env: Its whole environment, None for our own.
        check: Raise when it fails.
        remedy: What to do when it fails.

    Raises:
        MissingProgramError: The program is not installed.
        CommandError: It failed and `check` is set.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=env,
        )
    except FileNotFoundError as error:
        raise missing_program(argv[0]) from error
    try:
        out, err = await process.communicate(None if stdin is None else stdin.encode())
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    result = Result(
        process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")
    )
    if check and result.code != 0:
        raise CommandError(argv, result.code, result.stderr, remedy=remedy)
    return result


def missing_program(program: str) -> MissingProgramError:
    """Return the error for a program that is not installed."""
    package = PACKAGES.get(program, program)
    return MissingProgramError(
        f"{program} is not installed",
        remedy=f"install it: apt-get install --no-install-recommends {package}",
    )
