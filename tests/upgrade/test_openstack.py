"""A whole cloud from 2025.1 to 2026.1, as its users and its first server see it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..clouds import PROGRAMS, ROOT, Cloud, beside, embedded, program
from ..openstack.guest import Guest, first
from .room import NEW, OLD, RESULTS

INSTANCE = "release-test"
BUNDLE = ROOT / "bundles/openstack.yaml"
SERVICES = ("keystone", "placement", "glance", "neutron", "nova", "cinder")
NODES = ("cinder-volume", "hypervisor")
READS = {
    "identity": "/auth/projects",
    "image": "/v2/images",
    "network": "/v2.0/networks",
    "compute": "/servers",
    "block-storage": "/volumes",
}
"""What is read of each service, below its endpoint."""
PERIOD = 0.5
ANSWER_SECONDS = 60

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.skipif(os.geteuid() != 0, reason="the engine needs root"),
]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """All of bundles/openstack.yaml, of the older release but for the dashboard."""
    ours = "|".join(SERVICES)
    text = re.sub(rf"(daybreak/(?:{ours})):{NEW}", rf"\1:{OLD}", BUNDLE.read_text())
    bundle = tmp_path_factory.mktemp("bundle") / "openstack.yaml"
    bundle.write_text(text.replace("../dist/", f"{ROOT}/dist/"))
    with embedded(INSTANCE, bundle) as made:
        yield made


@pytest.fixture(scope="module")
def guest(cloud: Cloud) -> Iterator[Guest]:
    with first(cloud) as made:
        yield made


@dataclass
class Seen:
    """What users read.

    Attributes:
        reads: How many answers there were of each service.
        failed: Service, time and reason of each that was none.
    """

    reads: dict[str, int] = field(default_factory=dict[str, int])
    failed: list[str] = field(default_factory=list[str])


@contextlib.contextmanager
def read_all_the_while(cloud: Cloud, directory: Path) -> Iterator[Seen]:
    """Read something of one service after the other, without ever trying again."""
    connection = cloud.account().connection(directory)
    seen = Seen()

    def ask(over: threading.Event) -> None:
        while True:
            for service, path in READS.items():
                if over.wait(PERIOD):
                    return
                where = {"service_type": service, "interface": "public"}
                try:
                    answer = connection.session.get(
                        path, endpoint_filter=where, timeout=ANSWER_SECONDS, raise_exc=False
                    )
                    code = answer.status_code
                except Exception as error:  # noqa: BLE001 - whatever it is, a user has seen it
                    code = repr(error)[:200]
                seen.reads[service] = seen.reads.get(service, 0) + 1
                if code != 200:
                    seen.failed.append(f"{service} {time.strftime('%H:%M:%S')}: {code}")

    with beside(ask):
        yield seen


def releases(cloud: Cloud, application: str) -> set[str]:
    """Return the releases that the units of an application serve with."""
    said = cloud.juju.run(f"{application}/0", "upgrade-status").results["report"]
    return set(json.loads(said)["units"].values())


def test_a_whole_cloud_goes_to_the_next_release(cloud: Cloud, guest: Guest, tmp_path: Path):
    began, uptime = time.monotonic(), guest.uptime
    with read_all_the_while(cloud, tmp_path) as seen:
        said = program(
            *(PROGRAMS / "python", "-m", "daybreak", "upgrade", "--to", NEW), instance=INSTANCE
        )
        print(said)
        cloud.settle()
    results = {
        "seconds": round(time.monotonic() - began),
        "reads": seen.reads,
        "failed": seen.failed,
        "longest silence of the server": round(guest.stream.longest_silence(began), 1),
    }
    path = RESULTS.with_name("upgrade-openstack.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")

    assert {name: releases(cloud, name) for name in (*SERVICES, *NODES)} == {
        name: {NEW} for name in (*SERVICES, *NODES)
    }
    # A store of files has one unit, which is away while it is replaced.
    assert [one for one in seen.failed if not one.startswith("image ")] == []
    assert all(one.endswith(": 503") for one in seen.failed)
    assert guest.stream.alive
    assert guest.uptime > uptime
    assert guest.stream.longest_silence(began) < 30
