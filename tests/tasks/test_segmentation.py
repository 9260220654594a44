"""The segmentation task: what its panels show, and images of unlike sizes scored whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from densedistill.datasets.base import TaskData
from densedistill.datasets.segmentation import SegmentationData, load_segmentation
from densedistill.distill.evaluation import evaluate
from densedistill.distill.prediction.application import class_colours
from densedistill.tasks import get
from densedistill.tasks.segmentation import UNLABELLED, network_arguments, prediction_cell, shares, truth_cell


@pytest.fixture
def pairs(tmp_path: Path) -> TaskData:
    """Images of three sizes whose red channel is 100 times the class of the pixel, of three."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        for part in ("train", "val", "test"):
            (tmp_path / kind / part).mkdir(parents=True)
    for part in ("train", "val", "test"):
        for place, size in enumerate([(32, 40), (36, 32), (33, 47)]):
            labels = rng.integers(0, 3, size, dtype=np.uint8)
            image = np.zeros((*size, 3), np.uint8)
            image[..., 0] = labels * 100
            labels[0] = 255
            Image.fromarray(image).save(tmp_path / "images" / part / f"{place}.png")
            Image.fromarray(labels).save(tmp_path / "masks" / part / f"{place}.png")
    return load_segmentation(SegmentationData(name="pairs", root=tmp_path, size=32))


class Reader(nn.Module):
    """Logits of the class that the red channel tells; of class 1 for class 2."""

    def __init__(self, data: TaskData) -> None:
        super().__init__()
        self.mean, self.std = data.input_mean[0], data.input_std[0]

    def forward(self, images: Tensor) -> Tensor:
        labels = ((images[:, 0] * self.std + self.mean) * 2.55).round().long().clamp(0, 1)
        return nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float()


def test_whole_images_of_unlike_sizes_are_scored_and_their_maps_not_kept(pairs: TaskData) -> None:
    spec = get("seg")
    metric = spec.metric.make(SegmentationData(), pairs)
    done = evaluate(
        Reader(pairs), pairs.val, spec=spec, metric=metric, device=torch.device("cpu"), batch_size=4, keep=True
    )
    counts = np.zeros(3)
    for batch in pairs.val.batches(1, device=torch.device("cpu")):
        counts += np.bincount(batch["target"].flatten(), minlength=256)[:3]
    assert done.metrics["pixel_accuracy"] == pytest.approx(100 * counts[:2].sum() / counts.sum())
    assert done.metrics["miou"] == pytest.approx((1 + counts[1] / (counts[1] + counts[2]) + 0) / 3)
    assert set(done.per_image) == set(pairs.val.ids)
    assert done.said is None


def test_networks_have_as_many_maps_as_there_are_classes(pairs: TaskData) -> None:
    assert network_arguments("smp/unet-resnet34", SegmentationData(), pairs) == {"classes": 3}
    probabilities = shares(torch.randn(2, 3, 4, 5))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2, 4, 5))


def test_panels_show_classes_in_their_colours(pairs: TaskData) -> None:
    target = torch.tensor([[0, 1, 2], [255, 2, 2]])
    colours = class_colours(3)
    truth = truth_cell({"target": target}, pairs).image
    assert truth is not None
    assert truth.dtype == np.uint8
    assert truth[0].tolist() == colours[[0, 1, 2]].tolist()
    assert tuple(truth[1, 0]) == UNLABELLED
    said = torch.tensor([[0, 1, 1], [1, 2, 0]])
    cell = prediction_cell(nn.functional.one_hot(said, 3).permute(2, 0, 1).float(), {"target": target}, pairs)
    assert cell.image is not None
    assert np.array_equal(cell.image, colours[said.numpy()])
    assert cell.caption == "60.0 % of pixels"
