"""A RabbitMQ that understands what the charm says to it."""

import base64
import dataclasses
import json
import re
from typing import Any

import broker
import erlang
import rabbitmq

from daybreak_charm import Context


class FakeBroker:
    """Accounts and members of a cluster, and what was said to it."""

    def __init__(self, here: str) -> None:
        self.here = here
        self.users: dict[str, str] = {}
        self.permissions: set[tuple[str, str]] = set()
        self.vhosts: set[str] = set()
        self.told: list[str] = []
        self.ran: list[str] = []
        self.error = ""
        self.said_last = ""
        self.state = broker.State(
            members=frozenset({here}),
            running=frozenset({here}),
            connected=frozenset({here}),
            partitioned=False,
            alarms=(),
            draining=False,
            handling="pause_minority",
            critical=0,
            replicas=(),
            accounts=rabbitmq.Inventory({}, frozenset(), frozenset(), frozenset()),
        )

    def accepts(self, credentials: dict[str, str], vhost: str) -> bool:
        name = credentials["username"]
        known = self.users.get(name) == rabbitmq.password_hash(credentials["password"])
        return known and (name, vhost) in self.permissions

    def change(self, **changes: Any) -> None:
        self.state = dataclasses.replace(self.state, **changes)

    def ask(self, _: Context) -> broker.State:
        if self.error:
            raise broker.BrokerError(self.error)
        accounts = rabbitmq.Inventory(
            dict(self.users),
            frozenset(self.users) - {"operators"},
            frozenset(self.vhosts),
            frozenset(self.permissions),
        )
        return dataclasses.replace(self.state, accounts=accounts)

    def tell(
        self, _: Context, program: str, data: dict[str, Any] | None = None, *, timeout: float = 60
    ) -> str:
        if self.error:
            raise broker.BrokerError(self.error)
        self.told.append(json.dumps(data))
        found = json.loads(json.dumps(data or {}))
        if program == erlang.ACCOUNTS:
            definitions = found["definitions"]
            self.vhosts |= {vhost["name"] for vhost in definitions["vhosts"]}
            self.users |= {user["name"]: user["password_hash"] for user in definitions["users"]}
            self.permissions |= {(p["user"], p["vhost"]) for p in definitions["permissions"]}
            self.permissions -= {tuple(pair) for pair in found["revoke"]}
            for name in found["drop"]:
                self.users.pop(name, None)
                self.permissions = {pair for pair in self.permissions if pair[0] != name}
        elif program == erlang.REPLICAS:
            stay = frozenset(found["stay"])
            count = min(found["target"], len(stay))
            self.change(
                replicas=tuple(frozenset(sorted(stay)[:count]) for _ in self.state.replicas)
            )
        elif program == erlang.FORGET:
            self.change(members=self.state.members - {found["node"]})
        elif program == erlang.HANDLING:
            self.change(handling=found["handling"])
        elif program == erlang.RETURNED:
            self.said_last = self.state.handling
            self.change(handling=found["handling"])
        elif program == erlang.REVIVE:
            self.change(draining=False)
        elif program == erlang.RETREAT:
            self.change(draining=True)
        else:
            raise AssertionError(program)
        return "done\n"

    def run(self, _: Context, *words: str, stdin: str | None = None, timeout: float = 60) -> str:
        self.ran.append(words[1])
        return ""


def data_of(stdin: str) -> dict[str, Any]:
    """The data that went in beside a program."""
    found = re.search(r'decode\(<<"([^"]*)">>', stdin)
    return json.loads(base64.b64decode(found[1])) if found else {}
