"""Settings of every test: offline, one thread for each worker, and where real data lies."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

# Before torch and albumentations are imported, by this process and by those that tests start.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

DATA_VARIABLE = "DENSEDISTILL_DATA"


def pytest_configure() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets: the environment's, or `shared/data` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ[DATA_VARIABLE]) if DATA_VARIABLE in os.environ else beside
    if not root.is_dir():
        pytest.skip(f"no real data at {root}: set {DATA_VARIABLE}")
    return root


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module `fake_study`, which writes folders of runs and studies that nothing was trained for."""
    specification = importlib.util.spec_from_file_location("fake_study", Path(__file__).with_name("fake_study.py"))
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
