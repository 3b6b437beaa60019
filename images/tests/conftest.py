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
        # The charm container has no layout: charms know it.
        "image": [image for image in built if image.name != "charm-base"],
        "service": [image for image in built if image.namespaces],
    }
    for argument, images in wanted.items():
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, images, ids=[image.short for image in images])


@pytest.fixture(scope="session")
def images() -> store.Store:
    return store.open_store()
