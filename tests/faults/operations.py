"""Users of a whole cloud: volumes and servers, created, listed and deleted by the clock.

Nothing is repeated: an operation has failed when its request had another answer than it has in a quiet cloud, or when
what was accepted did not happen. What comes of each request is written into a ledger, which is compared afterwards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import requests
from keystoneauth1 import exceptions

from .ledger import ACCEPTED, DELETING, FAILED, FINAL, GONE, THERE, UNSURE, Entry, Found, Record

PERIODS = {"volume": 4.0, "server": 20.0, "list": 1.0}
"""Seconds between two operations: creation and deletion in turn, and lists of both in turn."""
KEPT = {"volume": 3, "server": 1}
"""So many of those that are there are not deleted: they have to outlive what comes."""
LIMIT = 240.0
"""Seconds after which what was accepted counts as not done; above oslo.messaging's and the services' own limits."""
ASKED = 60.0
"""Seconds after which a user gives up a request."""
POLL = 1.0
PREFIX = "faults-"


@dataclass(frozen=True)
class Plan:
    """What servers are made of: ids."""

    image: str
    flavour: str
    network: str


class Load:
    """The users, in threads while the context is open.

    Args:
        cloud: A connection.
        plan: What servers are made of.
        tell: Called with each operation that failed, when it has.
    """

    def __init__(self, cloud: Any, plan: Plan, tell: Callable[[Record], None]) -> None:
        self._cloud = cloud
        self._plan = plan
        self._tell = tell
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._created = threading.Condition(self._lock)
        self._number = 0
        self._entries: dict[str, Entry] = {}
        self._records: list[Record] = []
        self._pool = ThreadPoolExecutor(96)
        self._clocks = [
            threading.Thread(target=self._clock, args=(kind, period), daemon=True)
            for kind, period in PERIODS.items()
        ]

    def __enter__(self) -> Load:
        for clock in self._clocks:
            clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ask for nothing more, and wait for what was asked."""
        self._over.set()
        for clock in self._clocks:
            clock.join()
        self._pool.shutdown()

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    @property
    def records(self) -> list[Record]:
        """The operations that have ended, in the order in which they were due."""
        with self._lock:
            return sorted(self._records, key=lambda record: record.at)

    @property
    def entries(self) -> list[Entry]:
        """The ledger."""
        with self._lock:
            return list(self._entries.values())

    def until(self, moment: float) -> None:
        """Let the users go on until then."""
        self._over.wait(max(0.0, moment - self.now))

    def server_accepted(self, limit: float = 120) -> None:
        """Return at the moment at which the creation of a server was answered: it is being made now."""

        def count() -> int:
            return sum(entry.kind == "server" for entry in self._entries.values())

        with self._lock:
            before = count()
            assert self._created.wait_for(lambda: count() > before, limit), "a server is created"

    # --- by the clock -------------------------------------------------------------------------

    def _clock(self, kind: str, period: float) -> None:
        number = 0
        while not self._over.wait(max(0.0, number * period - self.now)):
            if kind == "list":
                what = ("volume", "server")[number % 2]
                self._pool.submit(self._timed, f"list {what}s", number * period, self._list, what)
            else:
                self._pool.submit(self._turn, kind, number, number * period)
            number += 1

    def _turn(self, kind: str, number: int, due: float) -> None:
        entry = self._claim(kind) if number % 2 else None
        if entry is None:
            self._timed(f"create {kind}", due, self._create, kind)
        else:
            self._timed(f"delete {kind}", due, self._delete, entry)

    def _claim(self, kind: str) -> Entry | None:
        """Take the newest one to be deleted, so that servers end before they have used the processor to boot."""
        with self._lock:
            there = [e for e in self._entries.values() if e.kind == kind and e.said == THERE]
            if len(there) <= KEPT[kind]:
                return None
            self._entries[there[-1].id] = replace(there[-1], said=DELETING)
            return there[-1]

    def _timed(self, kind: str, due: float, work: Callable[..., Any], *words: Any) -> None:
        """Run an operation, and record how it ended; it says when it was answered and of what it was."""
        said: dict[str, Any] = {}
        cause = ""
        try:
            work(said, *words)
        except _FailedError as error:
            cause = str(error)
        except Exception as error:  # noqa: BLE001 - an operation that we got wrong must not be missing
            cause = f"{type(error).__name__}: {error}"[:120]
        end = self.now
        record = Record(
            due,
            kind,
            round(said.get("answered", end) - due, 2),
            round(end - due, 2),
            cause,
            said.get("id", ""),
        )
        with self._lock:
            self._records.append(record)
        if cause:
            self._tell(record)

    # --- the operations -----------------------------------------------------------------------

    def _service(self, kind: str) -> Any:
        return self._cloud.block_storage if kind == "volume" else self._cloud.compute

    def _ask(self, kind: str, method: str, path: str, good: int, **words: Any) -> Any:
        """Make one request, once.

        Raises:
            _FailedError: It had another answer, or none.
        """
        options = {"connect_retries": 0, "status_code_retries": 0, "raise_exc": False}
        try:
            answer = self._service(kind).request(path, method, **options, **words)
        except exceptions.ConnectTimeout:
            raise _FailedError("timeout") from None
        except exceptions.ConnectionError as error:
            raise _FailedError(_below(error)) from None
        except exceptions.ClientException as error:
            # the token
            code = getattr(error, "http_status", 0)
            raise _FailedError(f"token: http {code}" if code else "token") from None
        if answer.status_code != good:
            raise _FailedError(f"http {answer.status_code}")
        return answer

    def _create(self, said: dict[str, Any], kind: str) -> None:
        with self._lock:
            self._number += 1
            name = f"{PREFIX}{self._number}"
        body: dict[str, Any] = {"name": name, "size": 1}
        if kind == "server":
            body = {
                "name": name,
                "imageRef": self._plan.image,
                "flavorRef": self._plan.flavour,
                "networks": [{"uuid": self._plan.network}],
            }
        answer = self._ask(kind, "POST", f"/{kind}s", 202, json={kind: body})
        said["id"] = answer.json()[kind]["id"]
        with self._lock:
            said["answered"] = self.now
            self._entries[said["id"]] = Entry(kind, said["id"], ACCEPTED, said["answered"])
            self._created.notify_all()
        self._watch(kind, said["id"], lambda status: status == FINAL[kind])
        self._say(said["id"], THERE)

    def _delete(self, said: dict[str, Any], entry: Entry) -> None:
        said["id"] = entry.id
        good = 202 if entry.kind == "volume" else 204
        try:
            self._ask(entry.kind, "DELETE", f"/{entry.kind}s/{entry.id}", good)
        except _FailedError:
            self._say(entry.id, UNSURE)
            raise
        said["answered"] = self.now
        self._watch(entry.kind, entry.id, lambda status: not status)
        self._say(entry.id, GONE)

    def _watch(self, kind: str, number: str, over: Callable[[str], bool]) -> None:
        """Wait for a status; it is empty when there is nothing any more.

        Raises:
            _FailedError: It never was, or it is in ERROR.
        """
        end, status = self.now + LIMIT, "not seen"
        while self.now < end:
            try:
                answer = self._service(kind).request(
                    f"/{kind}s/{number}", "GET", connect_retries=0, raise_exc=False
                )
                if answer.status_code in (200, 404):
                    status = answer.json()[kind]["status"] if answer.status_code == 200 else ""
            except (exceptions.ClientException, requests.RequestException):
                pass  # what users see of that is counted by the lists
            if over(status):
                return
            if status.upper().startswith("ERROR"):
                self._say(number, FAILED)
                raise _FailedError(f"in {status}")
            time.sleep(POLL)
        raise _FailedError(f"still {status or 'absent'} after {LIMIT:.0f} s")

    def _list(self, said: dict[str, Any], kind: str) -> None:
        """List them; all that were there before and after have to be among them."""
        before = {e.id for e in self.entries if e.kind == kind and e.said == THERE}
        listed = {
            item["id"] for item in self._ask(kind, "GET", f"/{kind}s", 200).json()[f"{kind}s"]
        }
        after = {e.id for e in self.entries if e.kind == kind and e.said == THERE}
        missing = (before & after) - listed
        if missing:
            raise _FailedError(f"not listed: {', '.join(sorted(missing))}")

    def _say(self, number: str, word: str) -> None:
        with self._lock:
            self._entries[number] = replace(self._entries[number], said=word)


class _FailedError(Exception):
    """An operation has failed; the text says how."""


def _below(error: BaseException) -> str:
    """Return a word for a connection that was not made, or broke."""
    text = str(error)
    words = {
        "refused": "refused",
        "reset by peer": "reset",
        "without response": "closed",
        "timed out": "timeout",
    }
    return next((word for sign, word in words.items() if sign in text), type(error).__name__)


def listed(cloud: Any, kind: str) -> dict[str, Found]:
    """Return all of the project's servers or volumes, by id."""
    service = cloud.block_storage if kind == "volume" else cloud.compute
    answer = service.get(f"/{kind}s/detail")
    answer.raise_for_status()
    return {
        item["id"]: Found(
            item["status"],
            item["status"] in ("BUILD", "creating", "deleting")
            or bool(item.get("OS-EXT-STS:task_state")),
            "deleting" in (item["status"], item.get("OS-EXT-STS:task_state")),
        )
        for item in answer.json()[f"{kind}s"]
        if (item.get("name") or "").startswith(PREFIX)
    }


def allocated(cloud: Any) -> set[str]:
    """Return the ids of all that holds something of a hypervisor in Placement."""
    placement = cloud.placement
    providers = placement.get("/resource_providers").json()["resource_providers"]
    return {
        consumer
        for provider in providers
        for consumer in placement.get(f"/resource_providers/{provider['uuid']}/allocations").json()[
            "allocations"
        ]
    }


def clear(cloud: Any) -> bool:
    """Ask for the end of all that a load has left; return whether it is over."""
    left = False
    for kind in KEPT:
        service = cloud.block_storage if kind == "volume" else cloud.compute
        for number, found in listed(cloud, kind).items():
            left = True
            if not found.leaving:
                service.delete(f"/{kind}s/{number}")
    return not left
