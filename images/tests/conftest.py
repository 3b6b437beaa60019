"""What the tests of built images share: the store, and which images are there to be tested."""

import os

import pytest

from daybreak_images import spec, store


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each image that `tests/run` has built; it names them, and names none for all."""
    known = spec.load()
    names = os.environ.get("DAYBREAK_TEST_IMAGES", "").split()
    built = spec.choose(known, names) if names else known
    wanted = {
        # The charm container and the test guest have no layout: no charm asks them for one.
        "image": [image for image in built if image.name not in ("charm-base", "guest")],
        "service": [image for image in built if image.namespaces],
        "dashboard": [image for image in built if image.name == "horizon"],
        "glance": [image for image in built if image.name == "glance"],
    }
    for argument, images in wanted.items():
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, images, ids=[image.short for image in images])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what has no image to run with: pytest would call it skipped."""
    items[:] = [item for item in items if "NOTSET" not in item.name]


@pytest.fixture(scope="session")
def images() -> store.Store:
    return store.open_store()
