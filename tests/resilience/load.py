"""Users of the cloud: requests to Keystone through the gateway, started by the clock.

    python -m tests.resilience.load --seconds 60                the deployed cloud of DAYBREAK_INSTANCE
    python -m tests.resilience.load --seconds 0 & ... kill -INT $!      until it is interrupted
    python -m tests.resilience.load --seconds 60 --factor 2 --output load.json

Each failure is printed when it happens, with the time of day to compare logs with; at the end come
counts, causes and latency. It ends with 1 when a request failed.

The model is open: each kind of request has a rate, and a request starts when the clock says so, not
when the one before was answered. A stall therefore is seen: requests go on to arrive, and their
durations count from the moment at which they were due.

Locust, the well-kept tool of this trade, was looked at and not taken: its load is a number of users
that each wait for their answer (`constant_throughput` paces a user, and a user that waits for a
stalled server sends nothing), and gevent, which patches the standard library in place, cannot share
a process with what drives the cloud. aiohttp, which the engine's tests have anyway, is the client;
it repeats nothing here, so each broken connection is one failure.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import jubilant

from ..clouds import PROGRAMS, Account, Cloud
from .measures import Record, summary

TIMEOUT = 30.0
"""Seconds after which a user gives up; below the gateway's own limit."""
KEPT_SECONDS = 20.0
"""How long a client keeps an idle connection; the gateway keeps it for 30."""
NEW_EVERY = 4
"""One request in so many opens a connection of its own."""


@dataclass
class Session:
    """What the users know.

    Attributes:
        account: The account that all of them use.
        first: The token that the run began with; it must stay valid to the end.
        tokens: The newest tokens.
        projects: Ids of projects that were created and not yet deleted.
        run: Word in the names of what this run makes.
    """

    account: Account
    run: str
    first: str = field(default="", repr=False)
    tokens: deque[str] = field(default_factory=lambda: deque[str](maxlen=8), repr=False)
    projects: deque[str] = field(default_factory=deque[str])
    created: int = 0
    validated: int = 0


@dataclass(frozen=True)
class Call:
    """One HTTP request and the only status that is no failure."""

    method: str
    path: str
    expected: int
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    body: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    headers: Mapping[str, str] = field(repr=False)
    body: Any = field(repr=False)


@dataclass(frozen=True)
class Kind:
    """A kind of request.

    Attributes:
        name: Its name.
        rate: Requests per second.
        call: Makes the next request; None when there is nothing to ask for.
        right: Whether the content of an answer is what it must be; notes what later requests need.
    """

    name: str
    rate: float
    call: Callable[[Session], Call | None]
    right: Callable[[Session, Answer], bool]


def _authenticate(session: Session, identity: dict[str, Any]) -> Call:
    account = session.account
    scope = {"project": {"name": account.project, "domain": {"name": account.project_domain}}}
    return Call("POST", "/auth/tokens", 201, body={"auth": {"identity": identity, "scope": scope}})


def login(session: Session) -> Call:
    """A token for a password; most of its cost is bcrypt."""
    account = session.account
    user = {
        "name": account.username,
        "domain": {"name": account.user_domain},
        "password": account.password,
    }
    return _authenticate(session, {"methods": ["password"], "password": {"user": user}})


def renew(session: Session) -> Call:
    """A token for a token."""
    return _authenticate(session, {"methods": ["token"], "token": {"id": session.tokens[-1]}})


def _issued(session: Session, answer: Answer) -> bool:
    token = answer.headers.get("X-Subject-Token", "")
    if token and answer.body["token"]["user"]["name"] == session.account.username:
        session.tokens.append(token)
        return True
    return False


def _token(session: Session) -> dict[str, str]:
    return {"X-Auth-Token": session.tokens[-1]}


def validate(session: Session) -> Call:
    """A check of a token: the first one in turn with the oldest of the newer ones."""
    session.validated += 1
    subject = session.first if session.validated % 2 else session.tokens[0]
    return Call("GET", "/auth/tokens", 200, {**_token(session), "X-Subject-Token": subject})


def _valid(session: Session, answer: Answer) -> bool:
    return answer.body["token"]["user"]["name"] == session.account.username


def create(session: Session) -> Call:
    """A project with a name of its own."""
    session.created += 1
    name = f"{session.run}-{session.created}"
    return Call("POST", "/projects", 201, _token(session), {"project": {"name": name}})


def _created(session: Session, answer: Answer) -> bool:
    session.projects.append(answer.body["project"]["id"])
    return answer.body["project"]["name"].startswith(session.run)


def delete(session: Session) -> Call | None:
    """The oldest project of this run; that it is gone would mean that a write was lost."""
    if not session.projects:
        return None
    return Call("DELETE", f"/projects/{session.projects.popleft()}", 204, _token(session))


def _lists(what: str, name: Callable[[Session], str]) -> Callable[[Session, Answer], bool]:
    return lambda session, answer: name(session) in {item["name"] for item in answer.body[what]}


WORKLOAD = (
    Kind("login", 0.7, login, _issued),
    Kind("token", 1.5, renew, _issued),
    Kind("validate", 5.0, validate, _valid),
    Kind(
        "users",
        2.0,
        lambda session: Call("GET", "/users", 200, _token(session)),
        _lists("users", lambda session: session.account.username),
    ),
    Kind(
        "projects",
        2.0,
        lambda session: Call("GET", "/projects", 200, _token(session)),
        _lists("projects", lambda session: session.account.project),
    ),
    Kind("create", 0.7, create, _created),
    Kind("delete", 0.7, delete, lambda session, answer: True),
)
"""One request in eighteen is a login. It costs Keystone 0.2 to 0.4 s of CPU with the default bcrypt
rounds, as much as all the others of the same time. Twice these rates leave two processors, which
the whole cloud and its charms share with the users, with nothing to spare."""


def cause(error: BaseException) -> str:
    """Return the word for a failure below HTTP."""
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "tls"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "closed"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "cut"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE):
        return "reset"
    if isinstance(error, ConnectionResetError):
        return "reset"
    below = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error.__cause__
    if below is not None and below is not error:
        return cause(below)
    return type(error).__name__


class Load:
    """The users, in a thread of their own while the context is open.

    Args:
        account: Whose requests they make.
        workload: What they do.
        tell: Called with each failure when it happens, and with the time of day of the load's begin.
    """

    def __init__(
        self,
        account: Account,
        workload: Sequence[Kind] = WORKLOAD,
        tell: Callable[[Record, float], None] = lambda record, began: None,
    ) -> None:
        self.records: list[Record] = []
        self.late: list[float] = []
        self.cpu = 0.0
        self.began = self.began_at = 0.0
        self._url = account.url.rstrip("/")
        self._workload = tuple(workload)
        self._tell = tell
        self._session = Session(account, f"load-{time.time_ns():x}")
        self._context = account.context()
        self._tasks: set[asyncio.Task[None]] = set()
        self._handles: dict[str, asyncio.TimerHandle] = {}
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        self._ready.wait()
        if self._error:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._error:
            raise self._error

    @property
    def now(self) -> float:
        """Seconds since the load began, on the records' clock."""
        return self._loop.time() - self.began

    def wait(self, seconds: float) -> None:
        """Let the users go on for a time."""
        threading.Event().wait(seconds)

    def trust(self, authority: str) -> None:
        """Trust another authority beside those before, as a user does who fetches the bundle again."""
        self._loop.call_soon_threadsafe(self._context.load_verify_locations, None, None, authority)

    def report(self) -> dict[str, Any]:
        """Return what was measured so far, ready for JSON."""
        records = sorted(self.records, key=lambda record: record.at)
        seconds = max((record.at for record in records), default=0.0)
        return {
            "began": round(self.began_at, 3),
            "seconds": round(seconds, 1),
            "rates": {kind.name: kind.rate for kind in self._workload},
            **summary(records, [kind.name for kind in self._workload]),
            "failures": [asdict(record) for record in records if record.cause],
            "generator": {
                "cpu per second": round(self.cpu / seconds, 3) if seconds else 0.0,
                "latest start": round(max(self.late, default=0.0), 3),
            },
        }

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for this one
            self._error = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note("kept"))
        trace.on_connection_create_end.append(_note("new"))
        limit = aiohttp.ClientTimeout(total=TIMEOUT)

        def client(**options: Any) -> aiohttp.ClientSession:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._context, **options)
            made = aiohttp.ClientSession(connector=connector, timeout=limit, trace_configs=[trace])
            # Else a GET on a connection that broke is sent again, and a failure is not seen.
            made._retry_connection = False
            return made

        async with client(keepalive_timeout=KEPT_SECONDS) as kept, client(force_close=True) as new:
            self._clients = (kept, new)
            await self._first()
            self.began, self.began_at = self._loop.time(), time.time()
            cpu = time.thread_time()
            for place, kind in enumerate(self._workload):
                # Kinds of the same rate do not all start at once.
                self._tick(kind, self.began + place / len(self._workload) / kind.rate, 0)
            self._ready.set()
            await self._stop.wait()
            for handle in self._handles.values():
                handle.cancel()
            self.cpu = time.thread_time() - cpu
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self._tidy()

    def _tick(self, kind: Kind, first: float, number: int) -> None:
        due = first + number / kind.rate
        self.late.append(self._loop.time() - due)
        call = kind.call(self._session)
        if call:
            task = self._loop.create_task(self._one(kind, call, due, number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._handles[kind.name] = self._loop.call_at(
            first + (number + 1) / kind.rate, self._tick, kind, first, number + 1
        )

    async def _one(self, kind: Kind, call: Call, due: float, number: int) -> None:
        client = self._clients[number % NEW_EVERY == 0]
        noted = SimpleNamespace(connection="none")
        why, detail = "", ""
        try:
            status, answer = await self._ask(client, call, noted)
            if status != call.expected:
                why, detail = f"http {status}", _words(answer)
            elif not kind.right(self._session, answer):
                why = "content"
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            why, detail = cause(error), f"{type(error).__name__}: {error}"[:200]
        except (ValueError, KeyError, TypeError) as error:
            why, detail = "content", f"{type(error).__name__}: {error}"[:200]
        now = self._loop.time()
        record = Record(
            round(due - self.began, 3),
            kind.name,
            noted.connection,
            round(now - due, 4),
            why,
            detail,
        )
        self.records.append(record)
        if why:
            self._tell(record, self.began_at)

    async def _ask(
        self, client: aiohttp.ClientSession, call: Call, noted: SimpleNamespace
    ) -> tuple[int, Answer]:
        async with client.request(
            call.method,
            f"{self._url}{call.path}",
            json=call.body,
            headers=call.headers,
            allow_redirects=False,
            trace_request_ctx=noted,
        ) as response:
            text = await response.read()
            body = text
            if "json" in response.headers.get("Content-Type", ""):
                body = json.loads(text)
            return response.status, Answer(response.headers, body)

    async def _first(self) -> None:
        status, answer = await self._ask(
            self._clients[1], login(self._session), SimpleNamespace(connection="none")
        )
        if status != 201 or not _issued(self._session, answer):
            raise RuntimeError(f"no token before the load began: HTTP {status}")
        self._session.first = self._session.tokens[0]

    async def _tidy(self) -> None:
        """Delete what this run has made, also what a failed request may have made."""
        noted = SimpleNamespace(connection="none")
        headers = _token(self._session)
        try:
            _, answer = await self._ask(
                self._clients[0], Call("GET", "/projects", 200, headers), noted
            )
            for project in answer.body["projects"]:
                if project["name"].startswith(f"{self._session.run}-"):
                    path = f"/projects/{project['id']}"
                    await self._ask(self._clients[0], Call("DELETE", path, 204, headers), noted)
        except (aiohttp.ClientError, OSError, TypeError, KeyError) as error:
            print(f"projects {self._session.run}-* may be left: {error}", file=sys.stderr)


def _note(connection: str) -> Any:
    async def note(_: Any, context: SimpleNamespace, __: Any) -> None:
        context.trace_request_ctx.connection = connection

    return note


def _words(answer: Answer) -> str:
    identity = answer.headers.get("x-openstack-request-id", "")
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    return f"{identity} {' '.join(body.decode(errors='replace').split())[:160]}".strip()


def line(record: Record, began: float) -> str:
    """Return a failure as a line for people, with the time of day; *began* is that of the load."""
    now = began + record.at + record.seconds
    clock = time.strftime("%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}"
    return (
        f"{clock}  started at +{record.at:.1f} s, failed after {record.seconds:.3f} s:"
        f" {record.kind}, connection {record.connection}: {record.cause}  {record.detail}"
    )


def text(report: dict[str, Any]) -> str:
    """Return a report for people."""
    lines = [f"{'':10}{'requests':>9}{'failed':>8}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}  ms"]
    for name, one in {**report["kinds"], "all": report}.items():
        numbers = "".join(
            f"{one['milliseconds'].get(k, 0):8.0f}" for k in ("p50", "p95", "p99", "max")
        )
        lines.append(f"{name:10}{one['requests']:9}{one['failed']:8}{numbers}")
    causes = ", ".join(f"{count} {name}" for name, count in report["causes"].items())
    connections = ", ".join(f"{count} {name}" for name, count in report["connections"].items())
    lines += [
        f"{report['seconds']} s, {report['logins']} logins; failures: {causes or 'none'}",
        f"connections: {connections}; longest time without an answer {report['longest silence']} s",
        f"the generator used {report['generator']['cpu per second']} CPU s per second"
        f" and started a request at most {report['generator']['latest start']} s late",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Make load on the deployed cloud and print what users saw."""
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tests.resilience.load",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=60, help="0: until interrupted")
    parser.add_argument("--factor", type=float, default=1, help="multiply all rates")
    parser.add_argument("--model", default="openstack", help="default: openstack")
    parser.add_argument("--juju", default=str(PROGRAMS / "juju"), help="the juju command")
    parser.add_argument("--output", type=Path, help="also write the numbers as JSON")
    options = parser.parse_args(argv)
    account = Cloud(jubilant.Juju(model=options.model, cli_binary=options.juju)).account()
    workload = [
        Kind(kind.name, kind.rate * options.factor, kind.call, kind.right) for kind in WORKLOAD
    ]
    load = Load(account, workload, lambda record, began: print(line(record, began), flush=True))
    with load:
        rate = sum(kind.rate for kind in workload)
        print(f"{rate:g} requests/s to {account.url}", flush=True)
        try:
            threading.Event().wait(options.seconds or None)
        except KeyboardInterrupt:
            print("interrupted: waiting for the requests in flight", flush=True)
    report = load.report()
    print(text(report))
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
