"""The packer as a module: it is a program without a suffix."""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def packer() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "pack"
    loader = importlib.machinery.SourceFileLoader("daybreak_pack", str(path))
    spec = importlib.util.spec_from_loader("daybreak_pack", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name
    sys.modules["daybreak_pack"] = module
    loader.exec_module(module)
    return module
