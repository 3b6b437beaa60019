from __future__ import annotations

from pathlib import Path

import pytest

from daybreak import bundles
from daybreak.errors import DaybreakError
from daybreak_images import spec

ROOT = Path(__file__).parents[2]


def test_the_identity_bundle_is_what_the_cli_understands():
    bundle = bundles.load(bundles.find("identity", ROOT / "bundles"))

    assert bundle.names == ("certificates", "mariadb", "memcached", "keystone", "gateway")
    assert bundle.own_images == bundle.images
    assert all(app.scale == 1 and app.local for app in bundle.applications)
    assert all(side.partition(":")[0] in bundle.names for pair in bundle.relations for side in pair)


@pytest.mark.parametrize("path", sorted((ROOT / "bundles").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_charm_and_resource_of_a_bundle_exists(path: Path):
    import yaml

    for app, fields in yaml.safe_load(path.read_text())["applications"].items():
        name = Path(fields["charm"]).name.removesuffix(".charm")
        declared = ROOT / "charms" / name / "charmcraft.yaml"
        assert declared.is_file(), f"{app}: no charm {name}"
        metadata = yaml.safe_load(declared.read_text())
        images = {
            key
            for key, value in (metadata.get("resources") or {}).items()
            if value["type"] == "oci-image"
        }
        assert set(fields.get("resources") or {}) == images, app


@pytest.mark.parametrize("path", sorted((ROOT / "bundles").glob("*.yaml")), ids=lambda p: p.stem)
def test_relations_of_a_bundle_join_endpoints_of_one_interface(path: Path):
    import yaml

    content = yaml.safe_load(path.read_text())

    def interface(side: str, *roles: str) -> str | None:
        app, _, endpoint = side.partition(":")
        name = Path(content["applications"][app]["charm"]).name.removesuffix(".charm")
        metadata = yaml.safe_load((ROOT / "charms" / name / "charmcraft.yaml").read_text())
        for role in roles:
            if endpoint in (metadata.get(role) or {}):
                return metadata[role][endpoint]["interface"]
        return None

    for one, other in content["relations"]:
        joined = {
            (interface(one, "provides"), interface(other, "requires")),
            (interface(one, "requires"), interface(other, "provides")),
        }
        assert any(a is not None and a == b for a, b in joined), (one, other)


@pytest.mark.parametrize("path", sorted((ROOT / "bundles").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_image_of_a_bundle_can_be_built(path: Path):
    bundle = bundles.load(path)

    assert set(bundle.images) <= {image.reference for image in spec.load()}


def test_the_whole_cloud_is_every_charm_and_says_what_its_nodes_need():
    bundle = bundles.load(bundles.find("openstack", ROOT / "bundles"))

    charms = {path.parent.name for path in (ROOT / "charms").glob("*/charmcraft.yaml")}
    assert {app.charm_name for app in bundle.applications} == charms
    needing = [app for app in bundle.applications if app.modules or app.devices]
    assert [app.name for app in needing] == ["hypervisor"]
    assert needing[0].shares_mounts


@pytest.mark.parametrize(("name", "units"), [("single", 15), ("ha", 38)])
def test_units_are_those_of_the_overlay(name: str, units: int):
    bundle = bundles.load(bundles.find("openstack", ROOT / "bundles"))

    overlay = bundles.find(name, ROOT / "bundles/overlays", "overlay")
    assert bundles.units(bundle, [overlay]) == units


def test_memory_is_that_of_all_containers_of_all_units(tmp_path: Path):
    (tmp_path / "b.yaml").write_text(
        "bundle: kubernetes\napplications:\n"
        "  a: {charm: a, constraints: arch=amd64 mem=1536M, resources: {x-image: x, y-image: y}}\n"
        "  b: {charm: b, constraints: mem=1.5G, resources: {x-image: x}}\n"
    )
    (tmp_path / "o.yaml").write_text("applications: {b: {scale: 3}}\n")
    bundle = bundles.load(tmp_path / "b.yaml")

    least = (64 + 2 * 1536) << 20
    assert bundles.memory(bundle, []) == least + ((64 + 1536) << 20)
    assert bundles.memory(bundle, [tmp_path / "o.yaml"]) == least + 3 * ((64 + 1536) << 20)


@pytest.mark.parametrize("name", ["identity", "openstack"])
def test_each_workload_says_how_much_memory_it_takes(name: str):
    bundle = bundles.load(bundles.find(name, ROOT / "bundles"))
    assert [app.name for app in bundle.applications if app.resources and not app.memory] == []


def test_a_size_that_is_none_is_refused(tmp_path: Path):
    (tmp_path / "b.yaml").write_text(
        "bundle: kubernetes\napplications: {a: {charm: a, constraints: mem=lots}}\n"
    )
    with pytest.raises(DaybreakError, match="mem=lots: mem=1G is meant"):
        bundles.load(tmp_path / "b.yaml")


@pytest.mark.parametrize("name", ["single", "ha"])
def test_an_overlay_is_about_units_and_storage_of_the_whole_control_plane(name: str):
    import yaml

    content = yaml.safe_load(bundles.find(name, ROOT / "bundles/overlays", "overlay").read_text())
    assert set(content) == {"applications"}
    bundle = bundles.load(bundles.find("openstack", ROOT / "bundles"))
    assert set(content["applications"]) == set(bundle.names)
    charms = {app.name: app.charm_name for app in bundle.applications}
    for app, fields in content["applications"].items():
        assert fields.keys() <= {"scale", "storage"}
        declared = yaml.safe_load((ROOT / "charms" / charms[app] / "charmcraft.yaml").read_text())
        for storage, size in fields.get("storage", {}).items():
            least = declared["storage"][storage]["minimum-size"]
            assert int(size.removesuffix("G")) >= int(least.removesuffix("G"))


def test_a_misspelt_name_gets_the_nearest_one(tmp_path: Path):
    (tmp_path / "identity.yaml").touch()

    with pytest.raises(DaybreakError) as caught:
        bundles.find("identiti", tmp_path)

    assert "Did you mean identity?" in caught.value.remedy
    assert "Known bundles: identity" in caught.value.remedy


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DaybreakError, match=r"mine\.yaml does not exist"):
        bundles.find(str(tmp_path / "mine.yaml"), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- a", "no applications"),
        ("", "no applications"),
        ("bundle: kubernetes", "no applications"),
        ("applications: {a: {charm: x}}", "bundle: kubernetes"),
        ("{bundle: kubernetes, applications: {a: }}", 'application "a" names no charm'),
        (
            "{bundle: kubernetes, applications: {a: {charm: ./x, scale: two}}}",
            "scale",
        ),
        (
            "{bundle: kubernetes, applications: {a: {charm: ./x}}, relations: [[a]]}",
            "no pair",
        ),
    ],
)
def test_what_is_no_bundle_is_refused_with_the_reason(tmp_path: Path, text: str, message: str):
    path = tmp_path / "bad.yaml"
    path.write_text(text)

    with pytest.raises(DaybreakError, match=message) as caught:
        bundles.load(path)

    assert caught.value.remedy


def test_only_own_images_are_built(tmp_path: Path):
    path = tmp_path / "b.yaml"
    path.write_text(
        "{bundle: kubernetes, applications: {a: {charm: ./x.charm, resources:"
        ' {one: "localhost:32000/daybreak/x:1", two: "elsewhere/y:2"}}}}'
    )

    bundle = bundles.load(path)

    assert bundle.images == ("elsewhere/y:2", "localhost:32000/daybreak/x:1")
    assert bundle.own_images == ("localhost:32000/daybreak/x:1",)
