"""A machine with snapd, MicroK8s and Juju, as far as their commands tell: strict, and with a state.

It knows exactly the commands below, each with exactly these words, and fails the test on all others.
Commands change its state as the real ones do, so that a second run sees what the first one made.
Outputs have the form of the real programs (snapd 2.63, MicroK8s 1.34, Juju 3.6).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daybreak.users import User

from .conftest import Answer, Programs, settled, status_json

KIND = "application/vnd.oci.image.manifest.v1+json"
SNAPS = {
    "microk8s": ("v1.34.1", "8511", "1.34-strict/stable", "canonical**", "-"),
    "juju": ("3.6.27", "34040", "3.6/stable", "canonical**", "-"),
}
CHANNELS = {
    "microk8s": ("1.34/stable", "1.34-strict/stable", "1.33-strict/stable"),
    "juju": ("4/stable", "3.6/stable", "3.6/edge"),
}
ACCOUNT = {
    "username": "admin",
    "password": "hunter2",
    "user-domain-name": "admin_domain",
    "project-name": "admin",
    "project-domain-name": "admin_domain",
    "region": "RegionOne",
    "public-endpoint": "http://192.0.2.240/openstack-keystone/v3",
}


def write_layout(directory: Path, *names: str) -> None:
    """Write an OCI image layout of images that share a layer, and have one of their own."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    entries = []
    for name in names:
        layers = [blob(b"what all share", "layer"), blob(name.encode(), "layer")]
        manifest = {"schemaVersion": 2, "mediaType": KIND, "config": blob(b"{}", "config")}
        content = json.dumps(manifest | {"layers": layers}).encode()
        annotations = {"org.opencontainers.image.ref.name": name}
        entries.append(blob(content, KIND) | {"annotations": annotations})
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


@dataclass
class Outside(Programs):
    """The machine.

    Attributes:
        user: Who called sudo.
        trouble: Commands that fail once, by their first words, with what they say.
    """

    user: User = field(default_factory=lambda: User("ubuntu", 1000, 1000, Path("/home/ubuntu")))
    euid: int = 0
    snaps: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    addons: set[str] = field(default_factory=set[str])
    ready: bool = False
    members: set[str] = field(default_factory=set[str])
    imported: dict[str, str] = field(default_factory=dict[str, str])
    controllers: dict[str, str] = field(default_factory=dict[str, str])
    gone: set[str] = field(default_factory=set[str])
    models: dict[str, str] = field(default_factory=dict[str, str])
    """Model to what `juju status` says of it."""
    overlays: list[Path] = field(default_factory=list[Path])
    """Those of the last deployment."""
    store: bool = True
    snapd: bool = True
    juju_version: str = "3.6.27-ubuntu-amd64"
    trouble: dict[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str])
    transcript: list[str] = field(default_factory=list[str])

    def run(self, argv: Any, **options: Any) -> Any:
        self.transcript.append(" ".join(self._short(word) for word in self._parameters(argv)))
        words = tuple(self._short(word) for word in self._parameters(argv))
        if words not in self.known:
            answer = self._answer(words)
            if answer is None:
                pytest.fail(f"unexpected command: {words}")
            self.known[words] = [answer]
            try:
                return super().run(argv, **options)
            finally:
                del self.known[words]
        return super().run(argv, **options)

    def _short(self, word: str) -> str:
        return super()._short(str(word).replace(str(self.user.home), "~"))

    def _answer(self, words: tuple[str, ...]) -> Answer | None:
        for start, text in self.trouble.items():
            if words[: len(start)] == start:
                del self.trouble[start]
                return 1, "", text + "\n"
        if words[0] == "sudo":
            return self._as_user(words)
        if words[0] == "/snap/bin/juju" and self.euid == 0 and self.user.uid != 0:
            pytest.fail(f"juju as root, not as the user: {words}")
        return self._known(words)

    def _known(self, words: tuple[str, ...]) -> Answer | None:
        if self.euid != 0 and words[0] in ("usermod", "gpasswd"):
            return 1, "", f"{words[0]}: Permission denied.\n"
        handler = {
            "snap": self._snap,
            "microk8s": self._microk8s,
            "usermod": self._usermod,
            "gpasswd": self._gpasswd,
            "/snap/bin/juju": self._juju,
            "python": self._python,
            "openstack": lambda words: (0, "2026-11-28T19:00:00+0000\n", ""),
        }.get(words[0])
        return handler(words[1:]) if handler else None

    def _as_user(self, words: tuple[str, ...]) -> Answer | None:
        """`sudo -H -u USER [-g GROUP] -- COMMAND`, by root only."""
        assert self.euid == 0, "only root becomes somebody else"
        head, command = words[: words.index("--")], words[words.index("--") + 1 :]
        plain = ("sudo", "-H", "-u", self.user.name)
        if head not in (plain, (*plain, "-g", "snap_microk8s")):
            return None
        if command[0] == "mkdir":
            assert command[:2] == ("mkdir", "-p")
            Path(command[2].replace("~", str(self.user.home))).mkdir(parents=True, exist_ok=True)
            return 0, "", ""
        if "bootstrap" in command and head == plain:
            return 1, "", "ERROR cannot read /var/snap/microk8s: permission denied\n"
        return self._known(command)

    # --- snapd

    def _snap(self, words: tuple[str, ...]) -> Answer | None:
        if not self.snapd:
            return 127, "", "snap: not found\n"
        match words:
            case ("version",):
                return 0, "snap    2.63\nsnapd   2.63\nseries  16\nubuntu  24.04\n", ""
            case ("list",):
                head = "Name  Version  Rev  Tracking  Publisher  Notes\n"
                rows = [f"{name}  {'  '.join(rest)}\n" for name, rest in self.snaps.items()]
                return 0, head + "".join(rows), ""
            case ("info", name) if name in CHANNELS:
                if not self.store:
                    return (
                        1,
                        "",
                        'error: no snap found for "microk8s": dial tcp: no route to host\n',
                    )
                rows = [f"  {channel}:  1.0 2026-01-01 (1) 1MB -\n" for channel in CHANNELS[name]]
                return 0, f"name: {name}\nchannels:\n" + "".join(rows), ""
            case ("install", name, channel) if name in SNAPS:
                assert channel == f"--channel={SNAPS[name][2]}", channel
                assert name not in self.snaps, "it is there already"
                self.snaps[name] = SNAPS[name]
                return 0, f"{name} {SNAPS[name][0]} from Canonical installed\n", ""
            case ("remove", "--purge", name) if name in self.snaps:
                del self.snaps[name]
                self.addons.clear()
                return 0, f"{name} removed\n", ""
        return None

    # --- MicroK8s

    def _microk8s(self, words: tuple[str, ...]) -> Answer | None:
        if "microk8s" not in self.snaps:
            return 127, "", "microk8s: not found\n"
        match words:
            case ("status",):
                running = "microk8s is running\nhigh-availability: no\n"
                return (0, running, "") if self.ready else (1, "microk8s is not running.\n", "")
            case ("status", "--wait-ready", "--timeout", seconds) if seconds.isdigit():
                self.ready = True
                return 0, "microk8s is running\n", ""
            case ("status", "-a", name):
                return 0, "enabled\n" if name in self.addons else "disabled\n", ""
            case ("enable", argument):
                name, _, given = argument.partition(":")
                assert bool(given) == (name == "metallb"), (
                    "metallb without addresses asks, and hangs"
                )
                self.addons.add(name)
                return 0, f"Addon core/{name} is enabled\n", ""
            case ("disable", name) if name in self.addons:
                self.addons.remove(name)
                return 0, "", ""
            case ("ctr", "images", "ls"):
                head = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n"
                kind = "application/vnd.oci.image.manifest.v1+json"
                rows = [f"{n} {kind} {d} 9.9 MiB linux/amd64 -\n" for n, d in self.imported.items()]
                return 0, head + "".join(rows), ""
            case ("ctr", "images", "rm", *names) if set(names) <= set(self.imported):
                for name in names:
                    del self.imported[name]
                return 0, "", ""
            case ("images", "import", file):
                self._import(file)
                return 0, f"Pushing OCI images to 192.0.2.1:25000 from {file}\n", ""
            case ("kubectl", "get", "nodes", "-o", "json"):
                return 0, json.dumps({"items": [{"metadata": {"name": "one"}}]}), ""
        return None

    def _import(self, file: str) -> None:
        import tarfile

        with tarfile.open(file) as archive:
            index = archive.extractfile("index.json")
            assert index is not None
            for entry in json.load(index)["manifests"]:
                name = entry["annotations"]["io.containerd.image.name"]
                self.imported[name] = entry["digest"]

    def _usermod(self, words: tuple[str, ...]) -> Answer | None:
        if words != ("--append", "--groups", "snap_microk8s", self.user.name):
            return None
        self.members.add(self.user.name)
        return 0, "", ""

    def _gpasswd(self, words: tuple[str, ...]) -> Answer | None:
        if words != ("--delete", self.user.name, "snap_microk8s"):
            return None
        self.members.discard(self.user.name)
        return 0, f"Removing user {self.user.name} from group snap_microk8s\n", ""

    def _python(self, words: tuple[str, ...]) -> Answer | None:
        match words:
            case ("-m", "daybreak_images", "list", *names):
                return 0, "".join(f"x  built  {image}\n" for image in names), ""
            case ("-m", "daybreak_images", "layout", directory, *names):
                write_layout(Path(directory), *names)
                return 0, "".join(f"{name}: exporting\n" for name in names), ""
        return None

    # --- Juju

    def _juju(self, words: tuple[str, ...]) -> Answer | None:
        if "juju" not in self.snaps:
            return 127, "", "/snap/bin/juju: not found\n"
        match words:
            case ("version",):
                return 0, f"{self.juju_version}\n", ""
            case ("controllers", "--format", "json"):
                current = next(iter(self.controllers), None)
                known = {name: {"cloud": "k8s"} for name in self.controllers}
                return (
                    0,
                    json.dumps({"controllers": known or None, "current-controller": current}),
                    "",
                )
            case ("show-controller", name, "--format", "json"):
                if name in self.controllers:
                    return 0, json.dumps({name: {"details": {}}}), ""
                return 1, "", f"ERROR controller {name} not found\n"
            case ("models", "-c", name, "--format", "json"):
                return self._models(name)
            case ("bootstrap", "microk8s", name, "--config", wait):
                assert wait.startswith("bootstrap-timeout=")
                assert {"dns", "hostpath-storage"} <= self.addons
                assert (self.user.home / ".local/share/juju").is_dir()
                assert name not in self.controllers
                self.controllers[name] = "3.6.27"
                return 0, "", "Creating Juju controller\nBootstrap complete\n"
            case ("destroy-controller", name, *flags) if name in self.controllers:
                wanted = ["--no-prompt", "--destroy-all-models", "--destroy-storage", "--force"]
                assert flags == wanted
                del self.controllers[name]
                self.models.clear()
                return 0, "", ""
        return self._model(words)

    def _models(self, name: str) -> Answer:
        if name not in self.controllers or name in self.gone:
            return 1, "", f"ERROR cannot connect to the API of {name}: i/o timeout\n"
        entries = [{"short-name": "controller", "is-controller": True}]
        entries += [{"short-name": model, "is-controller": False} for model in self.models]
        version = self.controllers[name]
        more = {"model-type": "caas", "agent-version": version}
        return 0, json.dumps({"models": [entry | more for entry in entries]}), ""

    def _model(self, words: tuple[str, ...]) -> Answer | None:
        match words:
            case ("add-model", "--no-switch", "-c", controller, model, *more):
                assert controller in self.controllers
                assert len(more) <= 1
                self.models[model] = status_json()
                return 0, "", f"Added '{model}' model\n"
            case ("status", "--model" | "-m", where, "--format", "json"):
                return 0, self.models[where.partition(":")[2]], ""
            case ("deploy", "--model", where, bundle, *flags) if flags[-1:] == ["--trust"]:
                content = Path(bundle.replace("~", str(self.user.home))).read_text()
                assert "charm: ./keystone-k8s.charm" in content
                assert set(flags[:-1:2]) <= {"--overlay"}
                self.overlays = [
                    Path(file.replace("~", str(self.user.home))) for file in flags[1::2]
                ]
                for file in (bundle, *flags[1::2]):
                    assert file.startswith("~/"), (
                        "the snap of Juju reads no other snap's directories"
                    )
                    assert "/." not in file, "the snap of Juju reads no hidden directories"
                assert all(file.is_file() for file in self.overlays)
                self.models[where.partition(":")[2]] = settled()
                return 0, "", "Deploy of bundle completed.\n"
            case (
                "run",
                "--model",
                _,
                "--format",
                "json",
                unit,
                "get-admin-account",
                "--wait",
                "60s",
            ):
                task = {"id": "2", "status": "completed", "results": ACCOUNT}
                return 0, json.dumps({unit.replace("leader", "0"): task}), ""
            case ("destroy-model", where, *flags):
                assert flags == ["--no-prompt", "--destroy-storage", "--force", "--timeout", "600s"]
                del self.models[where.partition(":")[2]]
                return 0, "", "Model destroyed.\n"
            case ("remove-application", "-m", where, *flags):
                assert flags[:3] == ["--no-prompt", "--destroy-storage", "--force"]
                model = where.partition(":")[2]
                content = json.loads(self.models[model])
                del content["applications"][flags[3]]
                self.models[model] = json.dumps(content)
                return 0, "", f"will remove application {flags[3]}\n"
        return None
