"""Where things are in a workload image."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

PATH = "/usr/share/daybreak/layout.json"


@dataclass(frozen=True)
class Layout:
    """What an image says of itself.

    Attributes:
        project: Name of the project, such as `keystone`.
        release: OpenStack release, or the project's own version line.
        version: Version of the program.
        user: User that the program runs as.
        bin: Folder of its programs.
        static: Folder of its files for browsers; empty when it has none.
        heads: Database heads of this release by schema.
        revisions: All revisions that this release knows, by schema; may be empty.
    """

    project: str
    release: str
    version: str
    user: str
    bin: str
    static: str = ""
    heads: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    revisions: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    def program(self, name: str) -> str:
        """Absolute path of one of the project's programs."""
        return f"{self.bin}/{name}"

    @property
    def etc(self) -> str:
        """Folder of the files that the project comes with, such as `api-paste.ini`."""
        prefix = self.bin.removesuffix("/bin")
        return f"/etc/{self.project}" if prefix in ("", "/usr") else f"{prefix}/etc/{self.project}"


def _sets(value: object) -> dict[str, frozenset[str]]:
    if not isinstance(value, dict):
        return {}
    return {
        str(key): frozenset(str(item) for item in cast("list[object]", items))
        for key, items in cast("dict[object, object]", value).items()
        if isinstance(items, list)
    }


def parse(text: str) -> Layout | None:
    """Read an image's layout file; None when it is not one."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    data = cast("dict[str, object]", value)
    words = {key: str(data.get(key) or "") for key in ("project", "release", "version")}
    if not words["project"]:
        return None
    return Layout(
        **words,
        user=str(data.get("user") or words["project"]),
        bin=str(data.get("bin") or "/usr/bin"),
        static=str(data.get("static") or ""),
        heads=_sets(data.get("heads")),
        revisions=_sets(data.get("revisions")),
    )
