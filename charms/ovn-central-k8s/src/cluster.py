"""A unit's copies of the two databases, and their servers: everything that runs a program."""

import logging
from collections.abc import Iterator, Mapping, Sequence

import ops
import raft
from ops import pebble
from ovn import DATA, DATABASES, NORTHD, RUN, Database
from raft import Cluster, Member, Status

from daybreak_charm import Blocked, Context, Folder, Outcome, Ready, Waiting
from daybreak_charm.containers import make_folder, read_text

logger = logging.getLogger(__name__)

LATER = "peers-relation-changed"
_SECONDS = 30.0
# Renamed into place, so that a copy is whole or not there.
_FORM = (
    'rm -f "$1.new" && ovsdb-tool --election-timer="$4" create-cluster "$1.new" "$2" "$3"'
    ' && mv "$1.new" "$1"'
)
_JOIN = (
    'path=$1 cid=$2; shift 2; rm -f "$path.new" && ovsdb-tool --cid="$cid" join-cluster "$path.new" "$@"'
    ' && mv "$path.new" "$path"'
)
_ALONE = 'rm -f "$1.alone" && ovsdb-tool cluster-to-standalone "$1.alone" "$1"'
_IDS = 'ovsdb-tool db-cid "$1" && ovsdb-tool db-sid "$1"'
_NORTHD = (
    "for word in status nb-connection-status sb-connection-status; do"
    f" ovs-appctl -T 5 -t {RUN}/northd.ctl $word || exit; done"
)
_ASIDE = 'mv "$1" "$1.$(ovsdb-tool db-sid "$1" || echo aside)"'


class ToolError(RuntimeError):
    """One of OVN's programs did not do what it was asked for; the text is its last line."""


def run(context: Context, container: str, command: Sequence[str], user: str | None = None) -> str:
    """Run a program in a container and return what it printed.

    Raises:
        ToolError: It failed, or did not end in time.
    """
    process = context.container(container).exec(
        list(command), user=user, group=user, timeout=_SECONDS
    )
    try:
        return process.wait_output()[0]
    except pebble.ExecError as error:
        lines = str(error.stderr or "").strip().splitlines()
        raise ToolError(lines[-1] if lines else f"exit code {error.exit_code}") from None
    except (pebble.ChangeError, TimeoutError):
        raise ToolError(f"{command[0]} did not end in time") from None


def shell(context: Context, database: Database, script: str, *words: str) -> str:
    """Run a script in a database's container, as the user that its server runs as.

    Raises:
        ToolError: It failed.
    """
    return run(context, database.name, ["/bin/sh", "-c", script, "sh", *words], user=_user(context))


def tell(context: Context, database: Database, *words: str) -> str:
    """Give a database's server a command.

    Raises:
        ToolError: It refused, or does not run.
    """
    return run(context, database.name, ["ovs-appctl", "-T", "5", "-t", database.control, *words])


def ask(context: Context, database: Database) -> Status | None:
    """What a database's server says of its cluster; None when it says nothing."""
    try:
        return raft.parse_status(tell(context, database, "cluster/status", database.schema))
    except ToolError:
        return None


def ask_northd(context: Context) -> tuple[str, bool]:
    """Northd's role (`active` or `standby`, "" when it says nothing), and whether it reaches both databases."""
    try:
        status, *connections = run(context, NORTHD, ["/bin/sh", "-c", _NORTHD]).splitlines()
    except ToolError:
        return "", False
    return status.partition(":")[2].strip(), connections == ["connected", "connected"]


# --- the copies -------------------------------------------------------------------------------


def gate(context: Context) -> Outcome:
    """Whether this unit has its copies of both databases; makes them if not."""
    for database in DATABASES:
        try:
            outcome = _have(context, database)
        except ToolError as error:
            logger.warning("the %s database cannot be made: %s", database.word, error)
            return Waiting(f"the {database.word} database cannot be made: {error}", "retry")
        if not isinstance(outcome, Ready):
            return outcome
    return Ready()


def known(context: Context, database: Database) -> Cluster | None:
    """The cluster of a database that all units belong to; the leader takes it from who formed it.

    Who has formed one knows before the leader says so. Of two that were formed at a time, the leader's
    word decides.
    """
    key = f"{database.name}-cluster"
    leads = context.acting and context.leader
    bags = _bags(context) if leads else (context.peer_unit,)
    words = [
        context.peer_app.get(key, ""),
        *(bag.get(f"{database.name}-formed", "") for bag in bags),
    ]
    found = raft.newest(cluster for text in words if (cluster := raft.parse_cluster(text)))
    if leads and found:
        context.put_peer_app(**{key: str(found)})
    return found


def _have(context: Context, database: Database) -> Outcome:
    cluster = known(context, database)
    exists = context.container(database.name).exists(database.file)
    mine = raft.parse_member(context.peer_unit.get(f"{database.name}-member", ""))
    step = raft.decide(
        exists=exists,
        mine=mine,
        cluster=cluster,
        first=context.ordinal == 0,
        alone=context.planned <= 1,
    )
    if step == "keep":
        return Ready()
    if step == "wait":
        return Waiting(f"the first unit forms the {database.word} cluster", LATER)
    if step == "lost":
        return Blocked(
            f"this unit's copy of the {database.word} database is gone or of another cluster",
            f"juju run {context.unit} recover-cluster makes a cluster of what it has",
        )
    if not context.acting:
        return Waiting(f"the {database.word} database is being made", "")
    logger.info("%s database: %s", database.word, step)
    if step in ("create", "adopt"):
        form(context, database, 1, None if step == "adopt" else database.schema_file)
        return Ready()
    assert cluster is not None  # only who knows it can join it
    if step == "rejoin":
        stop(context, database)
        shell(context, database, _ASIDE, database.file)
    _own_folder(context, database)
    others = [host for host in hosts(context) if host != context.fqdn]
    addresses = map(database.raft_address, (context.fqdn, *others))
    shell(context, database, _JOIN, database.file, cluster.cid, database.schema, *addresses)
    _say(context, database)
    return Ready()


def hosts(context: Context) -> list[str]:
    """Stable names of all planned units."""
    return [context.unit_fqdn(f"{context.app}/{number}") for number in range(context.planned)]


def form(context: Context, database: Database, generation: int, source: str | None) -> None:
    """Form a cluster of this unit alone.

    Args:
        context: This dispatch.
        database: The database.
        generation: Of the new cluster.
        source: A schema, or a database that stands alone; None takes the copy that is there.

    Raises:
        ToolError: It could not be made.
    """
    if source is not None:
        _own_folder(context, database)
        timer = str(int(context.config["election-timer"]) * 1000)
        address = database.raft_address(context.fqdn)
        shell(context, database, _FORM, database.file, source, address, timer)
    member = _say(context, database)
    cluster = Cluster(generation, member.cid)
    context.put_peer_unit(**{f"{database.name}-formed": str(cluster)})
    known(context, database)


def recover(context: Context, database: Database, *, empty: bool) -> bool:
    """Form a new cluster from this unit's copy of a database whose cluster does not work any more.

    Returns:
        Whether it was formed; False when the cluster works.

    Raises:
        ToolError: This unit has no copy that could be used; nothing has changed then.
    """
    status = ask(context, database)
    if status is not None and status.works:
        return False
    before = known(context, database)
    stop(context, database)
    source = database.schema_file
    if context.container(database.name).exists(database.file):
        try:
            shell(context, database, _ALONE, database.file)
            source = f"{database.file}.alone"
        except ToolError:
            # A member that never heard of its cluster has nothing in its copy.
            if not empty:
                raise
        shell(context, database, _ASIDE, database.file)
    elif not empty:
        raise ToolError("it has no copy")
    form(context, database, before.generation + 1 if before else 1, source)
    return True


def stop(context: Context, database: Database) -> None:
    """Stop a database's server if it runs; the loop starts it again."""
    container = context.container(database.name)
    services = container.get_services(database.name)
    if any(info.is_running() for info in services.values()):
        container.stop(database.name)


def _say(context: Context, database: Database) -> Member:
    """Tell the other units what this unit's copy is, before its server tells anybody."""
    cid, sid = shell(context, database, _IDS, database.file).split()
    member = Member(cid, sid)
    context.put_peer_unit(**{f"{database.name}-member": str(member)})
    return member


def _own_folder(context: Context, database: Database) -> None:
    user = _user(context)
    folder = Folder(DATA, mode=0o750, user=user, group=user)
    make_folder(context.container(database.name), folder, (), context.effects)


def _user(context: Context) -> str:
    layout = context.layout(DATABASES[0].name)
    return layout.user if layout else "ovn"


def _bags(context: Context) -> Iterator[Mapping[str, str]]:
    yield context.peer_unit
    if relation := context.peers:
        for unit in relation.units:
            yield relation.data[unit]


# --- members ----------------------------------------------------------------------------------


def tend(context: Context, database: Database, status: Status, timer: int) -> None:
    """Take members out that are no more, and follow the option of the election timer.

    Raises:
        ToolError: The server refused.
    """
    here = set(hosts(context))
    leaving = [server.host for server in status.servers if server.host not in here]
    for sid in raft.to_remove(status, leaving if context.leader else ()):
        logger.info("%s database: removing member %s", database.word, sid)
        tell(context, database, "cluster/kick", database.schema, sid)
    if status.role == "leader" and status.timer != timer:
        step = str(raft.next_timer(status.timer, timer))
        tell(context, database, "cluster/change-election-timer", database.schema, step)
        # What was begun ends without an event.
        context.changed = True


def leave(context: Context) -> None:
    """Take this unit out of both clusters, while its pod is still there and counts as a member.

    A member that goes without a word stays one for the majority, and the second of two that do so would
    stop all writes.
    """
    for database in DATABASES:
        status = ask(context, database)
        if status is None or not status.member or len(status.servers) < 2:
            continue
        try:
            tell(context, database, "cluster/leave", database.schema)
        except ToolError as error:
            logger.warning("%s database: cannot leave: %s", database.word, error)
            continue
        waited = 0.0
        while ask(context, database) is not None and waited < _SECONDS:
            context.effects.sleep(0.2)
            waited += 0.2
        logger.info("%s database: left after %.1f s", database.word, waited)


def convert(context: Context, database: Database) -> None:
    """Bring a database to the schema of this unit's image.

    Raises:
        ToolError: It could not be converted.
    """
    words = ("-t", "30")
    asked = (database.socket, database.schema_file)
    answer = run(context, database.name, ["ovsdb-client", *words, "needs-conversion", *asked])
    if answer.strip() == "yes":
        run(context, database.name, ["ovsdb-client", *words, "convert", *asked])
        logger.info("%s database: converted", database.word)


def mark_role(container: ops.Container, path: str, role: str) -> None:
    """Leave the role that the unit's status names where its check reads it."""
    try:
        same = read_text(container, path) == role
    except pebble.PathError:
        same = False
    if not same:
        container.push(path, role, make_dirs=True)
