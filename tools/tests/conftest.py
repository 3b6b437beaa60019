"""The packer as a module: it is a program without a suffix."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def charmpacks() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "charmpacks.py"
    spec = importlib.util.spec_from_file_location("charmpacks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["charmpacks"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def packer(charmpacks: ModuleType) -> ModuleType:
    return charmpacks.packer()
