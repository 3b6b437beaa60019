"""Hooks of a charm in Python are forks of its unit's warm interpreter; the rules of hooks hold for them."""

import json
import os
import re
import runpy
import signal
import zipfile
from pathlib import Path

import pytest
import yaml

from . import charm
from .conftest import Engine

pytestmark = pytest.mark.pods

PACK = runpy.run_path(str(Path(__file__).parents[3] / "tools/pack"))
ACTIONS = {
    name: {"description": "Do it.", "additionalProperties": False} for name in ("spin", "hang")
}
LIBRARY = "import os\nborn = os.getpid()\nrevision = {revision}\n"
PROGRAM = """
import os, signal, subprocess, time
import library

def call(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout

name = os.environ["JUJU_DISPATCH_PATH"].partition("/")[2]
warm = library.born != os.getpid()
call("juju-log", f"TRACE hook={name} revision={library.revision} warm={warm} nice={os.nice(0)}")
while name == "spin" and time.process_time() < 1:
    pass
once = call("config-get", "once").strip()
if name == "hang" or (name == "config-changed" and once and not os.path.exists(once)):
    if once:
        open(once, "w").close()
    subprocess.Popen(["sleep", "10071"])
    call("juju-log", "TRACE hook=hangs")
    signal.pause()
call("status-set", "active")
"""


def pack(directory: Path, revision: int = 0) -> Path:
    path = directory / f"warm-{revision}.charm"
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in (
            ("metadata.yaml", {"name": "warm", "summary": "Warm.", "description": "Warm."}),
            ("config.yaml", {"options": {"once": {"type": "string", "default": ""}}}),
            ("actions.yaml", ACTIONS),
            ("manifest.yaml", charm.MANIFEST),
        ):
            archive.writestr(name, yaml.safe_dump(value))
        archive.writestr("venv/pyvenv.cfg", PACK["PYVENV"])
        archive.writestr(
            "venv/lib/python3.12/site-packages/library.py", LIBRARY.format(revision=revision)
        )
        archive.writestr("src/charm.py", PROGRAM)
        dispatch = zipfile.ZipInfo("dispatch")
        dispatch.external_attr = 0o100755 << 16
        archive.writestr(dispatch, PACK["DISPATCH"])
    return path


def deploy(engine: Engine) -> None:
    engine.juju.deploy(str(pack(engine.charms)), "w")
    engine.settle("w")


def left_over() -> list[str]:
    """Return the command lines of what hanging hooks have started."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in found if "sleep 10071" in line]


def test_hooks_are_warm_and_their_time_is_recorded(emptied: Engine) -> None:
    deploy(emptied)
    emptied.juju.run("w/0", "spin")
    trace = emptied.trace("w/0")
    assert [line.split()[0] for line in trace[:2]] == ["install", "leader-elected"]
    # As late in the queue as what is no hook.
    nice = emptied.juju.exec("nice", unit="w/0").stdout.strip()
    assert {tuple(line.split()[1:]) for line in trace} == {
        ("revision=0", "warm=True", f"nice={nice}")
    }
    record = (Path("/var/lib/daybreak") / emptied.name / "hooks.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in record]
    [spun] = [one for one in entries if one["unit"] == "w/0" and one["hook"] == "spin"]
    assert 1 <= spun["cpu"] < 3
    assert "python3" not in spun["calls"]
    # What is not the start of a hook is the interpreter of the machine.
    said = emptied.juju.exec(
        "python3 -c 'import sys; print(sys.executable, sys.prefix)'", unit="w/0"
    )
    assert said.stdout == "/usr/bin/python3 /usr\n"


def test_a_refreshed_unit_runs_the_new_charm(emptied: Engine) -> None:
    deploy(emptied)
    emptied.mark()
    emptied.juju.refresh("w", path=str(pack(emptied.charms, 1)))
    emptied.wait(lambda: "start" in emptied.hooks("w/0"))
    emptied.settle("w")
    after = emptied.trace("w/0")
    new = after[after.index(next(line for line in after if line.startswith("upgrade-charm"))) :]
    assert {tuple(line.split()[1:3]) for line in new} == {("revision=1", "warm=True")}


def test_a_cancelled_action_leaves_no_process(emptied: Engine) -> None:
    deploy(emptied)
    emptied.juju.cli("run", "w/0", "hang", "--background")
    emptied.wait(lambda: "hangs" in emptied.hooks("w/0"))
    assert left_over()
    running = re.search(r'running .* (\d+) +action "hang"', emptied.juju.cli("operations"))
    assert running is not None
    emptied.juju.cli("cancel-task", running[1])
    emptied.settle("w")
    assert not left_over()


def test_a_killed_daemon_runs_the_hook_again_and_leaves_no_process(emptied: Engine) -> None:
    deploy(emptied)
    emptied.mark()
    emptied.juju.config("w", {"once": "/tmp/hung"})
    emptied.wait(lambda: "hangs" in emptied.hooks("w/0"))
    assert left_over()
    os.kill(int((Path("/run/daybreak") / emptied.name / "engine.pid").read_text()), signal.SIGKILL)
    emptied.wait(lambda: emptied.hooks("w/0").count("config-changed") == 2)
    emptied.settle("w")
    assert emptied.hooks("w/0") == ["config-changed", "hangs", "config-changed"]
    assert not left_over()
