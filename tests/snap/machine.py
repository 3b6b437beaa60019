"""A machine with systemd and a real snapd, in a container: snaps are mounted, no store is reached.

snapd wants the snaps `snapd` and `core24` before a classic one. Both are made here, of Debian's snapd and
of empty directories: a classic snap brings all that it needs.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

from daybreak_images import base

from ..clouds import eventually, podman

PACKAGES = ("systemd", "systemd-sysv", "dbus", "snapd", "sudo", "ca-certificates", "python3")
INSTANCE = "snap-test"
SECONDS = 1200.0
"""How long a command in the machine may take: snapd packs, checks and restarts itself."""
NAME = "daybreak-snap-test"
BASE = """\
name: core24
type: base
version: "1"
summary: Stands in for core24
description: Empty; a classic snap brings all that it needs.
architectures: [all]
"""
SNAPD = """\
name: snapd
type: snapd
version: "{version}"
summary: The snapd of this machine
description: Assembled from Debian's package.
architectures: [all]
"""
# Directories that snapd mounts things onto.
BASE_DIRECTORIES = (
    *("bin", "dev", "etc", "home", "lib", "lib64", "media", "meta", "mnt", "proc", "root", "run"),
    *(
        "snap",
        "sys",
        "tmp",
        "usr/lib/snapd",
        "usr/src",
        "usr/bin",
        "var/lib",
        "var/log",
        "var/snap",
    ),
    *("var/tmp", "lib/modules", "lib/firmware", "writable"),
)


def _image() -> str:
    """Return the container image of the machine, made once per list of packages."""
    release, sources = base.machine_sources()
    chosen = base.sources_for(release, sources)
    suite = min((source.suite for source in chosen), key=len)
    tag = hashlib.sha256(repr((suite, PACKAGES)).encode()).hexdigest()[:12]
    name = f"localhost/daybreak-test/snapd:{tag}"
    if podman(INSTANCE, "images", "--quiet", name).strip():
        return name
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        tar = f"{directory}/root.tar"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"]
        command += [f"--include={','.join(PACKAGES)}", '--aptopt=APT::Install-Recommends "false"']
        command += ["--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/locale/*"]
        done = subprocess.run(
            [*command, suite, tar, *(source.line() for source in chosen)],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": directory},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        podman(INSTANCE, "import", "--quiet", tar, name, timeout=300)
    return name


@dataclass
class Machine:
    """The machine; `files` is its `/files`."""

    files: Path

    def start(self) -> None:
        """Boot it, and make snapd ready for classic snaps."""
        image = _image()
        podman(INSTANCE, "rm", "--force", "--ignore", NAME)
        options = ("--privileged", "--systemd=always", "--network=none", "--hostname=site")
        mounts = ("--volume", f"{self.files}:/files", "--env", "SNAP_REEXEC=0")
        # its namespaces are made on the first processor: see snap-confine and namespaces in files of nsfs
        podman(INSTANCE, "create", "--name", NAME, *options, *mounts, image, "/sbin/init")
        podman(INSTANCE, "start", NAME)
        eventually(lambda: self._booted(), "the machine has booted", timeout=120, period=1)
        self.run("systemctl", "enable", "--now", "snapd.socket")
        self.run("useradd", "--create-home", "--shell", "/bin/bash", "ubuntu")
        self._install_prerequisites()

    def stop(self) -> None:
        """End it."""
        podman(INSTANCE, "rm", "--force", "--ignore", "--time", "5", NAME, timeout=120)

    def _booted(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False)
        return state.strip() in ("running", "degraded")

    def run(self, *words: str, check: bool = True, user: str = "root") -> str:
        """Run a command in the machine and return what it says on both streams."""
        script = 'exec "$@" 2>&1'
        command = ("exec", "--user", user, NAME, "sh", "-c", script, "sh", *words)
        try:
            return podman(INSTANCE, *command, timeout=SECONDS)
        except subprocess.CalledProcessError as error:
            if check:
                raise AssertionError(f"{' '.join(words)}:\n{error.stdout}{error.stderr}") from error
            return error.stdout

    def _install_prerequisites(self) -> None:
        """Make and install the snaps that snapd itself needs."""
        directories = " ".join(f"/tmp/core24/{name}" for name in BASE_DIRECTORIES)
        version = self.run("dpkg-query", "-W", "-f", "${Version}", "snapd").partition("+")[0]
        script = f"""
            set -e
            mkdir -p {directories} /tmp/snapd/meta /tmp/snapd/usr/bin /tmp/snapd/usr/lib
            cp -a /usr/lib/snapd /tmp/snapd/usr/lib/
            cp -a /usr/bin/snap /tmp/snapd/usr/bin/
            mkdir -p /tmp/snapd/lib/systemd/system
            cp -a /usr/lib/systemd/system/snapd.* /tmp/snapd/lib/systemd/system/
            cp /files/core24.yaml /tmp/core24/meta/snap.yaml
            cp /files/snapd.yaml /tmp/snapd/meta/snap.yaml
            cd /tmp
            snap pack --compression=lzo core24
            snap pack --compression=lzo snapd
            snap install --dangerous ./snapd_*.snap
            snap install --dangerous ./core24_*.snap
        """
        (self.files / "core24.yaml").write_text(BASE)
        (self.files / "snapd.yaml").write_text(SNAPD.format(version=version))
        self.run("sh", "-c", textwrap.dedent(script))
