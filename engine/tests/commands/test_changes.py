"""What commands do to a model beside what they answer, and where they refuse."""

from __future__ import annotations

from daybreak_engine.model import applications, config, leadership, models, statuses, units

from .conftest import DEPLOY_ALPHA, DEPLOY_BETA, Answer, Cloud

IMAGES = ("--resource", "app-image=img", "--resource", "side-image=img")
ALPHA = ("deploy", "./alpha.charm")


def test_deploy_says_what_it_located(cloud: Cloud) -> None:
    assert cloud(*DEPLOY_ALPHA, "--config", "greeting=hej", "--storage", "data=20M") == Answer(
        0,
        "",
        'Located local charm "alpha", revision 0\n'
        'Deploying "alpha" from local charm "alpha", revision 0 on ubuntu@24.04/stable\n',
    )
    tx = cloud.deps.store.read()
    app = applications.get(tx, "alpha")
    assert (app.scale, app.trust, app.storage) == (2, True, {"data": "20M"})
    assert config.explicit(tx, "alpha") == {"greeting": "hej"}


def test_an_image_that_is_not_there_is_said_and_deployed(cloud: Cloud) -> None:
    cloud.deps.images.clear()
    answer = cloud.ok(*DEPLOY_BETA)
    assert "WARNING image img is not on this machine" in answer.err


def test_what_a_path_is_no_charm(cloud: Cloud) -> None:
    cloud.file("text.charm", "no zip")
    (cloud.directory / "source").mkdir()
    assert "is not a packed charm (a zip archive)" in cloud("deploy", "./text.charm").err
    assert "is a directory, not a packed charm\npack it first" in cloud("deploy", "./source").err
    assert "would come from Charmhub" in cloud("deploy", "keystone-k8s").err


def test_config_from_files(demo: Cloud) -> None:
    demo.file("greet.txt", "from a file")
    demo.ok("config", "alpha", "greeting=@greet.txt")
    assert demo.ok("config", "alpha", "greeting").out == "from a file\n"
    demo.file("cfg.yaml", "alpha: {port: 1, debug: true, trust: false}\n")
    demo.ok("config", "alpha", "--file", "cfg.yaml")
    tx = demo.deps.store.read()
    assert config.explicit(tx, "alpha") == {"greeting": "from a file", "port": 1, "debug": True}
    assert not applications.get(tx, "alpha").trust
    shown = demo.ok("config", "alpha")
    assert "  port:\n    default: 8080\n    description: port to open\n    source: user\n" in (
        shown.out
    )
    demo.file("other.yaml", "beta: {}\n")
    assert demo("config", "alpha", "--file", "other.yaml").err.startswith(
        'ERROR no settings found for "alpha" in other.yaml'
    )


def test_limits_and_repetition_of_relations(demo: Cloud) -> None:
    demo.ok("integrate", "alpha:db", "beta:kv")
    assert demo("integrate", "alpha:db", "beta:kv2").err == (
        'ERROR adding relation between endpoints "alpha:db" and "beta:kv2": cannot add relation '
        '"alpha:db", "beta:kv2": relation alpha:db beta:kv2: establishing a new relation for '
        "alpha:db would exceed its maximum relation limit of 1\n"
    )
    assert "already exists" in demo("relate", "beta:kv", "alpha:db").err
    demo.ok("remove-relation", "alpha", "beta")
    demo.ok("integrate", "alpha:db", "beta:kv2")


def test_refresh_keeps_what_it_may_not_break(demo: Cloud) -> None:
    from .conftest import ALPHA as METADATA
    from .conftest import pack

    demo.ok("integrate", "alpha:db", "beta:kv")
    changed = {key: value for key, value in METADATA.items() if key != "requires"}
    pack(demo.directory / "less.charm", changed)
    assert 'would break relation "alpha:db beta:kv"' in (
        demo("refresh", "alpha", "--path", "./less.charm").err
    )
    more = {
        **METADATA,
        "resources": {**METADATA["resources"], "third-image": {"type": "oci-image"}},
    }
    pack(demo.directory / "more.charm", more)
    assert demo("refresh", "alpha", "--path", "./more.charm").err.startswith(
        "ERROR local charm missing OCI images for: third-image\n"
    )
    demo.ok("refresh", "alpha", "--path", "./more.charm", "--resource", "third-image=img")
    assert applications.get(demo.deps.store.read(), "alpha").charm_modified_version == 1


def test_an_equal_resource_replaces_no_pod(demo: Cloud) -> None:
    demo.ok("attach-resource", "alpha", "app-image=img")
    assert applications.get(demo.deps.store.read(), "alpha").charm_modified_version == 0
    demo.ok("attach-resource", "alpha", "app-image=other")
    assert applications.get(demo.deps.store.read(), "alpha").charm_modified_version == 1


def test_other_limits_replace_pods_and_other_words_do_not(demo: Cloud) -> None:
    def present() -> tuple[str, int]:
        app = applications.get(demo.deps.store.read(), "beta")
        return demo.ok("constraints", "beta").out, app.charm_modified_version

    demo.ok("set-constraints", "beta", "mem=2G", "cores=2")
    assert present() == ("cores=2 mem=2G\n", 1)
    demo.ok("set-constraints", "beta", "mem=2G cores=2")
    demo.ok("set-constraints", "beta", "mem=2048M", "arch=amd64")
    assert present() == ("arch=amd64 mem=2048M\n", 1)
    demo.ok("set-constraints", "beta", "mem=2G", "cpu-power=500")
    assert present() == ("cpu-power=500 mem=2G\n", 2)
    demo.ok("set-constraints", "beta")
    assert present() == ("\n", 3)


def test_the_models_constraints_hold_where_an_application_has_none(cloud: Cloud) -> None:
    cloud.ok("set-model-constraints", "mem=1G", "cpu-power=500")
    cloud.ok(*DEPLOY_BETA, "--constraints", "mem=2G", "--constraints", "cores=2 arch=amd64")
    kept = "arch=amd64 cores=2 cpu-power=500 mem=2G\n"
    assert cloud.ok("constraints", "beta").out == kept
    cloud.ok("set-model-constraints", "mem=3G")
    assert cloud.ok("constraints", "beta").out == kept
    cloud.ok("set-constraints", "beta", "cpu-power=100")
    assert cloud.ok("constraints", "beta").out == "cpu-power=100 mem=3G\n"


def test_an_application_that_goes_gets_no_constraints(demo: Cloud) -> None:
    demo.ok("remove-application", "--no-prompt", "beta")
    assert demo("set-constraints", "beta", "mem=2G").err == (
        'ERROR application "beta" is being removed\n'
    )


def test_destroy_model_returns_when_all_is_gone(demo: Cloud) -> None:
    deps = demo.deps

    def removed() -> None:
        with deps.store.transaction() as tx:
            assert models.get(tx).life == "dying"
            for unit in units.all_(tx):
                assert unit.life == "dying"
                units.remove(tx, unit.name)
            applications.finish_removals(tx)

    deps.on_wait.append(removed)
    answer = demo.ok("destroy-model", "fmt-demo", "--no-prompt", "--destroy-storage", "--force")
    assert answer.err.startswith(
        "Destroying model\n\nWaiting for model to be removed, 2 application(s)..."
    )
    assert answer.err.endswith("\nModel destroyed.\n")
    assert demo.engine.removed == [("fmt-demo", False)]


def test_destroy_model_that_does_not_end(demo: Cloud) -> None:
    answer = demo("destroy-model", "fmt-demo", "--no-prompt", "--timeout", "3s")
    assert answer.code == 1
    assert "timed out waiting for the model to be removed; left: alpha/0" in answer.err
    assert demo.engine.removed == []
    demo.ok("destroy-model", "fmt-demo", "--no-prompt", "--force", "--release-storage")
    assert demo.engine.removed == [("fmt-demo", True)]


def test_destroy_model_with_force_goes_on_when_hooks_fail(demo: Cloud) -> None:
    deps = demo.deps

    def fail() -> None:
        with deps.store.transaction() as tx:
            for unit in units.all_(tx):
                statuses.put(tx, unit.name, "error", "error", 'hook failed: "stop"')

    def go_on() -> None:
        with deps.store.transaction() as tx:
            for unit in units.all_(tx):
                assert unit.resolved == "no-retry"
                units.remove(tx, unit.name)
            applications.finish_removals(tx)

    deps.on_wait += [fail, go_on]
    demo.ok("destroy-model", "fmt-demo", "--no-prompt", "--force")
    assert not deps.on_wait


def test_nothing_new_in_a_model_that_goes(demo: Cloud) -> None:
    with demo.deps.store.transaction() as tx:
        applications.destroy(tx, "beta")
    bundle = "applications: {beta: {charm: ./beta.charm, resources: {app-image: img}}}"
    demo.file("b.yaml", bundle)
    assert 'application "beta" is being removed: deploy again' in demo("deploy", "./b.yaml").err
    with demo.deps.store.transaction() as tx:
        models.set_life(tx, "dying")
    answer = demo("deploy", "./beta.charm", "more", "--resource", "app-image=img")
    assert answer.err.startswith('ERROR cannot deploy "more": the model is being destroyed\n')


def test_one_instance_keeps_one_model(demo: Cloud) -> None:
    answer = demo("add-model", "other")
    assert answer.code == 1
    assert "already exists" not in answer.err
    assert 'keeps the model "fmt-demo"\nchoose another instance' in answer.err


def test_force_passes_over_failed_hooks_of_what_goes(demo: Cloud) -> None:
    with demo.deps.store.transaction() as tx:
        for name in ("alpha/0", "alpha/1"):
            statuses.put(tx, name, "error", "error", 'hook failed: "start"')
    demo.ok("remove-unit", "alpha", "--num-units", "1", "--force")
    tx = demo.deps.store.read()
    assert [unit.resolved for unit in units.of(tx, "alpha")] == ["", "no-retry"]
    demo.ok("remove-application", "alpha", "--force")
    assert [unit.resolved for unit in units.of(tx, "alpha")] == ["no-retry", "no-retry"]


def test_leaders_are_found_by_name(demo: Cloud) -> None:
    with demo.deps.store.transaction() as tx:
        leadership.claim(tx, "alpha/1")
    assert demo.ok("show-unit", "alpha/leader").out.startswith("alpha/1:\n")
    assert "could not determine leader for beta" in demo("show-unit", "beta/leader").err


def test_commands_of_another_kind_name_real_juju(bare: Cloud) -> None:
    for name in ("bootstrap", "add-machine", "consume", "add-user", "find"):
        answer = bare(name, "x")
        assert answer.code == 1
        assert answer.err.startswith(f"ERROR juju {name} is not part of this engine: ")
        assert "real Juju controller" in answer.err


def test_help(bare: Cloud) -> None:
    assert "juju add-model openstack" in bare.ok("help").out
    assert bare.ok("--help").out == bare.ok().out
    assert "relate" in bare.ok("help", "commands").out
    assert bare.ok("deploy", "--help").out == bare.ok("help", "deploy").out
    assert bare("help", "nosuch").code == 1
    for line in bare.ok("help", "commands").out.splitlines():
        name, summary = line.split(None, 1)
        assert summary.endswith("."), name
        assert f"Usage: juju {name}" in bare.ok("help", name).out or "Alias" in summary
