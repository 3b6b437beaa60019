"""The pure parts of the library."""

import pytest

from daybreak_charm import DatabaseAddress, File, Process, Schema, ini, roll, schema, sizing, urls
from daybreak_charm import layout as layouts
from daybreak_charm.catalogue import Catalogue, parse_policies
from daybreak_charm.containers import min_time, seconds, service_dict
from daybreak_charm.sizing import Machine
from daybreak_charm.testing import SqliteDatabase

# --- INI --------------------------------------------------------------------------------------


def test_ini_renders_each_kind_of_value() -> None:
    text = ini.render(
        {
            "DEFAULT": {"debug": True, "none": None},
            "a": {"list": ["x", "y"], "multi": ("1", "2"), "n": 3, "f": 1.5},
            "empty": {"nothing": None},
        }
    )
    assert text.splitlines() == [
        "[DEFAULT]",
        "debug = true",
        "",
        "[a]",
        "list = x,y",
        "multi = 1",
        "multi = 2",
        "n = 3",
        "f = 1.5",
    ]


def test_a_value_cannot_smuggle_an_option_in() -> None:
    with pytest.raises(ValueError, match="line break") as raised:
        ini.render({"database": {"connection": "secret-url\n[x]"}})
    assert "secret-url" not in str(raised.value)


def test_overrides_as_yaml_and_as_ini_are_the_same() -> None:
    assert ini.parse_overrides("token:\n  expiration: 60\n") == {"token": {"expiration": 60}}
    assert ini.parse_overrides("[token]\nexpiration = 60\n") == {"token": {"expiration": "60"}}
    assert ini.parse_overrides("[DEFAULT]\ndebug=1\n[a]\nb=%(c)s\n") == {
        "DEFAULT": {"debug": "1"},
        "a": {"b": "%(c)s"},
    }
    assert ini.parse_overrides("  ") == {}


@pytest.mark.parametrize("text", ["- 1", "word", "a: [", "a: 1", "a: {b: {c: 1}}", "[a\nb=1"])
def test_overrides_that_are_none(text: str) -> None:
    with pytest.raises(ini.OverridesError):
        ini.parse_overrides(text)


def test_overrides_come_last() -> None:
    assert ini.merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}, "b": {"z": 4}}) == {
        "a": {"x": 1, "y": 3},
        "b": {"z": 4},
    }


# --- catalogue --------------------------------------------------------------------------------

KNOWN = Catalogue(
    "keystone",
    "2026.1",
    {
        "DEFAULT": {"debug": "boolean"},
        "token": {"expiration": "integer", "provider": "string", "share": "float"},
    },
    frozenset({"identity:create_user"}),
)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tokn": {}}, "did you mean token?"),
        ({"token": {"expiratoin": 1}}, "did you mean expiration?"),
        ({"DEFAULT": {"provider": 1}}, "but [token] has it"),
        ({"token": {"expiration": "soon"}}, "a whole number"),
        ({"DEFAULT": {"debug": "maybe"}}, "true or false"),
        ({"token": {"share": "half"}}, "a number"),
    ],
)
def test_wrong_options_are_named(options: dict[str, dict[str, ini.Value]], said: str) -> None:
    fault = KNOWN.check(options)
    assert fault is not None
    assert said in fault


def test_right_options_pass() -> None:
    options: dict[str, dict[str, ini.Value]] = {
        "DEFAULT": {"debug": "Yes"},
        "token": {"expiration": -1, "provider": "$x", "share": "0.5"},
    }
    assert KNOWN.check(options) is None


def test_policies() -> None:
    assert parse_policies("", KNOWN) == {}
    assert parse_policies("identity:create_user: '!'", KNOWN) == {"identity:create_user": "!"}
    for text in ("identity:create_usr: '!'", "[1]", "identity:create_user: 1", "a: ["):
        assert isinstance(parse_policies(text, KNOWN), str)


# --- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cpus", [1, 2, 4, 16, 64])
@pytest.mark.parametrize("memory_mb", [1024, 4096, 16384, 262144])
def test_sizes_fit_together(cpus: int, memory_mb: int) -> None:
    machine = Machine(cpus, memory_mb)
    size = sizing.api(machine)
    # Each thread gets its connection, so that no request waits for another one's.
    assert size.threads <= size.pool_size + size.max_overflow
    # Ten services on this machine leave half its processors and a third of its memory alone.
    assert size.workers <= max(1, (cpus + 1) // 2)
    assert size.workers == 1 or 10 * size.workers * sizing.WORKER_MB <= memory_mb * 2 / 3


@pytest.mark.parametrize("limit_mb", [256, 512, 1024, 2048, 16384])
def test_workers_fit_the_limit_of_their_container(limit_mb: int) -> None:
    # Nova: two APIs, and a conductor with as many processes; their masters, the scheduler and the consoles' proxy.
    machine = Machine(64, 262144, limit_mb)
    workers = sizing.api(machine, scaled=3, alone=5).workers
    assert workers == 1 or (3 * workers + 5) * sizing.WORKER_MB <= limit_mb
    assert workers == sizing.MAX_WORKERS or (3 * workers + 8) * sizing.WORKER_MB > limit_mb


def test_whoever_asks_waits_longer_than_whoever_answers() -> None:
    limits = [
        sizing.LONG_TIMEOUT,
        sizing.GATEWAY_TIMEOUT,
        sizing.RPC_TIMEOUT,
        sizing.DATABASE_TIMEOUT,
        sizing.CONNECT_TIMEOUT,
    ]
    assert limits == sorted(limits, reverse=True)
    assert len(set(limits)) == len(limits)


# --- URLs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("https", "cloud.example"), "https://cloud.example"),
        (("https", "cloud.example", 443, "/m-a/"), "https://cloud.example/m-a"),
        (("http", "10.0.0.1", 443), "http://10.0.0.1:443"),
        (("https", "2001:db8::1", 5000, "v3"), "https://[2001:db8::1]:5000/v3"),
        (("https", "[2001:DB8:0::1]"), "https://[2001:db8::1]"),
    ],
)
def test_urls(arguments: tuple[str, str], wanted: str) -> None:
    assert urls.url(*arguments) == wanted


def test_host_and_port() -> None:
    assert urls.split_host_port("db.x.:6446") == ("db.x", 6446)
    assert urls.split_host_port("[::1]:3306") == ("::1", 3306)
    assert urls.split_host_port("db", 3306) == ("db", 3306)
    assert urls.path_of("https://x/m-a/") == "/m-a"
    with pytest.raises(ValueError, match="no host"):
        urls.split_host_port(":1")


# --- schema -----------------------------------------------------------------------------------

LAYOUT = layouts.Layout(
    "keystone",
    "2026.1",
    "29",
    "keystone",
    "/bin",
    heads={"keystone": frozenset({"h1", "h2"})},
    revisions={"keystone": frozenset({"r0", "h0", "h1", "h2"})},
)
SCHEMA = Schema("keystone", DatabaseAddress("h", 1, "d", "u", "p"), ("sync",))


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (set[str](), "empty"),
        ({"r0"}, "behind"),
        ({"h0", "h2"}, "behind"),
        ({"h1", "h2"}, "equal"),
        ({"x", "h2"}, "unknown"),
    ],
)
def test_the_state_of_a_schema(found: set[str], state: str) -> None:
    assert schema.compare(found, SCHEMA, LAYOUT) == state


def test_an_image_without_heads_is_migrated_once() -> None:
    foreign = layouts.Layout("keystone", "2026.1", "29", "keystone", "/bin")
    assert schema.compare(set(), SCHEMA, foreign) == "empty"
    assert schema.compare({"any"}, SCHEMA, foreign) == "equal"


def test_a_database_that_was_never_migrated_has_no_heads() -> None:
    assert schema.heads(SqliteDatabase(), "alembic_version") == frozenset()


def test_one_unit_at_a_time_holds_the_lease() -> None:
    database = SqliteDatabase()
    first = schema.take(database, "keystone", "keystone/0")
    assert (first.mine, first.fence) == (True, 1)
    other = schema.take(database, "keystone", "keystone/1")
    assert (other.mine, other.owner) == (False, "keystone/0")
    # A unit that comes back in time goes on holding it.
    assert schema.take(database, "keystone", "keystone/0") == first
    schema.release(database, "keystone", first)
    assert schema.take(database, "keystone", "keystone/1").mine


def test_a_lease_that_has_expired_is_free() -> None:
    database = SqliteDatabase()
    overslept = schema.take(database, "keystone", "keystone/0")
    database.execute("UPDATE daybreak_lease SET expires = 1")
    assert schema.take(database, "keystone", "keystone/1").mine
    # It cannot give away what is another's.
    schema.release(database, "keystone", overslept)
    assert not schema.take(database, "keystone", "keystone/2").mine


# --- layout, roll, plan -----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "[]", "{}", "no JSON"])
def test_what_is_no_layout(text: str) -> None:
    assert layouts.parse(text) is None


def test_a_layout_of_something_else_than_openstack() -> None:
    found = layouts.parse('{"project": "haproxy", "version": "3.0.11"}')
    assert found is not None
    assert (found.user, found.program("haproxy")) == ("haproxy", "/usr/bin/haproxy")
    assert found.static == ""


def test_a_layout_with_files_for_browsers() -> None:
    found = layouts.parse('{"project": "nova", "static": "/usr/share/novnc"}')
    assert found is not None
    assert found.static == "/usr/share/novnc"


@pytest.mark.parametrize(
    ("holder", "wanting", "after"),
    [
        ("", [], ""),
        ("", ["a/10", "a/9"], "a/9"),
        ("a/1", ["a/0", "a/1"], "a/1"),
        ("a/1", ["a/0"], "a/0"),
        ("a/1", [], ""),
    ],
)
def test_the_lock_is_kept_while_it_is_wanted(holder: str, wanting: list[str], after: str) -> None:
    assert roll.next_holder(holder, wanting) == after


def test_times() -> None:
    assert seconds("1m30s") == 90
    assert seconds("500ms") == 0.5
    assert min_time("3s", "10s") == "3s"
    assert min_time("3s", "2s") == "1.5s"


def test_a_process_that_cannot_reload_restarts_for_files_that_would_be_reloaded() -> None:
    old, new = (File("/x", text, on_change="reload") for text in ("1", "2"))
    stays = Process("p", "run", reload="SIGHUP")
    assert service_dict(stays, [old]) == service_dict(stays, [new])
    restarts = Process("p", "run")
    assert service_dict(restarts, [old]) != service_dict(restarts, [new])
    silent = File("/x", "1", on_change="none")
    assert service_dict(stays, [silent]) == service_dict(stays, [])


def test_no_secret_reaches_the_plan() -> None:
    value = service_dict(Process("p", "run"), [File("/x", "the-secret-itself")])
    assert "the-secret-itself" not in str(value)
    assert "the-secret-itself" not in repr(File("/x", "the-secret-itself"))


def test_a_limit_of_processors_as_both_versions_of_control_groups_write_it() -> None:
    assert sizing.cpu_limit("max 100000\n") is None
    assert sizing.cpu_limit("-1\n 100000\n") is None
    assert sizing.cpu_limit("150000\n 100000\n") == 2
    assert sizing.cpu_limit("") is None


def test_a_memory_limit_as_both_versions_of_control_groups_write_it() -> None:
    assert sizing.memory_limit("1073741824\n") == 2**30
    assert sizing.memory_limit("max\n") is None
    assert sizing.memory_limit(f"{2**63 - 4096}\n") is None
