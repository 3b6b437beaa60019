"""Run OpenStack's own tests against a cloud: the list of include.txt without that of exclude.txt.

The results go to .daybreak/results/tempest.json, tempest's log beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from pathlib import Path

import jubilant
import yaml

from ..clouds import PROGRAMS, ROOT, Cloud, chosen, embedded, program
from . import outcomes, settings, stage
from .outcomes import Outcome

HERE = Path(__file__).parent
BUNDLE = ROOT / "bundles/openstack.yaml"
RESULTS = ROOT / ".daybreak/results"
ENVIRONMENT = ROOT / ".daybreak/tempest"
INSTANCE = "tempest"
RESIZE = "allow_resize_to_same_host"
"""Nova's option without which a server of a cloud with one hypervisor cannot be resized."""


def bundle(directory: Path) -> Path:
    """Write the bundle with absolute paths, and with what tempest needs of Nova."""
    content = yaml.safe_load(BUNDLE.read_text())
    for fields in content["applications"].values():
        fields["charm"] = str((BUNDLE.parent / fields["charm"]).resolve())
    content["applications"]["nova"]["options"] = {
        "config-overrides": yaml.safe_dump({"DEFAULT": {RESIZE: True}})
    }
    path = directory / "bundle.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@contextlib.contextmanager
def cloud(instance: str | None, directory: Path) -> Iterator[Cloud]:
    """Give the cloud of an instance, or one that is made and removed."""
    if instance is None:
        with embedded(INSTANCE, bundle(directory)) as made:
            made.settle(timeout=900)
            yield made
        return
    with chosen(instance):
        juju = jubilant.Juju(model="openstack", cli_binary=PROGRAMS / "juju")
        yield Cloud(juju, instance)


def external(instance: str) -> IPv4Network:
    """Return the range of the nodes' physical network."""
    ranges = program(PROGRAMS / "daybreak-engine", "network", instance=instance)
    return IPv4Network(json.loads(ranges)["external"])


def tempest(directory: Path, chosen: Sequence[str]) -> Iterator[Outcome]:
    """Run tempest with the configuration in a directory; gives each outcome, and prints what it says."""
    site = next((ENVIRONMENT / "lib").glob("python3.*")) / "site-packages"
    stestr = (
        *(ENVIRONMENT / "bin/stestr", "--test-path", site / "tempest/test_discover"),
        *("--top-dir", site),
    )
    environment = {
        **os.environ,
        "PATH": f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}",
        "TEMPEST_CONFIG_DIR": str(directory),
        "no_proxy": "*",
    }
    subprocess.run([*stestr, "init"], cwd=directory, env=environment, check=True)
    which = list(chosen) or ["--include-list", HERE / "include.txt"]
    with subprocess.Popen(
        [
            *stestr,
            "run",
            "--serial",
            "--suppress-attachments",
            "--exclude-list",
            HERE / "exclude.txt",
            *which,
        ],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if (outcome := outcomes.read(line)) is not None:
                yield outcome


def run(made: Cloud, options: argparse.Namespace, directory: Path) -> list[Outcome]:
    """Prepare a cloud, run tempest against it, and remove what was prepared."""
    assert made.instance is not None
    guest = directory / "guest.qcow2"
    program(
        *(PROGRAMS / "python", "-m", "daybreak_images", "guest", "--output", guest),
        instance=made.instance,
    )
    account = made.account()
    certificate = Path(account.environment(directory)["OS_CACERT"])
    connection = account.connection(directory)
    overrides = str(made.juju.config("nova").get("config-overrides", ""))
    with stage.prepared(connection, guest, external(made.instance)) as resources:
        text = settings.render(
            settings.options(
                account,
                resources,
                directory,
                certificate,
                volumes=not options.without_volumes,
                resize=RESIZE in overrides,
            )
        )
        (directory / "tempest.conf").write_text(text)
        try:
            return list(tempest(directory, options.tests))
        finally:
            log = directory / "tempest.log"
            if log.exists():
                log.replace(RESULTS / "tempest-details.log")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tests and write their results; 0 when none failed."""
    parser = argparse.ArgumentParser(
        prog="tests/run tempest", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--instance",
        metavar="NAME",
        help="a cloud that is there, and stays; without it one is made",
    )
    parser.add_argument(
        "--without-volumes", action="store_true", help="for a cloud that cannot make volumes"
    )
    parser.add_argument(
        "tests", nargs="*", metavar="REGEX", help="names of tests instead of those in include.txt"
    )
    options = parser.parse_args(argv)
    RESULTS.mkdir(parents=True, exist_ok=True)
    # The configuration holds the administrator's password: nobody else can read it, and it does not stay.
    with tempfile.TemporaryDirectory(prefix="daybreak-tempest-") as name:
        directory = Path(name)
        with cloud(options.instance, directory) as made:
            begun = time.monotonic()
            found = run(made, options, directory)
            seconds = time.monotonic() - begun
    content = outcomes.report(
        found, seconds, date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    )
    (RESULTS / "tempest.json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"\n{outcomes.table(found)}\n{outcomes.summary(found, seconds)}")
    return 0 if found and all(outcome.outcome != "failed" for outcome in found) else 1


if __name__ == "__main__":
    sys.exit(main())
