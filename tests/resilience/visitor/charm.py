#!/usr/bin/env python3
"""A service of Keystone's that does nothing but log in as its service user, again and again."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import ops

from daybreak_charm import (
    Blocked,
    Context,
    DaybreakCharm,
    Description,
    File,
    Folder,
    Process,
    Waiting,
)
from daybreak_charm.openstack import needs
from daybreak_interfaces import keystone

CONTAINER = "visitor"
CONF = "/etc/visitor"
VISIT = Path(__file__).with_name("visit.py")
ADDRESS = needs.Urls("https://visitor.invalid", "https://visitor.invalid", "/")


@dataclass(frozen=True)
class Inputs:
    """Everything that decides how it logs in."""

    identity: keystone.Answer
    ca: str = field(repr=False)
    python: str
    user: str


def read(context: Context) -> Inputs | Waiting | Blocked:
    """Collect what decides how it logs in."""
    layout = context.layout(CONTAINER)
    if layout is None:
        return Blocked("the image has no layout file", "attach an image of Keystone")
    trusted = needs.answers(context.needs)
    ca = "".join(f"{pem}\n" for answer in trusted for pem in answer.certificates)
    if not ca:
        return Waiting("nobody says whom to trust", "receive-ca-cert-relation-changed")
    answer = context.needs[needs.IDENTITY]
    return Inputs(answer, ca, layout.program("python3"), layout.user)


def render(inputs: Inputs) -> list[File | Folder]:
    """Its files."""
    identity = inputs.identity
    account = {
        "url": identity.auth_url,
        "username": identity.username,
        "password": identity.password,
        "domain": identity.user_domain,
        "project": identity.project,
    }
    return [
        Folder("/var/lib/visitor", user=inputs.user, group=inputs.user),
        File(f"{CONF}/account.json", json.dumps(account), mode=0o640, group=inputs.user),
        File(f"{CONF}/ca.pem", inputs.ca),
        File(f"{CONF}/visit.py", VISIT.read_text(encoding="utf-8")),
    ]


def processes(inputs: Inputs) -> list[Process]:
    """The one process; like most services it reads its account when it starts."""
    command = f"{inputs.python} {CONF}/visit.py {CONF} /var/lib/visitor/visits"
    return [Process(CONTAINER, command, user=inputs.user, group=inputs.user)]


class VisitorCharm(DaybreakCharm):
    """The charm."""

    description = Description(
        containers=(CONTAINER,),
        needs=(
            needs.identity((needs.Entry("visitor", "visitor", "Visits"),), lambda _: ADDRESS),
            needs.trusted(),
        ),
        read=read,
        render=render,
        processes=processes,
    )


if __name__ == "__main__":
    ops.main(VisitorCharm)
