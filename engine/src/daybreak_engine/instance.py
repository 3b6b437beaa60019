"""What one instance of the engine is called, everywhere.

Every path, podman name, network namespace and interface of an instance follows from its name and
from the root directory, so that two instances never touch each other and removal needs no list of
what was made.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_NAME = "daybreak"
NAME_VARIABLE = "DAYBREAK_INSTANCE"
ROOT_VARIABLE = "DAYBREAK_ROOT"
CACHE_VARIABLE = "DAYBREAK_CACHE"
INSTANCE_LABEL = "daybreak.instance"
UNIT_LABEL = "daybreak.unit"
CONTAINER_LABEL = "daybreak.container"
SPEC_LABEL = "daybreak.spec"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
# podman refuses a longer runroot (it has to fit sockets below it into the 108 bytes of a socket
# address).
_RUNROOT_LIMIT = 50


def validate_name(name: str) -> str:
    """Return `name` when it can name an instance.

    Raises:
        InvalidError: with the rule that it breaks.
    """
    if not _NAME.fullmatch(name) or name.endswith("-"):
        raise InvalidError(
            f"invalid instance name {name!r}",
            remedy="use 1 to 20 lower-case letters, digits and dashes, starting with a letter and "
            "not ending in a dash, for example 'test-1'",
            code=2,
        )
    return name


def unit_file_name(unit: str) -> str:
    """Return a unit's name as in paths and host names: ``keystone/0`` becomes ``keystone-0``."""
    return unit.replace("/", "-")


def short_hash(*parts: str, length: int = 8) -> str:
    """Return a stable hash of `parts` as `length` hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:length]


@dataclass(frozen=True)
class Instance:
    """One instance of the engine.

    Args:
        name: The instance's name; see `validate_name`.
        root: Prefix of all paths; ``/`` except in tests.
        cache_override: Cache to share with other roots (images are expensive to build).
    """

    name: str = DEFAULT_NAME
    root: Path = Path("/")
    cache_override: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what would give unusable paths or names."""
        validate_name(self.name)
        if not self.root.is_absolute():
            raise InvalidError(
                f"{ROOT_VARIABLE} must be an absolute path, not {str(self.root)!r}", code=2
            )

    # -- paths of this instance

    @property
    def state(self) -> Path:
        """Directory of everything that must outlive a reboot."""
        return self.root / "var/lib/daybreak" / self.name

    @property
    def run(self) -> Path:
        """Directory of sockets and other things that a reboot may remove."""
        return self.root / "run/daybreak" / self.name

    @property
    def daemon_socket(self) -> Path:
        """Socket of the daemon for the `juju` command."""
        return self.run / "engine.sock"

    @property
    def supervisor(self) -> Path:
        """PEBBLE directory of the supervisor of the daemon and of dnsmasq."""
        return self.run / "supervisor"

    @property
    def database(self) -> Path:
        """SQLite file of the model."""
        return self.state / "model.sqlite"

    @property
    def network_file(self) -> Path:
        """File that keeps the chosen subnet."""
        return self.state / "network.json"

    @property
    def hosts_file(self) -> Path:
        """Names that dnsmasq answers."""
        return self.run / "hosts"

    @property
    def dnsmasq_pid_file(self) -> Path:
        """Process id of the running dnsmasq."""
        return self.run / "dnsmasq.pid"

    @property
    def kubernetes(self) -> Path:
        """Certificates and keys of the Kubernetes API server."""
        return self.state / "kubernetes"

    @property
    def pods(self) -> Path:
        """Parent of the units' shared directories."""
        return self.state / "pods"

    @property
    def storage(self) -> Path:
        """Parent of the storage volumes; they outlive pods."""
        return self.state / "storage"

    @property
    def charms(self) -> Path:
        """Content-addressed store of unpacked charms."""
        return self.state / "charms"

    @property
    def logs(self) -> Path:
        """Log files of the containers."""
        return self.state / "logs"

    def pod(self, unit: str) -> Path:
        """Return the shared directory of `unit`."""
        return self.pods / unit_file_name(unit)

    @property
    def nodes(self) -> Path:
        """Parent of the nodes' own file trees."""
        return self.state / "nodes"

    # -- paths shared by all instances under one root

    @property
    def cache(self) -> Path:
        """Directory shared by all instances and kept when one is destroyed."""
        return self.cache_override or self.root / "var/cache/daybreak"

    @property
    def pebble(self) -> Path:
        """The Pebble binary for all containers."""
        return self.cache / "bin/pebble"

    @property
    def hooktool(self) -> Path:
        """Client of the hook tools; all tools are links to it.

        Its name carries the version of what it speaks (`hooktools.wire`): a daemon of an older
        checkout that still runs goes on making pods with the tool that it understands.
        """
        return self.cache / "bin/hooktool-3"

    @property
    def podman_graphroot(self) -> Path:
        """Podman's images and containers."""
        return self.cache / "podman"

    @property
    def podman_conf(self) -> Path:
        """Directory of containers.conf and storage.conf."""
        return self.cache / "podman-conf"

    @property
    def podman_runroot(self) -> Path:
        """Podman's volatile state; follows the graphroot, because podman ties the two together."""
        if self.cache_override is None:
            runroot = self.root / "run/daybreak-podman"
            if len(str(runroot)) <= _RUNROOT_LIMIT:
                return runroot
        return Path("/run") / f"daybreak-podman-{short_hash(str(self.podman_graphroot))}"

    # -- names

    @property
    def netns(self) -> str:
        """Network namespace that holds the instance's router, services and names."""
        return f"db-{self.name}"

    @property
    def host_interface(self) -> str:
        """Interface of the machine that leads into the instance (Linux allows 15 characters)."""
        return f"dbh{short_hash(self.name, str(self.root))}"

    def pod_netns(self, unit: str) -> str:
        """Return the name of the network namespace of `unit`.

        The dot keeps the pods of instance ``a`` apart from those of instance ``a-b``.
        """
        return f"db-{self.name}.{unit_file_name(unit)}"

    def pod_interface(self, unit: str) -> str:
        """Return the name of the router's end of the link to `unit`."""
        return f"p{short_hash(unit_file_name(unit), length=12)}"

    def container(self, unit: str, container: str) -> str:
        """Return podman's name of a unit's container."""
        return f"db-{self.name}-{unit_file_name(unit)}-{container}"

    @property
    def cgroup(self) -> str:
        """Parent control group of all containers of the instance."""
        return f"/daybreak-{self.name}"

    def paths(self) -> dict[str, str]:
        """Return every path and fixed name, for programs that are not Python."""
        own = {
            "instance": self.name,
            "root": self.root,
            "state": self.state,
            "run": self.run,
            "daemon_socket": self.daemon_socket,
            "supervisor": self.supervisor,
            "database": self.database,
            "pods": self.pods,
            "storage": self.storage,
            "cache": self.cache,
            "pebble": self.pebble,
            "hooktool": self.hooktool,
            "podman_graphroot": self.podman_graphroot,
            "podman_runroot": self.podman_runroot,
            "podman_conf": self.podman_conf,
            "netns": self.netns,
            "host_interface": self.host_interface,
        }
        return {key: str(value) for key, value in own.items()}


def instance_from(name: str | None = None, environ: Mapping[str, str] = os.environ) -> Instance:
    """Return the instance that `name`, or else the environment, names.

    Raises:
        InvalidError: for a name or a root that cannot be used.
    """
    cache = environ.get(CACHE_VARIABLE)
    return Instance(
        name=name or environ.get(NAME_VARIABLE) or DEFAULT_NAME,
        root=Path(environ.get(ROOT_VARIABLE) or "/"),
        cache_override=Path(cache) if cache else None,
    )
