"""Steps of an upgrade that OpenStack's services have in common."""

from daybreak_charm.upgrade import Step

ROLL = Step("roll", "roll", "drain and replace the units one by one, each online before the next")


def check(*command: str) -> Step:
    """The new release's own upgrade check; its exit code 1 is a warning (oslo.upgradecheck)."""
    return Step(
        "check",
        "check",
        "ask the new release whether this cloud can be upgraded",
        command,
        passes=frozenset({0, 1}),
    )


def expand(*command: str, name: str = "expand") -> Step:
    """What brings a schema to the new release while the old one goes on serving."""
    what = "add to the schema what the new release needs; the old one goes on serving"
    return Step(name, "expand", what, command)


def contract(*command: str) -> Step:
    """What removes what only the old release needed."""
    what = "remove from the schema what only the old release needed; no way back from here"
    return Step("contract", "contract", what, command)


def online(*command: str) -> Step:
    """What moves data to the new release's form while it serves."""
    what = "move what the old release stored to the new one's form, while it serves"
    return Step("online", "online", what, command)
