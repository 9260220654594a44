"""Attention transfer against loops, and what it does not see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import attention_loss

Noise = Callable[..., Tensor]


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("images", [1, 3])
def test_equals_its_definition(noise: Noise, images: int, power: float) -> None:
    student, teacher = noise(images, 4, 6, 6), noise(images, 2, 3, 3, seed=1)
    small = student.numpy().reshape(images, 4, 3, 2, 3, 2).mean((3, 5))
    total = 0.0
    for mine, theirs in zip(small, teacher.numpy(), strict=True):
        maps = [(np.abs(feature) ** power).sum(0) for feature in (mine, theirs)]
        q, t = (one / np.sqrt((one**2).sum()) for one in maps)
        total += ((q - t) ** 2).sum()
    assert attention_loss(student, teacher, power).item() == pytest.approx(total / (images * 9), rel=1e-9)


def test_blind_to_scale_sign_and_order_of_channels(noise: Noise) -> None:
    teacher = noise(2, 4, 3, 3)
    assert attention_loss(-5 * teacher.flip(1), teacher).item() == pytest.approx(0.0, abs=1e-15)


def test_gradient_matches_finite_differences_and_is_bounded_for_a_dead_feature(noise: Noise) -> None:
    teacher = noise(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: attention_loss(s, teacher), noise(2, 2, 4, 4).requires_grad_())
    dead = torch.zeros(2, 2, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(attention_loss(dead, teacher.float()), dead)
    assert gradient.isfinite().all()


def test_power_must_be_positive(noise: Noise) -> None:
    with pytest.raises(RequestError, match="attention's power 0"):
        attention_loss(noise(1, 2, 2, 2), noise(1, 2, 2, 2), 0.0)
