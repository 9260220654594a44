"""Any image as evaluation would show it, without the data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densedistill.datasets.classification import ClassificationData, load_classification
from densedistill.datasets.classification_view import evaluation_view
from densedistill.datasets.decoding import decode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of images of several sizes."""
    root = tmp_path_factory.mktemp("folder")
    draws = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            for place, (height, width) in enumerate([(40, 61), (300, 240), (224, 224)]):
                path = root / part / name / f"{place}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draws.integers(0, 256, (height, width, 3), np.uint8)).save(path)
    return root


@pytest.mark.parametrize(
    ("student", "teacher", "detail"),
    [
        (None, None, None),
        (32, None, None),
        (32, 48, None),
        (48, 32, None),
        (16, 256, None),
        (256, 288, None),
        (64, None, 24),
        (32, 64, 24),
    ],
)
@pytest.mark.parametrize("generation", [1, 2])
def test_the_view_is_evaluation_s_input(
    folder: Path, student: int | None, teacher: int | None, detail: int | None, generation: int
) -> None:
    sizes = {"input_size": student, "teacher_size": teacher, "detail": detail}
    options = ClassificationData.model_validate(
        {"name": "imagefolder", "root": folder, **sizes, "val_size": 2, "workers": 0}
    )
    data = load_classification(options).for_arm(generation, None)
    images = next(iter(data.tests.values()))
    batch = next(iter(images.batches(len(images.ids), device=torch.device("cpu"))))
    view = evaluation_view(options, generation)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.input_mean, data.input_std))
    for name, wanted in zip(images.ids, batch["input"], strict=True):
        shown = view(decode((folder / name).read_bytes(), name))
        torch.testing.assert_close((shown - mean) / std, wanted, rtol=0, atol=1e-5)


def test_native_sizes_are_known_without_data() -> None:
    for name, side in {"cifar10": 32, "cifar100": 32, "tiny-imagenet": 64, "imagefolder": 224}.items():
        shown = evaluation_view(ClassificationData(name=name), 2)(torch.zeros(3, 50, 70, dtype=torch.uint8))
        assert shown.shape == (3, side, side)
    embedded = load_classification(ClassificationData())
    batch = next(iter(embedded.val.batches(1, device=torch.device("cpu"))))
    shown = evaluation_view(ClassificationData(), 2)(torch.zeros(3, 50, 70, dtype=torch.uint8))
    assert shown.shape == batch["input"].shape[1:]
