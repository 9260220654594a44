"""WTTM against its definition with powers of probabilities, and the range of its weight."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import wttm_loss

Noise = Callable[..., Tensor]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("images", [1, 5])
def test_equals_the_definition(noise: Noise, images: int, temperature: float) -> None:
    student, teacher = noise(images, 6, scale=2.0), noise(images, 6, seed=1, scale=3.0)
    total = 0.0
    for q, p in zip(student.softmax(1).tolist(), teacher.softmax(1).tolist(), strict=True):
        powers = [value ** (1 / temperature) for value in p]
        weight = sum(powers)
        total += weight * sum(u / weight * math.log(u / weight / v) for u, v in zip(powers, q, strict=True))
    assert wttm_loss(student, teacher, temperature).item() == pytest.approx(total / images, rel=1e-9)


def test_weight_is_one_for_a_sure_teacher_and_largest_for_an_unsure_one() -> None:
    student = torch.tensor([[math.log(2), 0.0, 0.0, 0.0]], dtype=torch.float64)
    sure, unsure = torch.tensor([[100.0, 0.0, 0.0, 0.0]]).double(), torch.zeros(1, 4).double()
    assert wttm_loss(student, sure, 2.0).item() == pytest.approx(math.log(5 / 2), rel=1e-9)
    plain = sum(0.25 * math.log(0.25 / q) for q in (2 / 5, 1 / 5, 1 / 5, 1 / 5))
    assert wttm_loss(student, unsure, 2.0).item() == pytest.approx(4 ** (1 - 1 / 2) * plain, rel=1e-9)


def test_gradient_matches_finite_differences(noise: Noise) -> None:
    student, teacher = noise(3, 4).requires_grad_(), noise(3, 4, seed=1)
    assert torch.autograd.gradcheck(lambda s: wttm_loss(s, teacher, 3.0), student)


def test_temperature_must_be_positive() -> None:
    with pytest.raises(RequestError, match="temperature -1"):
        wttm_loss(torch.zeros(1, 3), torch.zeros(1, 3), -1.0)
