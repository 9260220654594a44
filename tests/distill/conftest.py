"""What the engine's tests share."""

from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module `tiny_task`, which driver scripts import by the same name."""
    folder = str(Path(__file__).parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = importlib.import_module("tiny_task")
    # Each arm ends with a garbage collection, which need not walk all that the imports made.
    gc.freeze()
    return module
