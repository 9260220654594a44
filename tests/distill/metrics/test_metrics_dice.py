"""Dice by hand, with empty images and soft targets."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError, RunFailedError
from densedistill.distill.metrics import Dice


def maps(*rows: list[float]) -> Tensor:
    return torch.tensor(rows)[:, None, None, :]


def test_pooled_and_per_image_by_hand() -> None:
    metric = Dice()
    # 1 of 2 predicted is the 1 true: 2/3. 3 of 4 predicted are the 3 true: 6/7. Pooled 2 (1 + 3) / (2 + 1 + 4 + 3).
    metric.update(maps([0.9, 0.8, 0.1, 0.0]), {"target": maps([1, 0, 0, 0])})
    metric.update(maps([0.9, 0.8, 0.7, 0.6]), {"target": maps([1, 1, 1, 0])})
    figures = metric.compute()
    assert list(figures) == ["dice", "dice_per_image"]
    assert next(iter(figures)) == metric.name
    assert figures["dice"] == pytest.approx(8 / 10)
    assert figures["dice_per_image"] == pytest.approx((2 / 3 + 6 / 7) / 2)
    assert metric.per_image() == [{"dice": pytest.approx(2 / 3)}, {"dice": pytest.approx(6 / 7)}]


def test_batches_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(7, 1, 9, 5, generator=generator)
    target = (torch.rand(7, 1, 9, 5, generator=generator) < 0.3).float()
    whole, parts = Dice(), Dice()
    whole.update(prediction, {"target": target})
    for place in range(7):
        parts.update(prediction[place, None], {"target": target[place, None]})
    assert whole.compute() == parts.compute()
    both = ((prediction >= 0.5) & (target > 0)).sum().item()
    assert whole.compute()["dice"] == pytest.approx(2 * both / ((prediction >= 0.5).sum() + target.sum()).item())


def test_empty_images() -> None:
    empty, some = [0.0, 0.0], [1.0, 0.0]
    metric = Dice()
    metric.update(maps(empty, empty, some), {"target": maps(empty, some, empty)})
    assert metric.per_image() == [{"dice": 1.0}, {"dice": 0.0}, {"dice": 0.0}]
    assert metric.compute() == {"dice": 0.0, "dice_per_image": pytest.approx(1 / 3)}


def test_a_split_without_any_positive() -> None:
    metric = Dice()
    metric.update(maps([0.1, 0.2]), {"target": maps([0, 0])})
    assert metric.compute() == {"dice": 1.0, "dice_per_image": 1.0}


def test_thresholds_include_their_value() -> None:
    metric = Dice(threshold=0.25)
    metric.update(maps([0.25, 0.24, 0.3]), {"target": maps([0.5, 0.49, 0.0])})
    assert metric.compute()["dice"] == pytest.approx(2 / 3)


def test_a_diverged_network_does_not_score_on_empty_images() -> None:
    metric = Dice()
    metric.update(maps([0.1, math.nan]), {"target": maps([0, 0])})
    with pytest.raises(RunFailedError, match="image 0 of 1"):
        metric.compute()


def test_faults_of_the_request() -> None:
    with pytest.raises(RequestError, match="separates no probabilities"):
        Dice(threshold=0.0)
    with pytest.raises(RequestError, match="no image"):
        Dice().compute()
    with pytest.raises(RequestError, match="same size"):
        Dice().update(torch.zeros(1, 1, 4, 4), {"target": torch.zeros(1, 1, 8, 8)})
