"""CTKD: the loss is KD's, and its temperature climbs while the student descends."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import CurriculumTemperature, ctkd_loss, curriculum, kd_loss, reverse_gradient

Noise = Callable[..., Tensor]


def test_value_and_student_gradient_are_those_of_kd(noise: Noise) -> None:
    student, teacher = noise(3, 5).requires_grad_(), noise(3, 5, seed=1)
    mine, plain = ctkd_loss(student, teacher, torch.tensor(3.0).double()), kd_loss(student, teacher, 3.0)
    torch.testing.assert_close(mine, plain)
    torch.testing.assert_close(*(torch.autograd.grad(loss, student)[0] for loss in (mine, plain)))


def test_gradient_with_respect_to_the_temperature_matches_finite_differences(noise: Noise) -> None:
    student, teacher = noise(3, 5).requires_grad_(), noise(3, 5, seed=1)
    temperature = torch.tensor(2.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, t: ctkd_loss(s, teacher, t), (student, temperature))


def test_curriculum_runs_from_nothing_to_one_and_stays() -> None:
    assert [curriculum(epoch) for epoch in (-1, 0, 10, 99)] == [0.0, 0.0, 1.0, 1.0]
    assert curriculum(5) == pytest.approx(0.5)
    assert curriculum(1, epochs=4) == pytest.approx((1 - math.sqrt(0.5)) / 2)
    with pytest.raises(RequestError, match="curriculum of 0"):
        curriculum(1, epochs=0)


def test_reversal_keeps_values_to_the_bit_and_negates_the_gradient(noise: Noise) -> None:
    values = noise(4, scale=1e3).float().requires_grad_()
    reversed_ = reverse_gradient(values, 0.25)
    assert torch.equal(reversed_, values)
    (gradient,) = torch.autograd.grad((reversed_ * torch.arange(4.0)).sum(), values)
    assert gradient.tolist() == [0.0, -0.25, -0.5, -0.75]


def test_temperature_starts_where_the_paper_does_and_keeps_its_range() -> None:
    module = CurriculumTemperature()
    assert module(1.0).item() == pytest.approx(1 + 20 / (1 + math.exp(-1)), rel=1e-6)
    for level, bound in ((-100.0, 1.0), (100.0, 21.0)):
        module.level.data.fill_(level)
        assert module(1.0).item() == pytest.approx(bound)


def test_descent_raises_the_loss_over_the_temperature_only_as_the_curriculum_allows(noise: Noise) -> None:
    student, teacher = noise(3, 5), noise(3, 5, seed=1)
    module = CurriculumTemperature()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    before = ctkd_loss(student, teacher, module(1.0)).item()
    for strength, moved in ((0.0, False), (1.0, True)):
        optimizer.zero_grad()
        level = module.level.item()
        ctkd_loss(student, teacher, module(strength)).backward()
        optimizer.step()
        assert (module.level.item() != level) == moved
    assert ctkd_loss(student, teacher, module(1.0)).item() > before


def test_faults_of_the_request() -> None:
    logits = torch.zeros(2, 3)
    with pytest.raises(RequestError, match="one number for the whole batch"):
        ctkd_loss(logits, logits, torch.ones(2))
    with pytest.raises(RequestError, match=r"from 0\.0 over a span"):
        CurriculumTemperature(start=0.0)
