import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

from daybreak_charm import (
    DatabaseAddress,
    DaybreakCharm,
    Description,
    Process,
    Schema,
    Step,
    program,
    upgrade,
)
from daybreak_charm import schema as schemas
from daybreak_charm.testing import SqliteDatabase, assert_idempotent, mounts, quiet_effects
from daybreak_charm.upgrade import Create, Expand, Found, Record, Refuse, Run

# --- the decisions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("running", "wanted", "says"),
    [
        ("2025.1", "2025.2", ""),
        ("2025.1", "2026.1", ""),
        ("2025.2", "2026.1", ""),
        ("2025.1", "2025.1", ""),
        ("", "2026.1", ""),
        ("2024.1", "2026.1", "2025.1 comes before it"),
        ("2024.2", "2025.2", "2025.1 comes before it"),
        ("2025.1", "2026.2", "2026.1 comes before it"),
        ("2026.1", "2025.1", "older"),
        ("2025.2", "2025.1", "older"),
    ],
)
def test_which_release_follows_which(running: str, wanted: str, says: str) -> None:
    why = upgrade.refusal(running, wanted)
    assert says in why
    assert bool(says) == bool(why)


IDLE = Record("2025.1", "2025.1")
EXPANDING = Record("2025.1", "2026.1", "expand")
ROLLING = Record("2025.1", "2026.1", "roll")
CONTRACTING = Record("2025.1", "2026.1", "contract")
BACK = Record("2025.1", "2026.1", "back")
DONE = Record("2026.1", "2026.1")
CREATING = Record("2026.1", "2026.1", "create")


@pytest.mark.parametrize(
    ("image", "schema", "record", "others", "wanted"),
    [
        # A first deployment, also one whose migration failed half-way.
        ("2026.1", "empty", None, (), Create()),
        ("2026.1", "behind", DONE, (), Create()),
        ("2026.1", "equal", DONE, (), Run()),
        ("2026.1", "equal", CREATING, (), Create()),
        # A schema that was there before this record was.
        ("2026.1", "equal", None, (), Run()),
        ("2026.1", "behind", None, (), Expand(Record("", "2026.1", "expand"))),
        # The first unit with the new image; again after a failure; then the others.
        ("2026.1", "behind", IDLE, ("2025.1",), Expand(EXPANDING)),
        ("2026.1", "equal", IDLE, ("2025.1",), Expand(EXPANDING)),
        ("2026.1", "behind", EXPANDING, ("2025.1",), Expand(EXPANDING)),
        ("2026.1", "equal", ROLLING, ("2025.1", "2026.1"), Run()),
        ("2026.1", "equal", CONTRACTING, ("2026.1",), Run()),
        # An old unit that starts anew, and the way back: ahead is no obstacle before the contract.
        ("2025.1", "unknown", EXPANDING, (), Run()),
        ("2025.1", "unknown", ROLLING, ("2026.1",), Run()),
        ("2025.1", "equal", ROLLING, ("2026.1",), Run()),
        # Kept open: units of both releases serve, until the first of another upgrade comes.
        ("2025.1", "equal", BACK, ("2026.1",), Run()),
        ("2026.1", "equal", BACK, ("2025.1", "2026.1"), Run()),
        ("2026.1", "equal", BACK, ("2025.1",), Expand(EXPANDING)),
        # Begun, left, and begun again to another release.
        ("2025.2", "equal", ROLLING, ("2025.1",), Expand(Record("2025.1", "2025.2", "expand"))),
    ],
)
def test_what_an_image_may_do(
    image: str,
    schema: Any,
    record: Record | None,
    others: tuple[str, ...],
    wanted: upgrade.Decision,
) -> None:
    assert upgrade.decide(image, schema, record, others) == wanted


@pytest.mark.parametrize(
    ("image", "schema", "record", "others", "says"),
    [
        ("2025.1", "unknown", CONTRACTING, (), "contracted for 2026.1"),
        ("2025.1", "equal", DONE, (), "older"),
        ("2025.1", "unknown", DONE, (), "older"),
        ("2027.1", "equal", IDLE, (), "in one step"),
        ("2025.2", "equal", ROLLING, ("2026.1",), "under way"),
        ("2025.2", "equal", CONTRACTING, (), "under way"),
        ("2025.2", "unknown", ROLLING, (), "does not know"),
        ("2026.1", "unknown", DONE, (), "does not know"),
        ("2026.1", "unknown", None, (), "does not know"),
        ("2025.1", "behind", ROLLING, (), "lacks"),
    ],
)
def test_what_an_image_may_not_do(
    image: str, schema: Any, record: Record | None, others: tuple[str, ...], says: str
) -> None:
    decision = upgrade.decide(image, schema, record, others)
    assert isinstance(decision, Refuse)
    assert says in decision.why
    assert decision.remedy


def test_who_is_still_waited_for_follows_the_number_of_units() -> None:
    units = {"k/0": "2025.1", "k/1": "2026.1", "k/2": "2026.1"}
    assert upgrade.waits_for(units, 3, "2026.1") == ["k/0"]
    # Scaled out meanwhile: the new unit counts before it has said anything; scaled in: it does not.
    assert upgrade.waits_for(units, 4, "2026.1") == ["unit 3", "k/0"]
    assert upgrade.waits_for({**units, "k/0": "2026.1", "k/3": ""}, 3, "2026.1") == []


# Of a real Keystone on a real full disk.
FULL = (
    "oslo_db.exception.DBError: (pymysql.err.InternalError) (3, 'Error writing file"
    " \\'./keystone/#sql-alter-46-bb.frm\\' (Errcode: 28 \"No space left on device\")')"
)
TRACEBACK = (
    '  File "/opt/openstack/lib/python3.13/site-packages/pymysql/err.py", line 150, in raise',
    "    raise errorclass(errno, errval)",
    FULL,
    "[SQL: CREATE INDEX idx_project_id ON project_endpoint_group (project_id)]",
    "(Background on this error at: https://sqlalche.me/e/20/2j85)",
    "",
)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "it said nothing"),
        (["a", "b", ""], "b"),
        (
            [
                *("| Check: Roles |", "| Result: Success |", "| Details: None |", "+---+"),
                *("| Check: Policies  |", "| Result: Failure  |", "| Details: a.json is JSON |"),
            ],
            "Check: Policies Details: a.json is JSON",
        ),
        (["DBError: (1114, \"The table 'x' is full\")", "see http://"], "1114"),
        ([f"2026-11-28 17:13:49.886 25 ERROR keystone {line}" for line in TRACEBACK], FULL),
        (["2026-11-28 17:13:49.886 25 CRITICAL keystone [-] Unhandled error: x.Y: z"], "x.Y: z"),
    ],
)
def test_the_words_that_name_a_fault(lines: list[str], words: str) -> None:
    assert words in program.last_words(lines)


# --- the loop ---------------------------------------------------------------------------------

UPGRADE = (
    Step("check", "check", "look", ("echo-status", "check"), passes=frozenset({0, 1})),
    Step("expand", "expand", "add", ("echo-manage", "expand")),
    Step("roll", "roll", "replace"),
    Step("contract", "contract", "remove", ("echo-manage", "contract")),
)
HEADS = {"2025.1": {"h1"}, "2026.1": {"h2"}}


class EchoCharm(DaybreakCharm):
    """A service with a schema and no needs."""

    description: Any = Description(
        containers=("echo",),
        read=lambda _: "inputs",
        render=lambda _: [],
        processes=lambda _: [Process("echo", "echod")],
        schema=lambda _: Schema(
            "echo", DatabaseAddress("db", 3306, "echo", "e", "p"), ("echo-manage", "sync"), UPGRADE
        ),
    )


META: dict[str, Any] = {
    "name": "echo",
    "containers": {"echo": {}},
    "peers": {"peers": {"interface": "echo-peers"}},
}
RELEASE = {"params": {"release": {"type": "string"}}}
ACTIONS: dict[str, Any] = {"upgrade-status": RELEASE, "upgrade-turn": RELEASE}


class Cloud:
    """One unit, its database and what its programs answer."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder = folder
        self.database = SqliteDatabase()
        self.database.script("CREATE TABLE alembic_version (version_num TEXT)")
        self.context = testing.Context(EchoCharm, meta=META, actions=ACTIONS)
        self.ran: list[str] = []
        self.codes: dict[str, tuple[int, str]] = {}
        self.leaves = ""
        monkeypatch.setattr(EchoCharm, "effects", quiet_effects(database=self.database))

        def start(container: ops.Container, *names: str) -> None:
            self._start(container, *names)

        monkeypatch.setattr(ops.Container, "start", start)

    def _start(self, container: ops.Container, *names: str) -> None:
        """A program ends at once, with the code and words of the test."""
        for name in names:
            command = container.get_plan().services[name].command
            self.ran.append(command.rpartition("echo-")[2])
            code, words = self.codes.get(name, (0, ""))
            self.database.script(self.leaves)
            if code == 0 and "manage" in command:
                self.set_heads("h2")
            container.push(f"{program.FOLDER}/{name}.log", words)
            container.push(f"{program.FOLDER}/{name}.code", f"{code}\n")

    def set_heads(self, *heads: str) -> None:
        self.database.execute("DELETE FROM alembic_version")
        for head in heads:
            self.database.execute("INSERT INTO alembic_version VALUES (%s)", head)

    def stands(self, record: Record, *heads: str) -> None:
        lease = schemas.take(self.database, "echo", "test")
        schemas.write_record(self.database, "echo", record, lease)
        schemas.release(self.database, "echo", lease)
        self.set_heads(*heads)

    @property
    def record(self) -> Record | None:
        return schemas.read_record(self.database, "echo")

    def state(self, release: str, peers: dict[int, str] | None = None) -> testing.State:
        revisions = ["h1"] if release == "2025.1" else ["h1", "h2"]
        layout = {
            "project": "echo",
            "release": release,
            "version": "1",
            "heads": {"echo": sorted(HEADS[release])},
            "revisions": {"echo": revisions},
        }
        where = mounts(self.folder, layout)
        bags = {n: {"release": value} for n, value in (peers or {}).items()}
        return testing.State(
            leader=True,
            planned_units=len(bags) + 1,
            containers={testing.Container("echo", can_connect=True, mounts=where)},
            relations={testing.PeerRelation("peers", peers_data=bags)},
        )

    def run(self, state: testing.State) -> testing.State:
        return self.context.run(self.context.on.update_status(), state)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, monkeypatch)


def said(state: testing.State) -> str:
    return state.get_relations("peers")[0].local_unit_data.get("release", "")


def test_an_empty_database_is_made_in_one_go(cloud: Cloud) -> None:
    out = cloud.run(cloud.state("2026.1"))
    assert cloud.ran == ["manage sync"]
    assert cloud.record == DONE
    assert out.unit_status == testing.ActiveStatus()
    assert said(out) == "2026.1"


def test_what_a_creation_left_that_failed_is_not_in_the_way_of_the_next(cloud: Cloud) -> None:
    cloud.database.script("DROP TABLE alembic_version")
    cloud.codes["migrate-echo"] = (1, "OperationalError: (2013, 'Lost connection')")
    cloud.leaves = "CREATE TABLE alembic_version (version_num TEXT); CREATE TABLE half (id INT)"
    out = cloud.run(cloud.state("2026.1"))
    assert "Lost connection" in out.unit_status.message
    assert schemas.tables(cloud.database) == []
    cloud.codes.clear()
    cloud.leaves = "CREATE TABLE alembic_version (version_num TEXT)"
    assert cloud.run(out).unit_status == testing.ActiveStatus()
    assert cloud.record == DONE


@pytest.mark.parametrize("names", [(), ("west",), ("cell", "west")])
def test_what_a_step_has_done_that_was_interrupted_is_not_done_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    found = Found("other", "SELECT name FROM cells WHERE name = %s", ("cell",))
    once = Step("cell", "expand", "make the cell", ("echo-manage", "cell"), unless=found)
    address = DatabaseAddress("db", 3306, "echo", "e", "p")
    made = Schema(
        *("echo", address, ("echo-manage", "sync"), UPGRADE),
        further=(replace(address, database="other"),),
        prepare=(once,),
    )
    description = replace(EchoCharm.description, schema=lambda _: made)
    monkeypatch.setattr(EchoCharm, "description", description)
    cloud.database.script("CREATE TABLE cells (name TEXT)")
    for name in names:
        cloud.database.execute("INSERT INTO cells VALUES (%s)", name)
    cloud.run(cloud.state("2026.1"))
    assert cloud.ran == ([] if "cell" in names else ["manage cell"]) + ["manage sync"]


def test_a_creation_is_over_when_its_program_is(cloud: Cloud) -> None:
    """The heads are written before it ends: whoever believed them kept the lease, and its record."""
    cloud.stands(CREATING, "h2")
    schemas.take(cloud.database, "echo", "echo/1")
    out = cloud.run(cloud.state("2026.1", {1: ""}))
    assert out.unit_status == testing.WaitingStatus("echo/1 migrates the schema")
    cloud.database.execute("UPDATE daybreak_lease SET expires = 1")
    out = cloud.run(cloud.state("2026.1", {1: ""}))
    assert (cloud.ran, cloud.record) == (["manage sync"], DONE)
    assert schemas.take(cloud.database, "echo", "echo/1").mine, "it was given back"


def test_a_schema_that_is_whole_is_never_removed(cloud: Cloud) -> None:
    cloud.stands(CREATING, "h2")
    cloud.database.script("CREATE TABLE users (id INT)")
    cloud.codes["migrate-echo"] = (1, "OperationalError: (1114, 'The table is full')")
    cloud.run(cloud.state("2026.1"))
    assert "users" in schemas.tables(cloud.database)


def test_tables_that_were_there_before_are_never_removed(cloud: Cloud) -> None:
    cloud.database.script("CREATE TABLE precious (id INT)")
    cloud.codes["migrate-echo"] = (1, "OperationalError")
    cloud.run(cloud.state("2026.1"))
    assert "precious" in schemas.tables(cloud.database)


def test_the_first_unit_checks_and_expands_before_it_serves(cloud: Cloud) -> None:
    cloud.stands(IDLE, "h1")
    out = cloud.run(cloud.state("2026.1", {1: "2025.1", 2: "2025.1"}))
    assert cloud.ran == ["status check", "manage expand"]
    assert cloud.record == ROLLING
    assert said(out) == "2026.1"
    assert "upgrade 2025.1 -> 2026.1: 1 of 3 units" in out.unit_status.message
    assert "back: daybreak upgrade echo --to 2025.1" in out.unit_status.message


def test_the_last_unit_contracts(cloud: Cloud) -> None:
    cloud.stands(ROLLING, "h2")
    out = cloud.run(cloud.state("2026.1", {1: "2026.1", 2: "2026.1"}))
    assert cloud.ran == ["manage contract"]
    assert cloud.record == DONE
    assert out.unit_status == testing.ActiveStatus()


def test_a_second_run_does_nothing_at_any_time_of_an_upgrade(cloud: Cloud) -> None:
    cloud.stands(IDLE, "h1")
    event = cloud.context.on.update_status()
    assert_idempotent(cloud.context, event, cloud.state("2026.1", {1: "2025.1"}))
    assert_idempotent(cloud.context, event, cloud.state("2026.1", {1: "2026.1"}))
    assert cloud.ran == ["status check", "manage expand", "manage contract"]


def test_an_upgrade_goes_on_in_the_middle_of_the_contract(cloud: Cloud) -> None:
    cloud.stands(CONTRACTING, "h2")
    cloud.run(cloud.state("2026.1", {1: "2026.1"}))
    assert cloud.ran == ["manage contract"]
    assert cloud.record == DONE


def test_the_way_back_before_the_contract(cloud: Cloud) -> None:
    cloud.stands(ROLLING, "h2")
    out = cloud.run(cloud.state("2025.1", {1: "2026.1"}))
    assert cloud.ran == []
    assert said(out) == "2025.1"
    assert "1 of 2 units" in out.unit_status.message
    # When all are back nothing is owed; the schema stays expanded, and the upgrade can begin again.
    assert cloud.run(cloud.state("2025.1", {1: "2025.1"})).unit_status == testing.ActiveStatus()
    cloud.run(cloud.state("2026.1", {1: "2025.1"}))
    assert cloud.ran == []


def test_no_way_back_after_it(cloud: Cloud) -> None:
    cloud.stands(DONE, "h2")
    out = cloud.run(cloud.state("2025.1", {1: "2026.1"}))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "refresh to an image of 2026.1" in out.unit_status.message
    assert "echo" not in out.get_container("echo").plan.services
    assert cloud.record == DONE


def test_a_release_that_may_not_be_skipped(cloud: Cloud) -> None:
    cloud.stands(Record("2024.1", "2024.1"), "h1")
    out = cloud.run(cloud.state("2026.1", {1: "2024.1"}))
    assert "2025.1 comes before it" in out.unit_status.message
    assert cloud.ran == []
    assert cloud.record == Record("2024.1", "2024.1")


def test_a_database_ahead_of_the_code(cloud: Cloud) -> None:
    cloud.set_heads("x9")
    out = cloud.run(cloud.state("2026.1"))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "x9" in out.unit_status.message
    assert cloud.ran == []
    # What mends it is done in the database, and makes no event.
    assert wakes(out) == "60s"


def wakes(out: testing.State) -> str:
    """Period of the timer that runs the loop again."""
    checks = out.get_container("echo").plan.checks
    [timer] = [check for name, check in checks.items() if name.startswith("wait-retry")]
    return str(timer.period)


def test_a_check_that_refuses_changes_nothing(cloud: Cloud) -> None:
    cloud.stands(IDLE, "h1")
    words = "| Check: Roles |\n| Result: Failure |\n| Details: Roles are not immutable: admin |\n"
    cloud.codes["check-echo"] = (2, words)
    out = cloud.run(cloud.state("2026.1", {1: "2025.1"}))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "Roles are not immutable" in out.unit_status.message
    assert "back: daybreak upgrade echo --to 2025.1" in out.unit_status.message
    assert cloud.ran == ["status check"]
    assert wakes(out) == "60s"
    # The way back is open, and whoever went it serves.
    out = cloud.run(cloud.state("2025.1", {1: "2025.1"}))
    assert out.unit_status == testing.ActiveStatus()


@pytest.mark.parametrize(
    "words",
    [
        "DBError: (1114, \"The table 'role' is full\")",
        "OperationalError: (1050, \"Table 'role' already exists\")",
    ],
    ids=["full disk", "half-way"],
)
def test_an_expand_that_fails_is_tried_again_and_says_why(cloud: Cloud, words: str) -> None:
    cloud.stands(IDLE, "h1")
    cloud.codes["expand-echo"] = (1, f"Traceback:\n{words}\n")
    state = cloud.state("2026.1", {1: "2025.1"})
    out = cloud.run(state)
    assert isinstance(out.unit_status, testing.WaitingStatus)
    assert words.partition(",")[0] in out.unit_status.message
    assert "tried again" in out.unit_status.message
    assert "back: daybreak upgrade echo --to 2025.1" in out.unit_status.message
    plan = out.get_container("echo").plan
    assert "echo" not in plan.services
    assert any(name.startswith("wait-retry") for name in plan.checks), "nothing would wake it"
    # A status that says only that it tries again would hide the cause half of the time.
    cloud.run(state)
    shown = [status.message for status in cloud.context.unit_status_history]
    assert any("expand runs; before, expand failed" in message for message in shown)
    # Another unit may have a go: a failure does not keep the lease.
    lease = schemas.take(cloud.database, "echo", "echo/7")
    assert lease.mine
    schemas.release(cloud.database, "echo", lease)
    cloud.codes.clear()
    cloud.run(state)
    assert cloud.record == ROLLING


def test_whoever_has_lost_the_lease_writes_nothing(cloud: Cloud) -> None:
    cloud.stands(IDLE, "h1")
    lost = schemas.take(cloud.database, "echo", "echo/0")
    schemas.renew(cloud.database, "echo", lost)
    assert schemas.take(cloud.database, "echo", "echo/0") == lost, "renewed in time"
    assert not schemas.take(cloud.database, "echo", "echo/1").mine
    cloud.database.execute("UPDATE daybreak_lease SET expires = 1")
    taken = schemas.take(cloud.database, "echo", "echo/1")
    assert (taken.mine, taken.fence) == (True, lost.fence + 1)
    with pytest.raises(schemas.LeaseLostError):
        schemas.renew(cloud.database, "echo", lost)
    with pytest.raises(schemas.LeaseLostError):
        schemas.write_record(cloud.database, "echo", ROLLING, lost)
    schemas.release(cloud.database, "echo", lost)
    schemas.write_record(cloud.database, "echo", EXPANDING, taken)
    assert cloud.record == EXPANDING


def test_no_step_begins_without_the_lease(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.stands(IDLE, "h1")
    original = Cloud._start

    def slow(self: Cloud, container: ops.Container, *names: str) -> None:
        """Another unit takes the lease while the check runs."""
        original(self, container, *names)
        cloud.database.execute("UPDATE daybreak_lease SET owner = 'echo/1', fence = fence + 1")

    monkeypatch.setattr(Cloud, "_start", slow)
    out = cloud.run(cloud.state("2026.1", {1: "2026.1"}))
    assert cloud.ran == ["status check"]
    message = "another unit has taken the migration over"
    assert out.unit_status == testing.WaitingStatus(message)


def test_a_step_that_takes_long_renews_the_lease(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.stands(IDLE, "h1")
    started: list[str] = []
    monkeypatch.setattr(Cloud, "_start", lambda _, __, *names: started.extend(names))
    monkeypatch.setattr(program, "_runs", lambda _, name: name in started)  # it goes on
    out = cloud.run(cloud.state("2026.1", {1: "2025.1"}))
    assert out.unit_status == testing.WaitingStatus("upgrade 2025.1 -> 2026.1: check runs")
    again = cloud.folder / "run/once/check-echo.again"
    assert float(again.read_text()) == 1_800_000_000 + program.AGAIN
    assert program.AGAIN * 2 < schemas.LEASE_SECONDS
    command = str(out.get_container("echo").plan.checks["wait-check-echo-a"].exec)
    assert f"test $(date +%s) -lt $(cat {program.FOLDER}/check-echo.again)" in command
    # The time has come: one more run holds the lease for its whole time.
    again.write_text("1799999999\n")
    cloud.database.execute("UPDATE daybreak_lease SET expires = 1800000001")
    cloud.run(out)
    assert float(again.read_text()) > 1_800_000_000
    expires = cloud.database.query("SELECT expires FROM daybreak_lease")
    assert expires == [(1_800_000_000 + schemas.LEASE_SECONDS,)]


def test_a_program_that_ends_before_the_first_look_at_it_is_noticed(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pebble tells of a first failure, never of a first success: the look fails when the program is over."""
    cloud.stands(IDLE, "h1")
    started: list[str] = []
    monkeypatch.setattr(Cloud, "_start", lambda _, __, *names: started.extend(names))
    monkeypatch.setattr(program, "_runs", lambda _, name: name in started)
    out = cloud.run(cloud.state("2026.1", {1: "2025.1"}))
    look = out.get_container("echo").plan.checks["wait-check-echo-a"]
    [*shell, script] = shlex.split(str((look.exec or {}).get("command")))
    assert shell == ["/bin/sh", "-c"]
    bin_ = cloud.folder / "bin"
    bin_.mkdir()
    script = script.replace("/charm/bin/pebble", str(bin_ / "pebble")).replace(
        program.FOLDER, str(cloud.folder / "run/once")
    )
    (cloud.folder / "run/once/check-echo.again").write_text("99999999999\n")
    for state, code in (("active", 0), ("inactive", 1), ("error", 1)):
        (bin_ / "pebble").write_text(f"#!/bin/sh\necho 'check-echo disabled {state} -'\n")
        (bin_ / "pebble").chmod(0o755)
        assert subprocess.run(["/bin/sh", "-c", script], check=False).returncode == code
    (cloud.folder / "run/once/check-echo.again").write_text("1\n")
    (bin_ / "pebble").write_text("#!/bin/sh\necho 'check-echo disabled active -'\n")
    assert subprocess.run(["/bin/sh", "-c", script], check=False).returncode == 1


def test_a_contract_that_fails_leaves_the_unit_serving(cloud: Cloud) -> None:
    cloud.stands(ROLLING, "h2")
    cloud.codes["contract-echo"] = (1, "DBError: lock wait timeout")
    out = cloud.run(cloud.state("2026.1", {1: "2026.1"}))
    assert "contract failed (1): DBError: lock wait timeout" in out.unit_status.message
    assert "back:" not in out.unit_status.message
    assert out.get_container("echo").plan.services["echo"].startup == "enabled"
    assert cloud.record == CONTRACTING


def test_an_upgrade_to_a_third_release_waits_for_the_first(cloud: Cloud) -> None:
    cloud.stands(Record("2024.2", "2025.1", "roll"), "h1")
    out = cloud.run(cloud.state("2026.1", {1: "2025.1"}))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert "from 2024.2 to 2025.1 is under way" in out.unit_status.message
    assert cloud.ran == []


def test_units_that_come_during_a_roll_are_waited_for(cloud: Cloud) -> None:
    cloud.stands(ROLLING, "h2")
    out = cloud.run(cloud.state("2026.1", {1: "2026.1", 2: ""}))
    assert cloud.ran == []
    assert "2 of 3 units" in out.unit_status.message


def turn(cloud: Cloud, state: testing.State, release: str) -> testing.State:
    return cloud.context.run(
        cloud.context.on.action("upgrade-turn", params={"release": release}), state
    )


def test_the_way_back_is_kept_open_until_it_is_gone_or_closed(cloud: Cloud) -> None:
    """The last unit is on its way when somebody decides: without a word it would contract."""
    cloud.stands(ROLLING, "h2")
    first = cloud.run(cloud.state("2026.1", {1: "2025.1"}))
    turn(cloud, first, "2025.1")
    assert cloud.record == BACK
    out = cloud.run(cloud.state("2026.1", {1: "2026.1"}))
    assert cloud.ran == []
    assert out.unit_status.message == "back 2026.1 -> 2025.1: 0 of 2 units"
    # Gone: the first old unit serves, then all do, and nothing is left to say.
    out = cloud.run(cloud.state("2025.1", {1: "2026.1"}))
    assert out.unit_status.message == "back 2026.1 -> 2025.1: 1 of 2 units"
    out = cloud.run(cloud.state("2025.1", {1: "2025.1"}))
    assert (out.unit_status, cloud.record) == (testing.ActiveStatus(), BACK)
    # Or closed: the unit that is told goes on at once.
    out = turn(cloud, cloud.state("2026.1", {1: "2026.1"}), "2026.1")
    assert cloud.ran == ["manage contract"]
    assert (out.unit_status, cloud.record) == (testing.ActiveStatus(), DONE)


@pytest.mark.parametrize(
    ("heads", "peer", "record"),
    [
        ("h1", "2025.1", IDLE),
        # What the expand made, or a unit that serves with it, is still to be reckoned with.
        ("h2", "2025.1", BACK),
        ("h1", "2026.1", BACK),
        ("h1", "", BACK),
    ],
)
def test_an_upgrade_that_left_nothing_is_not_reckoned_with_any_more(
    cloud: Cloud, heads: str, peer: str, record: Record
) -> None:
    cloud.stands(EXPANDING, heads)
    served = cloud.run(cloud.state("2025.1", {1: peer}))
    turn(cloud, served, "2025.1")
    assert cloud.record == record


def test_what_a_unit_held_when_its_pod_ended_in_the_middle_is_given_back(cloud: Cloud) -> None:
    """It is refreshed to the release before while its expand runs."""
    cloud.stands(EXPANDING, "h1")
    assert schemas.take(cloud.database, "echo", "echo/0").mine
    cloud.run(cloud.state("2025.1", {1: "2025.1"}))
    assert schemas.take(cloud.database, "echo", "echo/1").mine


def test_what_another_unit_holds_is_left_to_it(cloud: Cloud) -> None:
    cloud.stands(EXPANDING, "h1")
    assert schemas.take(cloud.database, "echo", "echo/1").mine
    cloud.run(cloud.state("2025.1", {1: "2025.1"}))
    assert not schemas.take(cloud.database, "echo", "echo/2").mine


@pytest.mark.parametrize(
    ("record", "release", "why"),
    [
        (CONTRACTING, "2025.1", "contracted for 2026.1"),
        (DONE, "2025.1", "no upgrade from or to 2025.1"),
        (ROLLING, "2027.1", "no upgrade from or to 2027.1"),
    ],
)
def test_no_upgrade_turns_where_there_is_no_way(
    cloud: Cloud, record: Record, release: str, why: str
) -> None:
    cloud.stands(record, "h2")
    with pytest.raises(testing.ActionFailed, match=why):
        turn(cloud, cloud.state("2026.1", {1: "2025.1"}), release)
    assert cloud.record == record


def test_an_upgrade_does_not_turn_while_another_unit_changes_the_schema(cloud: Cloud) -> None:
    cloud.stands(EXPANDING, "h1")
    schemas.take(cloud.database, "echo", "echo/1")
    with pytest.raises(testing.ActionFailed, match="echo/1 is changing the schema"):
        turn(cloud, cloud.state("2025.1", {1: ""}), "2025.1")
    assert cloud.record == EXPANDING


def report(cloud: Cloud, state: testing.State, release: str) -> dict[str, Any]:
    event = cloud.context.on.action("upgrade-status", params={"release": release})
    cloud.context.run(event, state)
    return json.loads((cloud.context.action_results or {})["report"])


def test_the_action_tells_what_is_owed(cloud: Cloud) -> None:
    cloud.stands(ROLLING, "h2")
    state = cloud.run(cloud.state("2026.1", {1: "2025.1"}))
    found = report(cloud, state, "2026.1")
    assert (found["running"], found["target"], found["phase"]) == ("2025.1", "2026.1", "roll")
    assert found["waits-for"] == ["echo/1"]
    assert found["refused"] == ""
    assert [step["name"] for step in found["steps"]] == ["check", "expand", "roll", "contract"]
    assert "under way" in report(cloud, state, "2025.2")["refused"]


def test_the_action_refuses_what_may_not_be_skipped(cloud: Cloud) -> None:
    cloud.stands(IDLE, "h1")
    state = cloud.run(cloud.state("2025.1"))
    assert "in one step" in report(cloud, state, "2027.1")["refused"]
    assert "older" in report(cloud, state, "2024.2")["refused"]
