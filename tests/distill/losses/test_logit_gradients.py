"""Closed-form gradients agree with autograd, and their linear forms with the limit of high temperature."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import kd_loss, mixed_cross_entropy, mixed_dkd_loss
from densedistill.distill.losses.logit_gradients import (
    kd_gradient,
    label_gradient,
    linear_kd_gradient,
    linear_nckd_gradient,
    nckd_gradient,
)

B, K = 5, 7
TARGET, OTHER = torch.tensor([0, 6, 3, 3, 1]), torch.tensor([2, 6, 0, 4, 5])
MIX = torch.tensor([0.0, 0.3, 0.5, 1.0, 0.9], dtype=torch.float64)
MIXES: list[tuple[Tensor | None, Tensor | None]] = [(None, None), (OTHER, MIX)]


def logits(seed: int, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(B, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_autograd(loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of each image's own loss: the mean's times the number of images."""
    student = logits(1).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(student), student)
    return gradient * B


@pytest.mark.parametrize(("other", "mix"), MIXES)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_nckd(other: Tensor | None, mix: Tensor | None, temperature: float) -> None:
    expected = by_autograd(lambda s: mixed_dkd_loss(s, logits(2), TARGET, 0.0, 1.0, temperature, other, mix))
    found = nckd_gradient(logits(1), logits(2), TARGET, temperature, other, mix)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_kd() -> None:
    expected = by_autograd(lambda student: kd_loss(student, logits(2), 4.0))
    torch.testing.assert_close(kd_gradient(logits(1), logits(2), 4.0), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("other", "mix"), MIXES)
def test_labels(other: Tensor | None, mix: Tensor | None) -> None:
    expected = by_autograd(lambda student: mixed_cross_entropy(student, TARGET, other, mix))
    torch.testing.assert_close(label_gradient(logits(1), TARGET, other, mix), expected, rtol=1e-10, atol=1e-12)


def test_linear_forms_are_the_limit_of_high_temperature() -> None:
    """The error falls with 1 / T."""
    difference = logits(1) - logits(2)
    for linear, exact in (
        (linear_nckd_gradient(difference, TARGET), lambda t: nckd_gradient(logits(1), logits(2), TARGET, t)),
        (linear_kd_gradient(difference), lambda t: kd_gradient(logits(1), logits(2), t)),
    ):
        near, far = (float((exact(temperature) - linear).abs().max()) for temperature in (1e3, 1e4))
        assert far == pytest.approx(near / 10, rel=0.05)
        assert far < 1e-3 * float(linear.abs().max())


def test_nothing_is_asked_of_the_label_s_logit() -> None:
    moved = logits(1).scatter_add(1, TARGET[:, None], torch.full((B, 1), 9.0, dtype=torch.float64))
    before, after = (nckd_gradient(student, logits(2), TARGET, 4.0) for student in (logits(1), moved))
    assert torch.equal(before, after)
    assert not before.gather(1, TARGET[:, None]).any()
    assert before.sum(dim=1).abs().max() < 1e-12


def test_faults() -> None:
    with pytest.raises(RequestError, match="three or more"):
        nckd_gradient(logits(1)[:, :2], logits(2)[:, :2], TARGET.clamp_max(1), 4.0)
    with pytest.raises(RequestError, match="no divisor"):
        kd_gradient(logits(1), logits(2), 0.0)
    with pytest.raises(RequestError, match="one class number for each image"):
        label_gradient(logits(1), TARGET[:2])
