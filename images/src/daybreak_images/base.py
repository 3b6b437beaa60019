"""The base that all images share: a minimal Debian with its Python, from the machine's own mirror.

No mirror is named in this repository: the machine's apt sources say where packages come from. Debian 13 is made
on every Debian machine, because that is where the Python of the charms and of OpenStack comes from; a machine with
another distribution has no Debian mirror, so there the base is of the machine's own release.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .spec import ImageError

SUITE = "trixie"
PACKAGES = ("ca-certificates", "python3")
# Ubuntu releases whose python3 is at least 3.12, which OpenStack and the charms need.
UBUNTU = ("noble", "plucky", "questing", "resolute")
_DEBIAN_NAMES = ("stable", "oldstable", "testing", "unstable", "sid")
_SUFFIX = re.compile(r"^(?P<name>[a-z]+)(?P<suffix>-updates|-security|/updates)?$")
# What a container never reads. Licences stay.
_EXCLUDED = ("/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/doc/*")
_KEPT = ("/usr/share/doc/*/copyright",)


@dataclass(frozen=True)
class Source:
    """One place packages come from.

    Args:
        uri: Address of the mirror, as the machine writes it.
        suite: For example ``trixie-security``.
        components: For example ``main``.
        signed_by: Path of the keyring, or empty for apt's own.
    """

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""

    def line(self) -> str:
        """Return it in apt's one-line form."""
        options = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {options}{self.uri} {self.suite} {' '.join(self.components)}"


def parse(text: str, deb822: bool) -> list[Source]:
    """Return the binary sources of one apt file; lines apt would not accept are left out."""
    return list(_stanzas(text) if deb822 else _lines(text))


def _stanzas(text: str) -> Iterable[Source]:
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        last = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and last:
                fields[last] += f" {line.strip()}"
            elif ":" in line:
                last, _, value = line.partition(":")
                last = last.strip().lower()
                fields[last] = value.strip()
        if (
            "deb" not in fields.get("types", "").split()
            or fields.get("enabled", "yes").lower() == "no"
        ):
            continue
        keyring = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                # A key written into the file itself has no path to hand on.
                signed_by = keyring if keyring.startswith("/") else ""
                yield Source(uri, suite, tuple(fields.get("components", "").split()), signed_by)


def _lines(text: str) -> Iterable[Source]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<rest>[^#]+)", line)
        words = match["rest"].split() if match else []
        if match is None or len(words) < 3:
            continue
        options = dict(
            option.split("=", 1) for option in (match["options"] or "").split() if "=" in option
        )
        yield Source(words[0], words[1], tuple(words[2:]), options.get("signed-by", ""))


def sources_for(release: Mapping[str, str], sources: Sequence[Source]) -> tuple[Source, ...]:
    """Return where the base's packages come from, derived from the machine's own sources.

    Args:
        release: The machine's os-release.
        sources: All its apt sources.

    Raises:
        ImageError: This machine offers no suitable mirror.
    """
    name, codename = release.get("ID", "unknown"), release.get("VERSION_CODENAME", "")
    if name == "debian":
        suite, wanted = SUITE, {codename, *_DEBIAN_NAMES}
    elif name == "ubuntu" and codename in UBUNTU:
        suite, wanted = codename, {codename}
    else:
        what = release.get("PRETTY_NAME", name)
        raise ImageError(
            f"images cannot be built on {what}: a Debian machine is needed, or an Ubuntu from 24.04 on "
            "(its own sources give the base's packages)"
        )
    result: dict[Source, None] = {}
    for source in sources:
        match = _SUFFIX.match(source.suite)
        if match is None or match["name"] not in wanted or "main" not in source.components:
            continue
        suffix = {None: "", "/updates": "-security"}.get(match["suffix"], match["suffix"])
        components = ("main", "universe") if name == "ubuntu" else ("main",)
        # The keyring of an older release may be a file per release; the general one has all keys.
        keyring = (
            source.signed_by if Path(source.signed_by).name.endswith("archive-keyring.gpg") else ""
        )
        result[Source(source.uri, f"{suite}{suffix}", components, keyring)] = None
    if not any(source.suite == suite for source in result):
        raise ImageError(
            f"no apt source of this machine offers {codename or name}: the base of the images is made from the "
            "machine's own mirror; add one to /etc/apt/sources.list.d and try again"
        )
    return tuple(result)


def machine_sources(etc: Path = Path("/etc")) -> tuple[dict[str, str], list[Source]]:
    """Read the machine's os-release and apt sources."""
    release: dict[str, str] = {}
    for line in (etc / "os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if value:
            release[key] = "".join(shlex.split(value))
    directory = etc / "apt/sources.list.d"
    files = [etc / "apt/sources.list", *sorted(directory.glob("*"))]
    sources: list[Source] = []
    for file in files:
        if file.suffix in (".list", ".sources") and file.is_file():
            sources += parse(file.read_text(), deb822=file.suffix == ".sources")
    return release, sources


def key(sources: Sequence[Source]) -> str:
    """Return the hash of what decides the base: release, packages, options; not which mirror."""
    suites = sorted({source.suite for source in sources})
    return hashlib.sha256(repr((suites, PACKAGES, _EXCLUDED, _KEPT, 1)).encode()).hexdigest()


def mmdebstrap(sources: Sequence[Source], tar: str, lists: str, proxy: str = "") -> list[str]:
    """Return the command that writes the base as a tar file.

    Args:
        sources: From `sources_for`; the first without suffix names the suite.
        tar: Path of the result.
        lists: Directory that gets the package lists, so that the builds on top need not fetch them again.
        proxy: apt's http proxy of this machine, or empty.
    """
    suite = min((source.suite for source in sources), key=len)
    aptopts = ['Acquire::Languages "none"', 'APT::Install-Recommends "false"']
    if proxy:
        aptopts.append(f'Acquire::http::Proxy "{proxy}"')
    dpkgopts = [
        "force-unsafe-io",
        *(f"path-exclude={pattern}" for pattern in _EXCLUDED),
        *(f"path-include={pattern}" for pattern in _KEPT),
    ]
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        "--mode=root",
        f"--include={','.join(PACKAGES)}",
        *(f"--aptopt={option}" for option in aptopts),
        *(f"--dpkgopt={option}" for option in dpkgopts),
        f"--customize-hook=sync-out /var/lib/apt/lists {shlex.quote(lists)}",
        suite,
        tar,
        *(source.line() for source in sources),
    ]
