"""What unit tests of charms share: effects that take no time, and the proof of idempotence."""

import dataclasses
import datetime
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ops

from daybreak_charm import drain
from daybreak_charm import layout as layouts
from daybreak_charm.effects import Connection, Effects
from daybreak_interfaces import tls_certificates

if TYPE_CHECKING:
    from ops import testing

    from daybreak_charm.description import Check, DatabaseAddress


def quiet_effects(
    *,
    now: float = 1_800_000_000.0,
    answers: bool = True,
    settled: bool = True,
    database: Connection | None = None,
    kubernetes: Callable[..., dict[str, Any]] | None = None,
) -> Effects:
    """Effects for `ops.testing`: no time passes, processes answer as told, owners are as wanted.

    Args:
        now: The clock.
        answers: What every probe says.
        settled: Whether Pebble is through with starting and stopping.
        database: What every database connection is; None refuses connections.
        kubernetes: The cluster's API; None is one in which nothing rolls.
    """

    def nothing_rolls(*_: Any) -> dict[str, Any]:
        return {"metadata": {}, "spec": {"replicas": 1}, "status": {"updatedReplicas": 1}}

    @contextmanager
    def connect(_: "DatabaseAddress") -> Generator[Connection]:
        from daybreak_charm.effects import DatabaseUnreachableError

        if database is None:
            raise DatabaseUnreachableError("refused")
        yield database

    def probe(_: "Check", __: ops.Container) -> bool:
        return answers

    return Effects(
        now=lambda: now,
        sleep=lambda _: None,
        probe=probe,
        settled=lambda _, __: settled,
        look_now=lambda _, __: True,
        connect=connect,
        kubernetes=kubernetes or nothing_rolls,
        owner=lambda _: (None, None),
    )


def mounts(folder: Path, layout: Mapping[str, Any], **paths: str) -> "dict[str, testing.Mount]":
    """Folders of a container that outlive a dispatch: those given, the library's, and the image's layout.

    Args:
        folder: Where they are.
        layout: What the image says of itself.
        paths: Path in the container by the folder's name.
    """
    from ops import testing

    made: dict[str, testing.Mount] = {}
    places = {"run": drain.RUN, "share": str(Path(layouts.PATH).parent), **paths}
    for name, path in places.items():
        source = folder / name
        source.mkdir(exist_ok=True)
        made[name] = testing.Mount(location=path, source=source)
    (folder / "share" / Path(layouts.PATH).name).write_text(json.dumps(layout))
    return made


def statefulset(*, partition: int, replicas: int, updated: int, behind: int = 0) -> dict[str, Any]:
    """A StatefulSet, as far as a roll is read from it.

    Args:
        partition: Its partition.
        replicas: Number of pods that it shall have.
        updated: Number of those with the newest template, `new`.
        behind: Changes that its controller has not seen yet.
    """
    return {
        "metadata": {"generation": 3 + behind},
        "spec": {
            "replicas": replicas,
            "updateStrategy": {"rollingUpdate": {"partition": partition}},
        },
        "status": {
            "observedGeneration": 3,
            "updatedReplicas": updated,
            "updateRevision": "new",
        },
    }


@dataclasses.dataclass(frozen=True)
class Writes:
    """What a dispatch did to its containers.

    Attributes:
        pushed: Paths written.
        layers: Labels of layers added.
        replans: Number of replans.
        signals: Signals sent.
        commands: Programs executed.
    """

    pushed: list[str] = dataclasses.field(default_factory=list[str])
    layers: list[str] = dataclasses.field(default_factory=list[str])
    replans: list[str] = dataclasses.field(default_factory=list[str])
    signals: list[str] = dataclasses.field(default_factory=list[str])
    commands: list[Sequence[str]] = dataclasses.field(default_factory=list[Sequence[str]])

    @property
    def nothing(self) -> bool:
        """Whether the dispatch changed nothing."""
        return not (self.pushed or self.layers or self.replans or self.signals or self.commands)


@contextmanager
def recorded() -> Generator[Writes]:
    """Record what dispatches within the block do to containers."""
    writes = Writes()
    kept: list[tuple[str, Callable[..., Any]]] = []

    def watch(method: str, note: Callable[[tuple[Any, ...]], None]) -> None:
        original: Callable[..., Any] = getattr(ops.Container, method)
        kept.append((method, original))

        def wrapped(self: ops.Container, *args: Any, **kwargs: Any) -> Any:
            note(args)
            return original(self, *args, **kwargs)

        setattr(ops.Container, method, wrapped)

    watch("push", lambda args: writes.pushed.append(str(args[0])))
    watch("make_dir", lambda args: writes.pushed.append(str(args[0])))
    watch("remove_path", lambda args: writes.pushed.append(str(args[0])))
    watch("add_layer", lambda args: writes.layers.append(str(args[0])))
    watch("start", lambda args: writes.replans.append(str(args)))
    watch("stop", lambda args: writes.replans.append(str(args)))
    watch("send_signal", lambda args: writes.signals.append(str(args)))
    watch("exec", lambda args: writes.commands.append(args[0]))
    try:
        yield writes
    finally:
        for method, original in kept:
            setattr(ops.Container, method, original)


def assert_idempotent(
    context: "testing.Context[Any]", event: Any, state: "testing.State"
) -> "testing.State":
    """Run an event twice; the second run must write, restart and publish nothing.

    Containers need a `Mount` wherever the charm writes, so that files outlive the first run.

    Returns:
        The state after the first run.
    """
    first = context.run(event, state)
    with recorded() as writes:
        second = context.run(event, first)
    assert writes.nothing, writes
    databags = [
        {r.id: (r.local_app_data, r.local_unit_data) for r in s.relations} for s in (first, second)
    ]
    assert databags[0] == databags[1]
    assert {s.id: s.latest_content for s in first.secrets} == {
        s.id: s.latest_content for s in second.secrets
    }
    assert first.opened_ports == second.opened_ports
    assert first.unit_status == second.unit_status
    return first


class TestCA:
    """A certificate authority for `ops.testing`, in the place of a `tls-certificates` provider."""

    __test__ = False  # not a class of tests

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ca = self._sign("test CA", self._key.public_key(), ())

    def _sign(self, name: str, key: Any, extensions: Sequence[Any]) -> str:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization

        def subject(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        start = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject(name))
            .issuer_name(subject("test CA"))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=3000))
        )
        for extension in extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM).decode().strip()

    def answer(self, state: "testing.State", endpoint: str = "certificates") -> "testing.State":
        """The state after this CA has answered the requests of the unit under test."""
        from cryptography import x509
        from ops import testing

        relation = next(r for r in state.relations if r.endpoint == endpoint)
        assert isinstance(relation, testing.Relation)
        issued: list[tls_certificates.Certificate] = []
        for item in tls_certificates.read_requests(relation.local_unit_data):
            csr = x509.load_pem_x509_csr(item.csr.encode())
            pem = self._sign("unit", csr.public_key(), list(csr.extensions))
            issued.append(tls_certificates.Certificate(item.csr, pem, self.ca, (pem, self.ca)))
        bag = dict(relation.remote_app_data)
        tls_certificates.write_certificates(bag, issued)
        changed = dataclasses.replace(relation, remote_app_data=bag)
        others = {r for r in state.relations if r.id != relation.id}
        return dataclasses.replace(state, relations={*others, changed})


class SqliteDatabase:
    """A database for tests that understands what the library and the charms say to MariaDB."""

    def __init__(self) -> None:
        import sqlite3

        self._raw = sqlite3.connect(":memory:", isolation_level=None)
        self._raw.create_function("UNIX_TIMESTAMP", 0, lambda: 1_800_000_000)

    @staticmethod
    def _translate(sql: str) -> str:
        spoken = {
            "SHOW TABLES": "SELECT name FROM sqlite_master WHERE type = 'table'",
            "SET FOREIGN_KEY_CHECKS = 0": "PRAGMA foreign_keys = OFF",
        }
        sql = sql.replace("%s", "?").replace("INSERT IGNORE", "INSERT OR IGNORE")
        return spoken.get(sql, sql)

    def __del__(self) -> None:
        self._raw.close()

    def script(self, sql: str) -> None:
        """Run statements that are written for SQLite."""
        self._raw.executescript(sql)

    def query(self, sql: str, *args: object) -> list[tuple[object, ...]]:
        """Rows of a SELECT.

        Raises:
            NoSuchTableError: The table is not there.
        """
        import sqlite3

        from daybreak_charm.schema import NoSuchTableError

        try:
            return self._raw.execute(self._translate(sql), args).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                raise NoSuchTableError from None
            raise

    def execute(self, sql: str, *args: object) -> int:
        """Number of rows that a statement changed."""
        return self._raw.execute(self._translate(sql), args).rowcount
