"""The demo's key, and what `ssh` needs to use it."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DaybreakError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Keys:
    """The demo's own files."""

    directory: Path

    @property
    def private(self) -> Path:
        """The private key, readable by its owner."""
        return self.directory / "id_ed25519"

    @property
    def config(self) -> Path:
        """Configuration for `ssh -F`."""
        return self.directory / "ssh_config"

    def public(self) -> str:
        """Return the public key; empty when there is no key yet.

        Raises:
            DaybreakError: The file holds something else.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        try:
            key = serialization.load_ssh_private_key(self.private.read_bytes(), None)
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise DaybreakError(
                f"the demo's key cannot be read: {self.private}: {error}",
                remedy="Begin anew: daybreak demo --clean-up, then daybreak demo",
            ) from error
        form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        return key.public_key().public_bytes(*form).decode()

    def make(self) -> str:
        """Make a new key, and return its public half.

        Raises:
            DaybreakError: It cannot be written.
        """
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519

        key = ed25519.Ed25519PrivateKey.generate()
        content = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        self._write(self.private, content)
        return self.public()

    def write_config(self, address: str, user: str) -> None:
        """Write what `ssh -F` needs to reach the server as its user.

        The server's own key is made anew with the server, so nothing is remembered of it.

        Raises:
            DaybreakError: It cannot be written.
        """
        lines = (
            "Host demo",
            f"    HostName {address}",
            *((f"    User {user}",) if user else ()),
            f"    IdentityFile {self.private}",
            "    IdentitiesOnly yes",
            "    StrictHostKeyChecking no",
            "    UserKnownHostsFile /dev/null",
            "    LogLevel ERROR",
        )
        self._write(self.config, "".join(f"{line}\n" for line in lines).encode())

    def remove(self) -> bool:
        """Remove all files, and say whether there were any."""
        there = self.directory.exists()
        shutil.rmtree(self.directory, ignore_errors=True)
        return there

    def _write(self, path: Path, content: bytes) -> None:
        temporary = path.with_suffix(".part")
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as stream:
                stream.write(content)
            temporary.replace(path)
        except OSError as error:
            raise DaybreakError(
                f"cannot write {path}: {error.strerror}",
                remedy="Make room, or run the command as the user that made the cloud.",
            ) from error
