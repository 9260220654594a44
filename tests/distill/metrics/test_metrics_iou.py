"""Mean IoU and pixel accuracy: by hand, against scikit-learn's confusion matrix, and what is refused."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from densedistill.distill.errors import RequestError, RunFailedError
from densedistill.distill.metrics import MeanIoU


def said(labels: Tensor, classes: int) -> Tensor:
    """Probabilities (B, K, H, W) whose largest is at `labels` (B, H, W)."""
    return torch.nn.functional.one_hot(labels, classes).permute(0, 3, 1, 2) * 0.5 + 0.5 / classes


def score(metric: MeanIoU, prediction: Tensor, target: Tensor) -> dict[str, float]:
    metric.update(prediction, {"target": target})
    return metric.compute()


def test_pooled_and_per_image_by_hand() -> None:
    target = torch.tensor([[[0, 0], [1, 1]], [[0, 0], [0, 255]]])
    prediction = torch.tensor([[[0, 1], [1, 1]], [[0, 0], [0, 2]]])
    metric = MeanIoU(3)
    # Class 0: 4 right of 5 there and 4 said. Class 1: 2 right of 2 there and 3 said. Class 2 is said without a label.
    assert score(metric, said(prediction, 3), target) == pytest.approx(
        {"miou": (4 / 5 + 2 / 3) / 2, "pixel_accuracy": 100 * 6 / 7}
    )
    first, second = metric.per_image()
    assert first == pytest.approx({"miou": (1 / 2 + 2 / 3) / 2, "pixel_accuracy": 75})
    assert second == pytest.approx({"miou": 1, "pixel_accuracy": 100})


def test_it_is_that_of_the_confusion_matrix_in_any_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 5, (6, 7, 9), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.1] = 255
    prediction = torch.rand(6, 5, 7, 9, generator=generator)
    counted = target != 255
    table = confusion_matrix(target[counted], prediction.argmax(1)[counted], labels=range(5))
    right = table.diagonal()
    expected = (right / (table.sum(0) + table.sum(1) - right)).mean()
    whole, parts = MeanIoU(5), MeanIoU(5)
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        parts.update(prediction[start:stop], {"target": target[start:stop]})
    figures = score(whole, prediction, target)
    assert next(iter(figures)) == "miou" == MeanIoU.name
    assert figures["miou"] == pytest.approx(expected, rel=1e-12)
    assert figures["pixel_accuracy"] == pytest.approx(100 * right.sum() / table.sum(), rel=1e-12)
    assert parts.compute() == figures


def test_a_class_that_is_said_but_nowhere_there_costs() -> None:
    target = torch.zeros(1, 2, 2, dtype=torch.int64)
    prediction = target.clone()
    prediction[0, 0, 0] = 1
    assert score(MeanIoU(4), said(prediction, 4), target)["miou"] == pytest.approx((3 / 4 + 0) / 2)


def test_an_image_without_labels_does_not_matter() -> None:
    target = torch.tensor([[[0, 1]], [[255, 255]]])
    prediction = torch.tensor([[[0, 0]], [[1, 0]]])
    metric = MeanIoU(2)
    assert score(metric, said(prediction, 2), target)["miou"] == pytest.approx((1 / 2 + 0) / 2)
    assert metric.per_image()[1] == {"miou": 0, "pixel_accuracy": 0}


def test_a_diverged_network_scores_nothing() -> None:
    prediction = torch.full((2, 3, 2, 2), 1 / 3)
    prediction[1, 2, 0, 0] = float("nan")
    metric = MeanIoU(3)
    metric.update(prediction, {"target": torch.zeros(2, 2, 2, dtype=torch.int64)})
    with pytest.raises(RunFailedError, match="image 1 of 2 is not finite"):
        metric.compute()


def test_what_cannot_be_scored_is_refused() -> None:
    labels = torch.zeros(1, 2, 2, dtype=torch.int64)
    with pytest.raises(RequestError, match="overlap of 1 classes says nothing"):
        MeanIoU(1)
    for shape in ((1, 4, 2, 2), (1, 3, 2, 4), (2, 3, 2, 2)):
        with pytest.raises(RequestError, match="do not fit 3 classes"):
            MeanIoU(3).update(torch.zeros(shape), {"target": labels})
    with pytest.raises(RequestError, match="no image was scored"):
        MeanIoU(3).compute()
    with pytest.raises(RequestError, match="no pixel of the split has a label"):
        score(MeanIoU(3), said(labels, 3), torch.full_like(labels, 255))
