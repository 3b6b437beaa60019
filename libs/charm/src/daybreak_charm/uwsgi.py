"""The file and the process of a Python API under uwsgi, the same for every OpenStack service."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from daybreak_charm import drain, sizing, urls
from daybreak_charm.description import Check, File, Folder, Process, online, up

MULE = (Path(__file__).with_name("mule.py")).read_text(encoding="utf-8")
FEW = 2
"""So many workers, or fewer, load the application themselves: what they would share with a master that has it too is
less than what it takes (Keystone with one worker: 159 MB, 66 of them master and health)."""
MERCY = drain.LIMIT - 1
"""Seconds that the workers have for the requests in flight."""
CHUNK = 16 * 2**20
"""Bytes of a chunk of a request's body, which uwsgi holds as a whole.

Its default of 1 MiB has no room for the line's end after a chunk of 1 MiB (core/chunked.c), and that is what Nova and
Cinder send images in (python-glanceclient 4.11, common/http.py: CHUNKSIZE); gateways may hand chunks on as they are.
"""


@dataclass(frozen=True)
class Api:
    """A Python API.

    Attributes:
        name: Name of its process.
        program: Path of uwsgi.
        folder: Where its configuration is.
        application: WSGI application as `module:callable`, or a file with an `application`.
        port: Port of its listener, by TLS.
        health_port: Port that answers for its health, without TLS.
        certificate: Path of the certificate with its chain.
        key: Path of the private key.
        user: User and group that it runs as.
        size: Workers and threads.
        any_address: Address that means all of this unit's.
        mounts: Paths that it answers at; they become SCRIPT_NAME, so that links carry them.
        container: Its container; None is the charm's first.
        environment: Variables of the application.
        file: Name of its file in the folder.
        static: Folders whose files uwsgi itself gives out, by path below the one it is mounted at.
        lazy: Whether each worker must load the application itself, because its connections and threads
            would not survive a fork.
    """

    name: str
    program: str
    folder: str
    application: str
    port: int
    health_port: int
    certificate: str
    key: str
    user: str
    size: sizing.ApiSize
    any_address: str
    mounts: tuple[str, ...] = ("/",)
    container: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    file: str = "uwsgi.ini"
    static: Mapping[str, str] = field(default_factory=dict[str, str])
    lazy: bool = False

    @property
    def late(self) -> bool:
        """Whether each worker loads the application itself."""
        return self.lazy or self.size.workers <= FEW

    @property
    def path(self) -> str:
        """Path of its file."""
        return f"{self.folder}/{self.file}"

    @property
    def mule(self) -> str:
        """Path of the program that answers for its health."""
        return f"{self.folder}/health.py"


def config(api: Api) -> str:
    """The file of uwsgi.

    Unless its workers load it, the application is loaded before anything is forked, so that the health
    port opens when it can serve.
    """
    any_host = urls.host(api.any_address)
    entries: list[tuple[str, object]] = [
        ("https-socket", f"{any_host}:{api.port},{api.certificate},{api.key},HIGH"),
        *(("mount", f"{path}={api.application}") for path in api.mounts),
        ("manage-script-name", "true"),
        *(("static-map", f"{path}={folder}") for path, folder in api.static.items()),
        ("master", "true"),
        ("processes", api.size.workers),
        ("threads", api.size.threads),
        ("enable-threads", "true"),
        ("single-interpreter", "true"),
        ("need-app", "true"),
        # Neutron's workers know by the second one that they are of the same start.
        *((("lazy-apps", "true"), ("start-time", "%t")) if api.late else ()),
        ("thunder-lock", "true"),
        ("buffer-size", 65535),
        # A client that does not know how long its body is sends chunks; `openstack/wsgi.py` has how they are read.
        ("chunked-input-limit", CHUNK),
        # As long as the gateway bears a client's silence.
        ("chunked-input-timeout", sizing.GATEWAY_TIMEOUT),
        *(("env", f"{name}={value}") for name, value in sorted(_environment(api).items())),
        ("mule", api.mule),
        ("mule-reload-mercy", 1),
        ("die-on-term", "true"),
        # Workers end with a master that was killed, or they would hold the port.
        ("no-orphans", "true"),
        # Without it uwsgi logs each write to a log that nobody reads any more, and so makes the next one.
        ("ignore-sigpipe", "true"),
        ("exit-on-reload", "false"),
        # SIGTERM ends the requests in flight first.
        ("hook-master-start", "unix_signal:15 gracefully_kill_them_all"),
        ("worker-reload-mercy", MERCY),
        ("add-header", "Connection: close"),
        ("disable-logging", "true"),
        ("log-master", "false"),
        ("procname-prefix-spaced", api.name),
    ]
    return "[uwsgi]\n" + "".join(f"{key} = {value}\n" for key, value in entries)


def _environment(api: Api) -> dict[str, str]:
    return {
        **api.environment,
        **({"DAYBREAK_LAZY": "yes"} if api.late else {}),
        "DAYBREAK_HEALTH": urls.host_port(api.any_address, api.health_port),
        "DAYBREAK_DRAINING": drain.flag(api.name),
    }


def files(api: Api) -> list[File | Folder]:
    """What it reads beside its own configuration and certificate."""
    return [
        File(api.path, config(api), mode=0o640, group=api.user, container=api.container),
        File(api.mule, MULE, mode=0o640, group=api.user, container=api.container),
    ]


def process(api: Api, *, prefix: str = "") -> Process:
    """Its process.

    It has no reload: uwsgi would load the application anew while requests wait, for longer than the
    gateway takes it for alive. A drained restart makes nobody wait.

    Args:
        api: The API.
        prefix: Put before the names of its checks, where a charm has several.
    """
    health = f"http://127.0.0.1:{api.health_port}/"
    checks: tuple[Check, ...] = (
        online(http=health, name=f"{prefix}online"),
        up(http=health, name=f"{prefix}up"),
    )
    return Process(
        api.name,
        f"{api.program} --ini {api.path}",
        container=api.container,
        user=api.user,
        group=api.user,
        checks=checks,
        drain=drain.DEFAULT,
    )
