"""The measured part of docs/reference/performance.md, made from the numbers; pure but for `write`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from .records import GUEST, OWN, SUBJECTS, Hook, Results, Round, limits, median
from .running import IMPORTS

LEAST_MIB = 1.0
"""Services below it in both columns are not worth a row."""
TOP_HOOKS = 15
"""The hooks that take most of the processor's time are listed by name; so many."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def steps(of: Sequence[Mapping[str, float]]) -> list[tuple[str, str]]:
    """Return name and median of each step."""
    return [(name, f"{median(one.get(name, 0.0) for one in of):.2f}") for name in of[0]]


def tables(results: Results) -> str:
    """Return the measured part of the document."""
    rounds = results.rounds
    script = SUBJECTS[results.bundle].script.relative_to(SUBJECTS[results.bundle].script.parents[1])
    times = "1 round" if len(rounds) == 1 else f"{len(rounds)} rounds, medians"
    text = [f"Measured on {results.date}: {results.machine}; {times}.", ""]
    text += ["### A bootstrap and the bare script, images built", ""]
    text += table(
        ("", "seconds", "of the rounds"),
        [
            _totals(script.name, [r.bare.total for r in rounds]),
            _totals(_command(results.bundle), [r.daybreak.total for r in rounds]),
            _ratio("ratio", limits(results)[0].most, results.ratio, [r.ratio for r in rounds]),
        ],
    )
    text += ["Steps of the bootstrap:", ""]
    text += table(("step", "seconds"), steps([r.daybreak.steps for r in rounds]))
    text += ["Steps of bare.sh:", ""]
    text += table(("step", "seconds"), steps([r.bare.steps for r in rounds]))
    if results.from_nothing:
        text += ["### From nothing", ""]
        text += ["No images, no packed charms, no virtual environment, no Pebble.", ""]
        text += table(("step", "seconds"), steps([results.from_nothing]))
    if rounds[0].bare.memory:
        text += _memory(results)
    if any(r.hooks for r in rounds):
        text += _hooks_of_bootstrap(rounds)
    if results.noop:
        text += _noop(results)
    return "\n".join(text).rstrip() + "\n"


def _command(bundle: str) -> str:
    words = "" if bundle == "identity" else f" --bundle {bundle}"
    server = " + first_server.py" if SUBJECTS[bundle].server else ""
    return f"./daybreak bootstrap{words}{server}"


def _totals(name: str, values: list[float]) -> tuple[str, str, str]:
    return f"`{name}`", f"{median(values):.1f}", ", ".join(f"{value:.1f}" for value in values)


def _ratio(name: str, most: float, value: float, each: list[float]) -> tuple[str, str, str]:
    rounds = ", ".join(f"{one:.2f}" for one in each)
    return f"**{name}** (limit {most})", f"**{value:.2f}**", rounds


def _memory(results: Results) -> list[str]:
    rounds = results.rounds
    names = {name for r in rounds for run in (r.bare, r.daybreak) for name in run.memory}
    both = {
        name: (
            median(r.bare.memory.get(name, 0.0) for r in rounds),
            median(r.daybreak.memory.get(name, 0.0) for r in rounds),
        )
        for name in names
    }
    listed = sorted(both.items(), key=lambda item: -max(item[1]))
    rows = [
        (name, f"{bare:.0f}", f"{ours:.0f}")
        for name, (bare, ours) in listed
        if name != GUEST and max(bare, ours) >= LEAST_MIB
    ]
    bare = median(r.bare.memory_sum for r in rounds)
    ours = median(r.daybreak.memory_sum for r in rounds)
    most = limits(results)[1].most
    share = [sum(both.get(name, (0.0, 0.0))[side] for name in OWN) for side in (0, 1)]
    rows += [
        ("all", f"{bare:.0f}", f"{ours:.0f}"),
        (f"of it {', '.join(OWN)}", f"{share[0]:.0f}", f"{share[1]:.0f}"),
        (f"**ratio** (limit {most})", "", f"**{results.memory_ratio:.2f}**"),
        ("users' servers, beside it", *(f"{value:.0f}" for value in both.get(GUEST, (0.0, 0.0)))),
    ]
    return ["### Memory when idle, MiB (PSS)", "", *table(("service", "bare.sh", "Daybreak"), rows)]


def _hooks_of_bootstrap(rounds: Sequence[Round]) -> list[str]:
    header = ("hooks", "seconds", "CPU seconds", "hook-tool calls")
    every = ("all", *_medians([_sums(one.hooks) for one in rounds]))
    units = _grouped(rounds, lambda hook: hook.unit)
    names = _grouped(rounds, lambda hook: hook.hook)
    costly = sorted(names.items(), key=lambda item: -median(cpu for _, _, cpu, _ in item[1]))
    return [
        "### Hooks of a bootstrap",
        "",
        *table(
            ("unit", *header),
            [*((unit, *_medians(values)) for unit, values in sorted(units.items())), every],
        ),
        f"By name, the {min(TOP_HOOKS, len(costly))} that take most of the processor's time:",
        "",
        *table(
            ("hook", *header),
            ((f"`{name}`", *_medians(values)) for name, values in costly[:TOP_HOOKS]),
        ),
    ]


def _grouped(
    rounds: Sequence[Round], group: Callable[[Hook], str]
) -> dict[str, list[tuple[int, float, float, int]]]:
    """Return the sums of each group of hooks, one for each round."""
    each = [defaultdict[str, list[Hook]](list) for _ in rounds]
    for found, one in zip(each, rounds, strict=True):
        for hook in one.hooks:
            found[group(hook)].append(hook)
    return {
        name: [_sums(found.get(name, ())) for found in each]
        for name in {name for found in each for name in found}
    }


def _sums(hooks: Sequence[Hook]) -> tuple[int, float, float, int]:
    return (
        len(hooks),
        sum(h.seconds for h in hooks),
        sum(h.cpu for h in hooks),
        sum(h.tools for h in hooks),
    )


def _medians(values: Sequence[tuple[int, float, float, int]]) -> tuple[str, str, str, str]:
    count, seconds, cpu, tools = (median(column) for column in zip(*values, strict=True))
    return f"{count:.0f}", f"{seconds:.1f}", f"{cpu:.1f}", f"{tools:.0f}"


def _noop(results: Results) -> list[str]:
    noop = results.noop
    text = ["### A hook of Keystone that changes nothing (update-status)", ""]
    text += table(
        ("hooks", "seconds", "CPU seconds", "hook-tool calls"),
        [
            (
                str(len(noop)),
                f"{median(h.seconds for h in noop):.2f}",
                f"{median(h.cpu for h in noop):.2f}",
                f"{median(h.tools for h in noop):.0f}",
            )
        ],
    )
    if len(results.parts) == len(IMPORTS):
        python, ops, library, charm = results.parts.values()
        answers = median(h.tool_seconds for h in noop)
        rest = median(h.seconds for h in noop) - (charm - library) - answers
        text += ["Where it goes:", ""]
        text += table(
            ("part", "seconds"),
            [
                ("importing the charm's own modules", f"{charm - library:.3f}"),
                ("the engine's answers to hook tools", f"{answers:.3f}"),
                (
                    "the loop, starting the hook tools, and Pebble's answers",
                    f"{max(rest, 0):.3f}",
                ),
            ],
        )
        text += ["What the unit's warm interpreter does once, for all hooks until it ends:", ""]
        text += table(
            ("part", "seconds"),
            [
                ("starting Python", f"{python:.3f}"),
                ("importing ops", f"{ops - python:.3f}"),
                ("importing the charms' library", f"{library - ops:.3f}"),
            ],
        )
    return text


def write(document: Path, bundle: str, measured: str) -> None:
    """Put the tables between the document's markers for a bundle.

    Raises:
        ValueError: The document has no such markers.
    """
    begin, end = (f"<!-- measured {bundle}: {word} -->" for word in ("begin", "end"))
    head, found, rest = document.read_text(encoding="utf-8").partition(begin)
    _, ended, tail = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{document} lacks the lines {begin} and {end}")
    document.write_text(f"{head}{begin}\n{measured}{end}{tail}", encoding="utf-8")
