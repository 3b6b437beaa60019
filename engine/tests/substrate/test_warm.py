"""Hooks run by a warm interpreter are what they are without; the dispatch script is that of a packed charm."""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daybreak_engine.hooktools import wire
from daybreak_engine.substrate import podspec

from .conftest import TOOLS

pytestmark = pytest.mark.pods


@dataclass(frozen=True)
class Ended:
    """How a hook ended, and whether a warm interpreter ran it."""

    code: int
    stdout: str
    stderr: str
    warm: bool = field(compare=False)


class Unit:
    """A charm directory with an agent that hears what hooks took."""

    def __init__(self, root: Path, hooktool: Path, *, idle: int | None = None) -> None:
        self.charm = root / "unit/charm"
        self.tools = root / "tools"
        self._agent = root / "unit/agent.socket"
        warm = root / "bin/warm"
        for directory in (self.charm / "src", self.charm / "lib", self.tools, warm):
            directory.mkdir(parents=True)
        shutil.copy(hooktool, warm.parent / "python3")
        (self.tools / "python3").symlink_to(warm.parent / "python3")
        text = podspec.WARM.read_text()
        changed = text.replace("30_000", str(idle)) if idle else text
        assert (text == changed) is (idle is None)
        (warm / "sitecustomize.py").write_text(changed)
        self.site = self.charm / "venv/lib/python{}.{}/site-packages".format(*sys.version_info)
        self.site.mkdir(parents=True)
        (self.charm / "venv/pyvenv.cfg").write_text("home = /usr/bin\n")
        (self.charm / "dispatch").write_text(runpy.run_path(str(TOOLS / "pack"))["DISPATCH"])
        (self.charm / "dispatch").chmod(0o755)
        self.heard: list[float] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._agent))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                asked = wire.question(stream.read())
                assert (asked.tool, asked.context) == ("python3", "u/0-hook-1")
                self.heard.append(float(asked.args[0]))
                stream.write(wire.answer_bytes(wire.Answer(0)))

    def write(self, text: str) -> None:
        (self.charm / "src/charm.py").write_text(text)

    def environment(self, *, warm: bool = True, **variables: str) -> dict[str, str]:
        return {
            "PATH": f"{self.tools}:/usr/bin:/bin" if warm else "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "JUJU_DISPATCH_PATH": "hooks/start",
            "JUJU_CONTEXT_ID": "u/0-hook-1",
            "JUJU_AGENT_SOCKET_ADDRESS": str(self._agent),
            **variables,
        }

    @contextlib.contextmanager
    def begin(self, *, warm: bool = True, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Start a hook as `dispatch.execute` does."""
        # The interpreter of the charm is the first that a hook finds.
        (self.charm / "venv/bin/python").unlink(missing_ok=True)
        with subprocess.Popen(
            [self.charm / "dispatch"],
            cwd=self.charm,
            env=self.environment(warm=warm, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as started:
            yield started

    def run(self, *, warm: bool = True, **variables: str) -> Ended:
        before = len(self.heard)
        with self.begin(warm=warm, **variables) as started:
            out, error = started.communicate(timeout=30)
        return Ended(started.returncode, out, error, len(self.heard) > before)

    def interpreters(self) -> list[int]:
        """Return the warm interpreter and what was forked from it."""
        found: list[int] = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                text = (entry / "environ").read_bytes()
                ours = str(self.tools).encode() in text
                if ours and b"JUJU_CONTEXT_ID=warm" in text.split(b"\0"):
                    found.append(int(entry.name))
        return sorted(found)

    def close(self) -> None:
        for pid in self.interpreters():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def unit(tmp_path: Path, hooktool: Path) -> Iterator[Unit]:
    made = Unit(tmp_path, hooktool)
    yield made
    made.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def first_line(hook: subprocess.Popen[str]) -> str:
    assert hook.stdout is not None
    return hook.stdout.readline().rstrip()


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


WORLD = """
import json, os, signal, sys, threading
print(json.dumps({
    "argv": sys.argv, "orig": sys.orig_argv, "file": __file__, "name": __name__, "path": sys.path,
    "main": sorted(vars(sys.modules["__main__"])), "spec": repr(__spec__), "loader": str(type(__loader__)),
    "environ": list(os.environ.items()), "cwd": os.getcwd(), "executable": sys.executable,
    "base": sys._base_executable, "prefix": [sys.prefix, sys.base_prefix, sys.exec_prefix], "flags": str(sys.flags),
    "umask": os.umask(0), "signals": [str(signal.getsignal(n)) for n in signal.valid_signals() if n < 32],
    "files": sorted(os.listdir("/proc/self/fd")), "threads": threading.active_count(),
    "streams": [str(s) + str((s.line_buffering, s.isatty())) for s in (sys.stdin, sys.stdout, sys.stderr)],
    "cmdline": open("/proc/self/cmdline").read(),
    "site": getattr(sys.modules.get("sitecustomize"), "__file__", None), "nice": os.nice(0),
    "warnings": sys.warnoptions, "hooks": [str(sys.excepthook), str(sys.path_hooks)], "stdin": sys.stdin.read(),
    "cache": [key for key in sys.path_importer_cache if "warm" in key], "filters": len(__import__("warnings").filters),
}, indent=1))
"""
CASES = {
    "world": WORLD,
    "plain": "print('hello')",
    "code": "import sys\nprint('out')\nsys.exit(3)",
    "message": "import sys\nsys.exit('because')",
    "nothing": "raise SystemExit",
    "traceback": "def f(n):\n    return 1 / n\n"
    "try:\n    f(0)\nexcept ZeroDivisionError as e:\n    raise RuntimeError('x') from e",
    "syntax": "import json\nthis is no python",
    "missing": "import no_such_module_at_all",
    "hook": "import sys\nsys.excepthook = lambda *a: print(a, a[2].tb_frame, a[2].tb_next)\n1 / 0",
    "atexit": "import atexit, sys\natexit.register(print, 'late')\nsys.stdout.write('no newline')\nsys.exit(2)",
    "at_once": "import os\nprint('lost')\nos._exit(7)",
    "term": "import os, signal\nprint('x', flush=True)\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()",
    "kill": "import os\nos.kill(os.getpid(), 9)",
    "abort": "import os\nos.abort()",
    "interrupt": "raise KeyboardInterrupt",
    "large": "import sys\n"
    "for n in range(60000):\n    print('0123456789' * 6)\n    n % 10 or sys.stderr.write('e' * 40)",
    "thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.1), print('joined'))).start()",
    "child": "import subprocess, sys\n"
    "print(subprocess.run([sys.executable, '-c', 'import sys; print(sys.prefix)']).returncode)",
    "path": "import subprocess\nsubprocess.run(['python3', '-c', 'import sys; print(sys.executable, sys.prefix)'])",
    "again": "import os, subprocess, sys\nif 'DEEP' in os.environ:\n    sys.exit('deep')\n"
    "print(subprocess.run([sys.executable, __file__], env={**os.environ, 'DEEP': '1'}).returncode)",
    "delete": "class A:\n    def __del__(self): print('deleted')\na = A()",
    "pickle": "from dataclasses import dataclass\nimport pickle\n@dataclass\nclass A:\n    a: int\n"
    "print(pickle.loads(pickle.dumps(A(1))))",
}


@pytest.mark.parametrize("case", CASES)
def test_a_hook_cannot_tell(unit: Unit, case: str) -> None:
    (unit.charm / "src/helper.py").write_text("import decimal\n")
    unit.write(CASES[case])
    cold = unit.run(warm=False)
    first, second = unit.run(), unit.run()

    def same(ended: Ended) -> Ended:
        """Without what differs from one process to the next."""
        out = re.sub(r"0x[0-9a-f]+", "0x", ended.stdout.replace(f"{unit.tools}:", ""))
        return Ended(ended.code, out, ended.stderr, ended.warm)

    assert (cold.warm, first.warm, second.warm) == (False, True, True)
    for ended in (first, second):
        assert same(ended).stdout.splitlines() == same(cold).stdout.splitlines()
        assert same(ended) == same(cold)
    until(lambda: len(unit.interpreters()) <= 1)


def test_what_charms_import_is_ready_and_their_own_code_is_new(unit: Unit) -> None:
    (unit.site / "slow.py").write_text("import os\nborn = os.getpid()\n")
    (unit.charm / "src/own.py").write_text("import slow\nimport os\nborn = os.getpid()\n")
    unit.write(
        "'''Doc.'''\nimport os\nimport own, slow\nprint(slow.born == os.getpid(), own.born == os.getpid())"
    )
    assert unit.run(warm=False).stdout == "True True\n"
    assert unit.run().stdout == "False True\n"
    # Only what comes first: from the first other statement on a charm may have changed what it means.
    unit.write(
        "import os\nos.environ['SLOW'] = 'yes'\nimport slow\nprint(slow.born == os.getpid())"
    )
    [old] = unit.interpreters()
    os.kill(old, signal.SIGKILL)
    assert unit.run().stdout == "True\n"


@pytest.mark.parametrize(
    "text",
    [
        "import os\nfound = os.environ.get('JUJU_HOOK', 'none')",
        "import os\nfound = os.getenv('JUJU_HOOK')",
        "import os\nfound = len([name for name in os.environ])",
        "import os\nos.environ['FOUND'] = found = 'x'",
        "import sys\nprint('said', file=sys.stderr)\nfound = 1",
        "import warnings\nwarnings.warn('careful')\nfound = 1",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "found = threading.active_count()",
        "file = open('/etc/hostname')\nfound = file.read()",
        "import os\nos.chdir('/')\nfound = 1",
        "import sys\nsys.exit('not today')",
        "raise ValueError('never')",
        "import own\nfound = own",
    ],
)
def test_imports_that_notice_when_they_happen_happen_in_the_hook(unit: Unit, text: str) -> None:
    (unit.site / "keen.py").write_text(text + "\nimport os\nborn = os.getpid()\n")
    (unit.charm / "src/own.py").write_text("")
    unit.write("import keen, os\nprint(keen.found, keen.born == os.getpid())")
    cold = unit.run(warm=False, JUJU_HOOK="a")
    for hook in "ab":
        ended = unit.run(JUJU_HOOK=hook)
        assert ended.warm
        assert ended == unit.run(warm=False, JUJU_HOOK=hook)
    assert "False" not in cold.stdout


def test_a_hook_leaves_the_next_one_clean(unit: Unit) -> None:
    unit.write(
        "import json, os, sys\n"
        "print(json.__dict__.get('left'), 'LEFT' in os.environ, os.getcwd(), 'left' in sys.path, sys.argv)\n"
        "json.left, os.environ['LEFT'] = 1, 'x'\nsys.path.append('left')\nsys.argv.append('left')\nos.chdir('/')\n"
        "1 / 0"
    )
    ended = [unit.run(warm=False), unit.run(), unit.run(), unit.run()]
    assert ended[1] == ended[2] == ended[3] == ended[0]
    assert all(one.warm for one in ended[1:])


def test_changed_files_and_other_environments_are_seen_at_once(unit: Unit) -> None:
    (unit.site / "library.py").write_text("value = 1\n")
    unit.write("import library, os\nprint(library.value, os.environ.get('OTHER'))")
    assert [unit.run().stdout, unit.run().stdout] == ["1 None\n"] * 2
    (unit.site / "library.py").write_text("value = 22\n")
    changed = unit.run()
    assert (changed.stdout, changed.warm) == ("22 None\n", False)
    assert unit.run() == Ended(0, "22 None\n", "", True)
    until(lambda: len(unit.interpreters()) == 1)
    other = unit.run(OTHER="x")
    assert (other.stdout, other.warm) == ("22 x\n", False)
    assert unit.run(OTHER="x") == Ended(0, "22 x\n", "", True)
    (unit.site / "library.py").unlink()
    lost = unit.run(OTHER="x")
    assert (lost.code, lost.warm) == (1, False)
    assert "ModuleNotFoundError: No module named 'library'" in lost.stderr
    assert unit.run(OTHER="x") == Ended(1, "", lost.stderr, True)
    until(lambda: len(unit.interpreters()) == 1)


def test_only_the_start_of_a_hook_goes_to_it(unit: Unit) -> None:
    unit.write("print('ran')")
    assert unit.run(JUJU_DISPATCH_PATH="") == Ended(0, "ran\n", "", False)
    assert unit.run(OPERATOR_DISPATCH="1") == Ended(0, "ran\n", "", False)
    python, program = str(unit.charm / "venv/bin/python"), str(unit.charm / "src/charm.py")
    for words, stdin in (
        ([python, "-E", program], ""),
        ([python, program, "x"], ""),
        ([python], "print('ran')"),
    ):
        done = subprocess.run(
            words, env=unit.environment(), input=stdin, capture_output=True, text=True, check=True
        )
        assert done.stdout == "ran\n"
    assert (unit.heard, unit.interpreters()) == ([], [])


def test_its_cpu_time_is_told(unit: Unit) -> None:
    unit.write(
        "import os, subprocess, sys, time\n"
        "while time.process_time() < float(os.environ['JUJU_SECONDS']): pass\n"
        "subprocess.run([sys.executable, '-c', 'import time\\nwhile time.process_time() < .3: pass'])"
    )
    for seconds in ("0", "0.5"):
        unit.run(JUJU_SECONDS=seconds)
    assert unit.heard[0] >= 0.3
    assert unit.heard[1] >= 0.8


def test_signals_reach_the_hook(unit: Unit) -> None:
    unit.write(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended well'))\n"
        "print('up', flush=True)\nsignal.pause()"
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        with unit.begin() as hook:
            assert first_line(hook) == "up"
            os.kill(hook.pid, number)
            _, error = hook.communicate(timeout=20)
        caught = number == signal.SIGTERM
        assert (hook.returncode, error) == ((1, "ended well\n") if caught else (-number, ""))


LONG = """
import os, signal, subprocess
child = subprocess.Popen(["sleep", "1000"])
print(os.getpid(), os.getppid(), child.pid, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("victim", ["client", "group", "hook", "keeper"])
def test_a_death_leaves_nothing_and_the_next_hook_is_well(unit: Unit, victim: str) -> None:
    unit.write(LONG)
    with unit.begin() as hook:
        charm, keeper, child = (int(word) for word in first_line(hook).split())
        [warm] = set(unit.interpreters()) - {charm, keeper}
        if victim == "group":
            os.killpg(hook.pid, signal.SIGKILL)
        else:
            os.kill({"client": hook.pid, "hook": charm, "keeper": keeper}[victim], signal.SIGKILL)
        assert hook.wait(20) == -signal.SIGKILL
        if victim == "hook":
            # As without: what a charm started lives on when the charm alone is killed.
            assert not gone(child)
            os.kill(child, signal.SIGKILL)
        until(lambda: all(gone(pid) for pid in (charm, keeper, child)))
    assert not gone(warm)
    unit.write("print('well')")
    assert unit.run() == Ended(0, "well\n", "", True)


def test_hooks_survive_the_death_of_the_warm_interpreter(unit: Unit) -> None:
    unit.write(LONG)
    with unit.begin() as hook:
        charm, keeper, child = (int(word) for word in first_line(hook).split())
        [warm] = set(unit.interpreters()) - {charm, keeper}
        os.kill(warm, signal.SIGKILL)
        until(lambda: gone(warm))
        os.kill(hook.pid, signal.SIGTERM)
        assert hook.wait(20) == -signal.SIGTERM
        os.kill(child, signal.SIGKILL)
    unit.write("print('next')")
    assert unit.run() == Ended(0, "next\n", "", True)


def test_a_hook_may_begin_a_session(unit: Unit) -> None:
    # As in a pod, where the leader is the program that enters it.
    unit.write("import os\nos.setsid()\nprint(os.getsid(0) == os.getpid())")
    assert unit.run() == Ended(0, "True\n", "", True)


def test_it_ends_when_it_is_not_used(tmp_path: Path, hooktool: Path) -> None:
    unit = Unit(tmp_path, hooktool, idle=300)
    try:
        unit.write("print('x')")
        assert unit.run().warm
        until(lambda: not unit.interpreters())
        assert unit.run().warm
    finally:
        unit.close()


def test_it_keeps_no_value_of_a_hook(unit: Unit) -> None:
    secret = "only-" + "for-this-hook"
    unit.write("import os\nprint(len(os.environ['JUJU_PROXY']))")
    for _ in range(2):
        assert unit.run(JUJU_PROXY=secret).warm
        until(lambda: len(unit.interpreters()) == 1)
        [warm] = unit.interpreters()
        found = 0
        with Path(f"/proc/{warm}/mem").open("rb", 0) as memory:
            for line in Path(f"/proc/{warm}/maps").read_text().splitlines():
                span, rights, *_ = line.split()
                begin, end = (int(number, 16) for number in span.split("-"))
                if rights.startswith("rw"):
                    with contextlib.suppress(OSError):
                        memory.seek(begin)
                        found += memory.read(end - begin).count(secret.encode())
        assert found == 0
