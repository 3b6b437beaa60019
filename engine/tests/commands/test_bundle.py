"""Bundles, from files to the model."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from daybreak_engine.model import applications, config, relations, resources

from .conftest import Cloud, pack

IMAGES = {"app-image": "img", "side-image": "img"}
BUNDLE = {
    "bundle": "kubernetes",
    "applications": {
        "alpha": {
            "charm": "../charms/alpha.charm",
            "scale": 1,
            "trust": True,
            "resources": IMAGES,
            "options": {"greeting": "from-bundle"},
            "storage": {"data": "20M"},
        },
        "beta": {"charm": "../charms/beta.charm", "scale": 1, "resources": {"app-image": "img"}},
    },
    "relations": [["alpha:db", "beta:kv"]],
}


@pytest.fixture
def home(cloud: Cloud) -> Cloud:
    """Charms and bundles in directories of their own; commands run from the parent."""
    charms, bundles = cloud.directory / "charms", cloud.directory / "bundles"
    charms.mkdir()
    bundles.mkdir()
    for name in ("alpha.charm", "beta.charm"):
        (cloud.directory / name).rename(charms / name)
    write(cloud, "bundles/bundle.yaml", BUNDLE)
    return cloud


def write(cloud: Cloud, name: str, *documents: object) -> Path:
    return cloud.file(name, yaml.safe_dump_all(documents, sort_keys=False))


def test_deploys_all_of_it_with_paths_seen_from_the_bundle(home: Cloud) -> None:
    overlay = {"applications": {"alpha": {"options": {"greeting": "from-overlay", "port": 9090}}}}
    write(home, "overlay.yaml", overlay)
    answer = home.ok("deploy", "./bundles/bundle.yaml", "--trust", "--overlay", "overlay.yaml")
    charms = home.directory / "charms"
    assert answer.out == (
        "Executing changes:\n"
        f"- upload charm {charms}/alpha.charm for base ubuntu@24.04/stable\n"
        "- deploy application alpha with 1 unit on ubuntu@24.04/stable\n"
        f"- upload charm {charms}/beta.charm for base ubuntu@24.04/stable\n"
        "- deploy application beta with 1 unit on ubuntu@24.04/stable\n"
        "- add relation alpha:db - beta:kv\n"
    )
    assert answer.err == (
        "  added resource app-image\n  added resource side-image\n  added resource app-image\n"
        "Deploy of bundle completed.\n"
    )
    tx = home.deps.store.read()
    assert config.explicit(tx, "alpha") == {"greeting": "from-overlay", "port": 9090}
    assert applications.get(tx, "alpha").trust
    assert applications.get(tx, "alpha").storage == {"data": "20M"}
    assert [r.name for r in resources.of(tx, "alpha")] == ["app-image", "side-image"]
    assert ["alpha:db", "beta:kv"] in [[str(e) for e in r.endpoints] for r in relations.all_(tx)]


def test_the_second_time_only_the_difference(home: Cloud) -> None:
    home.ok("deploy", "./bundles/bundle.yaml", "--trust")
    again = home.ok("deploy", "./bundles/bundle.yaml", "--trust")
    assert (again.out, again.err) == ("", "No changes to apply.\n")
    overlay = {
        "applications": {
            "alpha": {"scale": 3, "options": {"port": 1}},
            "beta": {"expose": True},
            "more": {"charm": "./charms/beta.charm", "resources": {"app-image": "img"}},
        },
        "relations": [["alpha:web", "more:site"]],
    }
    write(home, "overlay.yaml", overlay)
    answer = home.ok(
        "deploy", "./bundles/bundle.yaml", "--trust", "--overlay", "./overlay.yaml", "--dry-run"
    )
    assert answer.out == (
        "Changes to deploy bundle:\n"
        "- set application options for alpha\n"
        "- scale alpha to 3 units\n"
        "- expose all endpoints of beta and allow access from CIDRs 0.0.0.0/0 and ::/0\n"
        f"- upload charm {home.directory}/charms/beta.charm for base ubuntu@24.04/stable\n"
        "- deploy application more with 1 unit on ubuntu@24.04/stable\n"
        "- add relation alpha:web - more:site\n"
    )
    assert applications.find(home.deps.store.read(), "more") is None
    home.ok("deploy", "./bundles/bundle.yaml", "--trust", "--overlay", "./overlay.yaml")
    tx = home.deps.store.read()
    assert applications.get(tx, "alpha").scale == 3
    assert config.explicit(tx, "alpha") == {"greeting": "from-bundle", "port": 1}
    assert applications.get(tx, "beta").exposed


def test_changed_constraints_are_set(home: Cloud) -> None:
    def deploy(constraints: str) -> str:
        write(home, "overlay.yaml", {"applications": {"beta": {"constraints": constraints}}})
        line = ("deploy", "./bundles/bundle.yaml", "--trust", "--overlay", "./overlay.yaml")
        answer = home.ok(*line)
        return answer.out + answer.err

    home.ok("set-model-constraints", "cpu-power=500")
    deploy("mem=1G")
    assert home.ok("constraints", "beta").out == "cpu-power=500 mem=1G\n"
    assert deploy("mem=1024M") == "No changes to apply.\n"
    assert deploy("mem=2G arch=amd64") == (
        "Executing changes:\n"
        '- set constraints for beta to "mem=2G arch=amd64"\n'
        "Deploy of bundle completed.\n"
    )
    assert home.ok("constraints", "beta").out == "arch=amd64 cpu-power=500 mem=2G\n"
    assert home.ok("deploy", "./bundles/bundle.yaml", "--trust").err == "No changes to apply.\n"
    assert applications.get(home.deps.store.read(), "beta").charm_modified_version == 1


def test_an_overlay_removes_an_application_with_its_relations(home: Cloud) -> None:
    write(home, "overlay.yaml", {"applications": {"beta": None}})
    answer = home.ok(
        *("deploy", "./bundles/bundle.yaml", "--trust", "--overlay", "overlay.yaml", "--dry-run")
    )
    assert "beta" not in answer.out


def test_further_documents_are_overlays(home: Cloud) -> None:
    write(home, "bundles/multi.yaml", BUNDLE, {"applications": {"alpha": {"scale": 2}}})
    home.ok("deploy", "./bundles/multi.yaml", "--trust")
    assert applications.get(home.deps.store.read(), "alpha").scale == 2


def test_options_from_files(home: Cloud) -> None:
    (home.directory / "bundles" / "greet.txt").write_text("from file")
    options = {"greeting": "include-file://greet.txt", "note": "include-base64://greet.txt"}
    overlay = {"applications": {"alpha": {"options": options}}}
    write(home, "bundles/more.yaml", overlay)
    home.ok("deploy", "./bundles/bundle.yaml", "--trust", "--overlay", "bundles/more.yaml")
    assert config.explicit(home.deps.store.read(), "alpha") == {
        "greeting": "from file",
        "note": "ZnJvbSBmaWxl",
    }


def test_trust_has_to_be_given(home: Cloud) -> None:
    answer = home("deploy", "./bundles/bundle.yaml")
    assert answer.code == 1
    assert answer.err == (
        "ERROR Bundle cannot be deployed without trusting applications with your cloud "
        "credentials.\n"
        "Please repeat the deploy command with the --trust argument if you consent to trust the "
        "following application(s):\n"
        "  - alpha\n"
    )
    assert applications.all_(home.deps.store.read()) == []


def test_all_mistakes_at_once_and_nothing_deployed(home: Cloud) -> None:
    write(
        home,
        "bad.yaml",
        {
            "applications": {
                "Bad": {"charm": "./charms/beta.charm", "resources": {"app-image": "img"}},
                "gone": {"charm": "./nosuch.charm"},
                "hub": {"charm": "keystone-k8s", "channel": "2026.1/edge"},
                "noimage": {"charm": "./charms/alpha.charm", "resources": {"app-image": "img"}},
                "odd": {
                    "charm": "./charms/alpha.charm",
                    "resources": {**IMAGES, "bogus": "x"},
                    "options": {"port": "abc"},
                    "storage": {"nosuch": "1G"},
                    "constraints": "mem=lots",
                },
                "alpha": {
                    "charm": "./charms/alpha.charm",
                    "resources": IMAGES,
                    "options": {"nosuch": 1},
                },
            },
            "relations": [["alpha:db", "nosuch:kv"], ["alpha:web", "odd:db"]],
        },
    )
    answer = home("deploy", "./bad.yaml")
    assert answer.code == 1
    assert answer.out == ""
    for text in (
        "ERROR cannot deploy bundle: the provided bundle has the following errors:\n",
        f'charm path in application "gone" does not exist: {home.directory}/nosuch.charm\n',
        'application "Bad": invalid application name "Bad", unexpected uppercase character\n',
        'application "hub" names the charm "keystone-k8s", which is no path',
        'application "noimage": local charm missing OCI images for: side-image',
        'application "odd": unrecognized resource "bogus"',
        'application "odd": option "port" expected int, got "abc"\n',
        'storage directive "nosuch" does not exist in the charm',
        'application "odd": bad "mem" constraint: must be a non-negative float',
        'unknown option "nosuch"',
        'relation ["alpha:db" "nosuch:kv"] refers to application "nosuch" not defined in this '
        "bundle\n",
        "no compatible endpoints found between applications",
    ):
        assert text in answer.err, text
    assert applications.all_(home.deps.store.read()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "applications: {x: {charm: ./a.charm, scale: 1, num_units: 2}}",
            "cannot unmarshal bundle contents: unmarshal document 0: "
            'cannot specify both scale and num_units for application "x"',
        ),
        (
            "applications:\n  x: {charm: ./a.charm\nrelations: []\n",
            "cannot unmarshal bundle contents: unmarshal document 0: yaml: line ",
        ),
        ("machines: {0: {}}", "it has machines, which this engine does not do"),
        ("saas: {db: {url: admin/x.y}}", "it has saas, which this engine does not do"),
        ("applications: [x]", "applications must be a mapping"),
        ("", "the bundle is empty"),
        ("relations: [[a:b]]", "must be a list of two endpoints"),
    ],
)
def test_files_that_are_no_bundle(home: Cloud, text: str, message: str) -> None:
    home.file("b.yaml", text)
    answer = home("deploy", "./b.yaml")
    assert answer.code == 1
    assert answer.err.startswith("ERROR cannot deploy bundle: ")
    assert message in answer.err


def test_missing_files(home: Cloud) -> None:
    answer = home("deploy", "./bundles/bundle.yaml", "--overlay", "nosuch.yaml")
    assert answer.code == 1
    assert answer.err == (
        'ERROR cannot deploy bundle: unable to process overlays: "nosuch.yaml" not found\n'
    )
    assert home("deploy", "./nosuch.yaml").err == (
        'ERROR no charm or bundle was found at "./nosuch.yaml"\n'
    )


def test_unknown_fields_only_warn(home: Cloud) -> None:
    beta = {"charm": "./charms/beta.charm", "resources": {"app-image": "img"}, "bogus": 1}
    write(home, "b.yaml", {"applications": {"x": beta}})
    answer = home.ok("deploy", "./b.yaml")
    assert "field bogus not found in applications\nwill be ignored during deployment\n" in (
        answer.err
    )


def test_a_failing_part_leaves_nothing(home: Cloud) -> None:
    """Both relations fit for themselves, but the endpoint's limit allows only one."""
    bundle = {
        **BUNDLE,
        "relations": [["alpha:db", "beta:kv"], ["alpha:db", "beta:kv2"]],
    }
    write(home, "bundles/limit.yaml", bundle)
    answer = home("deploy", "./bundles/limit.yaml", "--trust")
    assert answer.code == 1
    assert "would exceed its maximum relation limit of 1" in answer.err
    assert applications.all_(home.deps.store.read()) == []


def test_flags_for_charms_are_refused(home: Cloud) -> None:
    answer = home("deploy", "./bundles/bundle.yaml", "--trust", "--config", "a=b")
    assert answer.code == 2
    assert "not supported when deploying a bundle: --config" in answer.err


def test_one_charm_for_two_applications_is_uploaded_once(home: Cloud) -> None:
    beta = {"charm": "./charms/beta.charm", "resources": {"app-image": "img"}}
    write(home, "b.yaml", {"applications": {"one": beta, "two": beta}})
    answer = home.ok("deploy", "./b.yaml")
    assert answer.out.count("upload charm") == 1
    tx = home.deps.store.read()
    assert applications.get(tx, "one").charm_id == applications.get(tx, "two").charm_id


def test_a_directory_with_a_bundle(home: Cloud) -> None:
    home.ok("deploy", "./bundles", "--trust")
    pack(home.directory / "other.charm", {"name": "other", "summary": "", "description": ""})
    home.ok("deploy", "./other.charm")
