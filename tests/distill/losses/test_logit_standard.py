"""Logit standardisation against numpy, its invariances, and rows without spread."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import dkd_loss, kd_loss, standardise

Noise = Callable[..., Tensor]


def test_equals_numpy_with_the_unbiased_deviation(noise: Noise) -> None:
    logits = noise(4, 7, scale=3.0)
    rows = logits.numpy()
    expected = (rows - rows.mean(1, keepdims=True)) / rows.std(1, ddof=1, keepdims=True)
    np.testing.assert_allclose(standardise(logits).numpy(), expected, rtol=1e-5)


def test_shift_and_scale_of_either_network_leave_kd_and_dkd_alone(noise: Noise) -> None:
    student, teacher, target = noise(3, 5), noise(3, 5, seed=1), torch.tensor([0, 4, 2])
    for loss in (
        lambda s, t: kd_loss(standardise(s), standardise(t), 2.0),
        lambda s, t: dkd_loss(standardise(s), standardise(t), target, 1.0, 8.0, 2.0),
    ):
        torch.testing.assert_close(loss(9 * student + 4, 0.3 * teacher - 7), loss(student, teacher), rtol=1e-5, atol=0)
        assert loss(3 * teacher + 1, teacher).item() == pytest.approx(0.0, abs=1e-9)


def test_gradient_matches_finite_differences(noise: Noise) -> None:
    assert torch.autograd.gradcheck(standardise, noise(2, 4).requires_grad_())


def test_rows_without_spread_become_zero_with_a_bounded_gradient(noise: Noise) -> None:
    logits = torch.full((1, 4), 7.0, requires_grad=True)
    standard = standardise(logits)
    assert (standard == 0).all()
    (gradient,) = torch.autograd.grad(kd_loss(standard, standardise(noise(1, 4)).float(), 2.0), logits)
    assert gradient.isfinite().all()
    assert 0 < gradient.abs().max() < 10


def test_one_channel_has_no_deviation() -> None:
    with pytest.raises(RequestError, match="1 output channel"):
        standardise(torch.zeros(2, 1))
