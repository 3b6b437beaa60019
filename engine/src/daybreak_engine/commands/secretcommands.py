"""Secrets of users, and a look at those of charms."""

import base64
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime

from daybreak_engine import errors
from daybreak_engine.model import applications, models, relations, rows, secrets
from daybreak_engine.model.store import Transaction

from . import output, settings
from .command import Call, Command, format_flag
from .deps import Err, Out, Output
from .failures import CommandError, UsageError
from .flags import Flag, Kind
from .output import Plain

_ID = re.compile(r"(?:secret:)?(?://)?(?:[0-9a-f-]{36}/)?([0-9a-v]{20})")
_KEY = re.compile(r"[a-z](?:-?[a-z0-9]){2,}")


def when(seconds: float) -> str:
    """Return a time as secrets show it: RFC 3339 in UTC."""
    moment = datetime.fromtimestamp(seconds, UTC)
    fraction = f".{moment.microsecond:06d}".rstrip("0").rstrip(".")
    return Plain(f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z")


def _owner(secret: rows.Secret) -> str:
    return "<model>" if secret.owner_kind == "model" else secret.owner


def _tree(secret: rows.Secret, checksum: str = "") -> dict[str, object]:
    tree: dict[str, object] = {"revision": secret.revision}
    if checksum:
        tree["checksum"] = checksum
    tree |= {"rotation": secret.rotate}
    if secret.rotates is not None:
        tree["rotates"] = when(secret.rotates)
    if secret.expires is not None:
        tree["expires"] = when(secret.expires)
    tree["owner"] = _owner(secret)
    if secret.description:
        tree["description"] = secret.description
    if secret.label:
        tree["name" if secret.owner_kind == "model" else "label"] = secret.label
    return {**tree, "created": when(secret.created), "updated": when(secret.updated)}


def found(tx: Transaction, written: str) -> rows.Secret:
    """Return a secret by its URI, id, or (user secrets) name.

    Raises:
        errors.NotFoundError: there is none.
    """
    match = _ID.fullmatch(written)
    secret = secrets.find(tx, match[1]) if match else None
    if secret is None and not written.startswith("secret:"):
        secret = secrets.find_label(tx, "model", models.get(tx).uuid, written)
    if secret is None:
        raise errors.NotFoundError(f'secret "{written}" not found')
    return secret


def _own(tx: Transaction, written: str) -> rows.Secret:
    """Return a user secret.

    Raises:
        CommandError: it belongs to a charm.
    """
    secret = found(tx, written)
    if secret.owner_kind != "model":
        raise CommandError(
            f'"{models.get(tx).uuid}" is not allowed to manage this secret',
            remedy=f"it belongs to {secret.owner}",
        )
    return secret


def _content(call: Call, pairs: tuple[str, ...]) -> dict[str, str]:
    """Return keys and values of the command line and of `--file`.

    Raises:
        UsageError: a bad key or an empty value. The value itself is never shown.
    """
    values: dict[str, str] = {}
    if call.parsed.text("file"):
        where = call.parsed.text("file")
        for key, value in settings.from_plain_yaml(call.read_file(where), where).items():
            values[key] = str(value).lower() if isinstance(value, bool) else str(value)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not value:
            raise UsageError(f'key value "{key}=" not valid')
        values[key] = call.read_file(value[1:]) if value.startswith("@") else value
    result: dict[str, str] = {}
    for key, value in values.items():
        name, encoded = key.removesuffix("#base64"), key.endswith("#base64")
        name, from_file = name.removesuffix("#file"), name.endswith("#file")
        if not _KEY.fullmatch(name):
            raise UsageError(
                f'key "{name}" not valid',
                remedy="keys have three or more lower-case letters, digits or dashes",
            )
        text = call.read_file(value) if from_file else value
        result[name] = _decoded(name, text) if encoded else text
    return result


def _decoded(name: str, text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError as error:
        raise UsageError(f'the value of key "{name}" is not valid base64 text') from error


async def add_secret(call: Call) -> AsyncIterator[Output]:
    """Make a user secret."""
    if not call.args:
        raise UsageError("missing secret name")
    content = _content(call, call.args[1:])
    if not content:
        raise UsageError("missing secret value or filename")
    deps = call.model()
    with deps.store.transaction() as tx:
        secret = secrets.add(
            tx,
            content,
            owner_kind="model",
            owner=models.get(tx).uuid,
            label=call.args[0],
            description=call.parsed.text("info"),
        )
    yield Out(f"secret:{secret.id}\n")


async def update_secret(call: Call) -> Iterable[Output]:
    """Change a user secret; new content is a new revision."""
    if not call.args:
        raise UsageError("missing secret URI")
    content = _content(call, call.args[1:])
    given = call.parsed.given
    if not content and not {"info", "name", "auto-prune"} & given:
        raise UsageError("specify either content or metadata to update")
    deps = call.model()
    with deps.store.transaction() as tx:
        secret = _own(tx, call.args[0])
        secrets.update(
            tx,
            secret.id,
            content=content or None,
            label=call.parsed.text("name") if "name" in given else None,
            description=call.parsed.text("info") if "info" in given else None,
            auto_prune=call.parsed.on("auto-prune") if "auto-prune" in given else None,
        )
    deps.wake()
    return ()


async def remove_secret(call: Call) -> Iterable[Output]:
    """Remove a user secret or one of its revisions."""
    if len(call.args) != 1:
        raise UsageError("missing secret URI")
    deps = call.model()
    revision = call.parsed.number("revision")
    with deps.store.transaction() as tx:
        secret = _own(tx, call.args[0])
        if revision is not None and revision not in {
            r.revision for r in secrets.revisions(tx, secret.id)
        }:
            raise errors.NotFoundError(f"secret revision not found: secret:{secret.id}/{revision}")
        secrets.remove(tx, secret.id, revision)
    deps.wake()
    return ()


async def grant_secret(call: Call) -> Iterable[Output]:
    """Let applications read a user secret."""
    return _change_access(call, granted=True)


async def revoke_secret(call: Call) -> Iterable[Output]:
    """Take the right to read a user secret away."""
    return _change_access(call, granted=False)


def _change_access(call: Call, *, granted: bool) -> Iterable[Output]:
    if len(call.args) != 2:
        raise UsageError("missing secret name" if not call.args else "missing application name")
    written, names = call.args
    deps = call.model()
    with deps.store.transaction() as tx:
        try:
            secret = _own(tx, written)
        except errors.NotFoundError as error:
            raise errors.NotFoundError(
                f'getting user secret for label "{written}": secret with label "{written}" '
                "not found (secret not found)"
            ) from error
        for name in names.split(","):
            if applications.find(tx, name) is None:
                raise errors.NotFoundError(
                    "failed to grant/revoke secret: cannot change access to "
                    f'"secret:{secret.id}" for "{name}": application "{name}" not found'
                )
            if granted:
                secrets.grant(tx, secret.id, name, None)
            else:
                secrets.revoke(tx, secret.id, name)
    deps.wake()
    return ()


async def list_secrets(call: Call) -> AsyncIterator[Output]:
    """List the model's secrets."""
    tx = call.model().store.read()
    wanted = call.parsed.text("owner")
    if wanted and not re.fullmatch(r"(application|unit|model)-.+", wanted):
        raise CommandError(f'invalid owner "{wanted}": "{wanted}" is not a valid tag')
    listed = sorted(secrets.all_(tx), key=lambda s: (s.owner_kind != "model", s.owner, s.id))
    if wanted:
        listed = [s for s in listed if wanted == _tag(s)]
    if call.parsed.text("format") != "tabular":
        yield call.formatted({s.id: _tree(s) for s in sorted(listed, key=lambda s: s.id)})
        return
    if not listed:
        yield Err("ID    Name       Owner    Rotation  Revision  Last updated\n")
        return
    heads = ("ID", "Name", "Owner", "Rotation", output.Right("Revision"), "Last updated")
    lines: list[tuple[output.Cell, ...]] = [
        (
            s.id,
            s.label if s.owner_kind == "model" and s.label else "-",
            _owner(s),
            s.rotate,
            output.Right(str(s.revision)),
            _ago(tx.now - s.updated),
            "",
        )
        for s in listed
    ]
    yield Out(output.table([heads, *lines]))


def _tag(secret: rows.Secret) -> str:
    return f"{secret.owner_kind}-{secret.owner.replace('/', '-')}"


def _ago(seconds: float) -> str:
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        count = int(seconds // size)
        if count >= 1 and not (word == "second" and count < 2):
            return f"{count} {word}{'s' if count > 1 else ''} ago"
    return "just now"


async def show_secret(call: Call) -> AsyncIterator[Output]:
    """Show a secret; its content only with --reveal."""
    if len(call.args) != 1:
        raise UsageError("missing secret URI")
    reveal, listed = call.parsed.on("reveal"), call.parsed.on("revisions")
    if reveal and listed:
        raise UsageError("specify either --revisions or --reveal but not both")
    revision = call.parsed.number("revision")
    if listed and revision is not None:
        raise UsageError("specify either --revisions or --revision but not both")
    tx = call.model().store.read()
    secret = found(tx, call.args[0])
    present = {r.revision: r for r in secrets.revisions(tx, secret.id)}
    number = secret.revision if revision is None else revision
    if number not in present:
        raise errors.NotFoundError(
            f'getting secret by URI "{secret.id}": secret revision {number} for '
            f"{{ {secret.id}}} not found (secret revision not found)"
        )
    tree = _tree(secret, present[number].checksum if reveal else "")
    if listed:
        tree["revisions"] = [
            {
                "revision": r.revision,
                "backend": "internal",
                "created": when(r.created),
                "updated": when(r.created),
            }
            for r in present.values()
        ]
    if reveal:
        content = secrets.content(tx, secret.id, number)
        tree["content"] = {"Data": dict(sorted(content.items()))}
    access = _access(tx, secret)
    if access:
        tree["access"] = access
    yield call.formatted({secret.id: tree})


def _access(tx: Transaction, secret: rows.Secret) -> list[Mapping[str, str]]:
    result: list[Mapping[str, str]] = []
    for grant in secrets.grants(tx, secret.id):
        kind = "unit" if "/" in grant.target else "application"
        scope = f"model-{models.get(tx).uuid}"
        if grant.relation_id is not None:
            ends = relations.get(tx, grant.relation_id).endpoints
            scope = "relation-" + "#".join(f"{e.application}.{e.endpoint}" for e in ends)
        target = f"{kind}-{grant.target.replace('/', '-')}"
        result.append({"target": target, "scope": scope, "role": "view"})
    return result


_FILE = Flag("file", Kind.TEXT, "YAML file with keys and values; - is standard input")
_INFO = Flag("info", Kind.TEXT, "What the secret is for")

COMMANDS = (
    Command(
        "add-secret",
        add_secret,
        "<name> [<key>[#base64]=<value> ...]",
        "Add a secret of the user, and print its URI.",
        """\
Grant it to an application, then give its URI to an option of type secret. Prefer
--file: values on the command line are visible to others on the machine.

    juju add-secret idp-client --file secret.yaml
    juju grant-secret idp-client keystone
    juju config keystone client-secret=secret:...
""",
        flags=(_FILE, _INFO),
    ),
    Command(
        "update-secret",
        update_secret,
        "<URI or name> [<key>=<value> ...]",
        "Give a user secret new content, or another name.",
        "Applications that read it get secret-changed.",
        flags=(
            _FILE,
            _INFO,
            Flag("name", Kind.TEXT, "A new name"),
            Flag("auto-prune", Kind.BOOL, "Drop revisions that nobody reads any more"),
        ),
    ),
    Command(
        "remove-secret",
        remove_secret,
        "<URI or name>",
        "Remove a user secret, or one revision of it.",
        flags=(Flag("revision", Kind.INT, "Only this revision"),),
    ),
    Command(
        "grant-secret",
        grant_secret,
        "<URI or name> <application>[,<application> ...]",
        "Let applications read a user secret.",
    ),
    Command(
        "revoke-secret",
        revoke_secret,
        "<URI or name> <application>[,<application> ...]",
        "Take the right to read a user secret away.",
    ),
    Command(
        "secrets",
        list_secrets,
        "",
        "List the secrets of the model, without their content.",
        flags=(
            format_flag("tabular"),
            Flag("owner", Kind.TEXT, "Only of this owner, such as application-keystone"),
            Flag("utc", Kind.BOOL, "Accepted; times are UTC"),
        ),
        aliases=("list-secrets",),
        braces=True,
    ),
    Command(
        "show-secret",
        show_secret,
        "<URI or name>",
        "Show a secret; its content only with --reveal.",
        flags=(
            format_flag("yaml"),
            Flag("reveal", Kind.BOOL, "Show the content", short="r"),
            Flag("revisions", Kind.BOOL, "List the revisions"),
            Flag("revision", Kind.INT, "The revision to show"),
            Flag("utc", Kind.BOOL, "Accepted; times are UTC"),
        ),
        braces=True,
    ),
)
