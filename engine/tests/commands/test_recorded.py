"""Answers and errors as a real Juju gave them (its controller `r` is `embedded` here)."""

from __future__ import annotations

import pytest

from .conftest import DEPLOY_BETA, Answer, Cloud

IMAGES = ("--resource", "app-image=img", "--resource", "side-image=img")
ALPHA = ("deploy", "./alpha.charm")

REFUSED: list[tuple[tuple[str, ...], int, str, str]] = [
    # command line, exit code, stdout, first line of stderr
    (("status", "--nosuchflag"), 2, "", "option provided but not defined: --nosuchflag"),
    (
        ("status", "--format", "bogus"),
        2,
        "",
        'invalid value "bogus" for option --format: unknown format "bogus"',
    ),
    (("nosuchcommand",), 1, "", 'juju: "nosuchcommand" is not a juju command. See "juju --help".'),
    (
        ("add-model", "--no-switch", "fmt-demo"),
        1,
        "",
        "model admin/fmt-demo already exists (already exists)",
    ),
    (
        ("add-model", "--no-switch", "bad_NAME"),
        2,
        "",
        '"bad_NAME" is not a valid name: model names may only contain lowercase letters, '
        "digits and hyphens",
    ),
    (("add-model", "--no-switch", "fmt-two", "nocloud"), 1, "", "cloud nocloud not found"),
    (("show-model", "--format", "json", "nosuch"), 1, "{}\n", "model embedded:nosuch not found"),
    (
        ("status", "--model", "nosuch", "--format", "json"),
        1,
        "{}\n",
        "model embedded:nosuch not found",
    ),
    (("destroy-model", "nosuch", "--no-prompt"), 1, "", "model embedded:nosuch not found"),
    (
        ("switch", "nosuch"),
        1,
        "",
        'cannot determine if "nosuch" is a valid model: "embedded:nosuch" is not the name of a '
        "model or controller",
    ),
    (
        ("model-config", "nosuch"),
        1,
        "",
        '"nosuch" is not a key of the currently targeted model: "fmt-demo"',
    ),
    (
        ("model-config", "update-status-hook-interval=abc"),
        1,
        "",
        "making updated model configuration: invalid update status hook interval in model "
        'configuration: time: invalid duration "abc"',
    ),
    (("deploy", "./nosuch.charm"), 1, "", 'no charm was found at "./nosuch.charm"'),
    (ALPHA, 1, "", "local charm missing OCI images for: app-image, side-image"),
    ((*ALPHA, *IMAGES[:2]), 1, "", "local charm missing OCI images for: side-image"),
    ((*ALPHA, *IMAGES, "--resource", "bogus=x"), 1, "", 'unrecognized resource "bogus"'),
    (
        (*ALPHA, *IMAGES, "--config", "port=abc"),
        1,
        "",
        'cannot deploy "alpha": preparing CAAS application args: validating create application '
        'args: validating application config: option "port" expected int, got "abc"',
    ),
    (
        (*ALPHA, *IMAGES, "--config", "nosuch=1"),
        1,
        "",
        'cannot deploy "alpha": preparing CAAS application args: validating create application '
        'args: validating application config: unknown option "nosuch"',
    ),
    (
        (*ALPHA, "alpha", *IMAGES, "--storage", "nosuch=10M"),
        1,
        "",
        'cannot deploy "alpha": preparing CAAS application args: validating create application '
        'args: invalid storage directive overrides: storage directive "nosuch" does not exist in '
        "the charm",
    ),
    (("deploy", "--nosuchflag"), 2, "", "option provided but not defined: --nosuchflag"),
    (
        (*ALPHA, "Bad_Name", *IMAGES),
        2,
        "",
        'invalid application name "Bad_Name", unexpected uppercase character',
    ),
    (("deploy",), 2, "", "no charm or bundle specified"),
    (
        ("config", "alpha", "nosuch"),
        1,
        "{}\n",
        'key "nosuch" not found in "alpha" application config or charm settings.',
    ),
    (
        ("config", "alpha", "nosuch=1"),
        1,
        "{}\n",
        'invalid application config: unknown option "nosuch"',
    ),
    (("config", "alpha", "port=abc"), 1, "{}\n", 'option "port" expected int, got "abc"'),
    (
        ("config", "alpha", "debug=maybe"),
        1,
        "{}\n",
        'option "debug" expected boolean, got "maybe"',
    ),
    (("config", "nosuchapp"), 1, "{}\n", "application nosuchapp not found (not found)"),
    (("config", "nosuchapp", "a=b"), 1, "{}\n", 'application "nosuchapp" not found'),
    (
        ("integrate", "alpha:db", "beta"),
        1,
        "",
        'adding relation between endpoints "alpha:db" and "beta": cannot relate endpoints '
        '"alpha:db" and "beta": ambiguous relation: "alpha:db beta" could refer to "alpha:db '
        'beta:kv"; "alpha:db beta:kv2"',
    ),
    (
        ("integrate", "alpha", "nosuch"),
        1,
        "",
        'adding relation between endpoints "alpha" and "nosuch": cannot relate endpoints "alpha" '
        'and "nosuch": no candidates for nosuch: relation endpoint not found',
    ),
    (
        ("integrate", "alpha:web", "beta:kv"),
        1,
        "",
        'adding relation between endpoints "alpha:web" and "beta:kv": cannot relate endpoints '
        '"alpha:web" and "beta:kv": no compatible endpoints found between applications',
    ),
    (
        ("integrate", "beta", "beta"),
        1,
        "",
        'adding relation between endpoints "beta" and "beta": cannot relate endpoints "beta" and '
        '"beta": no compatible endpoints found between applications',
    ),
    (
        ("remove-relation", "alpha:db", "beta:kv2"),
        1,
        "",
        "relation with endpoints [alpha:db beta:kv2] or id 0 not found (not found)",
    ),
    (
        ("remove-application", "--no-prompt", "nosuch"),
        1,
        "",
        'removing application nosuch failed: application "nosuch" not found',
    ),
    (
        ("scale-application", "nosuch", "3"),
        1,
        "",
        'could not scale application "nosuch": getting application "nosuch" not found',
    ),
    (("scale-application", "alpha", "--", "-1"), 2, "", "scale must be a positive integer"),
    (
        ("scale-application", "alpha", "abc"),
        2,
        "",
        'invalid scale "abc": strconv.Atoi: parsing "abc": invalid syntax',
    ),
    (
        ("add-unit", "beta", "--to", "1"),
        2,
        "",
        "k8s models do not support placement directives",
    ),
    (("add-unit", "beta", "--num-units", "0"), 2, "", "--num-units must be a positive integer"),
    (("add-unit", "nosuch"), 1, "", 'getting application "nosuch" not found'),
    (
        ("remove-unit", "--no-prompt", "alpha/0"),
        2,
        "",
        "k8s models do not support removing named units.",
    ),
    (
        ("remove-unit", "--no-prompt", "alpha"),
        2,
        "",
        "specify the number of units (> 0) to remove using --num-units",
    ),
    (
        ("remove-unit", "--no-prompt", "alpha", "beta", "--num-units", "1"),
        2,
        "",
        "only single application supported",
    ),
    (
        ("remove-unit", "--no-prompt", "--destroy-storage", "alpha", "--num-units", "1"),
        2,
        "",
        "k8s models only support --num-units",
    ),
    (
        ("remove-unit", "--no-prompt", "alpha", "--num-units", "9"),
        1,
        "",
        'changing scaling state for "alpha": scale change invalid: cannot remove more units than '
        "currently exist",
    ),
    (("resolved", "alpha/9"), 1, "", 'unit "alpha/9" not found'),
    (
        ("refresh", "alpha", "--path", "./nosuch.charm"),
        1,
        "",
        '"./nosuch.charm": file does not exist',
    ),
    (("refresh", "alpha", "--path", "./beta.charm"), 1, "", 'cannot refresh "alpha" to "beta"'),
    (("refresh", "alpha"), 1, "", "refreshing a local charm requires either --path or --switch"),
    (
        ("refresh", "nosuch", "--path", "./alpha.charm"),
        1,
        "",
        '"nosuch" deploy incomplete, please try refresh again in a little bit.',
    ),
    (
        ("refresh", "alpha", "--path", "./alpha.charm", "--revision", "3"),
        2,
        "",
        "--path and --revision are mutually exclusive",
    ),
    (
        ("trust", "beta"),
        1,
        "",
        "'juju trust' currently grants full access to the cluster itself.",
    ),
    (("trust", "nosuch", "--scope", "cluster"), 1, "", 'application "nosuch" not found'),
    (
        ("deploy", "./beta.charm", "b2", "--resource", "app-image=img", "--constraints", "ram=1G"),
        2,
        "",
        'unknown constraint "ram"',
    ),
    (("set-constraints",), 2, "", "no application name specified"),
    (("set-constraints", "mem=512"), 2, "", 'invalid application name "mem=512"'),
    (("set-constraints", "nosuch", "mem=2G"), 1, "", 'application "nosuch" not found'),
    (("set-constraints", "beta", "mem"), 2, "", 'malformed constraint "mem"'),
    (("set-model-constraints", "ram=2G"), 2, "", 'unknown constraint "ram"'),
    (("show-unit", "alpha/9", "--format", "json"), 1, "{}\n", "unit alpha/9 not found"),
    (("show-application", "nosuch"), 1, "{}\n", "application nosuch not found"),
    (
        ("run", "--format", "json", "alpha/0", "nosuch"),
        1,
        "{}\n",
        'action "nosuch" not defined for unit "alpha/0". (not found)',
    ),
    (
        ("run", "--format", "json", "nosuch/0", "say"),
        1,
        "{}\n",
        "adding action operation: adding action operation: getting charm UUID for application "
        '"nosuch": application "nosuch" not found',
    ),
    (
        ("run", "--format", "json", "nosuch/leader", "say"),
        1,
        "{}\n",
        'getting leader unit for nosuch: application "nosuch" not found in leases (not found)',
    ),
    (("run", "--format", "json", "alpha", "say"), 2, "", "no unit specified"),
    (
        ("exec", "--format", "json", "--machine", "0", "--", "hostname"),
        1,
        "{}\n",
        "unable to target machines with a k8s controller",
    ),
    (("show-task",), 2, "", "no task ID specified"),
    (("show-task", "9999"), 1, "", "id not found"),
    (("show-task", "1", "--format", "json"), 1, "{}\n", "id not found"),
    (
        ("debug-log", "--limit", "2", "--level", "NOSUCH"),
        2,
        "",
        'level value "NOSUCH" is not one of "TRACE", "DEBUG", "INFO", "WARNING", "ERROR"',
    ),
    (("debug-log", "--tail", "--limit", "1"), 2, "", "setting --tail and --limit not valid"),
    (("add-secret", "empty"), 2, "", "missing secret value or filename"),
    (
        ("grant-secret", "nosuch", "alpha"),
        1,
        "",
        'getting user secret for label "nosuch": secret with label "nosuch" not found '
        "(secret not found)",
    ),
    (
        ("secrets", "--owner", "fmt-demo", "--format", "json"),
        1,
        "{}\n",
        'invalid owner "fmt-demo": "fmt-demo" is not a valid tag',
    ),
    (("show-secret", "nosuch", "--format", "json"), 1, "{}\n", 'secret "nosuch" not found'),
    (
        ("ssh", "--container", "nosuch", "alpha/0", "true"),
        1,
        "",
        'container "nosuch" must be one of charm, app, side',
    ),
    (("ssh", "alpha/9", "true"), 1, "", 'getting unit "alpha/9": unit alpha/9 not found'),
]


@pytest.mark.parametrize(
    ("argv", "code", "out", "err"), REFUSED, ids=[" ".join(row[0]) for row in REFUSED]
)
def test_refusals(demo: Cloud, argv: tuple[str, ...], code: int, out: str, err: str) -> None:
    before = list(demo.deps.store.read().connection.iterdump())
    answer = demo(*argv)
    assert (answer.code, answer.out) == (code, out)
    assert answer.err.splitlines()[0] == f"ERROR {err}"
    assert list(demo.deps.store.read().connection.iterdump()) == before, "it left something"


def test_deploy_twice(demo: Cloud) -> None:
    answer = demo(*DEPLOY_BETA)
    assert answer.code == 1
    assert answer.err.startswith(
        'ERROR cannot deploy "beta": creating CAAS application "beta": application already exists'
    )


SILENT: list[tuple[tuple[str, ...], str, str]] = [
    (("integrate", "alpha:db", "beta:kv"), "", ""),
    (
        ("config", "alpha", "greeting=moin", "port=9091", "ratio=1.5", "debug=false", "note="),
        "",
        "",
    ),
    (("config", "alpha", "--reset", "greeting,port"), "", ""),
    (("config", "alpha", "--reset", "nosuch"), "", ""),
    (("config", "alpha", "greeting"), "hello\n", ""),
    (("config", "alpha", "--format", "json", "greeting"), "hello\n", ""),
    (("config", "alpha", "note"), "\n", ""),
    (("config", "alpha", "trust"), "true\n", ""),
    (("model-config", "update-status-hook-interval"), "5m\n", ""),
    (("model-config", "update-status-hook-interval=1m"), "", ""),
    (("model-config", "--reset", "update-status-hook-interval,logging-config"), "", ""),
    (("model-config", "automatically-retry-hooks=false"), "", ""),
    (
        ("model-config", "nosuch=1"),
        "",
        'WARNING key "nosuch" is not defined in the current model configuration: '
        "possible misspelling\n",
    ),
    (("set-model-constraints", "arch=amd64"), "", ""),
    (("model-constraints", "--format", "json"), "{}\n", ""),
    (("set-constraints", "beta", "mem=2G"), "", ""),
    (("scale-application", "alpha", "3"), "", "alpha scaled to 3 units\n"),
    (("scale-application", "beta", "0"), "", "beta scaled to 0 units\n"),
    (("add-unit", "beta", "--num-units", "1"), "", ""),
    (
        ("remove-unit", "--no-prompt", "alpha", "--num-units", "2"),
        "",
        "scaling down to 0 units\n",
    ),
    (
        ("remove-application", "--no-prompt", "beta", "alpha", "--destroy-storage"),
        "will remove application beta\n- will remove unit beta/0\n"
        "will remove application alpha\n- will remove unit alpha/0\n- will remove unit alpha/1\n",
        "",
    ),
    (
        ("refresh", "alpha", "--path", "./alpha.charm", "--config", "greeting=x"),
        "",
        'Added local charm "alpha", revision 1, to the model\n'
        'no change to endpoints in space "alpha": cluster, db, juju-info, web\n',
    ),
    (("attach-resource", "alpha", "side-image=img"), "", ""),
    (("trust", "beta", "--scope", "cluster"), "", ""),
    (("trust", "beta", "--remove", "--scope", "cluster"), "", ""),
    (("expose", "beta"), "", ""),
    (("unexpose", "beta"), "", ""),
    (("resolved", "--all"), "", ""),
    (("secrets", "--format", "json"), "{}\n", ""),
    (("switch",), "embedded:admin/fmt-demo\n", ""),
    (
        ("actions", "alpha"),
        "Action  Description\nsay     Say something back.\nslow    Sleep and log progress.\n",
        "",
    ),
    (
        ("show-application", "alpha", "--format", "json"),
        '{"alpha":{"charm":"alpha","base":"ubuntu@24.04","principal":true,"exposed":false,'
        '"remote":false,"life":"alive","endpoint-bindings":{"":"alpha","cluster":"alpha",'
        '"db":"alpha","juju-info":"alpha","web":"alpha"}}}\n',
        "",
    ),
    (
        ("resources", "alpha"),
        "Resource    Supplied by  Revision\n"
        "app-image   admin        2026-11-22T16:29\n"
        "side-image  admin        2026-11-22T16:29\n",
        "",
    ),
    (
        ("run", "--format", "json", "alpha/7", "say"),
        "",
        "\nOperation 1 failed to schedule any tasks:\n"
        'linking task to unit: getting unit UUID for "alpha/7": unit "alpha/7" not found\n',
    ),
    (
        ("exec", "--format", "json", "--unit", "alpha/9", "--", "hostname"),
        "",
        "Operation 1 failed to schedule any tasks:\n"
        'linking task to unit: getting unit UUID for "alpha/9": unit "alpha/9" not found\n',
    ),
]


@pytest.mark.parametrize(("argv", "out", "err"), SILENT, ids=[" ".join(row[0]) for row in SILENT])
def test_successes(demo: Cloud, argv: tuple[str, ...], out: str, err: str) -> None:
    demo.deps.images.add("img")
    assert demo(*argv) == Answer(0, out, err)
