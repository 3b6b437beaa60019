"""The options and policies that a release has, and what is wrong with those that a charm would render."""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from daybreak_charm.ini import Options

_TRUTH = {"true", "false", "yes", "no", "on", "off", "1", "0"}


@dataclass(frozen=True)
class Catalogue:
    """What a release of a project knows.

    Attributes:
        project: Name of the project.
        release: Its release.
        options: Type of each option by section and name.
        policies: Names of its policies.
    """

    project: str
    release: str
    options: Mapping[str, Mapping[str, str]]
    policies: frozenset[str]

    def check(self, options: Options) -> str | None:
        """What is wrong with options; None when nothing is.

        Returns:
            The first fault with the nearest right name.
        """
        for section, values in options.items():
            known = self.options.get(section)
            if known is None:
                return f"[{section}] is no section of {self._name}{_nearest(section, self.options)}"
            for key, value in values.items():
                kind = known.get(key.replace("-", "_"))
                if kind is None:
                    elsewhere = [s for s, names in self.options.items() if key in names]
                    hint = f", but [{elsewhere[0]}] has it" if elsewhere else _nearest(key, known)
                    return f"[{section}] {key} is no option of {self._name}{hint}"
                if fault := _wrong(kind, value):
                    return f"[{section}] {key} is {fault}"
        return None

    def check_policies(self, names: Iterable[str]) -> str | None:
        """What is wrong with names of policies; None when nothing is."""
        for name in names:
            if name not in self.policies:
                return f"{name} is no policy of {self._name}{_nearest(name, self.policies)}"
        return None

    def extended(self, sections: Mapping[str, str]) -> "Catalogue":
        """The same with sections that a configuration names itself.

        Args:
            sections: Section of the catalogue that says what each of them may hold, by its name.
        """
        known = {name: self.options[of] for name, of in sections.items() if of in self.options}
        return replace(self, options={**self.options, **known})

    @property
    def _name(self) -> str:
        return f"{self.project} {self.release}"


def load(folder: Path, release: str) -> Catalogue | None:
    """The catalogue of a release; None when the charm does not know that release."""
    path = folder / f"{release}.json"
    if "/" in release or not path.is_file():
        return None
    data = cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))
    return Catalogue(
        project=str(data["project"]),
        release=str(data["release"]),
        options=cast("dict[str, dict[str, str]]", data["options"]),
        policies=frozenset(cast("list[str]", data["policies"])),
    )


def parse_policies(text: str, catalogue: Catalogue) -> dict[str, str] | str:
    """Read the operator's policy deltas (`name: rule`, YAML).

    Returns:
        The rules, or what is wrong with them.
    """
    import yaml

    try:
        value: object = yaml.safe_load(text) if text.strip() else {}
    except yaml.YAMLError:
        return "it is no YAML"
    if not isinstance(value, dict):
        return "write `policy: rule`, one on a line"
    rules: dict[str, str] = {}
    for name, rule in cast("dict[object, object]", value).items():
        if not isinstance(rule, str):
            return f"the rule of {name} is no text"
        rules[str(name)] = rule
    return catalogue.check_policies(rules) or rules


def render_policies(rules: Mapping[str, str]) -> str:
    """The file of policies: YAML that is no JSON, which an upgrade check of oslo.policy refuses."""
    lines = [f"{json.dumps(name)}: {json.dumps(rule)}" for name, rule in sorted(rules.items())]
    return "\n".join(["# Policies that differ from the release's own.", *lines, ""])


def _nearest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _wrong(kind: str, value: object) -> str | None:
    text = str(value).strip()
    if value is None or text.startswith("$"):
        return None
    if "bool" in kind:
        return None if text.lower() in _TRUTH else "true or false"
    if kind.startswith(("integer", "port")):
        return None if text.lstrip("-").isdigit() else "a whole number"
    if kind.startswith(("float", "floating")):
        try:
            float(text)
        except ValueError:
            return "a number"
    return None
