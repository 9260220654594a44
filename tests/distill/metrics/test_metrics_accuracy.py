"""Accuracy, calibration and likelihood by hand and against torchmetrics."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

from densedistill.distill.errors import RequestError, RunFailedError
from densedistill.distill.metrics import Accuracy, expected_calibration_error


def scored(prediction: Tensor, target: Tensor) -> Accuracy:
    metric = Accuracy(prediction.shape[1])
    metric.update(prediction, {"target": target})
    return metric


def test_figures_by_hand() -> None:
    # Two images right at 0.9 and 0.7, two wrong at 0.7 and 0.5.
    prediction = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.7, 0.2, 0.1], [0.3, 0.2, 0.5]])
    metric = scored(prediction, torch.tensor([0, 1, 1, 0]))
    figures = metric.compute()
    assert list(figures) == ["accuracy", "top5", "ece", "nll"]
    assert next(iter(figures)) == metric.name
    assert figures["accuracy"] == pytest.approx(50.0)
    assert figures["top5"] == pytest.approx(100.0)
    # Bins of width 1/15: 0.9; both 0.7; 0.5. Their |accuracy - confidence|: 0.1, |0.5 - 0.7|, 0.5.
    assert figures["ece"] == pytest.approx(0.25 * 0.1 + 0.5 * 0.2 + 0.25 * 0.5, abs=1e-7)
    assert figures["nll"] == pytest.approx(-(math.log(0.9) + math.log(0.7) + math.log(0.2) + math.log(0.3)) / 4)


def test_top5_and_its_rank_boundary() -> None:
    prediction = torch.linspace(7, 1, 7)[None].repeat(7, 1).softmax(1)
    figures = scored(prediction, torch.arange(7)).compute()
    assert figures["accuracy"] == pytest.approx(100 / 7)
    assert figures["top5"] == pytest.approx(500 / 7)


def test_a_network_that_says_nothing_scores_chance() -> None:
    figures = scored(torch.full((20, 10), 0.1), torch.arange(10).repeat(2)).compute()
    assert figures["accuracy"] == pytest.approx(10.0)
    assert figures["top5"] == pytest.approx(50.0)


def test_agrees_with_torchmetrics_whatever_the_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    prediction = (3 * torch.randn(500, 10, generator=generator)).softmax(1)
    target = torch.where(torch.rand(500, generator=generator) < 0.6, prediction.argmax(1), torch.arange(500) % 10)
    whole, parts = scored(prediction, target), Accuracy(10)
    for place in torch.arange(500).split(33):
        parts.update(prediction[place], {"target": target[place]})
    figures = whole.compute()
    assert parts.compute() == figures
    assert figures["ece"] == pytest.approx(multiclass_calibration_error(prediction, target, 10).item(), abs=1e-6)
    for name, top_k in (("accuracy", 1), ("top5", 5)):
        expected = multiclass_accuracy(prediction, target, 10, average="micro", top_k=top_k).item()
        assert figures[name] == pytest.approx(100 * expected, rel=1e-6)


def test_bins_are_open_below_and_closed_above() -> None:
    # 0.2 lies in the first of five bins with 0.1; their errors +0.8 and -0.1 add before the absolute value.
    confidence, correct = torch.tensor([[0.2, 0.1], [1.0, 0.0]], dtype=torch.float64)
    ece = expected_calibration_error(confidence, correct, bins=5)
    assert ece == pytest.approx(0.7 / 2)


def test_a_probability_of_zero_has_a_finite_likelihood() -> None:
    assert scored(torch.tensor([[1.0, 0.0]]), torch.tensor([1])).compute()["nll"] == pytest.approx(87.34, abs=0.01)


def test_per_image_in_the_order_seen() -> None:
    metric = Accuracy(2)
    metric.update(torch.tensor([[0.75, 0.25]]), {"target": torch.tensor([1])})
    metric.update(torch.tensor([[0.25, 0.75]]), {"target": torch.tensor([1])})
    assert metric.per_image() == [
        {"accuracy": 0.0, "confidence": 0.75, "nll": pytest.approx(math.log(4))},
        {"accuracy": 100.0, "confidence": 0.75, "nll": pytest.approx(math.log(4 / 3))},
    ]


def test_a_diverged_network_is_no_success() -> None:
    metric = scored(torch.tensor([[0.5, 0.5], [math.nan, math.nan]]), torch.tensor([0, 0]))
    with pytest.raises(RunFailedError, match="image 1 of 2"):
        metric.compute()


def test_faults_of_the_request() -> None:
    with pytest.raises(RequestError, match="2 or more"):
        Accuracy(1)
    with pytest.raises(RequestError, match="no image"):
        Accuracy(10).compute()
    with pytest.raises(RequestError, match="10 classes"):
        Accuracy(10).update(torch.zeros(4, 5), {"target": torch.zeros(4, dtype=torch.int64)})
