"""charmcraft, run from a scratch copy of the checkout, and what its archives have to be like."""

import hashlib
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".daybreak/charmcraft"
TEST_VENV = ROOT / ".daybreak/charm-tests"
LOCK = ROOT / "requirements/charmcraft.txt"
RELEASE = ROOT / "dist/release"
# charmcraft asks the distro package whether the host is the charm's base; it reads this instead of the host's file.
OS_RELEASE = 'ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\nNAME="Ubuntu"\n'
BASE = {"name": "ubuntu", "channel": "24.04"}
# What charmcraft leaves in a charm's directory; the next charm of the same copy would swallow it.
LEFT_OVERS = ("parts", "stage", "prime", "overlay")
# Bytes: ours are 5 to 6 MB. More means that something came along that nobody asked for.
MOST_BYTES = 20_000_000
SITE = "venv/lib/python3.12/site-packages/"
LINKS = ("docs", "issues", "source")
SUMMARY_LETTERS = 78
# uv is beside the Python that runs this.
PATH = f"{os.environ['PATH']}:{Path(sys.executable).parent}"


class PackError(Exception):
    """Charms cannot be packed; the message says why and what to do."""


def packer() -> ModuleType:
    """Return our own packer, a program without a suffix, as a module."""
    if "daybreak_pack" not in sys.modules:
        path = Path(__file__).with_name("pack")
        loader = importlib.machinery.SourceFileLoader("daybreak_pack", str(path))
        spec = importlib.util.spec_from_loader("daybreak_pack", loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        # dataclasses look their module up by name
        sys.modules["daybreak_pack"] = module
        loader.exec_module(module)
    return sys.modules["daybreak_pack"]


def charms() -> list[str]:
    """Return the names of all charms."""
    return sorted(path.parent.name for path in ROOT.glob("charms/*/charmcraft.yaml"))


def run(command: list[str | Path], **options: Any) -> str:
    """Run a command and return its output.

    Raises:
        PackError: It failed; has its last words.
    """
    environ = options.pop("env", {**os.environ, "PATH": PATH})
    program = shutil.which(command[0], path=environ["PATH"]) or command[0]
    done = subprocess.run(
        [program, *command[1:]], env=environ, capture_output=True, text=True, check=False, **options
    )
    if done.returncode:
        words = " ".join(str(word) for word in command[:3])
        raise PackError(f"{words} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def make_charmcraft() -> None:
    """Install charmcraft from its lock, once per lock."""
    key = VENV / "daybreak-key"
    if key.exists() and key.read_text() == LOCK.read_text():
        return
    print("installing charmcraft (about 10 s)", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    # python3-apt, which charmcraft needs on Debian, fits only the system's own Python.
    system = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    run(["uv", "venv", "--quiet", "--python", system, VENV])
    run(["uv", "pip", "sync", "--quiet", "--python", VENV / "bin/python", "--require-hashes", LOCK])
    site = next((VENV / "lib").glob("python3.*")) / "site-packages"
    for pattern in ("apt", "apt_pkg*.so", "apt_inst*.so"):
        for path in Path("/usr/lib/python3/dist-packages").glob(pattern):
            (site / path.name).symlink_to(path)
    key.write_text(LOCK.read_text())


def base_python() -> Path | None:
    """Return a real interpreter of the charms' base, if this machine has one."""
    found = [shutil.which("python3.12"), *Path.home().glob(".pyenv/versions/3.12*/bin/python3.12")]
    for candidate in filter(None, found):
        done = subprocess.run(
            [candidate, "-c", "import sys; print(sys.executable)"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return Path(done.stdout.strip())
    return None


def why_not() -> str:
    """Return why charmcraft cannot pack on this machine; empty when it can."""
    if base_python() is None:
        return "there is no Python 3.12, the charms' base (as python3.12 on PATH)"
    if (
        not Path("/usr/lib/python3/dist-packages/apt").exists()
        and Path("/usr/bin/apt-get").exists()
    ):
        return "charmcraft needs python3-apt here: apt install python3-apt"
    return ""


def copy_checkout(target: Path) -> None:
    """Copy what belongs to the checkout: charmcraft copies whatever lies there, other charms' results included."""
    listed = run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    for folder in (target / "charms").iterdir():
        # a charm that is only begun is no member of the workspace yet
        if not (folder / "pyproject.toml").exists():
            shutil.rmtree(folder)


def key(name: str) -> str:
    """Return the hash of everything that decides charmcraft's archive of a charm."""
    charm = packer().find(name)
    digest = hashlib.sha256(charm.key().encode())
    for path in (LOCK, Path(__file__), ROOT / "pyproject.toml", charm.path / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build(names: list[str], scratch: Path, say: Any = print) -> dict[str, Path]:
    """Pack charms with charmcraft into dist/release/dist, unchanged ones at no cost; return the archives.

    Raises:
        PackError: A charm cannot be packed; the archives that there were stay.
    """
    target = RELEASE / "dist"
    target.mkdir(parents=True, exist_ok=True)
    kept = RELEASE / ".keys.json"
    keys: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
    wanted = {name: key(name) for name in names}
    missing = [
        name
        for name, value in wanted.items()
        if keys.get(name) != value or not (target / f"{name}.charm").exists()
    ]
    for name in set(names) - set(missing):
        say(f"{name}: up to date")
    if missing:
        make_charmcraft()
        # Two at a time, each in a copy of its own: charmcraft copies the whole tree it works in.
        halves = [half for half in (missing[::2], missing[1::2]) if half]
        with ThreadPoolExecutor(max_workers=2) as pool:
            for packed in pool.map(
                lambda half: _pack(half[1], scratch / str(half[0]), say), enumerate(halves)
            ):
                for name, archive in packed.items():
                    shutil.move(archive, target / f"{name}.charm")
                    keys[name] = wanted[name]
                kept.write_text(json.dumps(keys, indent=1, sort_keys=True))
    return {name: target / f"{name}.charm" for name in names}


def _pack(names: list[str], scratch: Path, say: Any) -> dict[str, Path]:
    import time

    python = base_python()
    assert python is not None, "why_not() was asked before"
    copy = scratch / "copy"
    copy_checkout(copy)
    _pin(copy)
    for path, text in ((scratch / "etc/os-release", OS_RELEASE), (scratch / "run/.keep", "")):
        path.parent.mkdir()
        path.write_text(text)
    (scratch / "bin").mkdir()
    (scratch / "bin/python3").symlink_to(python)
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VIRTUAL_ENV", "TOX_"))
    }
    environ |= {
        "PATH": f"{scratch / 'bin'}:{python.parent}:{PATH}:{VENV / 'bin'}",
        "UNIXCONFDIR": str(scratch / "etc"),
        "XDG_RUNTIME_DIR": str(scratch / "run"),
        "XDG_STATE_HOME": str(scratch / "run"),
        "UV_LINK_MODE": "copy",
    }
    # The versions of our locks, in the form that charmcraft's uv plugin wants.
    run(["uv", "lock", "--quiet", "--python", python], cwd=copy, env=environ)
    packed: dict[str, Path] = {}
    for name in names:
        began = time.monotonic()
        charm = copy / "charms" / name
        data = yaml.safe_load((charm / "charmcraft.yaml").read_text())
        # uv is on PATH; a snap of it could not be installed everywhere.
        for part in data["parts"].values():
            part.pop("build-snaps", None)
        (charm / "charmcraft.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
        run(
            [VENV / "bin/charmcraft", "pack", "--destructive-mode", "--quiet"],
            cwd=charm,
            env=environ,
        )
        packed[name] = next(charm.glob("*.charm")).rename(scratch / f"{name}.charm")
        for left in LEFT_OVERS:
            shutil.rmtree(charm / left, ignore_errors=True)
        size = packed[name].stat().st_size / 1e6
        say(f"{name}: packed in {time.monotonic() - began:.0f} s ({size:.1f} MB)")
    return packed


def _pin(copy: Path) -> None:
    """Let uv resolve to the versions of the charms' locks, and no others."""
    pins = {
        line.split(" ")[0]
        for lock in (ROOT / "requirements/charms").glob("*.txt")
        for line in lock.read_text().splitlines()
        if "==" in line and not line.startswith((" ", "#"))
    }
    project = copy / "pyproject.toml"
    lines = ",\n".join(f'    "{pin}"' for pin in sorted(pins))
    text = project.read_text()
    assert text.count("[tool.uv]\n") == 1
    project.write_text(
        text.replace("[tool.uv]\n", f"[tool.uv]\nconstraint-dependencies = [\n{lines},\n]\n")
    )


def problems(name: str, archive: Path) -> Iterator[str]:
    """Yield what is wrong with an archive."""
    if archive.stat().st_size > MOST_BYTES:
        yield f"it has {archive.stat().st_size / 1e6:.1f} MB, {MOST_BYTES / 1e6:.0f} are enough"
    with zipfile.ZipFile(archive) as opened:
        files = {entry.filename: entry for entry in opened.infolist()}
        for needed in ("metadata.yaml", "manifest.yaml", "dispatch", "src/charm.py"):
            if needed not in files:
                yield f"{needed} is missing"
                return
        if files["dispatch"].external_attr >> 16 & 0o111 != 0o111:
            yield "dispatch cannot be executed"
        metadata = yaml.safe_load(opened.read("metadata.yaml"))
        manifest = yaml.safe_load(opened.read("manifest.yaml"))
    yield from _metadata_problems(name, metadata)
    for base in manifest["bases"]:
        if {key: base[key] for key in BASE} != BASE:
            yield f"it is for {base['name']}@{base['channel']}"
    yield from _content_problems(name, set(files))


def _metadata_problems(name: str, metadata: dict[str, Any]) -> Iterator[str]:
    if metadata.get("name") != name:
        yield f"it calls itself {metadata.get('name')}"
    assumes = {str(entry).replace(" ", "") for entry in metadata.get("assumes", [])}
    if not {"k8s-api", "juju>=3.6"} <= assumes:
        yield f"it assumes {sorted(assumes)}, not k8s-api and juju >= 3.6"
    for key in ("display-name", "summary", "description", *LINKS):
        if not metadata.get(key):
            yield f"metadata.yaml has no {key}"
    if len(metadata.get("summary", "")) > SUMMARY_LETTERS:
        yield f"its summary has more than {SUMMARY_LETTERS} letters"
    if not (ROOT / "charms" / name / "README.md").exists():
        yield "the charm has no README.md"


def _content_problems(name: str, files: set[str]) -> Iterator[str]:
    if not any(file.startswith(SITE) for file in files):
        yield f"it has no packages for Python 3.12 ({SITE})"
    others = [charm for charm in charms() if charm != name]
    for file in sorted(files):
        top = file.split("/")[0]
        if top in ("tests", "charms", "parts", "stage", "prime", "docs", ".git"):
            yield f"{file} does not belong into it"
        elif any(f"/{other}/" in f"/{file}" for other in others):
            yield f"{file} is of another charm"
        elif file.endswith(".so") and not re.search(r"\.(cpython-312-[^/]*|abi3)\.so$", file):
            yield f"{file} is not for Python 3.12"


def make_test_environment() -> Path:
    """Return a Python 3.12 with the tools of the unit tests, but for what charms bring themselves."""
    lock = ROOT / "requirements/dev.txt"
    key = TEST_VENV / "daybreak-key"
    python = TEST_VENV / "bin/python"
    if not (key.exists() and key.read_text() == lock.read_text()):
        print("installing the unit tests' tools for Python 3.12 (about 20 s)", flush=True)
        base = base_python()
        assert base is not None, "why_not() was asked before"
        shutil.rmtree(TEST_VENV, ignore_errors=True)
        run(["uv", "venv", "--quiet", "--python", base, TEST_VENV])
        run(["uv", "pip", "sync", "--quiet", "--python", python, "--require-hashes", lock])
        key.write_text(lock.read_text())
    return python


def unit_tests(name: str, archive: Path, scratch: Path) -> str:
    """Run a charm's unit tests in its unpacked archive and return the last line that pytest says.

    Raises:
        PackError: They failed, or there are none.
    """
    charm = scratch / f"unpacked-{name}"
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(charm)
    shutil.copytree(ROOT / "charms" / name / "tests", charm / "tests")
    shutil.copy(ROOT / "charms" / name / "pyproject.toml", charm)
    python = make_test_environment()
    environ = {**os.environ, "PYTHONPATH": str(charm / SITE)}
    said = run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=charm, env=environ)
    return said.strip().splitlines()[-1]


def write_manifest() -> Path:
    """Write which files there are in dist/release, with their digests; return the manifest's path."""
    version = tomllib.loads((ROOT / "cli/pyproject.toml").read_text())["project"]["version"]
    files = sorted(
        path
        for folder in ("bundles", "dist")
        for path in (RELEASE / folder).iterdir()
        if path.is_file()
    )
    content = {
        "version": version,
        "files": {
            path.relative_to(RELEASE).as_posix(): {
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "size": path.stat().st_size,
            }
            for path in files
        },
    }
    target = RELEASE / "manifest.json"
    target.write_text(json.dumps(content, indent=1) + "\n")
    return target


def copy_bundles() -> None:
    """Put the bundles beside the charms, where their paths lead to them."""
    target = RELEASE / "bundles"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    source = ROOT / "bundles"
    for path in sorted(source.rglob("*.yaml")):
        place = target / path.relative_to(source)
        place.parent.mkdir(exist_ok=True)
        shutil.copy(path, place)
