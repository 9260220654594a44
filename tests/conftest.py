"""Settings of every test: offline, one thread for each worker, and where real data lies."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path
from types import ModuleType

# Before torch and albumentations are imported, by this process and by those that tests start.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from torch.torch_version import TorchVersion

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


@pytest.fixture(scope="session")
def int8() -> None:
    """Skips where no int8 teacher can be had."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("an int8 teacher needs an x86 CPU")
    if importlib.util.find_spec("torchao") is None:
        pytest.skip("an int8 teacher needs the extra int8")
    if TorchVersion(torch.__version__) < (2, 15):
        pytest.skip("torchao 0.18 lacks names of PyTorch 2.9's and finds nothing to quantise with 2.11")
