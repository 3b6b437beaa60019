"""Flags, output, secrets, log and ssh."""

from __future__ import annotations

import json

import pytest

from daybreak_engine.commands import flags, loglines, output, queries, tabular
from daybreak_engine.commands.deps import ExecResult
from daybreak_engine.commands.failures import UsageError
from daybreak_engine.commands.flags import Flag, Kind
from daybreak_engine.model import relations, secrets
from daybreak_engine.model.log import LogFile

from .conftest import START, Cloud

FLAGS = (
    Flag("model", short="m"),
    Flag("num-units", Kind.INT, short="n"),
    Flag("trust", Kind.BOOL),
    Flag("config", Kind.LIST),
    Flag("reset", Kind.CSV),
    Flag("wait", Kind.SECONDS),
)


def test_flags_stand_anywhere() -> None:
    line = (
        "a --model x b -n3 --trust --config k=v --config=l=w --reset a,b --wait=1m30s c -- --d -e"
    )
    parsed = flags.parse(FLAGS, line.split())
    assert parsed.args == ("a", "b", "c", "--d", "-e")
    assert (parsed.text("model"), parsed.number("num-units")) == ("x", 3)
    assert parsed.on("trust")
    assert parsed.items("config") == ("k=v", "l=w")
    assert parsed.items("reset") == ("a", "b")
    assert parsed.seconds("wait") == 90.0
    assert flags.parse(FLAGS, ["--trust=false", "-"]).args == ("-",)
    assert not flags.parse(FLAGS, ["--trust=false"]).on("trust")
    assert flags.parse(FLAGS, ["-m", "x", "-n=2"]).number("num-units") == 2


def test_flags_end_where_another_command_line_begins() -> None:
    parsed = flags.parse(FLAGS, ["-m", "x", "unit/0", "ls", "-n", "--bogus"], interspersed=False)
    assert parsed.args == ("unit/0", "ls", "-n", "--bogus")
    parsed = flags.parse(FLAGS, ["unit/0", "--", "ls", "-n"], interspersed=False)
    assert parsed.args == ("unit/0", "ls", "-n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--bogus"], "option provided but not defined: --bogus"),
        (["-x"], "option provided but not defined: -x"),
        (["--model"], "option needs an argument: --model"),
        (
            ["-n", "x"],
            'invalid value "x" for option -n: strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (
            ["--wait", "5"],
            'invalid value "5" for option --wait: time: missing unit in duration "5"',
        ),
        (["--trust=maybe"], "invalid value"),
    ],
)
def test_bad_flags(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        flags.parse(FLAGS, argv)
    assert caught.value.message.startswith(message)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h30m", 5400.0), ("20s", 20.0), ("0", 0.0), ("1.5m", 90.0), ("250ms", 0.25)],
)
def test_durations(text: str, seconds: float) -> None:
    assert flags.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "abc", "1x", "s", "5m3"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="time: "):
        flags.parse_duration(text)


def test_yaml_quotes_as_go_does() -> None:
    tree = {
        "a": "24.04",
        "b": "true",
        "c": "",
        "d": "x: y",
        "e": True,
        "f": "two\nlines\n",
        "g": [],
    }
    assert output.to_yaml(tree) == (
        'a: "24.04"\nb: "true"\nc: ""\nd: \'x: y\'\ne: true\nf: |\n  two\n  lines\ng: []\n'
    )
    assert output.to_yaml({"t": output.Plain("2026-11-22T16:37:12Z")}) == (
        "t: 2026-11-22T16:37:12Z\n"
    )
    assert output.to_json({"<a>": "é"}) == '{"\\u003ca\\u003e":"é"}\n'


def test_sizes() -> None:
    sizes = ("20M", "1G", "5MiB", "kubernetes,1,10M", "", "big", "2048K")
    assert [queries.mebibytes(text) for text in sizes] == [20, 1024, 5, 10, 0, 0, 2]


def test_sizes_for_people() -> None:
    shown = [tabular.size(size) for size in (0, 5, 20, 1024, 5120, 20480, 3 << 20)]
    assert shown == ["", "5.0 MiB", "20 MiB", "1.0 GiB", "5.0 GiB", "20 GiB", "3.0 TiB"]


def test_user_secrets(demo: Cloud) -> None:
    demo.file("sec.yaml", "password: p4ss\nuser: admin\n")
    added = demo.ok("add-secret", "mysecret", "--info", "a user secret", "--file", "sec.yaml")
    uri = added.out.strip()
    bare = uri.removeprefix("secret:")
    again = demo("add-secret", "mysecret", "--file", "sec.yaml")
    assert again.err == 'ERROR secret with name "mysecret" already exists\n'
    demo.ok("grant-secret", "mysecret", "alpha,beta")
    demo.ok("revoke-secret", uri, "beta")
    assert demo("grant-secret", "mysecret", "nosuch").err == (
        f'ERROR failed to grant/revoke secret: cannot change access to "{uri}" for "nosuch": '
        'application "nosuch" not found\n'
    )
    tree = json.loads(demo.ok("show-secret", "mysecret", "--format", "json").out)
    assert tree == {
        bare: {
            "revision": 1,
            "rotation": "never",
            "owner": "<model>",
            "description": "a user secret",
            "name": "mysecret",
            "created": "2026-11-22T16:29:28Z",
            "updated": "2026-11-22T16:29:28Z",
            "access": [
                {
                    "target": "application-alpha",
                    "scope": "model-7381af0b-05db-42cf-8c33-5369bd599a11",
                    "role": "view",
                }
            ],
        }
    }
    shown = demo.ok("show-secret", bare, "--reveal", "--format", "json").out
    assert json.loads(shown)[bare]["content"] == {"Data": {"password": "p4ss", "user": "admin"}}
    demo.ok("update-secret", uri, "password=other", "--info", "changed")
    demo.ok("update-secret", uri, "--name", "renamed", "--auto-prune")
    tree = json.loads(demo.ok("show-secret", "renamed", "--revisions", "--format", "json").out)
    # auto-prune dropped the first revision, which nobody reads
    assert [r["revision"] for r in tree[bare]["revisions"]] == [2]
    assert demo("show-secret", uri, "--revision", "1").code == 1
    assert demo("show-secret", uri, "--reveal", "--revisions").code == 2
    assert demo.ok("secrets").out == (
        "ID                    Name     Owner    Rotation  Revision  Last updated\n"
        f"{bare}  renamed  <model>  never            2  just now  \n"
    )
    assert demo("remove-secret", uri, "--revision", "1").err == (
        f"ERROR secret revision not found: {uri}/1\n"
    )
    demo.ok("config", "alpha", f"token={uri}")
    demo.ok("remove-secret", uri)
    assert demo("remove-secret", uri).code == 1


def test_secrets_of_charms_are_not_the_users(demo: Cloud) -> None:
    demo.ok("integrate", "alpha:db", "beta:kv")
    with demo.deps.store.transaction() as tx:
        secret = secrets.add(
            tx, {"key": "value"}, owner_kind="application", owner="alpha", label="admin"
        )
        relation = next(r for r in relations.all_(tx) if not r.peer)
        secrets.grant(tx, secret.id, "beta", relation.id)
    answer = demo("update-secret", f"secret:{secret.id}", "key=other")
    assert answer.err.startswith(
        'ERROR "7381af0b-05db-42cf-8c33-5369bd599a11" is not allowed to manage this secret\n'
    )
    assert demo("remove-secret", secret.id).code == 1
    tree = json.loads(demo.ok("show-secret", secret.id, "--format", "json").out)[secret.id]
    assert (tree["owner"], tree["label"]) == ("alpha", "admin")
    assert tree["access"][0]["scope"] == "relation-alpha.db#beta.kv"
    listed = demo.ok("secrets", "--owner", "application-alpha", "--format", "json").out
    assert list(json.loads(listed)) == [secret.id]
    assert "value" not in demo.ok("secrets", "--format", "json").out


def test_secret_values_are_never_in_errors(demo: Cloud) -> None:
    for line in (("add-secret", "x", "k=hunter2"), ("add-secret", "x", "key#base64=hunter2!")):
        answer = demo(*line)
        assert answer.code == 2
        assert "hunter2" not in answer.err
    demo.ok("add-secret", "x", "key#base64=aHVudGVyMg==")
    demo.file("value.txt", "from file")
    demo.ok("add-secret", "y", "--file", "-", "more=@value.txt", "-m", "fmt-demo")


def log(cloud: Cloud) -> LogFile:
    file = LogFile(cloud.deps.log_path)
    file.append(START, "alpha/0", "INFO", "juju.worker.uniter", "starting")
    file.append(START, "alpha/0", "ERROR", "unit.alpha/0.juju-log", "Traceback:\n  line 1\nboom")
    file.append(START, "alpha/1", "WARNING", "unit.alpha/1.install", "careful")
    file.append(START, "beta/0", "DEBUG", "unit.beta/0.start", "hello")
    file.append(START, "controller", "INFO", "juju.engine", "up")
    return file


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        ((), 5),
        (("--limit", "2"), 2),
        (("--limit", "0"), 5),
        (("--replay", "--no-tail"), 5),
        (("--include", "alpha/0"), 2),
        (("--include", "unit-alpha-1"), 1),
        (("--include", "alpha"), 3),
        (("--exclude", "alpha", "-x", "controller"), 1),
        (("--level", "WARNING"), 2),
        (("--include-module", "unit.alpha/0"), 1),
        (("--exclude-module", "unit."), 2),
        (("--include", "alpha", "--level", "warning", "--limit", "1"), 1),
    ],
)
def test_debug_log(demo: Cloud, argv: tuple[str, ...], shown: int) -> None:
    log(demo).close()
    text = demo.ok("debug-log", *argv).out
    assert len(list(loglines.records(text.splitlines()))) == shown


def test_debug_log_keeps_the_lines_of_a_message_together(demo: Cloud) -> None:
    log(demo).close()
    assert demo.ok("debug-log", "--level", "ERROR").out == (
        "unit-alpha-0: 16:29:28 ERROR unit.alpha/0.juju-log Traceback:\n  line 1\nboom\n"
    )
    tree = json.loads(demo.ok("debug-log", "--level", "ERROR", "--format", "json").out)
    assert tree["entity"] == "unit-alpha-0"


def test_no_log_yet(demo: Cloud) -> None:
    assert demo.ok("debug-log").out == ""


def test_scp(demo: Cloud) -> None:
    demo.file("l.txt", "local")
    demo.ok("scp", "--container", "app", "--", "l.txt", "alpha/0:/tmp/l x.txt")
    assert demo.deps.ran == [
        ("alpha/0", "app", ("/bin/sh", "-c", "base64 -d > '/tmp/l x.txt'"), "bG9jYWw=")
    ]
    demo.deps.result = ExecResult(0, "cmVtb3Rl\n", "")
    demo.ok("scp", "alpha/0:/tmp/back.txt", ".")
    assert (demo.directory / "back.txt").read_bytes() == b"remote"
    demo.deps.result = ExecResult(2, "", "sh: cannot open /nosuch: No such file\n")
    assert demo("scp", "alpha/0:/nosuch", "x").err == (
        "ERROR cannot copy alpha/0:/nosuch: sh: cannot open /nosuch: No such file\n"
    )
    assert not (demo.directory / "x").exists()
    assert demo("scp", "--", "-r", "alpha/0:/srv", "dir").err == (
        "ERROR only one source and one destination are allowed for a k8s application\n"
    )
    assert "cannot read nosuch" in demo("scp", "nosuch", "alpha/0:/x").err
    assert demo("scp", "a", "b").code == 1


def test_ssh(demo: Cloud) -> None:
    demo.deps.result = ExecResult(3, "out\n", "err\n")
    answer = demo("ssh", "--container", "app", "alpha/0", "echo out;", "exit", "3", stdin="in")
    assert (answer.code, answer.out) == (1, "out\n")
    assert answer.err == "err\nERROR command terminated with exit code 3\n"
    ((unit, container, argv, stdin),) = demo.deps.ran
    assert (unit, container, stdin) == ("alpha/0", "app", "in")
    assert argv[:2] == ("/bin/sh", "-c")
    assert argv[2].endswith("echo out; exit 3")
    demo.deps.result = ExecResult(0, "", "")
    assert demo("ssh", "--no-host-key-checks", "alpha/0", "ls", "-l").code == 0
    assert demo.deps.ran[-1][1] == "charm"
    assert demo("ssh", "alpha/0").code == 2
