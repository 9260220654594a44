"""Hints through a given regressor and through the field's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from densedistill.distill.errors import RequestError
from densedistill.distill.losses import HintRegression, hint_loss

Noise = Callable[..., Tensor]


def test_equals_its_definition_with_a_given_regressor(noise: Noise) -> None:
    student, teacher, matrix = noise(2, 3, 4, 4), noise(2, 5, 2, 2, seed=1), noise(5, 3, seed=2)

    def regressor(feature: Tensor) -> Tensor:
        return torch.einsum("oc,bchw->bohw", matrix, feature)

    total = 0.0
    for image in range(2):
        for row in range(2):
            for column in range(2):
                block = student[image, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((1, 2))
                total += float(((matrix @ block - teacher[image, :, row, column]) ** 2).sum())
    assert hint_loss(student, teacher, regressor).item() == pytest.approx(total / (2 * 5 * 4), rel=1e-9)
    assert torch.autograd.gradcheck(lambda s: hint_loss(s, teacher, regressor), student.requires_grad_())


def test_the_fields_regressor_by_hand(noise: Noise) -> None:
    module = HintRegression(3, 2).double()
    student, teacher = noise(4, 3, 2, 2), noise(4, 2, 2, 2, seed=1)
    convolution = module.regressor[0]
    projected = torch.einsum("oc,bchw->bohw", convolution.weight[:, :, 0, 0], student)
    projected = projected + convolution.bias[:, None, None]
    mean, variance = projected.mean((0, 2, 3), keepdim=True), projected.var((0, 2, 3), keepdim=True, unbiased=False)
    expected = (((projected - mean) / (variance + 1e-5).sqrt()).clamp_min(0) - teacher).square().mean()
    torch.testing.assert_close(module(student, teacher), expected)


def test_one_image_is_defined_unless_its_map_has_one_place(noise: Noise) -> None:
    module = HintRegression(3, 2).double()
    assert module(noise(1, 3, 4, 4), noise(1, 2, 2, 2)).isfinite()
    with pytest.raises(RequestError, match="no variance"):
        module(noise(1, 3, 4, 4), noise(1, 2, 1, 1))
    assert module.eval()(noise(1, 3, 4, 4), noise(1, 2, 1, 1)).isfinite()


def test_faults_of_the_request(noise: Noise) -> None:
    with pytest.raises(RequestError, match="student channels 0"):
        HintRegression(0, 2)
    with pytest.raises(RequestError, match="4 channels and its projector takes 3"):
        HintRegression(3, 2)(noise(2, 4, 2, 2), noise(2, 2, 2, 2))
    with pytest.raises(RequestError, match="teacher's feature"):
        hint_loss(noise(2, 3, 2, 2), noise(2, 2, 2, 2), lambda feature: feature)
